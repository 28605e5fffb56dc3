"""Kvasir-VQA: 58,849 questions on 6,500 endoscopies of the gut (Gautam et al. 2024, CC BY-NC 4.0).

Layouts, the first of which is read: metadata.csv (source, question, answer, img_id) with images/<img_id>.jpg;
Parquet files data/*.parquet with the same columns and image{bytes}; or an experiment's generated_llm_vqa.csv
(question behind "<MedVQA>", answer), whose rows name no picture: they are counted, never packed.
Split: none published. Person: the picture; nothing ties pictures to patients. Modality and anatomy: the data set's.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.adapters.asked import question_columns, text_of
from ingest.adapters.root import Root, RowRefused
from ingest.adapters.rows import csv_has_columns, parquet_has_columns
from ingest.anatomy import Anatomy
from ingest.embedded import embedded_uri
from ingest.errors import BadInput
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import Sample, Source, Task

LICENCE = "CC-BY-NC-4.0"
TABLE = "metadata.csv"
EXPERIMENT = "generated_llm_vqa.csv"
COLUMNS = ("source", "question", "answer", "img_id")
_MARK = "<MedVQA>"
_SHOWN = {
    "modality": Modality.ENDOSCOPY, "modality_source": Source.CURATED,
    "anatomy": Anatomy.GASTROINTESTINAL, "anatomy_source": Source.CURATED,
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """None: what lies there decides."""


def recognise(folder: Path, search_root: Path) -> Options | None:
    """A folder with one of the three tables, told by its columns."""
    tables = ((folder / TABLE, COLUMNS), (folder / EXPERIMENT, ("question", "answer", "generated_answer")))
    if any(csv_has_columns(path, columns) for path, columns in tables):
        return Options()
    return Options() if any(parquet_has_columns(path, COLUMNS) for path in _parquet_files(folder)) else None


def read(root: Root, options: Options) -> Iterator[Sample]:
    """Yield the rows in file order."""
    num_asked: Counter[str] = Counter()
    rows = 0
    for rows, (name, place, row) in enumerate(_rows_of(root), start=1):
        image = text_of((row or {}).get("img_id"))
        num_asked[image] += 1
        native_id = f"{image}.{num_asked[image]}" if image else f"row {rows}"
        try:
            yield _question_of(root, row, native_id, image=image, place=(name, place))
        except RowRefused as refusal:
            root.refuse(native_id, refusal, source_file=name, source_row=place)


def _rows_of(root: Root) -> Iterator[tuple[str, int, dict[str, Any] | None]]:
    """(file, row or line, columns) of whichever layout is there."""
    files = _parquet_files(root.path)
    if root.exists(TABLE):
        yield from ((TABLE, line, row) for line, row in root.csv(TABLE, columns=COLUMNS))
    elif files:
        for path in files:
            name = path.relative_to(root.path).as_posix()
            for number, row in root.parquet(name, columns=COLUMNS):
                yield name, number + 1, row | {"uri": embedded_uri(name, number)}
    elif root.exists(EXPERIMENT):
        yield from ((EXPERIMENT, line, row) for line, row in root.csv(EXPERIMENT, columns=("question", "answer")))
    else:
        raise BadInput(f"{root.path}: expected {TABLE}, data/*.parquet or {EXPERIMENT}, got none")


def _parquet_files(folder: Path) -> list[Path]:
    return sorted((folder / "data").glob("*.parquet"))


def _question_of(
    root: Root, row: dict[str, Any] | None, native_id: str, *, image: str, place: tuple[str, int]
) -> Sample:
    """Raises: RowRefused where the row cannot be a sample."""
    if row is None:
        raise RowRefused(Reason.UNREADABLE_ROW, "expected as many fields as columns, got more or fewer")
    question, answer = text_of(text_of(row["question"]).removeprefix(_MARK)), text_of(row["answer"])
    if not question or not answer or (not image and "img_id" in row):
        raise RowRefused(Reason.MISSING_FIELD, "expected img_id, question and answer, got a blank")
    uri = row.get("uri") or (f"images/{image}.jpg" if image else None)
    return root.sample(
        native_id,
        task=Task.VQA,
        image_uris=[root.inside(uri)] if uri else [],
        figure_id=image or None,
        licence=LICENCE,
        source_file=place[0],
        source_row=place[1],
        **question_columns(question, answer),
        **_SHOWN,
    )
