"""The read stage: one dataset's raw files into staged samples and rejections. Pixels are looked at once.

Output, under ``staging/``: ``<dataset>.samples.parquet`` (SCHEMA and the pictures' perceptual hashes),
``<dataset>.rejected.parquet``, ``<dataset>.pictures/`` (what was seen of every picture) and ``<dataset>.files.parquet``
(what was read). Rows pass through in blocks: no data set is ever held whole.
"""

import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.adapters import ADAPTERS
from ingest.adapters.root import Root
from ingest.dataset_config import DatasetConfig
from ingest.errors import BadInput, BiasCareError
from ingest.files import list_files, listing_digest, read_listing
from ingest.images import ImageFacts
from ingest.masks import mask_areas
from ingest.picture_ledger import PictureLedger
from ingest.quarantine import QUARANTINE_SCHEMA, Reason, Rejection, rejection_of, rejections_to_table
from ingest.sample import ImageStatus, Sample, to_table
from ingest.staging import PERCEPTUAL_HASHES, STAGED_SCHEMA, staged_of
from ingest.workspace import Workspace, digest_of, publishing

BLOCK_ROWS = 20_000
Progress = Callable[[int], None]
"""Told the number of rows done so far."""


def files_of(workspace: Workspace, dataset: DatasetConfig) -> tuple[pa.Table | None, pa.Table]:
    """The dataset's files when it was last read (None before) and now."""
    before = read_listing(staged_of(workspace, dataset.name).files)
    return before, list_files(dataset.roots(), known=before, name_of=dataset.listed_name)


def read_digest(workspace: Workspace, dataset: DatasetConfig) -> str:
    """Digest of the dataset's settings and files: what is read is the same exactly when this is."""
    return digest_of([dataset.settings_digest(), listing_digest(files_of(workspace, dataset)[1])])


def check_not_empty(dataset: DatasetConfig) -> None:
    """Refuse a dataset without a single row before anything is written. Opens no picture."""
    if not has_rows(dataset):
        raise BadInput(f"{dataset.root}: expected rows of {dataset.adapter}, got an empty dataset")


def has_rows(dataset: DatasetConfig) -> bool:
    """Whether the adapter finds a row, good or bad. Opens no picture."""
    root = dataset.open(pixels=False)
    return next(ADAPTERS[dataset.adapter].read(root, dataset.options), None) is not None or bool(root.rejections)


def read_dataset(workspace: Workspace, dataset: DatasetConfig, *, progress: Progress | None = None) -> dict[str, Any]:
    """Read one dataset and stage it.

    Returns: ``rows_in`` = ``samples`` + ``quarantined``, the quarantined ``by_reason``, and how many pictures were
    opened because they were new or changed.
    Raises: BiasCareError when more than ``max_bad_share`` of the rows are bad; nothing is staged then.
    """
    staged = staged_of(workspace, dataset.name)
    # Listed before reading: a file that changes meanwhile differs from this listing and is read again next time.
    _, files = files_of(workspace, dataset)
    root = dataset.open()
    pictures = PictureLedger(staged.pictures)
    num_samples, reasons = 0, Counter[str]()
    with contextlib.ExitStack() as stack:
        paths = [stack.enter_context(publishing(path)) for path in (staged.files, staged.rejected, staged.samples)]
        pq.write_table(files, paths[0])
        rejected_to = stack.enter_context(pq.ParquetWriter(paths[1], QUARANTINE_SCHEMA))
        samples_to = stack.enter_context(pq.ParquetWriter(paths[2], STAGED_SCHEMA, compression="zstd"))
        threads = stack.enter_context(ThreadPoolExecutor(min(8, os.cpu_count() or 1)))
        for kept, rejected in _blocks(root, dataset, pictures, threads):
            samples_to.write_table(kept)
            rejected_to.write_table(rejections_to_table(rejected))
            num_samples += kept.num_rows
            reasons.update(str(rejection.reason) for rejection in rejected)
            if progress:
                progress(num_samples + reasons.total())
        pictures.close()
        _stop_if_too_bad(dataset, num_samples, reasons)
    return {
        "rows_in": num_samples + reasons.total(),
        "samples": num_samples,
        "quarantined": reasons.total(),
        "by_reason": dict(sorted(reasons.items())),
        "pictures_opened": pictures.num_opened,
    }


