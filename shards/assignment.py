"""Which sample goes into which shard: a binary tree over the sample ids, whose leaves are the shards.

A sample id is a hash, so its leading bits are fair coins. A range of ids that holds more samples than a
shard may is halved, and so on. The result depends on the set of ids alone, never on what was packed before:
packing anew and packing on give the same shards, and a sample that comes or goes touches its own shard only
(or, where that outgrows its size, splits it; the shards behind it move up one number unchanged).
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.errors import BadInput
from ingest.sample import COLUMNS, ImageStatus, Task

NUM_BITS = 64
"""The leading bits of a sample id that decide: 16 hex digits."""
_BITS_SQL = "CASE WHEN regexp_matches(sample_id, '^[0-9a-f]{16}') THEN CAST('0x' || left(sample_id, 16) AS UBIGINT) END"
ROWS_PER_BATCH = 2048  # DuckDB's vectors hold as many
LABELLED_SQL = f"task <> '{Task.UNLABELLED}'"
PACKABLE_SQL = f"image_status = '{ImageStatus.PRESENT}' AND {LABELLED_SQL}"
"""What enters shards, and so what can be drawn in training."""
_ORDER_SQL = "ORDER BY task, split, sample_id"


SORT_MEMORY = "2GB"


@dataclass(frozen=True)
class PlannedShard:
    """A shard to be: its path under ``shards/`` and how many samples it holds."""

    path: str
    dataset: str
    num_samples: int


def shard_sizes(bits: NDArray[np.uint64], most: int) -> Iterator[int]:
    """How many of the ascending ``bits`` each shard takes, in order: 1 to ``most`` each.

    Only ids equal in all 64 bits could exceed ``most``; digests never are. Nothing for no ids.
    """

    def leaves(start: int, stop: int, low: int, depth: int) -> Iterator[int]:
        if stop - start <= most or depth == 0:
            if stop > start:
                yield stop - start
            return
        middle = low + (1 << (depth - 1))
        cut = start + int(np.searchsorted(bits[start:stop], np.uint64(middle)))
        yield from leaves(start, cut, low, depth - 1)
        yield from leaves(cut, stop, middle, depth - 1)

    return leaves(0, len(bits), 0, NUM_BITS)


def limit_memory(connection: duckdb.DuckDBPyConnection, *, spill: Path) -> None:
    """Have sorts of millions of rows take at most SORT_MEMORY, and go on in the folder ``spill`` beyond that."""
    folder = str(spill).replace("'", "''")
    connection.execute(f"SET memory_limit = '{SORT_MEMORY}'; SET temp_directory = '{folder}'")


def plan_shards(connection: duckdb.DuckDBPyConnection, most: int) -> list[PlannedShard]:
    """Every shard of the samples table, in the order of dataset, task, split and sample id. One dataset in memory."""
    datasets = connection.execute(f"SELECT DISTINCT dataset FROM samples WHERE {PACKABLE_SQL} ORDER BY 1").fetchall()
    planned: list[PlannedShard] = []
    for (dataset,) in datasets:
        of_dataset = f"FROM samples WHERE dataset = ? AND {PACKABLE_SQL}"
        groups = connection.execute(f"SELECT task, split, count(*) {of_dataset} GROUP BY ALL ORDER BY ALL", [dataset])
        counts = groups.fetchall()
        ordered = connection.sql(f"SELECT {_BITS_SQL} AS bits {of_dataset} {_ORDER_SQL}", params=[dataset])
        column = ordered.to_arrow_table()["bits"]
        if column.null_count:
            raise BadInput(f"samples: expected ids that are hex digests, got {column.null_count} others in {dataset}")
        bits = column.to_numpy()
        start = 0
        for task, split, count in counts:
            members, start = bits[start : start + count], start + count
            prefix = f"{dataset}/{task}-{split}"
            sizes = enumerate(shard_sizes(members, most))
            planned += [PlannedShard(f"{prefix}-{number:06d}.tar", dataset, size) for number, size in sizes]
    return planned


def rows_of_shards(
    connection: duckdb.DuckDBPyConnection, planned: list[PlannedShard]
) -> Iterator[tuple[PlannedShard, pa.Table]]:
    """Each planned shard with its rows, streamed: about one shard and one batch in memory at a time."""
    for dataset, shards in itertools.groupby(planned, key=lambda shard: shard.dataset):
        query = f"SELECT {', '.join(COLUMNS)} FROM samples WHERE dataset = ? AND {PACKABLE_SQL} {_ORDER_SQL}"
        relation = connection.sql(query, params=[dataset])
        members = list(shards)
        yield from zip(members, tables_of(relation, [shard.num_samples for shard in members]), strict=True)


def tables_of(relation: duckdb.DuckDBPyRelation, sizes: Iterable[int]) -> Iterator[pa.Table]:
    """The rows of ``relation`` as tables of ``sizes`` rows, streamed: about one of them in memory at a time."""
    reader = relation.to_arrow_reader(ROWS_PER_BATCH)
    waiting = reader.schema.empty_table()
    for size in sizes:
        while waiting.num_rows < size:
            waiting = pa.concat_tables([waiting, pa.Table.from_batches([reader.read_next_batch()])])
        yield waiting.slice(0, size)
        waiting = waiting.slice(size)
    reader.close()
