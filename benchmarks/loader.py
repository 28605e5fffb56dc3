"""The loader beside others and beside the published layout; elastic resume; 3.44 M rows.

    python -m benchmarks.loader [--samples 20000] [--cases 200] [--rows 3440000]

CPU time per sample (others load the machine), best of three, in one run. Others run in their own environment, made
once under work/peers (or given by $PEERS_PYTHON); where it cannot be made, the results say so.
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
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import _elastic, _ours, _published, _scale

RESULTS = Path(__file__).parent / "results" / "loader.json"
PEERS = Path("work/peers")
PEER_PACKAGES = (
    "mosaicml-streaming==0.13.0",
    "litdata==0.2.76",
    "webdataset==1.0.2",
    "torch==2.13.0",
    "simplejpeg==1.9.0",
)
READERS = ("webdataset", "streaming", "litdata")
BTCV = Path("/work/shared/data/imed361m/BTCV")


def peers_python() -> str | None:
    """A Python that has the other loaders, installed first where it is missing; None where that fails."""
    given = os.environ.get("PEERS_PYTHON", str(PEERS / "bin" / "python"))
    if Path(given).exists():
        return given
    pip = [str(PEERS / "bin" / "pip"), "install", "--quiet"]
    steps = ([sys.executable, "-m", "venv", str(PEERS)], [*pip, "torch==2.13.0"], [*pip, *PEER_PACKAGES])
    if any(subprocess.run(step).returncode for step in steps):
        shutil.rmtree(PEERS, ignore_errors=True)
        return None
    return given


def peers(python: str, folder: Path, num_samples: int) -> dict[str, dict[str, float | str]]:
    """CPU microseconds per sample of each other loader, as bytes and decoded."""
    found: dict[str, dict[str, float | str]] = {}
    for reader in READERS:
        found[reader] = {}
        for kind in ("bytes", "decode"):
            command = [python, "-m", "benchmarks._peers", reader, str(folder), str(num_samples), kind]
            run = subprocess.run(command, capture_output=True, text=True)
            lines = run.stdout.strip().splitlines()
            found[reader][kind] = (
                round(json.loads(lines[-1])["us_per_sample"], 1) if run.returncode == 0 else run.stderr[-300:]
            )
            print(reader, kind, found[reader][kind], flush=True)
    return found


def beside_peers(folder: Path, num_samples: int) -> dict[str, Any]:
    """Ours with the weighted plan on, the others reading straight through."""
    workspace = _ours.write_payload(folder / "ours", num_samples)
    ours: dict[str, Any] = {
        "bytes": round(_ours.cpu_us_per_sample(workspace, _ours.as_bytes), 1),
        "decode": round(_ours.cpu_us_per_sample(workspace, _ours.as_pixels), 1),
        "decode_without_keeping_repeats": round(_ours.cpu_us_per_sample(workspace, _ours.as_pixels, repeat_bytes=0), 1),
        "main_process_tensors": round(_ours.handed_over_us_per_sample(workspace, as_tensors=True), 1),
    }
    print("ours", ours, flush=True)
    python = peers_python()
    if python is None:
        return {"ours": ours, "others": "could not be installed here"}
    others = peers(python, folder, num_samples)
    ratios = {
        kind: round(
            min(float(each[kind]) for each in others.values() if not isinstance(each[kind], str)) / ours[kind], 2
        )
        for kind in ("bytes", "decode")
    }
    return {"fastest_of_them_over_ours": ratios, "ours": ours, "others": others}


def beside_published(folder: Path, num_slices: int) -> dict[str, Any]:
    """Simulated slices, and real ones where they lie at hand."""
    sets = {"simulated": _published.write_slices(folder / "slices", num_slices), "btcv": _published.listed_slices(BTCV)}
    results = _published.compare({name: slices for name, slices in sets.items() if slices}, folder / "packed", passes=3)
    print("published", results, flush=True)
    return results


PARTS: dict[str, Callable[[Path, argparse.Namespace], Any]] = {
    "us_per_sample": lambda folder, chosen: beside_peers(folder, chosen.samples),
    "published_layout": lambda folder, chosen: beside_published(folder, 60),
    "elastic": lambda folder, chosen: _elastic.run_cases(folder / "elastic", chosen.cases),
    "scale": lambda folder, chosen: _scale.measure(folder / "scale", chosen.rows),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--rows", type=int, default=3_440_000)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS), help="the others keep their results")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="loader_"))
    started = time.perf_counter()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    try:
        for part in chosen.parts:
            results[part] = PARTS[part](folder, chosen)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    results |= {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "load_average": os.getloadavg(),
        "seconds": round(time.perf_counter() - started),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
