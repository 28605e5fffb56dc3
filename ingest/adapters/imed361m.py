"""IMed-361M: slices of 110 source data sets with masks of named structures (Cheng et al. 2024).

Layout: <source>/{dataset.json, image/*.png, label/*.npz}; the root is one source folder or holds many.
Masks: CSR matrices whose shape stands in the file name; channel i is label i + 1 of dataset.json.
Split: the official one. Person: the subject in the file name. Known defects: pictures no list mentions
(counted, unlabelled); demo_image/ is no source. Licence: that of each source.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ingest.adapters.folders import PICTURE_SUFFIXES, subfolders
from ingest.adapters.root import Root
from ingest.anatomy import Anatomy, anatomy_of_structures
from ingest.errors import BadInput
from ingest.masks import CorruptMask, MaskNameDisagrees, mask_areas
from ingest.modality import Modality, modality_of
from ingest.quarantine import Reason
from ingest.sample import Sample, Source, Split, Task

LICENCE = "per source data set"
DESCRIPTION = "dataset.json"
_SPLIT_OF_LIST = {"training": Split.TRAIN, "test": Split.TEST}
_SUBJECT = re.compile(r"(.+?_\d+)_\d+")
_COMBINED = {
    frozenset({Modality.PET, Modality.COMPUTED_TOMOGRAPHY}): Modality.PET_CT,
    frozenset({Modality.PET, Modality.MAGNETIC_RESONANCE}): Modality.PET_MRI,
}


@dataclass(frozen=True)
class Options:
    """None: everything stands in dataset.json."""


@dataclass(frozen=True, kw_only=True)
class _Source:
    """One source data set: its folder below the root ("" or "BTCV/"), and what dataset.json declares."""

    prefix: str
    name: str
    targets: list[str]
    lists: dict[str, list[Any]]
    common: dict[str, Any]

    @property
    def description(self) -> str:
        return self.prefix + DESCRIPTION


def recognise(folder: Path, search_root: Path) -> Options | None:
    """A source folder, or a folder of source folders beside which nothing but pictures lies."""
    if _is_source(folder):
        return Options()
    children = subfolders(folder)
    others = [child for child in children if not _is_source(child)]
    if len(others) == len(children) or not all(_holds_only_pictures(child) for child in others):
        return None
    return Options()


def read(root: Root, options: Options) -> Iterator[Sample]:
    """Yield the listed slices of every source in list order, then its pictures that no list mentions."""
    folders = [root.path] if _is_source(root.path) else [f for f in subfolders(root.path) if _is_source(f)]
    if not folders:
        raise BadInput(f"{root.path}: expected {DESCRIPTION} here or in a folder below, got none")
    for folder in folders:
        source = _source_of(root, folder)
        listed: set[str] = set()
        entries = [(split, entry) for name, split in _SPLIT_OF_LIST.items() for entry in source.lists[name]]
        for row, (split, entry) in enumerate(entries, start=1):
            sample = _slice_of(root, source, entry, row=row, split=split, listed=listed)
            if sample is not None:
                yield sample
        yield from _unlisted(root, source, listed)


def _is_source(folder: Path) -> bool:
    return (folder / DESCRIPTION).is_file() and (folder / "image").is_dir()


def _holds_only_pictures(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return all(Path(entry.name).suffix.lower() in PICTURE_SUFFIXES for entry in entries)


def _source_of(root: Root, folder: Path) -> _Source:
    prefix = "" if folder == root.path else f"{folder.name}/"
    declared = root.json(prefix + DESCRIPTION)
    where = f"{folder / DESCRIPTION}"
    if not isinstance(declared, dict) or not isinstance(declared.get("labels"), dict):
        raise BadInput(f"{where}: expected an object with 'labels', got {type(declared).__name__} without")
    lists = {name: declared.get(name) or [] for name in _SPLIT_OF_LIST}
    if not all(isinstance(entries, list) for entries in lists.values()) or not any(lists.values()):
        raise BadInput(f"{where}: expected lists 'training' and 'test', got none with entries")
    name = str(declared.get("name") or folder.resolve().name)
    targets = _targets_of(declared["labels"], where)
    return _Source(
        prefix=prefix, name=name, targets=targets, lists=lists, common=_common_of(declared, name, targets)
    )  # fmt: skip


def _targets_of(labels: dict[str, Any], where: str) -> list[str]:
    """Label names in channel order: ids 1, 2, ... without the background."""
    try:
        named = {int(number): str(name) for number, name in labels.items()}
    except ValueError as error:
        raise BadInput(f"{where}: expected whole numbers as keys of 'labels', got {list(labels)[:5]}") from error
    named.pop(0, None)
    if sorted(named) != list(range(1, len(named) + 1)) or not named:
        raise BadInput(f"{where}: expected labels 1, 2, ..., got {sorted(named)[:5]}")
    return [named[number] for number in sorted(named)]


def _common_of(declared: dict[str, Any], name: str, targets: list[str]) -> dict[str, Any]:
    """What every slice of a source shares."""
    field = declared.get("modality")
    raws = [str(value) for value in (field.values() if isinstance(field, dict) else [field] if field else [])]
    kinds = frozenset(modality_of(raw) for raw in raws)
    modality = _COMBINED.get(kinds) or (next(iter(kinds)) if len(kinds) == 1 else Modality.UNKNOWN)
    anatomy = anatomy_of_structures(targets)
    return {
        "modality": modality,
        "modality_source": None if modality is Modality.UNKNOWN else Source.METADATA,
        "modality_raw": ", ".join(raws) or None,
        "anatomy": anatomy,
        "anatomy_source": None if anatomy is Anatomy.UNKNOWN else Source.CURATED,
        "label_space": name,
        "licence": LICENCE,
    }


def _identity_of(root: Root, source: _Source, image: str) -> dict[str, Any]:
    """Native key and person: "ABD_001_100" is a slice of "ABD_001"; any other name is its own person."""
    stem = os.path.splitext(image.rpartition("/")[2])[0]  # noqa: PTH122  a million names: strings
    subject = match.group(1) if (match := _SUBJECT.fullmatch(stem)) else stem
    return {
        "native_id": f"{source.name}/{stem}",
        "patient_id": root.pseudonym(f"{source.name}/{subject}"),
        "image_uris": [source.prefix + image],
    }


def _slice_of(root: Root, source: _Source, entry: Any, *, row: int, split: Split, listed: set[str]) -> Sample | None:
    """The sample of one entry of dataset.json; None, and a rejection, where it cannot be one."""
    place: dict[str, Any] = {"source_file": source.description, "source_row": row}
    image, label = (entry.get("image"), entry.get("label")) if isinstance(entry, dict) else (None, None)
    if not isinstance(image, str) or not isinstance(label, str):
        reason = Reason.MISSING_FIELD if isinstance(entry, dict) else Reason.UNREADABLE_ROW
        root.reject(f"{source.name}/row {row}", **place, reason=reason, detail="expected texts image and label")
        return None
    listed.add(os.path.normpath(image))
    sample = root.sample(
        **_identity_of(root, source, image), **source.common, **place, split=split, task=Task.SEGMENTATION,
        mask_uri=source.prefix + label,
    )  # fmt: skip
    try:
        is_fetched = root.stat(source.prefix + image) is not None
        return _with_masks(root, source, sample)
    except FileNotFoundError:
        if not is_fetched:
            return sample  # nothing of the slice was fetched: its picture is what is missing
        problem = Reason.MASK_ABSENT, "expected the mask file that dataset.json names, got none"
    except MaskNameDisagrees as error:
        problem = Reason.MASK_NAME_DISAGREES, str(error)
    except CorruptMask as error:
        problem = Reason.MASK_CORRUPT, str(error)
    except ValueError as error:
        problem = Reason.OUTSIDE_ROOT, str(error)
    root.reject(sample.native_id, **place, reason=problem[0], detail=problem[1], sample=sample)
    return None


def _with_masks(root: Root, source: _Source, sample: Sample) -> Sample:
    """Name the non-empty channels. A slice without any has nothing to segment: it is counted, not trained."""
    if root.stat(sample.mask_uri or "") is None:
        raise FileNotFoundError
    if not root.pixels:
        return sample
    areas, _ = mask_areas(root.resolve(sample.mask_uri or ""))
    if len(areas) != len(source.targets):
        raise CorruptMask(f"expected {len(source.targets)} channels as labelled, got {len(areas)}")
    shown = [(name, area) for name, area in zip(source.targets, areas, strict=True) if area > 0]
    names = [name for name, _ in shown]
    return replace(
        sample, task=Task.SEGMENTATION if shown else Task.UNLABELLED, labels=names, mask_targets=list(names),
        mask_area_fraction=[area for _, area in shown],
    )  # fmt: skip


def _unlisted(root: Root, source: _Source, listed: set[str]) -> Iterator[Sample]:
    """Pictures on disk that no list mentions, by name."""
    with os.scandir(root.path / source.prefix / "image") as entries:
        names = sorted(f"image/{e.name}" for e in entries if Path(e.name).suffix.lower() in PICTURE_SUFFIXES)
    for image in names:
        if os.path.normpath(image) not in listed:
            yield root.sample(
                **_identity_of(root, source, image), **source.common, source_file=source.description,
                task=Task.UNLABELLED,
            )  # fmt: skip
