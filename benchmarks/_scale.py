"""3.44 M rows without pixels: what planning, a cold start and a resume take, and how much memory.

Every figure is of a process of its own. The rows point into one real shard, so that first batches are really read.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks._ours import loader_of, weights_of, write_payload
from ingest.workspace import Workspace
from shards.plan import draw_counts

SAMPLES_PER_SHARD = 2_000
AUDITED_DRAWS = 200_000


def write_rows(root: Path, number: int) -> Workspace:
    """An index of ``number`` rows in 20 data sets; every shard is a link to one real tar of 2,000 samples."""
    small, workspace = write_payload(root / "small", SAMPLES_PER_SHARD), Workspace(root)
    one = pq.read_table(small.index).to_pylist()
    tar = root / "one.tar"
    blocks, places = [], []
    for row in one:
        content = (small.shards / row["shard"]).read_bytes()[row["offset"] : row["offset"] + row["size_bytes"]]
        places.append((sum(map(len, blocks[-1:])) + (places[-1][0] if places else 0), len(content), row["xxh3_128"]))
        blocks.append(content)
    tar.write_bytes(b"".join(blocks))
    workspace.shards.mkdir()
    num_shards = -(-number // SAMPLES_PER_SHARD)
    paths = [f"vqa-train-{shard:06d}.tar" for shard in range(num_shards)]
    for path in paths:
        (workspace.shards / path).symlink_to(tar)
    of_shard = np.arange(number) // SAMPLES_PER_SHARD
    in_shard = np.arange(number) % SAMPLES_PER_SHARD
    ids = pa.array([f"{value:032x}" for value in range(number)])
    columns = {
        "sample_id": ids,
        "dataset": pa.array([f"set_{shard * 20 // num_shards:02d}" for shard in range(num_shards)]).take(of_shard),
        "task": pa.repeat("vqa", number), "split": pa.repeat("train", number),
        "shard": pa.array(paths).take(of_shard), "key": ids,
        "offset": pa.array([offset for offset, _, _ in places]).take(in_shard),
        "size_bytes": pa.array([size for _, size, _ in places]).take(in_shard),
        "xxh3_128": pa.array([check for _, _, check in places]).take(in_shard),
    }  # fmt: skip
    pq.write_table(pa.table(columns), workspace.index)
    workspace.weights.parent.mkdir()
    order = np.random.default_rng(2).permutation(number)
    pq.write_table(pa.table({"sample_id": ids.take(order), "weight": weights_of(number)}), workspace.weights)
    return workspace


def step(name: str, root: str) -> dict[str, float]:
    """One measured step of a fresh process: seconds, CPU seconds, and MB beyond what was held before."""
    before = psutil.Process().memory_info().rss
    started, cpu = time.perf_counter(), time.process_time()
    loader = loader_of(Workspace(Path(root)), batch_size=32)
    if name == "plan":
        started, cpu = time.perf_counter(), time.process_time()
        loader.plan.draws(1)
    elif name == "resume":
        state = loader.state_dict()
        loader.load_state_dict(state | {"position": loader.plan.num_draws * 3 // 4})
        next(iter(loader))
    else:
        next(iter(loader))
    seconds, used = time.perf_counter() - started, time.process_time() - cpu
    peak = _peak_bytes()
    return {"seconds": round(seconds, 2), "cpu_seconds": round(used, 2), "peak_mb": round((peak - before) / 1e6)}


def _peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def measure(root: Path, number: int) -> dict[str, Any]:
    """First start ever (columns are made), later cold start, planning an epoch, resuming at three quarters."""
    root.mkdir(parents=True)
    write_rows(root, number)
    results: dict[str, Any] = {"rows": number}
    for title, name in (("first_start_ever", "start"), ("cold_start", "start"), ("plan", "plan"), ("resume", "resume")):
        if title == "cold_start":  # without the epoch's draws, with the columns
            for path in (root / "plans").rglob("epoch-*.npy"):
                path.unlink()
        command = [sys.executable, "-m", "benchmarks._scale", name, str(root)]
        run = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        results[title] = json.loads(run.stdout.strip().splitlines()[-1])
    columns = sum(path.stat().st_size for path in (root / "plans").rglob("*.npy"))
    results["mapped_mb_per_node"] = round(columns / 1e6)
    results |= margins(number)
    print("scale", results, flush=True)
    return results


def margins(num_rows: int) -> dict[str, float]:
    """Largest error of 100 margins in an epoch of 200,000 draws, rows in cell order, and distinct rows drawn."""
    rng = np.random.default_rng(4)
    cells = np.sort(rng.integers(0, 5_000, num_rows))
    cell_weights, levels = weights_of(5_000), rng.integers(0, 10, (10, 5_000))
    weights = cell_weights[cells]
    counts = draw_counts(weights, epoch=0, num_epochs=3, num_draws=AUDITED_DRAWS, seed=1)
    drawn = np.bincount(cells, weights=counts, minlength=5_000) / AUDITED_DRAWS
    wanted = np.bincount(cells, weights=weights, minlength=5_000) / weights.sum()
    errors = [
        abs(drawn[levels[attribute] == level].sum() - wanted[levels[attribute] == level].sum())
        for attribute in range(10)
        for level in range(10)
    ]
    whole = draw_counts(weights, epoch=0, num_epochs=3, num_draws=num_rows, seed=1)
    most = np.minimum(1, num_rows * weights / weights.sum()).sum()
    return {
        "largest_margin_error_at_200k_draws": float(max(errors)),
        "distinct_rows_over_most_possible": round(float((whole > 0).sum() / most), 5),
    }


if __name__ == "__main__":
    print(json.dumps(step(sys.argv[1], sys.argv[2])))
