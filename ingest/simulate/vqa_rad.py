"""VQA-RAD's layout: about four questions on a picture, answers that agree, its known untidiness."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ingest.adapters.vqa_rad import IMAGES, TABLE
from ingest.anatomy import Anatomy
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.simulate.pictures import Kind, Picture, Shape, Texture, draw, write_broken_jpeg, write_jpeg
from ingest.simulate.planted import Plan, Planted

_DEFECTS = (Reason.DUPLICATED_ID, Reason.IMAGE_ABSENT, Reason.MISSING_FIELD, Reason.IMAGE_CORRUPT)
_VALUES = {  # background and finding, in grey levels
    Texture.X_RAY: (85.0, 205.0), Texture.CT: (45.0, 180.0), Texture.MR: (60.0, 215.0),
}  # fmt: skip
_TEXTURE_OF = {
    Modality.X_RAY: Texture.X_RAY, Modality.COMPUTED_TOMOGRAPHY: Texture.CT, Modality.MAGNETIC_RESONANCE: Texture.MR,
}  # fmt: skip
_WORD_OF = {
    Modality.X_RAY: "x-ray", Modality.COMPUTED_TOMOGRAPHY: "CT", Modality.MAGNETIC_RESONANCE: "MRI",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Organ:
    """A region: its share of the pictures, how it is imaged, and what each finding looks like."""

    code: str
    word: str
    anatomy: Anatomy
    share: float
    modalities: dict[Modality, float]
    findings: dict[str, Kind]


_ORGANS = (
    _Organ(
        code="CHEST", word="chest", anatomy=Anatomy.CHEST, share=0.5,
        modalities={Modality.X_RAY: 0.8, Modality.COMPUTED_TOMOGRAPHY: 0.2},
        findings={"nodule": Kind.DISC, "pneumothorax": Kind.TRIANGLE, "effusion": Kind.BAR},
    ),
    _Organ(
        code="ABD", word="abdomen", anatomy=Anatomy.ABDOMEN, share=0.3, modalities={Modality.COMPUTED_TOMOGRAPHY: 1.0},
        findings={"stone": Kind.SQUARE, "cyst": Kind.RING, "abscess": Kind.STAR},
    ),
    _Organ(
        code="HEAD", word="head", anatomy=Anatomy.HEAD, share=0.2,
        modalities={Modality.MAGNETIC_RESONANCE: 0.7, Modality.COMPUTED_TOMOGRAPHY: 0.3},
        findings={"mass": Kind.DIAMOND, "hemorrhage": Kind.CROSS, "infarct": Kind.RING},
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Case:
    """A picture and what is true of it; ``sides`` are the splits its questions stand on."""

    number: int
    organ: _Organ
    modality: Modality
    finding: str
    side: str
    picture: Picture
    sides: tuple[str, ...]
    num_questions: int
    names_modality: bool
    study: str
    defect: Reason | None = None

    @property
    def image_name(self) -> str:
        return f"synpic{10000 + self.number}.jpg"

    @property
    def is_train_only(self) -> bool:
        return self.sides == ("train",)


def write(folder: Path, num_rows: int, plan: Plan) -> Planted:
    """Write ``num_rows`` questions and their pictures."""
    planted = Planted("vqa_rad")
    generator = np.random.default_rng((plan.seed, 2))
    cases = _plan(num_rows, plan, generator)
    cases = _with_duplicates(cases, plan.num_duplicates(num_rows), generator)
    rows: list[dict[str, Any]] = []
    (folder / IMAGES).mkdir(parents=True)
    for case in cases:
        if plan.has_picture(case.number):
            _write_picture(folder / IMAGES / case.image_name, case)
        questions = _questions_of(case, first_qid=len(rows) + 1, generator=generator)
        rows += questions
        _account(planted, case, questions)
        plan.progress(len(questions))
    _list_duplicates(planted, cases, rows)
    (folder / TABLE).write_text(json.dumps(rows, indent=1))
    return planted


def _plan(num_rows: int, plan: Plan, generator: np.random.Generator) -> list[_Case]:
    """Pictures whose questions add up to ``num_rows``; those with a defect carry one question and teach."""
    defects = plan.defects(_DEFECTS, num_rows)
    num_left = num_rows - len(defects) - defects.count(Reason.DUPLICATED_ID)
    cases: list[_Case] = []
    while num_left > 0:
        case = _plan_case(len(cases), min(num_left, int(generator.integers(3, 6))), plan.seed, generator)
        cases.append(case)
        num_left -= case.num_questions
    for defect in defects:
        case = _plan_case(len(cases), 1, plan.seed, generator)
        cases.append(replace(case, defect=defect, sides=("train",)))
    return cases


def _plan_case(number: int, num_questions: int, seed: int, generator: np.random.Generator) -> _Case:
    organ = _ORGANS[int(generator.choice(len(_ORGANS), p=[each.share for each in _ORGANS]))]
    modalities = list(organ.modalities)
    modality = modalities[int(generator.choice(len(modalities), p=list(organ.modalities.values())))]
    finding = list(organ.findings)[int(generator.integers(len(organ.findings)))]
    side = ("left", "right")[int(generator.integers(2))]
    base, value = _VALUES[_TEXTURE_OF[modality]]
    shapes = _paint_findings(organ.findings[finding], side, value, generator)
    sides = (("train",), ("test",), ("train", "test"))[int(generator.choice(3, p=[0.76, 0.14, 0.1]))]
    study = number - 1 if number and generator.random() < 0.2 else number
    return _Case(
        number=number, organ=organ, modality=modality, finding=finding, side=side, sides=sides,
        picture=Picture(_TEXTURE_OF[modality], (seed, 12, number), (base,), shapes),
        num_questions=num_questions, names_modality=bool(generator.random() < 0.85),
        study="NULL" if generator.random() < 0.3 else f"https://medpix.example/case/{study}",
    )  # fmt: skip


def _paint_findings(kind: Kind, side: str, value: float, generator: np.random.Generator) -> tuple[Shape, ...]:
    """One large finding or, now and then, two small ones, on one side of the picture."""
    x_px = 26.0 if side == "left" else 70.0
    is_double = generator.random() < 0.3
    spots = [(24.0, 12.0), (72.0, 12.0)] if is_double else [(float(generator.uniform(32, 64)), 17.0)]
    return tuple(
        Shape(
            kind, x_px + float(generator.uniform(-5, 5)), y_px + float(generator.uniform(-4, 4)),
            radius_px + float(generator.uniform(-2, 3)), (value,),
        )
        for y_px, radius_px in spots
    )  # fmt: skip


def _with_duplicates(cases: list[_Case], number: int, generator: np.random.Generator) -> list[_Case]:
    """Let ``number`` pictures of the test side show, byte for byte, what a picture of the training side shows."""
    in_train = [i for i, case in enumerate(cases) if case.is_train_only and case.defect is None]
    in_test = [i for i, case in enumerate(cases) if case.sides == ("test",)]
    firsts, seconds = (generator.permutation(places).tolist() for places in (in_train, in_test))
    cases = list(cases)
    for first, second in list(zip(firsts, seconds, strict=False))[:number]:
        shown = cases[first]
        cases[second] = replace(
            cases[second], organ=shown.organ, modality=shown.modality, finding=shown.finding, side=shown.side,
            picture=shown.picture, names_modality=shown.names_modality,
        )  # fmt: skip
    return cases


def _write_picture(path: Path, case: _Case) -> None:
    if case.defect is Reason.IMAGE_ABSENT:
        return
    image = np.repeat(draw(case.picture)[..., None], 3, axis=2)
    (write_broken_jpeg if case.defect is Reason.IMAGE_CORRUPT else write_jpeg)(path, image)


def _questions_of(case: _Case, *, first_qid: int, generator: np.random.Generator) -> list[dict[str, Any]]:
    """The case's rows: the first question may name the modality, the others never do."""
    templates = _templates(case, generator)
    order = [0, *(1 + generator.permutation(len(templates) - 1)).tolist()]
    rows = []
    for place in range(case.num_questions):
        question, answer, kind = templates[order[place]]
        side = case.sides[place % len(case.sides)]
        phrase = ("freeform", "para")[int(generator.integers(2))]
        if side == "train" and generator.random() < 0.2:
            phrase = "frame"
        rows.append(
            _row_of(
                case,
                first_qid + place,
                question,
                answer,
                kind,
                phrase if side == "train" else f"test_{phrase}",
            )
        )
    if case.defect is Reason.MISSING_FIELD:
        rows[0]["answer"] = "NULL"
    if case.defect is Reason.DUPLICATED_ID:
        rows.append(dict(rows[0], phrase_type="para"))
    return _untidy(rows, generator)


