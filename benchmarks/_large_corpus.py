"""A samples table as large as the whole corpus, attributes linked and skewed; no picture stands behind it.

Persons have 3.4 rows on average (geometric), a picture in three is that of the row before, a study has two rows.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from deltalake import write_deltalake
from numpy.typing import NDArray

from ingest.anatomy import Anatomy
from ingest.modality import Modality
from ingest.sample import SCHEMA

NUM_ROWS = 3_440_000
LEVELS: dict[str, list[str]] = {
    "dataset": [f"collection_{number:02d}" for number in range(14)],
    "modality": [str(level) for level in Modality][:20],
    "anatomy": [str(level) for level in Anatomy][:22],
    "sex": ["female", "male"],
    "age_band": ["0-17", "18-39", "40-59", "60-79", "80+"],
    "skin_type": list("123456"),
    "race": [f"group {number}" for number in range(6)],
    "view": [f"view {number}" for number in range(8)],
    "manufacturer": [f"maker {number:02d}" for number in range(12)],
    "language": ["en", "zh", "es", "fr", "de", "pt", "ar", "hi"],
}
"""Ten attributes, 103 levels in all."""
_AGES = {"0-17": 9.0, "18-39": 28.0, "40-59": 50.0, "60-79": 70.0, "80+": 85.0}
_LAST_ROW = 0.29  # chance that a row is its person's last


def write_samples(
    samples: Path, *, num_rows: int, seed: int, of_person: Collection[str] = (),
    missing: Mapping[str, float] | None = None,
) -> int:  # fmt: skip
    """Write the Delta table ``samples``, labelled training rows with a picture; returns the number of persons.

    of_person: attributes that all rows of a person share. missing: attribute -> chance that a row (or person) lacks it.
    """
    generator = np.random.default_rng([seed, 1])
    person = np.cumsum(np.append(False, generator.random(num_rows - 1) < _LAST_ROW))
    first = np.flatnonzero(np.append(True, person[1:] != person[:-1]))
    columns: dict[str, pa.Array] = {}
    for name, drawn in draw_codes(num_rows, seed=seed).items():
        lacks = generator.random(num_rows) < (missing or {}).get(name, 0.0)
        shared = name in of_person
        columns |= _column(name, drawn[first][person] if shared else drawn, lacks[first][person] if shared else lacks)
    rows = np.arange(num_rows)
    picture = np.where(generator.random(num_rows) < 0.3, np.maximum(rows - 1, 0), rows)
    study = np.cumsum(generator.integers(0, 2, num_rows))
    _write(samples, pa.table({**columns, "number": rows, "person": person, "picture": picture, "study": study}))
    return len(first)


def _column(name: str, codes: NDArray[np.int16], lacks: NDArray[np.bool_]) -> dict[str, pa.Array]:
    """The column of samples/ that an attribute is read from."""
    if name == "age_band":
        ages = np.array([_AGES[band] for band in LEVELS[name]])
        return {"age_years": pa.array(ages[codes], mask=lacks)}
    if name == "skin_type":
        return {name: pa.array(codes.astype(np.int64) + 1, mask=lacks)}
    return {name: pa.DictionaryArray.from_arrays(pa.array(codes, mask=lacks), pa.array(LEVELS[name]))}


def _write(samples: Path, drawn: pa.Table) -> None:
    """``drawn`` with what every row has, as a Delta table."""
    connection = duckdb.connect()
    connection.register("drawn", drawn)
    fixed = {
        "sample_id": "md5(number::VARCHAR)", "native_id": "number::VARCHAR", "split": "'train'",
        "task": "'classification'", "image_status": "'present'", "image_uris": "[picture::VARCHAR || '.png']",
        "image_sha256": "[sha256(picture::VARCHAR)]", "patient_id": "'p' || person::VARCHAR",
        "study_id": "'s' || study::VARCHAR", "labels": "['class ' || (number % 9)::VARCHAR]",
        "source_file": "'drawn'",
        "modality_source": "CASE WHEN number % 5 = 0 THEN 'rule' ELSE 'curated' END", "adapter_version": "'1'",
    }  # fmt: skip
    selected = ", ".join(
        f'{fixed.get(name, name if name in drawn.column_names else "NULL")}::{_sql_type(name)} AS "{name}"'
        for name in SCHEMA.names
    )
    reader = connection.sql(f"SELECT {selected} FROM drawn").to_arrow_reader(500_000)
    write_deltalake(samples, reader, partition_by=["dataset"])


def draw_codes(num_rows: int, *, seed: int) -> dict[str, NDArray[np.int16]]:
    """Level indices per attribute: each data set has a few usual levels of everything, and some of all others."""
    generator = np.random.default_rng(seed)
    size = len(LEVELS["dataset"])
    dataset = generator.choice(size, num_rows, p=_zipf(size, 1.0)).astype(np.int16)
    codes = {"dataset": dataset}
    for name, levels in LEVELS.items():
        if name == "dataset":
            continue
        usual = _zipf(len(levels), 1.1)
        spread = generator.dirichlet(usual * len(levels) * 0.2 + 0.01, size)
        cumulative = np.cumsum(0.985 * spread + 0.015 * usual, axis=1)
        drawn = generator.random(num_rows)
        code = np.empty(num_rows, dtype=np.int16)
        for number in range(size):
            rows = dataset == number
            code[rows] = np.minimum(np.searchsorted(cumulative[number], drawn[rows]), len(levels) - 1)
        codes[name] = code
    return codes


def _zipf(size: int, exponent: float) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = 1 / np.arange(1, size + 1) ** exponent
    return shares / shares.sum()


def _sql_type(name: str) -> str:
    kind = SCHEMA.field(name).type
    if pa.types.is_map(kind):
        return "MAP(VARCHAR, VARCHAR)"
    if pa.types.is_list(kind):
        inner = kind.value_type
        return "DOUBLE[][]" if pa.types.is_list(inner) else ("DOUBLE[]" if pa.types.is_floating(inner) else "VARCHAR[]")
    return {"string": "VARCHAR", "int64": "BIGINT", "double": "DOUBLE"}[str(kind)]
