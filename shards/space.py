"""Whether the disk has room for a pack, asked before it starts."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import duckdb

from ingest.disguise import Folder
from ingest.errors import BiasCareError
from ingest.sample import COLUMNS
from shards.assignment import PACKABLE_SQL
from shards.members import mask_digest, packed_sample, record_text
from shards.recipe import ShardsConfig

NUM_TRIED = 8
"""So many samples of each dataset are encoded to learn how large one is."""
MARGIN = 1.1
SMALL_FILES_BYTES = 2**20
"""For index, manifest and what the file system itself needs."""
INDEX_BYTES_PER_SAMPLE = 400
"""Each row stands in the shard's own index and in the corpus's."""


def require_space(
    connection: duckdb.DuckDBPyConnection,
    roots: Mapping[str, Folder],
    config: ShardsConfig,
    *,
    folder: Path,
    held: list[Path],
) -> None:
    """Refuse to start what would fill the disk under ``folder``.

    held: index files of earlier packs; their samples are taken to be unchanged, and so to need no room.
    Raises: BiasCareError naming the folder, the bytes expected and the bytes free.
    """
    new = _num_new(connection, held)
    needed = SMALL_FILES_BYTES + sum(
        round(count * MARGIN * (INDEX_BYTES_PER_SAMPLE + _mean_bytes(connection, dataset, roots[dataset], config)))
        for dataset, count in new.items()
    )
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise BiasCareError(
            f"pack: {folder}: expected about {needed:,} bytes free for {sum(new.values()):,} samples, got {free:,}"
        )


def _num_new(connection: duckdb.DuckDBPyConnection, held: list[Path]) -> dict[str, int]:
    """Per dataset, how many packable samples no earlier pack holds."""
    query = f"SELECT dataset, count(*) FROM samples {{}} WHERE {PACKABLE_SQL} GROUP BY dataset ORDER BY dataset"
    joined = "ANTI JOIN (SELECT sample_id FROM read_parquet(?)) USING (sample_id)"
    try:
        if held:
            return dict(connection.execute(query.format(joined), [[str(path) for path in held]]).fetchall())
    except duckdb.Error:  # a damaged index holds nothing
        pass
    return dict(connection.execute(query.format("")).fetchall())


def _mean_bytes(connection: duckdb.DuckDBPyConnection, dataset: str, root: Folder, config: ShardsConfig) -> float:
    """The mean size of a few packed samples of ``dataset``; ids are hashes, so the first are as good as any."""
    query = (
        f"SELECT {', '.join(COLUMNS)} FROM samples WHERE dataset = ? AND {PACKABLE_SQL} "
        f"ORDER BY sample_id LIMIT {NUM_TRIED}"
    )
    rows = connection.sql(query, params=[dataset]).to_arrow_table().to_pylist(maps_as_pydicts="strict")
    sizes = [len(packed_sample(row, record_text(row, mask_digest(row, root)), root, config)) for row in rows]
    return sum(sizes) / len(sizes)