def _templates(case: _Case, generator: np.random.Generator) -> list[tuple[str, Any, str]]:
    """Question, answer and question type; the first one shows the modality where the case names it."""
    word, organ = _WORD_OF[case.modality], case.organ.word
    others = [finding for finding in case.organ.findings if finding != case.finding]
    asked = case.finding if generator.random() < 0.5 else others[int(generator.integers(len(others)))]
    is_there = "Yes" if asked == case.finding else "No"
    where = f"this {word} of the {organ}" if case.names_modality else f"the {organ}"
    other_side = "left" if case.side == "right" else "right"
    asked_side = case.side if generator.random() < 0.5 else other_side
    return [
        (f"Is there a {asked} in {where}?", is_there, "PRES"),
        (f"What is seen in the {organ}?", case.finding, "ABN"),
        (f"On which side of the image is the {case.finding}?", case.side, "POS"),
        (
            f"Is the finding on the {asked_side} side of the image?",
            "Yes" if asked_side == case.side else "No",
            "POS",
        ),
        ("How many findings are seen?", len(case.picture.shapes), "COUNT"),
    ]


def _row_of(case: _Case, qid: int, question: str, answer: Any, kind: str, phrase: str) -> dict[str, Any]:
    """The release's fourteen keys."""
    return {
        "qid": qid,
        "phrase_type": phrase,
        "qid_linked_id": "NULL",
        "image_case_url": case.study,
        "image_name": case.image_name,
        "image_organ": case.organ.code,
        "evaluation": "evaluated",
        "question": question,
        "question_rephrase": "NULL",
        "question_relation": "NULL",
        "question_frame": "NULL",
        "question_type": kind,
        "answer": answer,
        "answer_type": "CLOSED" if answer in ("Yes", "No") else "OPEN",
    }