def _blocks(
    root: Root, dataset: DatasetConfig, pictures: PictureLedger, threads: Executor
) -> Iterator[tuple[pa.Table, list[Rejection]]]:
    """Staged samples and rejections, some thousand rows at a time."""
    rejected: list[Rejection] = []
    samples = _without_duplicates(_chosen(dataset, ADAPTERS[dataset.adapter].read(root, dataset.options)), rejected)
    while True:
        block = list(itertools.islice(samples, BLOCK_ROWS))
        table, bad = _check_images(root.pictures, block, dataset.allow_absent_images, pictures, threads)
        yield table, [*rejected, *bad, *root.rejections]
        rejected.clear()
        root.rejections.clear()
        if not block:
            return


def _chosen(dataset: DatasetConfig, samples: Iterator[Sample]) -> Iterator[Sample]:
    """The ``max_samples`` samples of lowest sample id, in their order: the id is a hash, so these are a fair share."""
    if dataset.max_samples is None:
        return samples
    root = dataset.open(pixels=False)
    ids = {sample.sample_id for sample in ADAPTERS[dataset.adapter].read(root, dataset.options)}
    if len(ids) <= dataset.max_samples:
        return samples
    highest = str(np.partition(np.array(list(ids)), dataset.max_samples - 1)[dataset.max_samples - 1])
    return (sample for sample in samples if sample.sample_id <= highest)


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
    root: Root, block: list[Sample], allow_absent: bool, pictures: PictureLedger, threads: Executor
) -> tuple[pa.Table, list[Rejection]]:
    """The samples whose pictures are as they should be, these described; and the others' rejections."""
    wanted = dict.fromkeys(uri for sample in block for uri in sample.image_uris)
    seen = pictures.look_at(root, list(wanted), threads)
    kept: list[Sample] = []
    facts: list[list[ImageFacts]] = []
    rejected: list[Rejection] = []
    for sample in block:
        found = [seen[uri] for uri in sample.image_uris]
        problem = _problem_of(root, sample, found, allow_absent)
        if problem:
            rejected.append(rejection_of(sample, *problem))
        else:
            kept.append(sample)
            whole = all(isinstance(each, ImageFacts) for each in found)
            facts.append([each for each in found if isinstance(each, ImageFacts)] if whole else [])
    return _described(kept, facts), rejected


def _problem_of(
    root: Root, sample: Sample, found: list[ImageFacts | Reason], allow_absent: bool
) -> tuple[Reason, str] | None:
    """What is wrong with a sample's pictures or mask, as reason and detail; None when nothing is."""
    problems = [each for each in found if isinstance(each, Reason)]
    if problems:
        if allow_absent and set(problems) == {Reason.IMAGE_ABSENT}:
            return None
        worst = next((problem for problem in problems if problem != Reason.IMAGE_ABSENT), Reason.IMAGE_ABSENT)
        return worst, f"expected {len(found)} whole picture(s), {len(problems)} not so"
    if sample.mask_uri and found and isinstance(first := found[0], ImageFacts):
        height, width = mask_areas(root.resolve(sample.mask_uri))[1]
        if (height, width) != (first.height_px, first.width_px):
            expected = f"expected a mask of {first.height_px} x {first.width_px} px like its picture"
            return Reason.MASK_SIZE_DISAGREES, f"{expected}, got {height} x {width}"
    return None


def _described(samples: list[Sample], facts: list[list[ImageFacts]]) -> pa.Table:
    """Samples in STAGED_SCHEMA with status, size and hashes of their pictures, where these are all there."""
    both = list(zip(samples, facts, strict=True))
    table = to_table(
        samples,
        overrides={
            "image_status": [ImageStatus.PRESENT if each else ImageStatus.ABSENT for each in facts],
            "image_sha256": [[fact.sha256 for fact in each] or None for each in facts],
            "width_px": [each[0].width_px if each else sample.width_px for sample, each in both],
            "height_px": [each[0].height_px if each else sample.height_px for sample, each in both],
        },
    )
    hashes = [[fact.perceptual_hash for fact in each] or None for each in facts]
    return table.append_column(PERCEPTUAL_HASHES, pa.array(hashes, PERCEPTUAL_HASHES.type))


def _stop_if_too_bad(dataset: DatasetConfig, num_samples: int, reasons: Counter[str]) -> None:
    total = num_samples + reasons.total()
    if total == 0:
        raise BadInput(f"{dataset.root}: expected rows of {dataset.adapter}, got an empty dataset")
    share = reasons.total() / total
    if share > dataset.max_bad_share:
        listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        raise BiasCareError(
            f"dataset {dataset.name} at {dataset.root}: expected at most {dataset.max_bad_share:.1%} bad rows "
            f"(max_bad_share), got {share:.1%}: {listed}; the previous version stays as it is"
        )
