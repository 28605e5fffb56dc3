"""Index and weights into the columns that ``shards.rows`` maps."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from ingest.workspace import write_json
from shards.record import TAR_BLOCK

COLUMNS = ("starts", "sizes", "checks", "weights", "weighed_rows")
LAYOUT_VERSION = 2
"""Of the columns and what stands beside them; folders of another are never opened."""
BATCH_ROWS = 262_144
_DATASET_PART = "dataset "


def sample_ids(index: Path, split: str) -> Iterator[pa.Array]:
    """The sample ids of the split's rows in row order, part by part."""
    for batch in _batches(index, split, ["sample_id"]):
        yield batch["sample_id"]


def _batches(index: Path, split: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    names = ["split", *columns]
    repeated = [name for name in ("split", "dataset", "task", "shard") if name in names]
    for batch in pq.ParquetFile(index, read_dictionary=repeated).iter_batches(batch_size=BATCH_ROWS, columns=names):
        kept = batch.filter(pc.equal(batch["split"].cast(pa.string()), split))
        if kept.num_rows:
            yield kept.select(columns)


def write_columns(folder: Path, *, index: Path, weights: Path | None, split: str) -> None:
    """Write the columns of ``split`` into ``folder``, as ``shards.rows.PackedRows`` says, and last rows.json.

    Raises: ValueError for a split without packed samples, or weights of other rows.
    """
    columns, shards = _read_index(index, split)
    num_rows = len(columns["starts"])
    if num_rows == 0:
        raise ValueError(f"{index}: no packed sample of split {split}")
    if weights is None:
        columns |= {"weights": np.ones(num_rows), "weighed_rows": np.arange(num_rows, dtype=np.uint32)}
    else:
        columns |= _read_weights(index, weights, split)
    for name, column in columns.items():
        np.save(folder / f"{name}.npy", column)
    datasets = [dataset for dataset, _, _, _ in shards]
    groups = {group: number for number, group in enumerate(sorted({(d, task) for d, task, _, _ in shards}))}
    first_rows = [first for _, _, _, first in shards] + [num_rows]
    described = {
        "split": split,
        "shards": [path for _, _, path, _ in shards],
        "datasets": datasets,
        "groups": [groups[dataset, task] for dataset, task, _, _ in shards],
        "first_rows": first_rows,
        "parts": _parts(columns, datasets, first_rows),
        "largest_shares": _largest_shares(columns, datasets, first_rows),
    }
    write_json(folder / "rows.json", described)


def _read_index(index: Path, split: str) -> tuple[dict[str, NDArray[Any]], list[tuple[str, str, str, int]]]:
    """Places and checksums of the rows; and of each shard its dataset, task, path and first row."""
    starts, sizes, checks = [], [], []
    shards: list[tuple[str, str, str, int]] = []
    wanted = ["dataset", "task", "shard", "offset", "size_bytes", "xxh3_128"]
    num_rows = 0
    for batch in _batches(index, split, wanted):
        starts.append((batch["offset"].to_numpy() // TAR_BLOCK).astype(np.uint32))
        sizes.append((batch["size_bytes"].to_numpy() // TAR_BLOCK).astype(np.uint32))
        checks.append(_upper_halves(batch["xxh3_128"]))
        codes = batch["shard"].indices.to_numpy()
        for first in np.flatnonzero(np.diff(codes, prepend=-1)).tolist():
            dataset, task, path = (batch[name][first].as_py() for name in ("dataset", "task", "shard"))
            if not shards or shards[-1][2] != path:
                shards.append((dataset, task, path, num_rows + first))
        num_rows += batch.num_rows
    if len({path for _, _, path, _ in shards}) != len(shards):
        raise ValueError(f"{index}: expected the rows of each shard one after the other, got them apart")
    columns = {"starts": starts, "sizes": sizes, "checks": checks}
    return {name: np.concatenate(parts) if parts else np.empty(0) for name, parts in columns.items()}, shards


def _upper_halves(digests: pa.StringArray) -> NDArray[np.uint64]:
    """The upper 64 bits of hex digests of 128 bits."""
    bounds = np.frombuffer(digests.buffers()[1], dtype=np.int32)[digests.offset : digests.offset + len(digests) + 1]
    raw = bytes.fromhex(digests.buffers()[2][int(bounds[0]) : int(bounds[-1])].to_pybytes().decode())
    return np.frombuffer(raw, dtype=">u8")[::2].astype(np.uint64)


def _read_weights(index: Path, weights: Path, split: str) -> dict[str, NDArray[Any]]:
    """The weights, and the row of each: both sides meet by a 64-bit hash of the sample id."""
    of_weights, of_rows = _hashes(weights), _hashes(index, split)
    weights_order, rows_order = np.argsort(of_weights), np.argsort(of_rows)
    if len(of_weights) != len(of_rows) or (of_weights[weights_order] != of_rows[rows_order]).any():
        raise ValueError(f"{weights}: its rows are not the packed training rows; run weigh and pack")
    rows = np.empty(len(of_rows), dtype=np.uint32)
    rows[weights_order] = rows_order
    return {"weights": pq.read_table(weights, columns=["weight"])["weight"].to_numpy(), "weighed_rows": rows}


def _hashes(path: Path, split: str | None = None) -> NDArray[np.uint64]:
    """64 bits of each row's sample id, in file order."""
    condition, values = ("", []) if split is None else (" WHERE split = ?", [split])
    query = f"SELECT hash(sample_id) AS hashed FROM read_parquet(?){condition}"
    return np.asarray(duckdb.connect().execute(query, [str(path), *values]).fetchnumpy()["hashed"], dtype=np.uint64)


def changed_datasets(index: Path, split: str, parts: Mapping[str, str]) -> list[str]:
    """The datasets whose packed samples of ``split`` are others than ``parts`` says, or are gone, or are new."""
    columns, shards = _read_index(index, split)
    first_rows = [first for _, _, _, first in shards] + [len(columns["starts"])]
    now = _dataset_parts(columns, [dataset for dataset, _, _, _ in shards], first_rows)
    names = {name for name in parts if name.startswith(_DATASET_PART)} | now.keys()
    return sorted(name.removeprefix(_DATASET_PART) for name in names if now.get(name) != parts.get(name))


def _parts(columns: dict[str, NDArray[Any]], datasets: list[str], first_rows: list[int]) -> dict[str, str]:
    """A digest of each dataset's packed samples, and one of the weights."""
    weighed = xxhash.xxh3_128(columns["weights"].tobytes())
    weighed.update(columns["weighed_rows"].tobytes())
    return _dataset_parts(columns, datasets, first_rows) | {"weights": weighed.hexdigest()}


def _dataset_parts(columns: dict[str, NDArray[Any]], datasets: list[str], first_rows: list[int]) -> dict[str, str]:
    hashers = {name: xxhash.xxh3_128() for name in sorted(set(datasets))}
    for dataset, start, stop in zip(datasets, first_rows[:-1], first_rows[1:], strict=True):
        hashers[dataset].update(columns["checks"][start:stop].tobytes())
        hashers[dataset].update(columns["starts"][start:stop].tobytes())
    return {f"{_DATASET_PART}{name}": hasher.hexdigest() for name, hasher in hashers.items()}


def _largest_shares(columns: dict[str, NDArray[Any]], datasets: list[str], first_rows: list[int]) -> dict[str, float]:
    """Of each dataset, the largest weight of a row over the sum of all weights."""
    of_rows = np.empty(len(columns["weights"]))
    of_rows[columns["weighed_rows"]] = columns["weights"]
    largest = np.maximum.reduceat(of_rows, first_rows[:-1]) / of_rows.sum()
    return {
        name: max(float(share) for share, dataset in zip(largest, datasets, strict=True) if dataset == name)
        for name in sorted(set(datasets))
    }
