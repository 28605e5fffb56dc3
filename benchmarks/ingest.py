"""Raw files to a committed samples table at the published size, and what a refresh costs afterwards.

    python -m benchmarks.ingest [--samples 3440000] [--folder DIR]

Simulated corpora without pixels, at a tenth of the size and at the whole: read, validated, split, leak-checked and
committed, each in a process of its own. Then nothing changes, then one dataset does. At last the picture path
beside a bare Pillow or pydicom loop over the same files.
"""

import argparse
import contextlib
import json
import pickle
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.pictures import measure_pictures

RESULTS = Path(__file__).parent / "results" / "ingest.json"
NUM_SAMPLES = 3_440_000
LIMITS = {
    "first_seconds": 600.0, "peak_gib": 4.0, "unchanged_seconds": 15.0, "one_changed_seconds": 60.0,
    "suite_seconds": 15.0, "cost_per_row_ratio": 1.2,
}  # fmt: skip


def refresh(config: Path) -> None:
    """Child process: run what is stale of read and curate; one JSON line with seconds and summary per stage."""
    from flows.config import load_config
    from flows.ingest_datasets import ingest_stages
    from flows.progress import Reporter
    from flows.stages import locked, run_stage

    settings = load_config(config)
    stages: dict[str, Any] = {}
    with locked(settings.workspace):
        for stage in ingest_stages(settings):
            if stage.name == "census":
                continue
            start = time.perf_counter()
            summary = run_stage(settings, stage, Reporter())
            stages[stage.name] = {"seconds": time.perf_counter() - start, "summary": summary}
    print(json.dumps(stages))


def run(config: Path) -> dict[str, Any]:
    """Wall and CPU seconds, peak memory and stages of one refresh in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.ingest", "--refresh", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        told, peak_bytes = _watch(process)
    if process.returncode:
        raise SystemExit(f"{command}: exit code {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_gib": peak_bytes / 2**30,
        "stages": json.loads(told),
    }


def _watch(process: subprocess.Popen[str]) -> tuple[str, int]:
    """What the process printed, and its highest resident memory, looked at four times a second."""
    peak = 0
    while True:
        with contextlib.suppress(psutil.NoSuchProcess):
            peak = max(peak, psutil.Process(process.pid).memory_info().rss)
        try:
            return process.communicate(timeout=0.25)[0], peak
        except subprocess.TimeoutExpired:
            continue


def prepare(folder: Path, num_samples: int) -> Path:
    """Simulate the published corpus without pixels, unless it stands there, and write its configuration."""
    from flows.look import write_config

    raw, config = folder / "raw", folder / "paper.toml"
    if not raw.exists():
        program = str(Path(sys.executable).with_name("biascarevl"))
        options = ["--samples", str(num_samples), "--profile", "paper", "--images", "none"]
        subprocess.run([program, "simulate", str(raw), *options], check=True)
    shutil.rmtree(folder / "work", ignore_errors=True)
    config.unlink(missing_ok=True)
    write_config(raw, config)
    config.write_text(config.read_text().replace("\nroot = ", "\nallow_absent_images = true\nroot = "))
    return config


def change_one(folder: Path) -> None:
    """Take the last row out of PathVQA's test list (the data set has 32,795 rows at the published size)."""
    (path,) = (folder / "raw" / "path_vqa").rglob("test_qa.pkl")
    rows = pickle.loads(path.read_bytes())  # written by the simulation a moment ago
    path.write_bytes(pickle.dumps(rows[:-1]))


def measure_suite(config: Path) -> float:
    """Seconds the validation suite takes over the staged rows, the library's import included."""
    import pyarrow.parquet as pq

    from flows.config import load_config
    from ingest.staging import connect_staged, staged_of

    settings = load_config(config)
    staged = [staged_of(settings.workspace, dataset.name) for dataset in settings.datasets]
    splits = [pq.read_table(each.splits)["split"].combine_chunks() for each in staged]
    connection = connect_staged([each.samples for each in staged], splits)
    start = time.perf_counter()
    from ingest.validate import validate

    validate(connection)
    return time.perf_counter() - start


def rows_per_second(measured: dict[str, Any]) -> dict[str, float]:
    """Of each dataset's read stage."""
    return {
        name.removeprefix("read-"): stage["summary"]["rows_in"] / stage["seconds"]
        for name, stage in measured["stages"].items()
        if name.startswith("read-")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=NUM_SAMPLES)
    parser.add_argument("--folder", type=Path, help="kept, and its raw/ used again; default: a temporary one")
    parser.add_argument("--refresh", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.refresh:
        refresh(options.refresh)
        return
    folder = options.folder or Path(tempfile.mkdtemp(prefix="ingest_"))
    for name in ("tenth", "whole"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    tenth = run(prepare(folder / "tenth", options.samples // 10))
    config = prepare(folder / "whole", options.samples)
    first = run(config)
    unchanged = run(config)
    suite = measure_suite(config)
    change_one(folder / "whole")
    changed = run(config)
    results = _results(options.samples, tenth, first, unchanged, changed, suite)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps({key: results[key] for key in ("ratios", "figures", "rows_per_second", "limits")}, indent=2))
    if not options.folder:
        shutil.rmtree(folder)


def _results(
    num_samples: int, tenth: dict[str, Any], first: dict[str, Any], unchanged: dict[str, Any],
    changed: dict[str, Any], suite_seconds: float,
) -> dict[str, Any]:  # fmt: skip
    cost = [each["cpu_seconds"] / _rows_in(each) for each in (tenth, first)]
    pictures = measure_pictures()
    return {
        "ratios": {
            "cost_per_row_whole_to_tenth": round(cost[1] / cost[0], 3),
            "picture_path_to_bare": pictures["speed_of_bare_over_all_files"],
            **{f"picture_path_to_bare_{kind}": each["speed_of_bare"] for kind, each in pictures["kinds"].items()},
        },
        "figures": {
            "rows": _rows_in(first),
            "first_seconds": round(first["seconds"], 1),
            "first_cpu_seconds": round(first["cpu_seconds"], 1),
            "peak_gib": round(max(first["peak_gib"], changed["peak_gib"]), 2),
            "microseconds_per_row": round(1e6 * cost[1], 1),
            "unchanged_seconds": round(unchanged["seconds"], 1),
            "one_changed_seconds": round(changed["seconds"], 1),
            "one_changed_written": changed["stages"]["curate"]["summary"]["written"],
            "suite_seconds": round(suite_seconds, 1),
        },
        "limits": LIMITS,
        "rows_per_second": {name: round(rate) for name, rate in rows_per_second(first).items()},
        "stage_seconds": {name: round(stage["seconds"], 1) for name, stage in first["stages"].items()},
        "leakage": first["stages"]["curate"]["summary"]["leakage"],
        "pictures": pictures,
        "samples": num_samples,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {"cpus": psutil.cpu_count(), "python": platform.python_version(), "numpy": np.__version__},
    }


def _rows_in(measured: dict[str, Any]) -> int:
    stages = measured["stages"].items()
    return sum(stage["summary"]["rows_in"] for name, stage in stages if name.startswith("read-"))


if __name__ == "__main__":
    main()
