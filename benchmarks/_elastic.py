"""Random (ranks, workers, stop point) cases with real loaders and worker processes, weights and mixing on."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._ours import loader_of, write_payload
from ingest.workspace import Workspace
from shards.load import Loader
from shards.record import Record

NUM_SAMPLES, NUM_DRAWS = 400, 500


def drawn(record: Record, generator: np.random.Generator) -> tuple[str, float]:
    """Which sample, and the first number of its own chance."""
    return record.fields["sample_id"], float(generator.random())


def global_batches(loaders: list[Loader], most: int | None = None) -> list[list[tuple[str, float]]]:
    """What all ranks are given step by step; every rank must have equally many batches."""
    given = [[batch for _, batch in zip(_numbers(most), loader, strict=False)] for loader in loaders]
    assert len({len(batches) for batches in given}) == 1, "ranks differ in their number of batches"
    return [[sample for batch in step for sample in batch] for step in zip(*given, strict=True)]


def _numbers(most: int | None) -> range:
    return range(10**9 if most is None else most)


def opened(workspace: Workspace, ranks: int, workers: int, batch_size: int) -> list[Loader]:
    settings = {"world_size": ranks, "num_workers": workers, "batch_size": batch_size, "draws_per_epoch": NUM_DRAWS}
    return [loader_of(workspace, drawn, list, rank=rank, **settings) for rank in range(ranks)]


def run_cases(folder: Path, number: int) -> dict[str, Any]:
    """Stop after a random step with one geometry, go on with another; the epoch must be what one process gives.

    In every second case the global batch size is kept: then the global batches themselves must be equal.
    """
    workspace = write_payload(folder, NUM_SAMPLES)
    (alone,) = opened(workspace, 1, 0, 24)
    whole = [sample for batch in alone for sample in batch]
    rng, passed, same_batches, kinds = np.random.default_rng(17), 0, 0, Counter[str]()
    for case in range(number):
        ranks, workers = rng.integers(1, 5, 2), rng.integers(0, 4, 2)
        sizes = 24 // ranks if case % 2 else rng.integers(2, 20, 2)
        first = opened(workspace, int(ranks[0]), int(workers[0]), int(sizes[0]))
        stop = int(rng.integers(0, min(15, len(first[0]) + 1)))  # at most after the epoch's last step
        before = global_batches(first, stop)
        states = [loader.state_dict() for loader in first]
        assert all(state == states[0] for state in states), "ranks differ in their state"
        left = NUM_DRAWS - states[0]["position"]
        second = opened(workspace, int(ranks[1]), int(workers[1]), int(sizes[1]))
        if 0 < left < ranks[1]:
            continue
        for loader in second:
            loader.load_state_dict(states[0])
        after = global_batches(second)
        if [sample for batch in [*before, *after] for sample in batch] == whole:
            passed += 1
        if case % 2 and [len(batch) for batch in [*before, *after]] == _sizes(24):
            same_batches += 1
        kinds[f"{ranks[0]}x{workers[0]} -> {ranks[1]}x{workers[1]}"] += 1
    results = {
        "cases": sum(kinds.values()), "draws_exactly_once_in_order_with_their_chance": passed,
        "kept_global_batch_cases": number // 2, "kept_global_batch_equal": same_batches,
        "different_geometries": len(kinds), "draws_per_epoch": NUM_DRAWS,
    }  # fmt: skip
    print("elastic", results, flush=True)
    return results


def _sizes(whole: int) -> list[int]:
    steps = -(-NUM_DRAWS // whole)
    return [NUM_DRAWS // steps + (number < NUM_DRAWS % steps) for number in range(steps)]
