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

import numpy as np
import psutil
import pyarrow as pa
from deltalake import write_deltalake

from benchmarks._census_coverage import study
from ingest.anatomy import Anatomy
from ingest.attributes import connect_samples
from ingest.census import CensusConfig, count_levels, encode
from ingest.census.coded import level_counts
from ingest.census.intersections import intersections
from ingest.census.take import measure
from ingest.modality import Modality
from ingest.sample import SCHEMA, Sample, to_table

RESULTS = Path(__file__).parent / "results" / "census.json"
NAMES = ("modality", "anatomy", "sex", "age_band", "skin_type", "race", "view", "manufacturer", "dataset", "task")
LIMITS = {"counts_of_rows": 1.5, "census_order_2": 10.0, "with_bootstrap": 60.0}
LIMIT_GIB = 4.0


def write_corpus(path: Path, num_rows: int, seed: int = 0) -> int:
    """``num_rows`` rows at ``path``; returns the number of persons. Levels are skewed, person-level ones constant."""
    generator = np.random.default_rng(seed)
    sizes = generator.geometric(0.29, num_rows)
    sizes = sizes[np.cumsum(sizes) <= num_rows]
    sizes = np.append(sizes, num_rows - sizes.sum())
    person = np.repeat(np.arange(len(sizes)), sizes)[:num_rows]

    def level(names: list[str], *, missing: float = 0.0, of_person: bool = False) -> pa.Array:
        weights = 1 / np.arange(1, len(names) + 1) ** 1.2
        number = len(sizes) if of_person else num_rows
        codes = generator.choice(len(names), number, p=weights / weights.sum()).astype(np.int32)
        mask = generator.random(number) < missing
        if of_person:
            codes, mask = codes[person], mask[person]
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=mask), pa.array(names)).cast(pa.string())

    def text(pattern: str, values: Any) -> pa.Array:
        array = pa.array(np.char.mod(pattern, values))
        return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array

    ages = generator.normal(55, 18, len(sizes)).clip(0, 100)
    each = pa.array(np.arange(num_rows + 1, dtype=np.int32))
    shared = np.where(generator.random(num_rows) < 0.3, np.maximum(np.arange(num_rows) - 1, 0), np.arange(num_rows))
    columns = {
        "sample_id": text("%032x", np.arange(num_rows)),
        "dataset": level([f"dataset_{n}" for n in range(6)], of_person=True),
        "patient_id": text("p%07d", person),
        "study_id": text("s%08d", np.cumsum(generator.integers(0, 2, num_rows))),
        "image_uris": pa.ListArray.from_arrays(each, text("img/%08d.png", shared)),
        "image_sha256": pa.ListArray.from_arrays(each, text("%064x", shared)),
        "modality": level([str(one) for one in Modality][:22]),
        "anatomy": level([str(one) for one in Anatomy]),
        "sex": level(["female", "male"], missing=0.2, of_person=True),
        "age_years": pa.array(ages[person], mask=(generator.random(len(sizes)) < 0.3)[person]),
        "skin_type": level(list("123456"), missing=0.7, of_person=True).cast(pa.int64()),
        "race": level(list("ABCDE"), missing=0.6, of_person=True),
        "view": level([f"view_{n}" for n in range(8)], missing=0.4),
        "manufacturer": level([f"maker_{n}" for n in range(9)], missing=0.4),
        "task": level(["vqa", "report", "classification", "segmentation", "detection"]),
    }
    empty = to_table([Sample(sample_id="0", dataset="d", native_id="0")])
    table = pa.table(
        {name: columns.get(name, pa.nulls(num_rows, SCHEMA.field(name).type)) for name in empty.column_names}
    )
    write_deltalake(path, table, partition_by=["dataset"])
    return len(sizes)


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
    parser.add_argument("--rows", type=int, default=3_440_000)
    parser.add_argument("--corpora", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as writer:  # its memory is not the census's
            num_persons = writer.submit(write_corpus, Path(folder) / "samples", options.rows).result()
        measured = measure_steps(Path(folder) / "samples")
    results = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {"cpus": psutil.cpu_count(), "python": platform.python_version(), "system": platform.platform(),
                    "load": psutil.getloadavg()[0]},
        "num_rows": options.rows, "num_persons": num_persons, **measured,
        "limits_seconds": LIMITS, "limit_gib": LIMIT_GIB, "coverage": study(options.corpora),
    }  # fmt: skip
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    for name, one in measured["steps"].items():
        limit = f"limit {LIMITS[name]} s" if name in LIMITS else ""
        print(f"{name:28} {one['seconds']:7.2f} s wall {one['cpu_seconds']:7.2f} s CPU  {limit}")
    print(f"peak {measured['peak_gib']} GiB, limit {LIMIT_GIB}; coverage {results['coverage']}")


if __name__ == "__main__":
    main()
