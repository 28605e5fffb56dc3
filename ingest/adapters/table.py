"""Your own data: any CSV or Parquet beside pictures, joined by configuration alone (no Python).

Layout: a folder of pictures, DICOM or NIfTI files, and a table (``table``) whose ``columns`` say what is what
(``ingest.adapters.side_table``). ``image`` is a path below ``images`` or the root, without ``image_suffix``.
Split: the table's, if it has one. Rows are keyed by ``id``, else by picture and question.
Identifiable unless the configuration says otherwise. Licence: yours.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ingest.adapters.folders import PICTURE_SUFFIXES
from ingest.adapters.root import Root, RowRefused
from ingest.adapters.rows import read_csv
from ingest.adapters.side_table import Columns, check_columns, fields_of, rows_of, text_of
from ingest.errors import BadInput
from ingest.quarantine import Reason
from ingest.sample import Sample

LICENCE = "own"
_NUM_TRIED = 20
_GUESSES = {
    "patient_id": ("patient_id", "patient", "mrn", "subject_id", "subject"),
    "sex": ("sex", "gender"),
    "age_years": ("age_years", "age", "age_approx"),
    "label": ("label", "diagnosis", "diagnostic", "dx"),
    "report": ("report", "text"),
    "split": ("split",),
}


@dataclass(frozen=True)
class Options:
    """``table``: the CSV, TSV or Parquet. ``columns``: what stands where. ``images``: default, the root."""

    table: Path
    columns: Columns = field(default_factory=dict)
    images: Path | None = None
    image_suffix: str = ""

    def __post_init__(self) -> None:
        check_columns(self.columns)
        if "image" not in self.columns:
            raise ValueError("columns: expected a column for image, got none")


def recognise(folder: Path, search_root: Path) -> Options | None:
    """A folder with one CSV whose rows name pictures that lie there; other columns are taken by their usual names."""
    tables = sorted(folder.glob("*.csv"))
    if len(tables) != 1:
        return None
    try:
        rows = [row for _, row in itertools.islice(read_csv(tables[0]), _NUM_TRIED) if row]
    except BadInput:
        return None
    for name in rows[0] if rows else ():
        named = [row[name] for row in rows if Path(row[name]).suffix.lower() in PICTURE_SUFFIXES]
        if len(named) > len(rows) / 2 and any((folder / value).is_file() for value in named):
            guessed = {
                key: column for key, usual in _GUESSES.items() for column in rows[0] if column.lower() in usual
            }  # fmt: skip
            return Options(table=tables[0], columns={"image": name, **guessed})
    return None


def read(root: Root, options: Options) -> Iterator[Sample]:
    """Yield the rows in file order."""
    columns = options.columns
    for number, row in rows_of(options.table, columns):
        native_id = f"row {number}"
        try:
            if row is None:
                raise RowRefused(Reason.UNREADABLE_ROW, "expected as many fields as columns, got more or fewer")
            image = text_of(row, columns, "image")
            native_id = _key_of(row, columns) or native_id
            if not image:
                raise RowRefused(Reason.MISSING_FIELD, "expected a picture's path, got a blank")
            uri = root.pictures.inside(image + options.image_suffix)
            yield root.sample(
                native_id, image_uris=[uri], source_file=options.table.name, source_row=number, licence=LICENCE,
                **fields_of(root, row, columns),
            )  # fmt: skip
        except RowRefused as refusal:
            root.refuse(native_id, refusal, source_file=options.table.name, source_row=number)


def _key_of(row: dict[str, str], columns: Columns) -> str:
    own = text_of(row, columns, "id")
    question = text_of(row, columns, "question")
    return own or text_of(row, columns, "image") + (f"\x1f{question}" if question else "")
