"""The census of 3.44 M rows: counts, order-2 intersections, bootstrap, memory; and its coverage on small corpora.

    python -m benchmarks.census [--rows N] [--corpora N]

Synthetic rows of ten attributes, about 3.4 per person, in a Delta table written and read as samples/ is. Wall and
CPU seconds (of all threads) are given: on a busy machine only the second says something.
"""

import argparse
import json
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil

from benchmarks._census_coverage import study
from benchmarks._large_corpus import LEVELS, NUM_ROWS, write_samples
from ingest.attributes import connect_samples
from ingest.census import CensusConfig, count_levels, encode
from ingest.census.coded import level_counts
from ingest.census.intersections import intersections
from ingest.census.take import measure

RESULTS = Path(__file__).parent / "results" / "census.json"
NAMES = tuple(LEVELS)
OF_PERSON = ("dataset", "sex", "age_band", "skin_type", "race", "language")
MISSING = {"sex": 0.2, "age_band": 0.3, "skin_type": 0.7, "race": 0.6, "view": 0.4, "manufacturer": 0.4}
LIMITS = {"counts_of_rows": 1.5, "census_order_2": 10.0, "with_bootstrap": 60.0}
LIMIT_GIB = 4.0


def timed(step: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = step()
    return found, {"seconds": round(time.perf_counter() - wall, 2), "cpu_seconds": round(time.process_time() - cpu, 2)}


def measure_steps(path: Path) -> dict[str, Any]:
    """Seconds of each step; peak memory of the process in GiB."""
    connection = connect_samples(path)
    steps: dict[str, Any] = {}
    _, steps["counts_of_rows"] = timed(lambda: level_counts(connection, NAMES))
    coded, steps["code"] = timed(lambda: encode(connection, NAMES))
    _, steps["counts_of_four_units"] = timed(lambda: count_levels(coded, NAMES, num_resamples=0))
    crossed, steps["intersections_order_2"] = timed(lambda: intersections(coded, NAMES, order=2))
    _, steps["counts_with_1000_resamples"] = timed(lambda: count_levels(coded, NAMES, num_resamples=1000))
    config = CensusConfig(attributes=NAMES)
    _, steps["every_table"] = timed(
        lambda: measure(connection, config, identifiable=set(), progress=lambda name: None)
    )  # fmt: skip
    for name, parts in {
        "census_order_2": ("code", "counts_of_four_units", "intersections_order_2"),
        "with_bootstrap": ("code", "counts_with_1000_resamples", "intersections_order_2"),
    }.items():
        steps[name] = {key: round(sum(steps[part][key] for part in parts), 2) for key in ("seconds", "cpu_seconds")}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"steps": steps, "num_intersections": crossed.num_rows, "peak_gib": round(peak, 2)}


def main() -> None:
    """Measure at ``--rows``, study coverage on ``--corpora``, write and print the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=NUM_ROWS)
    parser.add_argument("--corpora", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as writer:  # its memory is not the census's
            corpus = {"num_rows": options.rows, "seed": 0, "of_person": OF_PERSON, "missing": MISSING}
            num_persons = writer.submit(write_samples, Path(folder) / "samples", **corpus).result()
        measured = measure_steps(Path(folder) / "samples")
    results = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {"cpus": psutil.cpu_count(), "python": platform.python_version(), "system": platform.platform(),
                    "load": psutil.getloadavg()[0]},
        "num_rows": options.rows, "num_persons": num_persons, **measured,
        "limits_seconds": LIMITS, "limit_gib": LIMIT_GIB, "coverage": study(options.corpora),
    }  # fmt: skip
    if options.rows == NUM_ROWS:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    for name, one in measured["steps"].items():
        limit = f"limit {LIMITS[name]} s" if name in LIMITS else ""
        print(f"{name:28} {one['seconds']:7.2f} s wall {one['cpu_seconds']:7.2f} s CPU  {limit}")
    print(f"peak {measured['peak_gib']} GiB, limit {LIMIT_GIB}; coverage {results['coverage']}")


if __name__ == "__main__":
    main()
