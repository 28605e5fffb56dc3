"""Questions about simulated figures: the content every text data set shares; each writer gives it its own layout.

Drawn in blocks and handed on one by one: a million rows take seconds and no memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import Split
from ingest.simulate.pictures import Kind, Picture, Shape, Texture, draw, write_broken_jpeg, write_jpeg
from ingest.simulate.planted import Plan, Planted

WORDS = {
    Modality.COMPUTED_TOMOGRAPHY: "CT", Modality.MAGNETIC_RESONANCE: "MRI", Modality.X_RAY: "x-ray",
    Modality.ULTRASOUND: "ultrasound", Modality.MICROSCOPY: "photomicrograph", Modality.ENDOSCOPY: "endoscopy",
    Modality.DIGITAL_PHOTOGRAPHY: "photograph", Modality.OPTICAL_COHERENCE_TOMOGRAPHY: "OCT",
    Modality.FUNDUS_PHOTOGRAPHY: "fundus photograph", Modality.DERMOSCOPY: "dermoscopy",
    Modality.INFRARED_REFLECTANCE: "infrared reflectance image",
}  # fmt: skip
"""What a question calls a picture of each modality."""
FINDINGS = {
    "nodule": Kind.DISC, "stone": Kind.SQUARE, "effusion": Kind.BAR, "cyst": Kind.RING, "abscess": Kind.STAR,
    "mass": Kind.DIAMOND, "hemorrhage": Kind.CROSS, "infarct": Kind.TRIANGLE,
}  # fmt: skip
SIDES = ("left", "right")
NUM_QUESTIONS = 5
"""How many different questions there are about a figure."""
_TEXTURES = {
    Modality.COMPUTED_TOMOGRAPHY: Texture.CT, Modality.MAGNETIC_RESONANCE: Texture.MR, Modality.X_RAY: Texture.X_RAY,
    Modality.ULTRASOUND: Texture.ULTRASOUND,
}  # fmt: skip
_IN_PICTURE = (Reason.IMAGE_ABSENT, Reason.IMAGE_CORRUPT)
_BLOCK = 4096
_NAMED_SHARE = 0.85


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture and what is true of it.

    ``painted_as``: the number of the figure it shows, its own unless it is a twin; ``has_twin``: another shows it too.
    """

    number: int
    painted_as: int
    modality: Modality
    region: str
    finding: str
    side: str
    has_twin: bool
    defect: Reason | None


@dataclass(frozen=True, slots=True)
class Question:
    """One row: what is asked about a figure, ``kind`` 0 .. NUM_QUESTIONS - 1; only kind 0 may name the modality."""

    figure: Figure
    split: Split
    kind: int
    text: str
    answer: str
    options: Sequence[str]
    names_modality: bool
    defect: Reason | None


@dataclass(frozen=True, kw_only=True)
class Topic:
    """What a data set is about: shares of modalities and regions, questions per figure, shares of its splits."""

    stream: int
    """Keeps the random numbers of two data sets apart."""
    modalities: Mapping[Modality, float]
    regions: Mapping[str, float]
    per_figure: tuple[int, int]
    splits: Mapping[Split, float]


DEFECTS = (Reason.MISSING_FIELD, Reason.IMAGE_ABSENT, Reason.IMAGE_CORRUPT)
"""What any of these data sets can suffer from."""


def questions_about(topic: Topic, num_rows: int, plan: Plan, *, defects: Sequence[Reason]) -> Iterator[Question]:
    """``num_rows`` questions, split after split, all about a figure in a row.

    ``defects`` stand in the first split, one to a row; some of its pictures have a twin in the last split.
    """
    num_twins = plan.num_duplicates(num_rows) if len(topic.splits) > 1 else 0
    twins: list[Figure] = []
    number, num_left = 0, num_rows
    splits = list(topic.splits)
    for split in splits:
        is_last = split is splits[-1]
        num_here = num_left if is_last else round(topic.splits[split] * num_rows)
        num_left -= num_here
        drawn = _figures(
            topic, num_here, plan.seed, first=number, defects=defects if split is splits[0] else [],
            num_twins=num_twins if split is splits[0] else 0, twins=twins if is_last else [],
        )  # fmt: skip
        for figure, kinds, names in drawn:
            if figure.has_twin:
                twins.append(figure)
            number = figure.number + 1
            yield from (ask(figure, split, kind, names) for kind in kinds)


