"""Which sample goes into which shard: a binary tree over the sample ids, whose leaves are the shards.

A sample id is a hash, so its leading bits are fair coins. A range of ids that holds more samples than a
shard may is halved, and so on. The result depends on the set of ids alone, never on what was packed before:
packing anew and packing on give the same shards, and a sample that comes or goes touches its own shard only
(or, where that outgrows its size, splits it; the shards behind it move up one number unchanged).
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.errors import BadInput
from ingest.sample import COLUMNS, ImageStatus, Task

PREFIX_DIGITS = 16
"""Hex digits of a sample id that decide: 64 bits."""
ROWS_PER_BATCH = 2048  # DuckDB's vectors hold as many
PACKABLE_SQL = f"image_status = '{ImageStatus.PRESENT}' AND task <> '{Task.UNLABELLED}'"
"""What enters shards, and so what can be drawn in training."""
_ORDER_SQL = "ORDER BY task, split, sample_id"


@dataclass(frozen=True)
class PlannedShard:
    """A shard to be: its path under ``shards/`` and how many samples it holds."""

    path: str
    dataset: str
    num_samples: int


def leading_bits(sample_ids: list[str]) -> NDArray[np.uint64]:
    """The first 64 bits of each id. Raises: BadInput for ids that are not hexadecimal digests."""
    digits = "".join([sample_id[:PREFIX_DIGITS] for sample_id in sample_ids])
    try:
        content = bytes.fromhex(digits)
    except ValueError:
        content = b""
    if len(content) * 2 != PREFIX_DIGITS * len(sample_ids):
        raise BadInput(f"samples: expected sample ids of at least {PREFIX_DIGITS} hex digits, got other ids")
    return np.frombuffer(content, dtype=">u8").astype(np.uint64)


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

    return leaves(0, len(bits), 0, 4 * PREFIX_DIGITS)


def plan_shards(connection: duckdb.DuckDBPyConnection, most: int) -> list[PlannedShard]:
    """Every shard of the samples table, in the order of dataset, task, split and sample id. One dataset in memory."""
    datasets = connection.execute(f"SELECT DISTINCT dataset FROM samples WHERE {PACKABLE_SQL} ORDER BY 1").fetchall()
    planned: list[PlannedShard] = []
    for (dataset,) in datasets:
        query = f"SELECT task, split, sample_id FROM samples WHERE dataset = ? AND {PACKABLE_SQL} {_ORDER_SQL}"
        table = connection.sql(query, params=[dataset]).to_arrow_table()
        groups = table.select(["task", "split"]).group_by(["task", "split"]).aggregate([([], "count_all")]).to_pylist()
        bits = leading_bits(table["sample_id"].to_pylist())
        start = 0
        for group in sorted(groups, key=lambda group: (group["task"], group["split"])):
            members = bits[start : start + group["count_all"]]
            start += group["count_all"]
            prefix = f"{dataset}/{group['task']}-{group['split']}"
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
