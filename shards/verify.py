"""Re-read every shard against manifest, index, digests and the samples table, and say what differs where."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from ingest.attributes import connect_samples
from ingest.errors import BadInput, BiasCareError
from ingest.sample import COLUMNS
from ingest.workspace import Workspace
from shards.assignment import PACKABLE_SQL, limit_memory, tables_of
from shards.manifest import INDEX_SCHEMA, read_manifest, sha256_of
from shards.parallel import num_cores, run_jobs
from shards.shard_check import ShardCheck, check_shard
from shards.shard_job import to_ipc

SAMPLES_PER_PROCESS = 20_000
"""Below this many samples per process, starting one costs more than it saves."""

Progress = Callable[[int, int], None]
"""Told (samples checked, samples in all)."""


def verify(workspace: Workspace, *, progress: Progress | None = None) -> list[str]:
    """One line per problem; an empty list when everything agrees. Raises: BadInput when nothing is packed."""
    try:
        manifest = read_manifest(workspace.manifest)
    except BadInput:
        raise
    except BiasCareError as error:
        return [str(error)]
    connection = connect_samples(workspace.samples)
    with tempfile.TemporaryDirectory(prefix=".verify.", dir=workspace.root) as spill:
        limit_memory(connection, spill=Path(spill))
        return [
            *_strays(workspace, manifest),
            *_index(workspace, manifest, connection),
            *_shards(workspace, manifest, connection, progress),
        ]


def _strays(workspace: Workspace, manifest: dict[str, Any]) -> Iterator[str]:
    listed = {line["path"] for line in manifest["shards"]}
    for path in sorted(workspace.shards.rglob("*.tar")):
        name = str(path.relative_to(workspace.shards))
        if name not in listed:
            yield f"{name}: a shard the manifest does not list"


def _index(workspace: Workspace, manifest: dict[str, Any], connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """The index against the manifest and the samples table. It is the view ``packed`` afterwards."""
    name = workspace.index.name
    connection.register("packed", INDEX_SCHEMA.empty_table())
    if not workspace.index.exists():
        yield f"{name}: expected the index, got none"
        return
    sha256 = sha256_of(workspace.index)
    if sha256 != manifest["index_sha256"]:
        yield f"{name}: expected sha256 {manifest['index_sha256']}, got {sha256}: changed or stale"
        if not _is_readable(workspace.index):
            yield f"{name}: expected a whole Parquet file with the columns of an index, got another"
            return
    connection.register("packed", pads.dataset(workspace.index, schema=INDEX_SCHEMA))
    wanted = f"(SELECT sample_id FROM samples WHERE {PACKABLE_SQL})"
    for query, says in (
        (f"FROM {wanted} ANTI JOIN packed USING (sample_id)", "samples of the table are not packed"),
        (f"FROM packed ANTI JOIN {wanted} USING (sample_id)", "packed samples are not in the table"),
        (
            "FROM (SELECT sample_id FROM packed GROUP BY sample_id HAVING count(*) > 1)",
            "samples stand in it twice",
        ),
    ):
        count, first = connection.execute(f"SELECT count(*), min(sample_id) {query}").fetchall()[0]
        if count:
            yield f"{name}: {count} {says}, first {first}"


def _is_readable(index: Path) -> bool:
    try:
        table = pq.read_table(index, schema=INDEX_SCHEMA)
        table.validate(full=True)  # text that is no UTF-8 any more passes the reading
    except (pa.ArrowException, OSError, ValueError):
        return False
    return not any(column.null_count for column in table.columns)


def _shards(
    workspace: Workspace, manifest: dict[str, Any], connection: duckdb.DuckDBPyConnection, progress: Progress | None
) -> Iterator[str]:
    lines = {line["path"]: line for line in manifest["shards"]}
    counts = dict(connection.execute("SELECT shard, count(*) FROM packed GROUP BY shard").fetchall())
    for path in sorted(counts.keys() - lines.keys()):
        yield f"{path}: {counts[path]} samples of the index lie in a shard the manifest does not list"
    total = sum(line["num_samples"] for line in lines.values())
    checks = _checks(workspace.shards, lines, counts, connection)
    processes = min(num_cores(), len(lines), total // SAMPLES_PER_PROCESS)
    done = 0
    found: list[str] = []
    for num_samples, problems in run_jobs(check_shard, checks, num_processes=processes):
        done += num_samples
        found += problems
        if progress:
            progress(done, total)
    yield from sorted(found)


def _checks(
    folder: Path, lines: dict[str, dict[str, Any]], counts: dict[str, int], connection: duckdb.DuckDBPyConnection
) -> Iterator[ShardCheck]:
    """One check per line of the manifest, its index rows and samples streamed by dataset."""
    columns = ", ".join(f"{name} := samples.{name}" for name in COLUMNS)
    query = (
        f"SELECT packed.*, struct_pack({columns}) AS sample FROM (FROM packed WHERE shard LIKE ? || '/%') AS packed "
        "LEFT JOIN (FROM samples WHERE dataset = ?) AS samples USING (sample_id) ORDER BY shard, packed.offset"
    )
    for dataset, paths in itertools.groupby(sorted(counts.keys() | lines.keys()), key=lambda path: path.split("/")[0]):
        relation = connection.sql(query, params=[dataset, dataset])
        sizes = {path: counts.get(path, 0) for path in paths}
        for path, rows in zip(sizes, tables_of(relation, sizes.values()), strict=True):
            if path in lines:
                yield ShardCheck(folder, lines[path], to_ipc(rows))