def _figures(
    topic: Topic, num_rows: int, seed: int, *, first: int, defects: Sequence[Reason], num_twins: int,
    twins: Sequence[Figure],
) -> Iterator[tuple[Figure, Sequence[int], bool]]:  # fmt: skip
    """Figures with the kinds of questions about them, ``num_rows`` in all, and whether kind 0 names the modality.

    A figure with a defect has one question; the defects are spread over the rows.
    """
    generator = np.random.default_rng((seed, topic.stream, first))
    modalities, regions, findings = list(topic.modalities), list(topic.regions), list(FINDINGS)
    every = max(1, num_rows // (len(defects) + 1))
    waiting, shown_again = list(reversed(defects)), list(reversed(twins))
    done, number = 0, first
    while done < num_rows:
        columns = (
            generator.choice(len(modalities), _BLOCK, p=list(topic.modalities.values())).tolist(),
            generator.choice(len(regions), _BLOCK, p=list(topic.regions.values())).tolist(),
            generator.integers(len(findings), size=_BLOCK).tolist(),
            generator.integers(2, size=_BLOCK).tolist(),
            generator.integers(topic.per_figure[0], topic.per_figure[1] + 1, size=_BLOCK).tolist(),
            generator.integers(NUM_QUESTIONS, size=_BLOCK).tolist(),
            (generator.random(_BLOCK) < _NAMED_SHARE).tolist(),
        )
        for modality, region, finding, side, num_asked, start, names in zip(*columns, strict=True):
            defect = waiting.pop() if waiting and done >= every * (len(defects) - len(waiting)) else None
            has_twin = defect is None and num_twins > 0
            num_twins -= has_twin
            figure = Figure(
                number, number, modalities[modality], regions[region], findings[finding], SIDES[side], has_twin, defect
            )
            if shown_again:
                figure = replace(shown_again.pop(), number=number, has_twin=False)
            num_kinds = 1 if defect else min(num_asked, num_rows - done)
            yield figure, [(start + place) % NUM_QUESTIONS for place in range(num_kinds)], names
            number, done = number + 1, done + num_kinds
            if done >= num_rows:
                return


def ask(figure: Figure, split: Split, kind: int, names_modality: bool) -> Question:
    """The row of one kind of question (taken modulo NUM_QUESTIONS) about a figure."""
    kind %= NUM_QUESTIONS
    text, answer, options = _ask(figure, kind, names_modality)
    return Question(figure, split, kind, text, answer, options, names_modality and kind == 0, figure.defect)


def _ask(figure: Figure, kind: int, names_modality: bool) -> tuple[str, str, Sequence[str]]:
    """Question, answer, and four choices of which the answer is one."""
    region, finding, side = figure.region, figure.finding, figure.side
    others = [other for other in FINDINGS if other != finding]
    first = figure.number % len(others)
    choices = (finding, others[first], others[first - 1], others[first - 2])
    if kind == 0:
        asked = finding if figure.number % 2 else others[first]
        where = f"this {WORDS[figure.modality]} of the {region}" if names_modality else f"the {region}"
        is_there = "Yes" if asked == finding else "No"
        return f"Is there a {asked} in {where}?", is_there, ("Yes", "No", "Not visible", "Several")
    if kind == 1:
        return f"What is seen in the {region}?", finding, choices
    if kind == 2:
        return f"On which side of the picture is the {finding}?", side, ("left", "right", "both", "neither")
    if kind == 3:
        asked_side = SIDES[figure.number % 2]
        is_so = "Yes" if asked_side == side else "No"
        return f"Is the finding on the {asked_side} side?", is_so, ("Yes", "No", "Not visible", "Several")
    return "How many findings are seen?", "1", ("1", "2", "3", "4")


def paint(path: Path, figure: Figure, plan: Plan, stream: int, *, view: int = 0) -> None:
    """Write the picture of a figure where the plan wants pictures; absent or broken where that is its defect."""
    if not plan.has_picture(figure.number) or figure.defect is Reason.IMAGE_ABSENT:
        return
    texture = _TEXTURES.get(figure.modality, Texture.SKIN)
    base = (60.0,) if texture is not Texture.SKIN else (205.0, 165.0, 150.0)
    value = (200.0,) if texture is not Texture.SKIN else (120.0, 60.0, 70.0)
    seed = (plan.seed, 20 + stream, figure.painted_as, view)
    x_px, y_px = (28.0 if figure.side == "left" else 68.0), 30.0 + 7.0 * (figure.painted_as % 6)
    shape = Shape(FINDINGS[figure.finding], x_px, y_px, 17.0 + figure.painted_as % 4, value)
    image = draw(Picture(texture, seed, base, (shape,)))
    (write_broken_jpeg if figure.defect is Reason.IMAGE_CORRUPT else write_jpeg)(path, image)


class Twins:
    """Lists in ``planted``, by the first question about each, the figures that show one picture."""

    def __init__(self, planted: Planted) -> None:
        self._planted = planted
        self._first_of: dict[int, str] = {}

    def note(self, figure: Figure, native_id: str) -> None:
        """Called for every row in order."""
        if figure.has_twin:
            self._first_of.setdefault(figure.number, native_id)
        elif figure.painted_as in self._first_of:
            self._planted.duplicate(self._first_of.pop(figure.painted_as), native_id)
