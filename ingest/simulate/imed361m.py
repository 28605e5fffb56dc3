"""IMed-361M's layout: skewed source data sets, several slices of every subject, one shape per organ."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ingest.anatomy import Anatomy
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.simulate.pictures import (
    SIDE_PX,
    Kind,
    Picture,
    Shape,
    Texture,
    draw,
    mask_of,
    write_broken_png,
    write_png,
)  # fmt: skip
from ingest.simulate.planted import Plan, Planted

PART_ROWS = 20_000
"""Beyond so many slices further source data sets of the same kinds are written, as the release has 110 of them."""
_SLICES_PER_SUBJECT = 5
_TEST_EVERY = 5  # every fifth subject
_CELLS_XY_PX = ((24, 24), (72, 24), (24, 72), (72, 72))
_DEFECTS = (
    Reason.MASK_NAME_DISAGREES, Reason.MASK_ABSENT, Reason.MASK_CORRUPT, Reason.IMAGE_ABSENT,
    Reason.IMAGE_CORRUPT, Reason.DUPLICATED_ID, Reason.MASK_SIZE_DISAGREES,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A source data set: its share of all slices, and each target's shape and grey value."""

    name: str
    prefix: str
    share: float
    code: str
    modality: Modality
    anatomy: Anatomy
    texture: Texture
    base: float
    targets: dict[str, tuple[Kind, float]]