def _untidy(rows: list[dict[str, Any]], generator: np.random.Generator) -> list[dict[str, Any]]:
    """Blanks around, a TAB inside, a blank behind CLOSED: now and then, as in the release."""
    for row in rows:
        draw_of_row = generator.random()
        if draw_of_row < 0.01:
            row["question"] = f" {row['question']} "
        elif draw_of_row < 0.02:
            row["question"] = row["question"].replace(" ", "\t", 1)
        elif draw_of_row < 0.03:
            row["answer_type"] += " "
    return rows


def _account(planted: Planted, case: _Case, rows: list[dict[str, Any]]) -> None:
    if case.defect is not None:
        planted.reject(str(rows[0]["qid"]), case.defect)
    if case.defect is Reason.DUPLICATED_ID or case.defect is None:
        for row in rows[: case.num_questions]:
            modality = case.modality if case.names_modality else Modality.UNKNOWN
            planted.count(labels=[str(row["answer"])], modality=modality, anatomy=case.organ.anatomy)


def _list_duplicates(planted: Planted, cases: list[_Case], rows: list[dict[str, Any]]) -> None:
    """Name the planted duplicates by the first question on each of the two pictures."""
    first_qid: dict[str, str] = {}
    for row in rows:
        first_qid.setdefault(row["image_name"], str(row["qid"]))
    owner: dict[tuple[int, ...], _Case] = {}
    for case in sorted(cases, key=lambda each: each.sides == ("test",)):
        first = owner.setdefault(case.picture.seed, case)
        if first is not case:
            planted.duplicate(first_qid[first.image_name], first_qid[case.image_name])
