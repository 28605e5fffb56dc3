"""The read stage: one dataset's raw files into staged samples and rejections. Pixels are looked at once.

Output, under ``staging/``: ``<dataset>.samples.parquet`` (SCHEMA and the pictures' perceptual hashes) and
``<dataset>.rejected.parquet``.
"""

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.adapters import ADAPTERS
from ingest.adapters.root import Root
from ingest.deidentify import PUBLIC_KEY
from ingest.disguise import Folder, HiddenFolder
from ingest.errors import BadInput, BiasCareError
from ingest.images import ImageFacts, describe_image
from ingest.masks import mask_areas
from ingest.pixels import CorruptImage
from ingest.quarantine import Reason, Rejection, rejection_of, rejections_to_table
from ingest.sample import SCHEMA, SCHEMA_VERSION, ImageStatus, Sample, to_table
from ingest.workspace import Workspace, digest_of, publishing, tree_digest

PERCEPTUAL_HASHES = pa.field("perceptual_hashes", pa.list_(pa.uint64()))
STAGED_SCHEMA = SCHEMA.append(PERCEPTUAL_HASHES)

Progress = Callable[[int], None]
"""Told the number of rows done so far."""


class SplitPolicy(StrEnum):
    """What becomes of an official split that shares a person: moved whole to one side, or left as published."""

    GROUPED = "grouped"
    OFFICIAL = "official"


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """One ``[[datasets]]`` table, its paths already absolute. ``options`` are the adapter's own.

    identifiable: rows and files get keyed pseudonyms; the default is the adapter's. key_file: where the key
    stands, else in the environment.
    """

    adapter: str
    root: Path
    max_repeats: int | None = None
    max_bad_share: float = 0.05
    allow_absent_images: bool = False
    identifiable: bool = False
    key_file: Path | None = None
    split: SplitPolicy = SplitPolicy.GROUPED
    options: Any = None
    key: bytes = field(default=PUBLIC_KEY, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.max_bad_share <= 1:
            raise ValueError(f"max_bad_share: expected 0 to 1, got {self.max_bad_share}")
        if self.max_repeats is not None and self.max_repeats < 1:
            raise ValueError(f"max_repeats: expected at least 1, got {self.max_repeats}")

    @property
    def name(self) -> str:
        """The value of the ``dataset`` column."""
        return self.adapter

    @property
    def pictures(self) -> Folder:
        """What image and mask URIs of samples/ are joined to: the option ``images``, else the root."""
        folder = self._images or self.root
        return HiddenFolder(folder, self.name, self.key) if self.identifiable else folder

    @property
    def _images(self) -> Path | None:
        return getattr(self.options, "images", None)

    def open(self, *, pixels: bool = True) -> Root:
        """What the adapter is handed."""
        return Root(
            self.root, self.name, key=self.key, pixels=pixels, identifiable=self.identifiable, images=self._images
        )  # fmt: skip

    def digest(self) -> str:
        """Digest of the dataset's files and of every setting that decides what is read from them."""
        options = dataclasses.asdict(self.options)
        paths = [path for path in options.values() if isinstance(path, Path)]
        # Names, not places: a corpus that was moved whole is the same corpus.
        named = {name: value.name if isinstance(value, Path) else value for name, value in options.items()}
        settings = [self.adapter, self.allow_absent_images, self.max_bad_share, named, digest_of(self.key.hex())]
        return digest_of([SCHEMA_VERSION, settings, [tree_digest(path) for path in (self.root, *paths)]])


def staged_paths(workspace: Workspace, name: str) -> tuple[Path, Path]:
    """Where a dataset's samples and rejections are staged."""
    folder = workspace.root / "staging"
    return folder / f"{name}.samples.parquet", folder / f"{name}.rejected.parquet"


def check_not_empty(dataset: DatasetConfig) -> None:
    """Refuse a dataset without a single row before anything is written. Opens no picture."""
    root = dataset.open(pixels=False)
    first = next(ADAPTERS[dataset.adapter].read(root, dataset.options), None)
    if first is None and not root.rejections:
        raise BadInput(f"{dataset.root}: expected rows of {dataset.adapter}, got an empty dataset")


def read_dataset(workspace: Workspace, dataset: DatasetConfig, *, progress: Progress | None = None) -> dict[str, Any]:
    """Read one dataset and stage it.

    Returns: ``rows_in`` = ``samples`` + ``quarantined``, and the quarantined ``by_reason``.
    Raises: BiasCareError when more than ``max_bad_share`` of the rows are bad; nothing is staged then.
    """
    root = dataset.open()
    samples: list[Sample] = []
    hashes: list[list[int] | None] = []
    rejected: list[Rejection] = []
    unique = _without_duplicates(ADAPTERS[dataset.adapter].read(root, dataset.options), rejected)
    for checked in _check_images(root.pictures, unique, dataset.allow_absent_images):
        if isinstance(checked, Rejection):
            rejected.append(checked)
        else:
            samples.append(checked[0])
            hashes.append(checked[1])
        if progress:
            progress(len(samples) + len(rejected))
    rejected += root.rejections
    _stop_if_too_bad(dataset, len(samples), rejected)
    return _stage(workspace, dataset.name, samples, hashes, rejected)


def _stage(
    workspace: Workspace,
    name: str,
    samples: list[Sample],
    hashes: list[list[int] | None],
    rejected: list[Rejection],
) -> dict[str, Any]:
    """Write both staged files and count them."""
    samples_path, rejected_path = staged_paths(workspace, name)
    table = to_table(samples).append_column(PERCEPTUAL_HASHES, pa.array(hashes, PERCEPTUAL_HASHES.type))
    for path, content in ((samples_path, table), (rejected_path, rejections_to_table(rejected))):
        with publishing(path) as staged:
            pq.write_table(content, staged)
    return {
        "rows_in": len(samples) + len(rejected),
        "samples": len(samples),
        "quarantined": len(rejected),
        "by_reason": dict(sorted(Counter(str(rejection.reason) for rejection in rejected).items())),
    }


def _without_duplicates(samples: Iterator[Sample], rejected: list[Rejection]) -> Iterator[Sample]:
    """Pass each native id once; further rows under it are set aside."""
    seen: set[str] = set()
    for sample in samples:
        if sample.sample_id in seen:
            detail = "expected an id that no earlier row has, got one that is taken"
            rejected.append(rejection_of(sample, Reason.DUPLICATED_ID, detail))
            continue
        seen.add(sample.sample_id)
        yield sample


def _check_images(
    root: Root, samples: Iterator[Sample], allow_absent: bool
) -> Iterator[Rejection | tuple[Sample, list[int] | None]]:
    """Each sample with its pictures described, or its rejection, in order; every picture is decoded once."""
    described: dict[str, ImageFacts | Reason] = {}
    window = 512  # samples whose pictures are decoded side by side
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        while block := [sample for _, sample in zip(range(window), samples, strict=False)]:
            wanted = {uri for sample in block for uri in sample.image_uris} - described.keys()
            ordered = sorted(wanted)
            described.update(zip(ordered, threads.map(lambda uri: _describe(root, uri), ordered), strict=True))
            for sample in block:
                facts = [described[uri] for uri in sample.image_uris]
                yield _with_facts(root, sample, facts, allow_absent)


def _describe(root: Root, uri: str) -> ImageFacts | Reason:
    try:
        return describe_image(root.resolve(uri))
    except CorruptImage as error:
        return error.reason
    except FileNotFoundError:
        return Reason.IMAGE_ABSENT
    except (ValueError, OSError):
        return Reason.OUTSIDE_ROOT


def _with_facts(
    root: Root, sample: Sample, facts: list[ImageFacts | Reason], allow_absent: bool
) -> Rejection | tuple[Sample, list[int] | None]:
    """The sample with status, hashes and size filled in, or its rejection."""
    problems = [fact for fact in facts if isinstance(fact, Reason)]
    if problems and not (allow_absent and set(problems) == {Reason.IMAGE_ABSENT}):
        worst = next((problem for problem in problems if problem != Reason.IMAGE_ABSENT), Reason.IMAGE_ABSENT)
        return rejection_of(sample, worst, f"expected {len(facts)} whole picture(s), {len(problems)} not so")
    known = [fact for fact in facts if isinstance(fact, ImageFacts)]
    if problems or not known:
        return dataclasses.replace(sample, image_status=ImageStatus.ABSENT), None
    width, height = known[0].width_px, known[0].height_px
    if sample.mask_uri and (size := mask_areas(root.resolve(sample.mask_uri))[1]) != (height, width):
        detail = f"expected a mask of {height} x {width} px like its picture, got {size[0]} x {size[1]}"
        return rejection_of(sample, Reason.MASK_SIZE_DISAGREES, detail)
    checked = dataclasses.replace(
        sample,
        image_status=ImageStatus.PRESENT,
        image_sha256=[fact.sha256 for fact in known],
        width_px=width,
        height_px=height,
    )
    return checked, [fact.perceptual_hash for fact in known]


def _stop_if_too_bad(dataset: DatasetConfig, num_samples: int, rejected: list[Rejection]) -> None:
    total = num_samples + len(rejected)
    if total == 0:
        raise BadInput(f"{dataset.root}: expected rows of {dataset.adapter}, got an empty dataset")
    share = len(rejected) / total
    if share > dataset.max_bad_share:
        reasons = Counter(str(rejection.reason) for rejection in rejected)
        listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        raise BiasCareError(
            f"dataset {dataset.name} at {dataset.root}: expected at most {dataset.max_bad_share:.1%} bad rows "
            f"(max_bad_share), got {share:.1%}: {listed}; the previous version stays as it is"
        )
