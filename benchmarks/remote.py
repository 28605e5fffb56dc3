"""Samples over HTTP from a server that takes its time: ours with a weighted plan, beside webdataset straight through.

    python -m benchmarks.remote [--samples 20000] [--latency-ms 20] [--workers 2]

Both read the same tars from the same server, which runs in a process of its own on this machine and waits before
every answer; caches start empty. Bytes used: of distinct samples drawn; of every draw, repeats counted again.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _ours
from ingest.workspace import Workspace

RESULTS = Path(__file__).parent / "results" / "remote.json"


@contextmanager
def served(folder: Path, latency_ms: float) -> Iterator[str]:
    """URL of a server process for ``folder``."""
    command = [sys.executable, "-m", "benchmarks._slow_server", str(folder), str(latency_ms / 1000)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait()


def counts(url: str) -> dict[str, int]:
    """Requests and bytes since this was last asked."""
    with urllib.request.urlopen(f"{url}/.counts") as answer:
        found: dict[str, int] = json.load(answer)
    return found


def measured(url: str, read: Callable[[], int]) -> dict[str, float]:
    """What ``read``, which gives the number of samples, asked of the server and how long it took."""
    counts(url)
    start = time.perf_counter()
    number = read()
    seconds = time.perf_counter() - start
    asked = counts(url)
    return {
        "samples": number,
        "samples_per_s": round(number / seconds),
        "requests_per_1000_samples": round(asked["requests"] / number * 1000, 2),
        "bytes_read": asked["bytes"],
    }


def ours(workspace: Workspace, place: Path, url: str, num_workers: int) -> dict[str, float]:
    """One weighted epoch on a machine that has the index and the weights only."""
    bare = Workspace(place)
    bare.shards.mkdir(parents=True)
    bare.index.symlink_to(workspace.index)
    bare.weights.parent.symlink_to(workspace.weights.parent)
    loader = _ours.loader_of(bare, store=url, num_workers=num_workers)
    draws, sizes = loader.plan.draws(0), loader.plan.rows.sizes
    found = measured(url, lambda: sum(len(batch) for batch in loader))
    distinct = int(sizes[np.unique(draws)].sum()) * 512
    drawn = int(sizes[draws].sum()) * 512
    again = measured(url, lambda: sum(len(batch) for batch in loader))
    return found | {
        "bytes_read_over_distinct_bytes_used": round(found["bytes_read"] / distinct, 3),
        "bytes_read_over_bytes_drawn": round(found["bytes_read"] / drawn, 3),
        "second_epoch_from_the_cache": again,
    }


def webdataset(workspace: Workspace, url: str, num_workers: int) -> dict[str, float]:
    """Every sample once: shards shuffled, and samples in its usual buffer of 1,000."""
    import webdataset as wds
    from torch.utils.data import DataLoader

    names = sorted(str(path.relative_to(workspace.shards)) for path in workspace.shards.rglob("*.tar"))
    pipeline = wds.WebDataset(
        [f"{url}/{name}" for name in names], shardshuffle=len(names), seed=1, nodesplitter=wds.split_by_node
    ).shuffle(1000)
    dataset = pipeline.to_tuple("jpg", "json").map_tuple(bytes, json.loads).batched(64, collation_fn=list)
    loader = DataLoader(dataset, batch_size=None, num_workers=num_workers)
    found = measured(url, lambda: sum(len(batch) for batch in loader))
    used = sum(path.stat().st_size for path in workspace.shards.rglob("*.tar"))
    return found | {"bytes_read_over_bytes_drawn": round(found["bytes_read"] / used, 3)}


def run(folder: Path, num_samples: int, latency_ms: float, num_workers: int) -> dict[str, Any]:
    workspace = _ours.write_payload(folder / "packed", num_samples)
    with served(workspace.shards, latency_ms) as url:
        mine = ours(workspace, folder / "bare", url, num_workers)
        theirs = webdataset(workspace, url, num_workers)
    return {
        "samples_per_s_ours_over_webdataset": round(mine["samples_per_s"] / theirs["samples_per_s"], 2),
        "latency_ms": latency_ms,
        "num_workers": num_workers,
        "ours_weighted": mine,
        "webdataset_straight_through": theirs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="remote_"))
    try:
        results = run(folder, chosen.samples, chosen.latency_ms, chosen.workers)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    results |= {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "load_average": os.getloadavg(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
