"""What a newcomer waits for: --help, look on 100,000 rows, the whole demo, and a refresh with nothing to do.

    python -m benchmarks.first_light

Each step is a process of its own, timed from outside, with the peak memory of its process tree.
"""

import json
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent / "results" / "first_light.json"
PROGRAM = str(Path(sys.executable).with_name("biascarevl"))
LIMIT_SECONDS = {"help": 0.5, "look_100k": 60, "demo": 240, "refresh_unchanged": 10}
LIMIT_GIB = 3


def measure(arguments: list[str]) -> dict[str, float]:
    """Wall seconds and peak resident GiB (process and its children) of one command that must succeed."""
    start = time.perf_counter()
    process = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(process, peak))
    watcher.start()
    if process.wait() != 0:
        raise SystemExit(f"{arguments}: exit code {process.returncode}")
    seconds = time.perf_counter() - start
    watcher.join()
    return {"seconds": round(seconds, 3), "peak_gib": round(peak[0] / 2**30, 3)}


def _watch(process: subprocess.Popen[bytes], peak: list[int]) -> None:
    """Keep the highest sum of resident memory over the tree, sampled every 50 ms."""
    root = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            tree = [root, *root.children(recursive=True)]
            peak[0] = max(peak[0], sum(member.memory_info().rss for member in tree))
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.05)


def main() -> None:
    """Run every step once, --help five times (the median counts), and write the results."""
    folder = Path(tempfile.mkdtemp(prefix="first_light_"))
    raw, demo = folder / "raw", folder / "demo"
    steps = {"help": sorted((measure(["--help"]) for _ in range(5)), key=lambda m: m["seconds"])[2]}
    steps["simulate_100k"] = measure(["simulate", str(raw), "--samples", "100000"])
    steps["look_100k"] = measure(["look", str(raw), "--out", str(folder / "bias.html")])
    steps["demo"] = measure(["demo", "--workspace", str(demo)])
    steps["refresh_unchanged"] = measure(["refresh", str(demo / "demo.toml")])
    train = json.loads((demo / "workspace" / "stages" / "train.json").read_text())["summary"]
    evaluated = json.loads((demo / "workspace" / "stages" / "evaluate.json").read_text())["summary"]
    results = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {"cpus": psutil.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "steps": steps,
        "limits_seconds": LIMIT_SECONDS,
        "limit_gib": LIMIT_GIB,
        "train": train,
        "evaluate": evaluated,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    for name, measured in steps.items():
        limit = LIMIT_SECONDS.get(name)
        print(f"{name:18} {measured['seconds']:8.2f} s  {measured['peak_gib']:6.2f} GiB  limit {limit or '-'} s")
    print(f"train: {train}\nevaluate: {evaluated}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
