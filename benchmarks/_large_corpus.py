"""A samples table as large as the whole corpus, attributes linked and skewed; no picture stands behind it."""

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
ROWS_PER_PERSON = 4


def write_samples(samples: Path, *, num_rows: int, seed: int) -> None:
    """Write the Delta table ``samples``: training rows with a picture, labelled, every attribute known."""
    codes = draw_codes(num_rows, seed=seed)
    words = [name for name in LEVELS if name not in ("age_band", "skin_type")]
    columns = {name: _words(codes[name], LEVELS[name]) for name in words}
    columns["age_years"] = pa.array([_AGES[band] for band in LEVELS["age_band"]]).take(pa.array(codes["age_band"]))
    columns["skin_type"] = pa.array(codes["skin_type"].astype(np.int64) + 1)
    connection = duckdb.connect()
    connection.register("drawn", pa.table({**columns, "number": np.arange(num_rows)}))
    fixed = {
        "sample_id": "md5(number::VARCHAR)", "native_id": "number::VARCHAR", "split": "'train'",
        "task": "'classification'", "image_status": "'present'", "image_uris": "[(number)::VARCHAR || '.png']",
        "patient_id": f"'p' || (number // {ROWS_PER_PERSON})::VARCHAR", "labels": "['class ' || (number % 9)::VARCHAR]",
        "source_file": "'drawn'",
        "modality_source": "CASE WHEN number % 5 = 0 THEN 'rule' ELSE 'curated' END", "adapter_version": "'1'",
    }  # fmt: skip
    selected = ", ".join(
        f'{fixed.get(name, name if name in columns else "NULL")}::{_sql_type(name)} AS "{name}"'
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


def _words(codes: NDArray[np.int16], levels: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(levels))


def _sql_type(name: str) -> str:
    kind = SCHEMA.field(name).type
    if pa.types.is_map(kind):
        return "MAP(VARCHAR, VARCHAR)"
    if pa.types.is_list(kind):
        inner = kind.value_type
        return "DOUBLE[][]" if pa.types.is_list(inner) else ("DOUBLE[]" if pa.types.is_floating(inner) else "VARCHAR[]")
    return {"string": "VARCHAR", "int64": "BIGINT", "double": "DOUBLE"}[str(kind)]
