"""VQA-Med 2019: 15,292 questions on 4,200 radiology pictures (Ben Abacha et al. 2019, CC BY 4.0; pictures MedPix).

Layout: ImageClef-2019-VQA-Med-{Training,Validation}/All_QA_Pairs_{train,val}.txt with image|question|answer lines, and
VQAMed2019Test/VQAMed2019_Test_Questions_w_Ref_Answers.txt with image|category|question|answer; pictures in
Train_images/, Val_images/, VQAMed2019_Test_Images/ beside them. Split: the official one. Person: the picture, whose
name is MedPix's: 38 of them stand in VQA-RAD as well, 21 of these in its test part.
Known defects: "#" between alternative answers (the first one is kept), parentheses around optional parts (kept).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ingest.adapters.asked import question_columns, text_of
from ingest.adapters.root import Root, RowRefused
from ingest.adapters.shown import anatomy_columns, modality_columns, vote_modalities
from ingest.anatomy import anatomy_of
from ingest.errors import BadInput
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import Sample, Source, Split, Task

LICENCE = "CC-BY-4.0"
TABLES = {
    Split.TRAIN: "ImageClef-2019-VQA-Med-Training/All_QA_Pairs_train.txt",
    Split.VALIDATION: "ImageClef-2019-VQA-Med-Validation/All_QA_Pairs_val.txt",
    Split.TEST: "VQAMed2019Test/VQAMed2019_Test_Questions_w_Ref_Answers.txt",
}
PICTURES = {Split.TRAIN: "Train_images", Split.VALIDATION: "Val_images", Split.TEST: "VQAMed2019_Test_Images"}
_NUM_FIELDS = {Split.TRAIN: 3, Split.VALIDATION: 3, Split.TEST: 4}  # the test part names a category in between


@dataclass(frozen=True)
class Options:
    """None: the layout has no variants."""


def recognise(folder: Path, search_root: Path) -> Options | None:
    """A folder that holds one of the three parts."""
    return Options() if any((folder / name).is_file() for name in TABLES.values()) else None


def read(root: Root, options: Options) -> Iterator[Sample]:
    """Yield training, validation and test rows, each in file order."""
    tables = {split: name for split, name in TABLES.items() if root.exists(name)}
    if not tables:
        raise BadInput(f"{root.path}: expected {TABLES[Split.TRAIN]} or another part, got none")
    for split, table in tables.items():
        lines = [(line, text.split("|")) for line, text in root.lines(table)]
        whole = [fields for _, fields in lines if len(fields) == _NUM_FIELDS[split]]
        modality_of_image = vote_modalities((fields[0].strip(), text_of(fields[-2])) for fields in whole)
        num_asked: Counter[str] = Counter()
        for line, fields in lines:
            num_asked[fields[0].strip()] += 1
            native_id = f"{fields[0].strip() or f'{split} line {line}'}.{num_asked[fields[0].strip()]}"
            try:
                yield _question_of(
                    root, fields, native_id, split=split, place=(table, line), modality_of_image=modality_of_image
                )
            except RowRefused as refusal:
                root.refuse(native_id, refusal, source_file=table, source_row=line)


def _question_of(
    root: Root, fields: list[str], native_id: str, *, split: Split, place: tuple[str, int],
    modality_of_image: dict[str, Modality],
) -> Sample:  # fmt: skip
    """Raises: RowRefused where the line cannot be a sample."""
    if len(fields) != _NUM_FIELDS[split]:
        raise RowRefused(Reason.UNREADABLE_ROW, f"expected {_NUM_FIELDS[split]} fields, got {len(fields)}")
    image, question = fields[0].strip(), text_of(fields[-2])
    answer = text_of(fields[-1].partition("#")[0])
    if not image or not question or not answer:
        raise RowRefused(Reason.MISSING_FIELD, "expected image, question and answer, got a blank")
    folder = place[0].partition("/")[0]
    return root.sample(
        native_id,
        split=split,
        task=Task.VQA,
        image_uris=[root.inside(f"{folder}/{PICTURES[split]}/{image}.jpg")],
        figure_id=f"{image}.jpg",
        licence=LICENCE,
        source_file=place[0],
        source_row=place[1],
        **question_columns(question, answer),
        **modality_columns(modality_of_image.get(image, Modality.UNKNOWN), Source.RULE),
        **anatomy_columns(anatomy_of(question), Source.RULE),
    )
