"""PubMedVision: 1.29 million questions on 647,000 figures of PubMed Central articles (Chen et al. 2024).

Layout: PubMedVision_{Alignment,InstructionTuning}_VQA.json, each one array of rows {id, image[], conversations[],
modality, body_part}; with ``captions`` also PubMedVision_Original_Caption.json. Pictures: images/pmc_<n>_<k>.jpg,
1 to 29 a row, kept whole. Split: none published. Person: the figure n, which stands in every file: all that was asked
about a figure falls on one side. n counts rows of the source, it is no PMC number: no article can be told from it.
Modality and body part were predicted by a model (source "model"); where its word is "Others" or none of its list,
the question decides if it names one. Known defects: no class for X-ray; 56 free-form modalities; rows of 2024-06
(647,031) and those on disk today (646,759 twice) differ. The Chinese file is not read.
Licence: card Apache-2.0; the figures keep the licences of their articles.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.adapters.asked import text_of
from ingest.adapters.root import Root, RowRefused
from ingest.anatomy import Anatomy, anatomy_of
from ingest.errors import BadInput
from ingest.modality import Modality, modality_of, modality_taken_for_granted
from ingest.quarantine import Reason
from ingest.sample import AnswerType, Sample, Source, Task

LICENCE = "Apache-2.0 (texts)"
ALIGNMENT = "PubMedVision_Alignment_VQA.json"
INSTRUCTION = "PubMedVision_InstructionTuning_VQA.json"
CAPTIONS = "PubMedVision_Original_Caption.json"
MODALITIES = {
    "Computed Tomography": Modality.COMPUTED_TOMOGRAPHY, "Microscopy Images": Modality.MICROSCOPY,
    "Magnetic Resonance Imaging": Modality.MAGNETIC_RESONANCE, "Digital Photography": Modality.DIGITAL_PHOTOGRAPHY,
    "Ultrasound": Modality.ULTRASOUND, "Endoscopy": Modality.ENDOSCOPY, "Dermoscopy": Modality.DERMOSCOPY,
    "Fundus Photography": Modality.FUNDUS_PHOTOGRAPHY,
    "Optical Coherence Tomography": Modality.OPTICAL_COHERENCE_TOMOGRAPHY,
    "Infrared Reflectance Imaging": Modality.INFRARED_REFLECTANCE, "Others": Modality.OTHER,
}  # fmt: skip
"""The eleven classes its model chose from."""
BODY_PARTS = {
    "Abdomen": Anatomy.ABDOMEN, "Brain": Anatomy.BRAIN, "Chest": Anatomy.CHEST, "Cell": Anatomy.CELL,
    "Eye": Anatomy.EYE, "Foot": Anatomy.FOOT, "Gastrointestinal tract": Anatomy.GASTROINTESTINAL,
    "Lower limb": Anatomy.LOWER_LIMB, "Upper limb": Anatomy.UPPER_LIMB, "Pelvic cavity": Anatomy.PELVIS,
    "Others": Anatomy.OTHER,
}  # fmt: skip
_FIGURE = re.compile(r"(?:.*/)?(pmc_\d+)_\d+\.\w+")
_HUMAN, _MODEL = "human", "gpt"


@dataclass(frozen=True)
class Options:
    """``captions``: also read the original captions, one row a figure, as reports."""

    captions: bool = False


def recognise(folder: Path, search_root: Path) -> Options | None:
    """A folder with either file of questions."""
    return Options() if any((folder / name).is_file() for name in (ALIGNMENT, INSTRUCTION)) else None


def read(root: Root, options: Options) -> Iterator[Sample]:
    """Yield the rows of alignment, then of instruction tuning, then (if wanted) the captions, in file order."""
    tables = [name for name in (ALIGNMENT, INSTRUCTION) if root.exists(name)]
    if not tables:
        raise BadInput(f"{root.path}: expected {ALIGNMENT} or {INSTRUCTION}, got neither")
    folder = _picture_folder(root)
    for table in [*tables, CAPTIONS] if options.captions else tables:
        for number, row in root.json_rows(table):
            try:
                yield _sample_of(root, row, (table, number), folder=folder)
            except RowRefused as refusal:
                native_id = row["id"] if isinstance(row, dict) and isinstance(row.get("id"), str) else f"row {number}"
                root.refuse(native_id, refusal, source_file=table, source_row=number)


def _picture_folder(root: Root) -> str:
    """Where "images/pmc_1_0.jpg" lies: the archives were unpacked as they are, one level too deep, or flat."""
    for folder in ("images/images", "images"):
        if (root.path / folder).is_dir():
            return f"{folder}/"
    with os.scandir(root.path) as entries:
        return "" if any(_FIGURE.fullmatch(entry.name) for entry in entries) else "images/"


def _sample_of(root: Root, row: Any, place: tuple[str, int], *, folder: str) -> Sample:
    """Raises: RowRefused where the row cannot be a sample."""
    if not isinstance(row, dict):
        raise RowRefused(Reason.UNREADABLE_ROW, "expected an object")
    native_id, images = row.get("id"), row.get("image")
    if not isinstance(native_id, str) or not isinstance(images, list) or not images:
        raise RowRefused(Reason.MISSING_FIELD, "expected id and a list image, got one missing")
    if not all(isinstance(image, str) for image in images):
        raise RowRefused(Reason.UNREADABLE_ROW, "expected names in image, got something else")
    texts = _conversation_of(row) if "conversations" in row else _caption_of(row)
    figure = _FIGURE.fullmatch(images[0])
    return root.sample(
        native_id,
        image_uris=[root.inside(folder + image.removeprefix("images/")) for image in images],
        figure_id=figure.group(1) if figure else None,
        language="en",
        licence=LICENCE,
        source_file=place[0],
        source_row=place[1],
        **texts,
        **_shown(row, texts.get("question") or texts["answer"]),
    )


def _conversation_of(row: dict[str, Any]) -> dict[str, Any]:
    """All turns but the last make the question, so that a longer talk stays whole; the last one answers.

    A question without its answer is counted, never trained.
    """
    turns = row["conversations"]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise RowRefused(Reason.UNREADABLE_ROW, "expected a list of turns")
    texts = [text_of(turn.get("value")) for turn in turns]
    if len(texts) < 2 or turns[-1].get("from") != _MODEL or turns[0].get("from") != _HUMAN:
        raise RowRefused(Reason.MISSING_FIELD, "expected turns from human to gpt, got others")
    if not all(texts[:-1]):
        raise RowRefused(Reason.MISSING_FIELD, "expected a text in every turn, got a blank")
    question, answer = "\n".join(texts[:-1]), texts[-1]
    if not answer:
        return {"task": Task.UNLABELLED, "question": question}
    return {"task": Task.VQA, "question": question, "answer": answer, "answer_type": AnswerType.OPEN}


def _caption_of(row: dict[str, Any]) -> dict[str, Any]:
    caption = text_of(row.get("Original_Caption"))
    if not caption:
        raise RowRefused(Reason.MISSING_FIELD, "expected conversations or Original_Caption, got neither")
    return {"task": Task.REPORT, "answer": caption}


def _shown(row: dict[str, Any], text: str) -> dict[str, Any]:
    """The model's class; where it has none ("Others", free words), what the question takes for granted."""
    modality_raw, anatomy_raw = text_of(row.get("modality")), text_of(row.get("body_part"))
    modality, source = MODALITIES.get(modality_raw), Source.MODEL
    if modality is None:
        modality = modality_of(modality_raw)
    if modality in (Modality.OTHER, Modality.UNKNOWN):
        named = modality_taken_for_granted(text)
        if named is not Modality.UNKNOWN:
            modality, source = named, Source.RULE
    anatomy = BODY_PARTS.get(anatomy_raw) or anatomy_of(anatomy_raw)
    return {
        "modality": modality,
        "modality_source": None if modality is Modality.UNKNOWN else source,
        "modality_raw": modality_raw or None,
        "anatomy": anatomy,
        "anatomy_source": None if anatomy is Anatomy.UNKNOWN else Source.MODEL,
        "anatomy_raw": anatomy_raw or None,
    }
