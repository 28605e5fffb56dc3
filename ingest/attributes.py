"""The attributes a corpus is counted and weighed by: where each comes from and which levels it declares."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from ingest.anatomy import Anatomy
from ingest.applicability import ATTRIBUTE_APPLIES, MISSING, NOT_APPLICABLE
from ingest.modality import Modality
from ingest.sample import AGE_BAND_SQL, AGE_BANDS, PERSON_KEY_SQL, AnswerType, Sex, Split, Task

UNKNOWN_LEVELS = (MISSING, "unknown")
"""Levels of a row that should say it and does not."""
ABSENT_LEVELS = (*UNKNOWN_LEVELS, NOT_APPLICABLE)
"""Levels that are no group of people or pictures: not known, or not to be known."""
KEPT_LEVELS = (*ABSENT_LEVELS, "other")
"""Levels no target ever moves weight towards or away from: they say what is not known, or what cannot be."""


@dataclass(frozen=True)
class Attribute:
    """SQL over samples/ giving the level (or list of levels) of a row, and the declared levels if there are any."""

    sql: str
    levels: tuple[str, ...] | None = None
    is_list: bool = False


def _enum(values: Any) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


ATTRIBUTES: dict[str, Attribute] = {
    "modality": Attribute("modality", _enum(Modality)),
    "anatomy": Attribute("anatomy", _enum(Anatomy)),
    "sex": Attribute("sex", _enum(Sex)),
    "age_band": Attribute(AGE_BAND_SQL, tuple(band for band, _ in AGE_BANDS)),
    "skin_type": Attribute("CAST(skin_type AS VARCHAR)", tuple("123456")),
    "race": Attribute("race"),
    "view": Attribute("view"),
    "manufacturer": Attribute("manufacturer"),
    "language": Attribute("language"),
    "dataset": Attribute("dataset"),
    "task": Attribute("task", _enum(Task)),
    "split": Attribute("split", _enum(Split)),
    "answer_type": Attribute("answer_type", _enum(AnswerType)),
    "modality_source": Attribute("modality_source"),
    "anatomy_source": Attribute("anatomy_source"),
    "label": Attribute("labels", is_list=True),
}


def absent_sql(name: str) -> str:
    """What stands where a row has no value of an attribute: MISSING, or NOT_APPLICABLE."""
    applies = ATTRIBUTE_APPLIES.get(name)
    return applies.absent_sql if applies else f"'{MISSING}'"


def level_sql(name: str) -> str:
    """The level of a row, or its list of levels, never null."""
    attribute = ATTRIBUTES[name]
    if attribute.is_list:
        return f"coalesce(nullif(list_distinct({attribute.sql}), []), [{absent_sql(name)}])"
    return f"coalesce({attribute.sql}, {absent_sql(name)})"


def connect_samples(samples: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection on which ``samples`` is the Delta table, with ``person_key`` as a further column."""
    return _with_person_key(connect_delta(DeltaTable(samples), "raw_samples"))


def connect_delta(table: DeltaTable, view: str) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection on which ``view`` is the version of a Delta table on this machine.

    DuckDB reads the version's Parquet files itself: many times faster than through an Arrow dataset, because
    repeated words stay dictionaries.
    """
    connection = duckdb.connect()
    # The log writes each path percent-encoded once more than the disk has it.
    folder = Path(unquote(table.table_uri.removeprefix("file://")))
    files = [str(folder / unquote(path)) for path in table.get_add_actions(flatten=True)["path"].to_pylist()]
    if not files:
        connection.register(view, table.to_pyarrow_dataset())
        return connection
    paths = ", ".join(f"'{quoted(path)}'" for path in files)
    connection.execute(
        f"CREATE VIEW {view} AS SELECT * FROM read_parquet([{paths}], "
        "hive_partitioning = true, hive_types_autocast = false, union_by_name = true)"
    )
    return connection


def connect_table(table: Any) -> duckdb.DuckDBPyConnection:
    """The same over an Arrow table or dataset in memory."""
    connection = duckdb.connect()
    connection.register("raw_samples", table)
    return _with_person_key(connection)


def _with_person_key(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    connection.execute(f"CREATE VIEW samples AS SELECT *, {PERSON_KEY_SQL} AS person_key FROM raw_samples")
    return connection


def quoted(word: str) -> str:
    """``word`` as it may stand between single quotes in SQL."""
    return word.replace("'", "''")


def fetch(connection: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    """The result of ``query`` as an Arrow table."""
    return connection.sql(query).to_arrow_table()
