"""The same payload through shards.load with a weighted plan; and a corpus of 3.44 M rows that has no pixels."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks._payload import decode, samples
from ingest.workspace import Workspace, write_json
from shards.load import LoadConfig, Loader, open_shards
from shards.manifest import INDEX_SCHEMA
from shards.record import Record
from shards.tar import ShardWriter, sample_bytes

SAMPLES_PER_SHARD = 1_000


def weights_of(number: int, seed: int = 5) -> np.ndarray:
    """Weights as the solver gives: log-normal, clipped to [0.05, 20], mean 1; effective share about 0.4."""
    weights = np.exp(np.random.default_rng(seed).normal(size=number))
    weights = np.clip(weights / weights.mean(), 0.05, 20)
    return weights / weights.mean()


def write_payload(root: Path, number: int) -> Workspace:
    """The payload as packed shards of four data sets, with weights."""
    workspace = Workspace(root)
    if workspace.manifest.exists():
        return workspace
    by_dataset: dict[str, list[tuple[str, bytes]]] = {}
    for key, jpeg, fields in samples(number):
        chunk = sample_bytes(key, {"jpg": jpeg, "json": json.dumps(fields).encode()})
        by_dataset.setdefault(fields["dataset"], []).append((key, chunk))
    rows: list[dict[str, Any]] = []
    for dataset, chunks in by_dataset.items():
        (workspace.shards / dataset).mkdir(parents=True)
        for first in range(0, len(chunks), SAMPLES_PER_SHARD):
            path = f"{dataset}/vqa-train-{first // SAMPLES_PER_SHARD:06d}.tar"
            with (workspace.shards / path).open("wb") as stream:
                writer = ShardWriter(stream)
                for key, chunk in chunks[first : first + SAMPLES_PER_SHARD]:
                    extent = writer.add(chunk)
                    rows.append(
                        {"sample_id": key, "dataset": dataset, "task": "vqa", "split": "train", "shard": path,
                         "key": key, "offset": extent.offset, "size_bytes": extent.size_bytes,
                         "xxh3_128": extent.xxh3_128}
                    )  # fmt: skip
                writer.finish()
    pq.write_table(pa.Table.from_pylist(rows, schema=INDEX_SCHEMA), workspace.index)
    workspace.weights.parent.mkdir()
    ids = [row["sample_id"] for row in rows]
    pq.write_table(pa.table({"sample_id": ids, "weight": weights_of(number)}), workspace.weights)
    write_json(workspace.manifest, {"shards": len(rows) // SAMPLES_PER_SHARD})
    return workspace


def as_bytes(record: Record, generator: np.random.Generator) -> tuple[bytes, dict[str, Any]]:
    return record.members["jpg"], record.fields


def as_pixels(record: Record, generator: np.random.Generator) -> tuple[np.ndarray, dict[str, Any]]:
    return record.images[0], record.fields


def stacked(samples: list[tuple[np.ndarray, dict[str, Any]]]) -> dict[str, Any]:
    return {"image": np.stack([image for image, _ in samples])}


def loader_of(
    workspace: Workspace,
    encode: Callable[..., Any] = as_bytes,
    collate: Callable[..., Any] = list,
    **settings: Any,
) -> Loader:
    config = LoadConfig(**{"batch_size": 64, "num_epochs": 8, "seed": 1, **settings})
    return open_shards(workspace, split="train", encode=encode, collate=collate, config=config)


def cpu_us_per_sample(workspace: Workspace, encode: Callable[..., Any], **settings: Any) -> float:
    """Best of three epochs, planning and opening included."""
    best = float("inf")
    loader = loader_of(workspace, encode, **settings)
    for _ in range(3):
        start, number = time.process_time(), 0
        for batch in loader:
            number += len(batch)
            assert all(fields["task"] == "vqa" for _, fields in batch)
        best = min(best, (time.process_time() - start) / number)
    return best * 1e6


def handed_over_us_per_sample(workspace: Workspace, *, as_tensors: bool) -> float:
    """CPU of the main process per decoded sample when one worker does the rest."""
    collate = stacked if as_tensors else list
    loader = loader_of(workspace, as_pixels, collate, num_workers=1)
    start, number = time.process_time(), 0
    for batch in loader:
        images = batch["image"] if as_tensors else batch
        assert not as_tensors or isinstance(images, torch.Tensor)
        number += len(images)
    return (time.process_time() - start) / number * 1e6


__all__ = ["as_bytes", "as_pixels", "cpu_us_per_sample", "decode", "handed_over_us_per_sample", "write_payload"]
