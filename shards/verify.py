"""Re-read every shard against the manifest, the index and the samples table, and say what differs."""

import json
from collections.abc import Iterator

import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingest.attributes import connect_samples
from ingest.errors import BadInput
from ingest.workspace import Workspace
from shards.assignment import PACKABLE_SQL
from shards.manifest import sha256_of, xxh3_of
from shards.record import read_range


def verify(workspace: Workspace) -> list[str]:
    """One line per problem; an empty list when everything agrees. Raises: BadInput when nothing is packed."""
    if not workspace.manifest.exists():
        raise BadInput(f"{workspace.manifest}: expected packed shards, got none; run `biascarevl refresh` first")
    return [*_shards(workspace), *_samples(workspace)]


def _shards(workspace: Workspace) -> Iterator[str]:
    """Shards against the manifest, and where one differs, which of its samples do."""
    manifest = json.loads(workspace.manifest.read_text())
    index = pq.read_table(workspace.index)
    listed = {line["path"] for line in manifest["shards"]}
    for path in sorted(workspace.shards.rglob("*.tar")):
        name = str(path.relative_to(workspace.shards))
        if name not in listed:
            yield f"{name}: a shard the manifest does not list"
    for line in manifest["shards"]:
        path = workspace.shards / line["path"]
        if not path.exists():
            yield f"{line['path']}: expected a shard, got none"
            continue
        rows = index.filter(pc.equal(index["shard"], line["path"])).to_pylist()
        if len(rows) != line["num_samples"]:
            yield f"{line['path']}: expected {line['num_samples']} samples in the index, got {len(rows)}"
        if sha256_of(path) == line["sha256"]:
            continue
        yield f"{line['path']}: expected sha256 {line['sha256']}, got another ({path.stat().st_size} bytes)"
        for row in rows:
            if xxh3_of(read_range(path, row)) != row["xxh3_128"]:
                yield f"{line['path']}: sample {row['sample_id']}: its bytes changed"


def _samples(workspace: Workspace) -> Iterator[str]:
    """The index against the samples table."""
    rows = connect_samples(workspace.samples).execute(f"SELECT sample_id FROM samples WHERE {PACKABLE_SQL}").fetchall()
    wanted = {row[0] for row in rows}
    packed = set(pq.read_table(workspace.index, columns=["sample_id"])["sample_id"].to_pylist())
    if missing := wanted - packed:
        yield f"index: {len(missing)} samples of the table are not packed, first {min(missing)}"
    if stale := packed - wanted:
        yield f"index: {len(stale)} packed samples are not in the table, first {min(stale)}"