_SOURCES = (
    _Source(
        name="SimAbdomenCT", prefix="ABD", share=0.55, code="ct", modality=Modality.COMPUTED_TOMOGRAPHY,
        anatomy=Anatomy.ABDOMEN, texture=Texture.CT, base=45.0,
        targets={"liver": (Kind.DISC, 130.0), "spleen": (Kind.SQUARE, 175.0), "kidney_left": (Kind.RING, 225.0),
                 "stomach": (Kind.TRIANGLE, 100.0)},
    ),
    _Source(
        name="SimBrainMR", prefix="BRA", share=0.25, code="mr", modality=Modality.MAGNETIC_RESONANCE,
        anatomy=Anatomy.BRAIN, texture=Texture.MR, base=60.0,
        targets={"brain_tumor": (Kind.STAR, 215.0), "cerebellum": (Kind.DIAMOND, 145.0)},
    ),
    _Source(
        name="SimBreastUS", prefix="BUS", share=0.12, code="us", modality=Modality.ULTRASOUND,
        anatomy=Anatomy.BREAST, texture=Texture.ULTRASOUND, base=50.0,
        targets={"breast_cyst": (Kind.DISC, 200.0), "breast_lesion": (Kind.CROSS, 140.0)},
    ),
    _Source(
        name="SimChestXray", prefix="CXR", share=0.08, code="x_ray", modality=Modality.X_RAY,
        anatomy=Anatomy.CHEST, texture=Texture.X_RAY, base=70.0,
        targets={"lung_left": (Kind.SQUARE, 150.0), "lung_right": (Kind.DIAMOND, 205.0)},
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Slice:
    """A slice to write: who it is of, what it shows, and what is wrong with it, if anything."""

    source: _Source
    subject: int
    number: int
    picture: Picture
    shown: tuple[str, ...]
    defect: Reason | None = None

    @property
    def stem(self) -> str:
        return f"{self.source.prefix}_{self.subject:05d}_{self.number}"

    @property
    def native_id(self) -> str:
        return f"{self.source.name}/{self.stem}"

    @property
    def is_test(self) -> bool:
        return self.subject % _TEST_EVERY == 0

    @property
    def label(self) -> str:
        channels = len(self.source.targets) + (self.defect is Reason.MASK_NAME_DISAGREES)
        return f"label/x___{self.stem}.({channels}, {SIDE_PX}, {SIDE_PX}, 1).npz"


def write(folder: Path, num_rows: int, plan: Plan) -> Planted:
    """Write ``num_rows`` listed slices, their masks and the descriptions of their sources."""
    planted = Planted("imed361m")
    for part, first in enumerate(range(0, num_rows, PART_ROWS)):
        _write_part(folder, part, min(PART_ROWS, num_rows - first), plan, planted)
    return planted


def _write_part(folder: Path, part: int, num_rows: int, plan: Plan, planted: Planted) -> None:
    sources = [replace(each, name=f"{each.name}{part or ''}", prefix=f"{each.prefix}{part or ''}") for each in _SOURCES]
    slices = _plan(sources, part, num_rows, plan, planted)
    for source in sources:
        mine = [each for each in slices if each.source is source]
        for name in ("image", "label"):
            (folder / source.name / name).mkdir(parents=True)
        for number, each in enumerate(mine):
            if plan.has_picture(number):
                _write_slice(folder / source.name, each)
            plan.progress(1)
        _write_description(folder / source.name, source, mine)
    for each in slices:
        _account(planted, each)


def _plan(sources: list[_Source], part: int, num_rows: int, plan: Plan, planted: Planted) -> list[_Slice]:
    """All slices of a part, defects and duplicates in place. A defective one stands only in training."""
    generator = np.random.default_rng((plan.seed, 1, part) if part else (plan.seed, 1))
    defects = plan.defects(_DEFECTS, num_rows)
    num_twice = defects.count(Reason.DUPLICATED_ID)
    numbers = _share_out(num_rows - num_twice)
    slices = [
        _plan_slice(source, index, (plan.seed, 11, len(sources) * part + place), generator)
        for place, (source, number) in enumerate(zip(sources, numbers, strict=True))
        for index in range(number)
    ]
    in_train = [index for index, each in enumerate(slices) if not each.is_test]
    in_test = [index for index, each in enumerate(slices) if each.is_test]
    chosen = generator.permutation(in_train).tolist()
    for defect in defects:
        index = chosen.pop()
        slices[index] = replace(slices[index], defect=defect)
    for _ in range(plan.num_duplicates(num_rows)):
        first = slices[chosen.pop()]
        same_source = [index for index in in_test if slices[index].source is first.source]
        if same_source:
            second = int(generator.choice(same_source))
            in_test.remove(second)
            slices[second] = replace(slices[second], picture=first.picture, shown=first.shown)
            planted.duplicate(first.native_id, slices[second].native_id)
    return slices


def _share_out(num_rows: int) -> list[int]:
    """Rows per source; every source holds some, the first takes the rounding."""
    numbers = [max(1, round(source.share * num_rows)) for source in _SOURCES]
    numbers[0] += num_rows - sum(numbers)
    return numbers


def _plan_slice(source: _Source, index: int, seed: tuple[int, ...], generator: np.random.Generator) -> _Slice:
    names = list(source.targets)
    num_shown = int(generator.integers(1, min(3, len(names)) + 1))
    shown = [names[i] for i in sorted(generator.permutation(len(names))[:num_shown])]
    cells = generator.permutation(len(_CELLS_XY_PX))
    shapes = []
    for name, cell in zip(shown, cells, strict=False):
        kind, value = source.targets[name]
        x_px, y_px = (_CELLS_XY_PX[cell] + generator.uniform(-5, 5, 2)).tolist()
        shapes.append(Shape(kind, x_px, y_px, float(generator.uniform(12, 18)), (value,)))
    picture = Picture(
        source.texture, (*seed, index), (source.base,), tuple(shapes)
    )  # fmt: skip
    subject, number = divmod(index, _SLICES_PER_SUBJECT)
    return _Slice(source=source, subject=subject + 1, number=10 * number + 10, picture=picture, shown=tuple(shown))


def _write_slice(folder: Path, each: _Slice) -> None:
    image = draw(each.picture)
    path = folder / "image" / f"{each.stem}.png"
    if each.defect is Reason.IMAGE_CORRUPT:
        write_broken_png(path, image)
    elif each.defect is Reason.MASK_SIZE_DISAGREES:
        write_png(path, image[: SIDE_PX // 2])
    elif each.defect is not Reason.IMAGE_ABSENT:
        write_png(path, image)
    if each.defect is Reason.MASK_ABSENT:
        return
    _write_masks(folder / each.label, each)
    if each.defect is Reason.MASK_CORRUPT:
        content = (folder / each.label).read_bytes()
        (folder / each.label).write_bytes(content[: len(content) // 2])


def _write_masks(path: Path, each: _Slice) -> None:
    """One channel per target of the source, as a CSR matrix of int32."""
    shape_of = dict(zip(each.shown, each.picture.shapes, strict=True))
    pixels = [
        np.flatnonzero(mask_of(shape_of[name])) if name in shape_of else np.empty(0, dtype=np.int64)
        for name in each.source.targets
    ]
    indices = np.concatenate(pixels).astype(np.int32)
    np.savez_compressed(
        path,
        indices=indices,
        indptr=np.cumsum([0, *map(len, pixels)], dtype=np.int32),
        format=np.array(b"csr"),
        shape=np.array([len(pixels), SIDE_PX**2]),
        data=np.ones(indices.size, dtype=np.int32),
    )


def _write_description(folder: Path, source: _Source, slices: list[_Slice]) -> None:
    entries: dict[bool, list[dict[str, str]]] = {False: [], True: []}
    for each in slices:
        entry = {
            "image": f"image/{each.stem}.png",
            "label": each.label,
            "imask": f"imask/x___{each.stem}.npy",
        }
        entries[each.is_test] += [entry] * (2 if each.defect is Reason.DUPLICATED_ID else 1)
    description: dict[str, Any] = {
        "name": source.name,
        "description": f"{source.code}_{source.name}",
        "dimension": "2D",
        "modality": {"0": source.code},
        "labels": {"0": "background"} | {str(i): name for i, name in enumerate(source.targets, start=1)},
        "numTraining": len(entries[False]),
        "training": entries[False],
        "numTest": len(entries[True]),
        "test": entries[True],
    }
    (folder / "dataset.json").write_text(json.dumps(description, indent=1))


def _account(planted: Planted, each: _Slice) -> None:
    if each.defect is not None:
        planted.reject(each.native_id, each.defect)
    if each.defect in (None, Reason.DUPLICATED_ID):
        planted.count(labels=each.shown, modality=each.source.modality, anatomy=each.source.anatomy)
