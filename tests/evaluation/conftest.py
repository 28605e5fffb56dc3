"""Predictions small enough to be judged by hand, and a workspace whose every stage has run."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from evaluation.fairness import gaps
from evaluation.slices import score
from ingest.census import ASSOCIATIONS_SCHEMA, COUNTS_SCHEMA
from ingest.census.detectability import DETECTABILITY_SCHEMA
from ingest.census.intersections import INTERSECTIONS_SCHEMA
from ingest.census.missingness import MISSINGNESS_SCHEMA
from ingest.census.prevalence import PREVALENCE_SCHEMA
from ingest.census.protocol import PROTOCOL_SCHEMA
from ingest.census.provenance import PROVENANCE_SCHEMA
from ingest.census.reference import REFERENCE_SCHEMA
from ingest.drift import DRIFT_SCHEMA, TOTALS_SCHEMA
from ingest.quarantine import QUARANTINE_SCHEMA
from ingest.sample import Sample, to_table
from ingest.workspace import Workspace, write_json

Tables = tuple[pa.Table, pa.Table]
SCHEMAS = {
    "reference": REFERENCE_SCHEMA, "associations": ASSOCIATIONS_SCHEMA, "prevalence": PREVALENCE_SCHEMA,
    "detectability": DETECTABILITY_SCHEMA, "missingness": MISSINGNESS_SCHEMA, "intersections": INTERSECTIONS_SCHEMA,
    "provenance": PROVENANCE_SCHEMA, "protocol": PROTOCOL_SCHEMA, "drift": DRIFT_SCHEMA, "drift_totals": TOTALS_SCHEMA,
}  # fmt: skip
CHROMIUM = Path("/usr/bin/chromium")


# a closed network answers none of what Chromium asks for on its own (updates, sync): it must not ask
CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One headless Chromium for every page test; without one they are skipped."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
        yield running
        running.close()


@pytest.fixture
def browser(chromium: Any) -> Iterator[Any]:
    """The shared Chromium; the windows a test leaves open, as a failing one does, close with it."""
    yield chromium
    for window in chromium.contexts:
        window.close()


def classified(correct_by_level: dict[str, list[list[int]]], *, attribute: str = "sex") -> Tables:
    """Predictions and samples of a two-class task: per level, per person, 1 for each right and 0 for each wrong row."""
    predictions, samples = [], []
    for level, persons in correct_by_level.items():
        for place, rows in enumerate(persons):
            for number, right in enumerate(rows):
                sample_id = f"{level}-{place}-{number}"
                predictions.append(
                    {"sample_id": sample_id, "patient_id": f"{level}-{place}", "task": "classification",
                     "truth": "nevus", "predicted": "nevus" if right else "melanoma", "score": [0.5, 0.5]}
                )  # fmt: skip
                samples.append({"sample_id": sample_id, "dataset": "skin", attribute: level, "age_years": 30.0})
    table = pa.Table.from_pylist(predictions)
    return table.replace_schema_metadata({"classes": '["melanoma", "nevus"]'}), pa.Table.from_pylist(samples)


def drawn(accuracy: dict[str, float], *, num_persons: int, seed: int) -> Tables:
    """Predictions drawn with a given accuracy per level, one row per person."""
    generator = np.random.default_rng(seed)
    return classified(
        {level: generator.binomial(1, share, (num_persons, 1)).tolist() for level, share in accuracy.items()}
    )


@pytest.fixture
def draw() -> Callable[..., Tables]:
    return drawn


def _counts() -> pa.Table:
    levels: list[tuple[str, str, int | None, float | None]] = [
        ("sex", "female", 40, 0.4), ("sex", "male", 55, 0.55), ("sex", "__missing__", 5, 0.05),
        ("age_band", "0-17", None, None), ("age_band", "80+", None, None), ("age_band", "40-59", 70, 0.7),
        ("modality", "<script>alert(1)</script>", 10, 0.1), ("modality", "dermoscopy", 90, 0.9),
    ]  # fmt: skip
    rows = [
        {"attribute": attribute, "level": level, "dataset": dataset, "num_rows": number, "num_images": number,
         "num_studies": number, "num_persons": number, "share": share, "low": None if share is None else share - 0.03,
         "high": None if share is None else share + 0.03, "suppressed": number is None}
        for dataset in ("__all__", "skin", "chest") for attribute, level, number, share in levels
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=COUNTS_SCHEMA)


def _associations() -> pa.Table:
    rows = [{"attribute_a": "sex", "attribute_b": "modality", "cramers_v": 0.31, "num_rows": 95, "p_value": 2e-5}]
    return pa.Table.from_pylist(rows, schema=ASSOCIATIONS_SCHEMA)


@pytest.fixture
def census() -> dict[str, Any]:
    return _census()


def _census() -> dict[str, Any]:
    """The arguments of write_bias_page, one level of which tries to be markup."""
    persons = [{"dataset": "skin", "person_column": "study_id", "num_rows": 60, "num_persons": 50},
               {"dataset": "chest", "person_column": "patient_id", "num_rows": 40, "num_persons": 50}]  # fmt: skip
    datasets = [
        {"dataset": name, "rows_in": samples + 2, "samples": samples, "quarantined": 2,
         "by_reason": {"image_corrupt": 2}}
        for name, samples in (("chest", 40), ("skin", 60))
    ]  # fmt: skip
    return {
        "counts": _counts(), "persons": pa.Table.from_pylist(persons), "associations": _associations(),
        "datasets": datasets,
    }  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path, workspace_read_only: Workspace) -> Workspace:
    """A private copy, times kept."""
    return Workspace(Path(shutil.copytree(workspace_read_only.root, tmp_path / "work", copy_function=shutil.copy2)))


@pytest.fixture(scope="session")
def workspace_read_only(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace as the stages leave it, with one evaluated run named ``small``."""
    space, census = Workspace(tmp_path_factory.mktemp("workspace") / "work"), _census()
    space.census.mkdir(parents=True)
    for name in ("counts", "persons", "associations"):
        pq.write_table(census[name], space.census / f"{name}.parquet")
    _write_data_stages(space, census)
    _write_run(space)
    return space


def _write_data_stages(space: Workspace, census: dict[str, Any]) -> None:
    samples = [
        Sample(sample_id=f"{row['dataset']}-{n}", dataset=row["dataset"], native_id=str(n), split="train")
        for row in census["datasets"] for n in range(row["samples"])
    ]  # fmt: skip
    write_deltalake(space.samples, to_table(samples))
    rejected = [
        {"sample_id": "", "dataset": name, "native_id": str(n), "reason": "image_corrupt", "detail": ""}
        for name in ("chest", "skin") for n in range(2)
    ]  # fmt: skip
    write_deltalake(space.quarantine, pa.Table.from_pylist(rejected, schema=QUARANTINE_SCHEMA))
    for row in census["datasets"]:
        write_json(space.stamp(f"read-{row['dataset']}"), {"digest": "ab" * 16, "outputs": [], "summary": row})
    leakage = [{"kind": "same_image", "sample_id": "a", "action": "dropped_from_train"}]
    pq.write_table(pa.Table.from_pylist(leakage), space.leakage)
    margins = [{"attribute": "sex", "level": level, "before": b, "target": t, "after": t, "residual": 1e-9,
                "reachable_low": 0.02, "reachable_high": 0.94, "multiplier": m}
               for level, b, t, m in (("female", 0.4, 0.475, 0.2), ("male", 0.55, 0.475, -0.2))]  # fmt: skip
    solution = {"margins": margins, "feasible": True, "duality_gap": 1e-12, "effective_share": 0.93, "max_weight": 1.4,
                "num_cells": 8, "num_rows": 100, "seconds": 0.01}  # fmt: skip
    write_json(space.solution, solution)
    shares = [
        {key: row[key] for key in ("attribute", "level", "before", "after")} | {"num_rows": 40, "num_persons": 38}
        for row in margins
    ]
    pq.write_table(pa.Table.from_pylist(shares), space.solution.with_name("margins.parquet"))


def _write_run(space: Workspace) -> None:
    folder = space.runs / "small"
    folder.mkdir(parents=True)
    predictions, samples = drawn({"female": 0.6, "male": 0.95, "other": 0.5}, num_persons=60, seed=1)
    options: dict[str, Any] = {"num_resamples": 200, "seed": 1}
    pq.write_table(score(predictions, samples, "accuracy", ["sex"], **options), folder / "scores.parquet")
    pq.write_table(gaps(predictions, samples, "accuracy", ["sex"], **options), folder / "gaps.parquet")
    compared = {"model": 0.7, "baseline": 0.4, "difference_low": 0.2, "difference_high": 0.4, "num_rows": 9,
                "num_patients": 9}  # fmt: skip
    write_json(folder / "baselines.json", {"class_accuracy": compared})
    lines = [json.dumps({"step": step, "loss": 3 / step}) for step in range(1, 60)]
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n")
    write_json(folder / "run.json", {"run": "small", "seed": 7, "digest": "cd" * 16})


def _write_further_census(space: Workspace) -> None:
    """The tables that a census of today writes beyond counts, associations and persons (``ingest.census``)."""
    shown: dict[str, Any] = {"suppressed": False}
    whole = {"dataset": "__all__"} | shown
    population = {"d": 0.12, "null_95": 0.05, "p_value": 0.001, "reference": "city register", "version": "2",
                  "date": "2024-01-01"}  # fmt: skip
    tables: dict[str, list[dict[str, Any]]] = {
        "reference": [
            {"attribute": "sex", "level": level, "observed": seen, "expected": wanted, "ratio": seen / wanted,
             "low": 0.9 * seen / wanted, "high": 1.1 * seen / wanted, **whole, **population}
            for level, seen, wanted in (("female", 0.4, 0.5), ("male", 0.55, 0.47), ("other", 0.0, 0.03))
        ],
        "associations": [
            {"attribute_a": "sex", "attribute_b": b, "level_b": level, "num_rows": 95, "num_persons": 90,
             "cramers_v": v, "low": v - 0.1, "high": v + 0.1, "p_value": p, "q_value": 2 * p, "family_size": 7,
             "strongest_a": "female", "strongest_b": "dermoscopy", "odds_ratio": 3.0, "odds_low": 2.0,
             "odds_high": 4.5, "mh_ratio": 1.1, "mh_low": 0.8, "mh_high": 1.5, "strata": ["dataset"],
             "homogeneity_p": 0.4, "explained": explained, "reversal": False}
            for b, level, v, p, explained in (
                ("modality", None, 0.31, 2e-5, True), ("age_band", None, 0.22, 0.004, False),
                ("label", "nevus", 0.12, 0.3, False),
            )
        ] + [{"attribute_a": "sex", "attribute_b": "label", "level_b": "rare", "family_size": 7, "suppressed": True}],
        "detectability": [
            {"attribute": "modality", "label": label, "num_rows": rows, "num_persons": rows and 90, "utility": v,
             "utility_low": v, "utility_high": v, "risk": risk, "low": risk and risk - 0.1, "high": risk and risk + 0.1,
             "num_pictures": None if hidden else 88, "num_levels": None if hidden else 2,
             "auc": None if hidden else 0.9, "auc_low": None if hidden else 0.85, "auc_high": None if hidden else 0.95,
             "p_value": None if hidden else 1e-4, "q_value": None if hidden else 2e-4, "family_size": 2,
             "suppressed": hidden}
            for label, rows, v, risk, hidden in (
                (None, None, None, None, False), ("nevus", 95, 0.5, 0.4, False), ("rare", None, None, None, True),
            )
        ],
        "prevalence": [
            {"attribute": "sex", "level": level, "label": "nevus", "num_rows": 40, "num_persons": 38,
             "num_positive": 20, "prevalence": share, "low": share - 0.1, "high": share + 0.1,
             "difference": share - 0.4, "difference_low": -0.1, "difference_high": 0.2, "ratio": share / 0.4,
             "ratio_low": 0.8, "ratio_high": 1.9, **shown}
            for level, share in (("female", 0.5), ("male", 0.35))
        ],
        "missingness": [
            {"attribute": name, "dataset": dataset, "num_rows": 100, "num_applicable": 100, "num_persons": 90,
             "num_missing": 5, "share": share, "low": 0.02, "high": 0.1, **shown}
            for dataset in ("__all__", "skin", "chest") for name, share in (("sex", 0.05), ("age_band", 0.3))
        ],
        "intersections": [
            {"order": 2, "attribute_1": "modality", "level_1": "dermoscopy", "attribute_2": "sex", "level_2": level,
             "attribute_3": None, "level_3": None, "num_rows": None if hidden else 30,
             "num_persons": None if hidden else 28, "share": None if hidden else 0.3,
             "expected": None if hidden else 20.0, "lift": None if hidden else lift, "low": None if hidden else 1.2,
             "high": None if hidden else 1.9, "suppressed": hidden}
            for level, lift, hidden in (("female", 1.5, False), ("male", 0.7, False), ("other", 1.0, True))
        ],
        "provenance": [
            {"attribute": name, "source": source, "num_rows": 50, "num_persons": 45, "share": share, **whole}
            for name, source, share in (
                ("modality", "metadata", 0.6), ("modality", "rule", 0.4), ("anatomy", "curated", 0.7),
                ("anatomy", "__missing__", 0.3),
            )
        ],
        "protocol": [
            {"field": "kVp", "dataset": "chest", "num_rows": 40, "num_applicable": 50, "num_persons": 40,
             "median": 120.0, "q1": 110.0, "q3": 125.0, "eta2": 0.4, **shown}
        ],
        "drift": [
            {"before": 0, "after": 1, "attribute": "sex", "level": level, "rows_before": 40, "rows_after": 50,
             "persons_before": 38, "persons_after": 47, "rows_came": 10, "rows_went": 0, "rows_moved_in": 0,
             "rows_moved_out": 0, "share_before": 0.4, "share_after": 0.4 + change, "change": change,
             "low": change - 0.03, "high": change + 0.03, "p_value": 0.01, "q_value": q, "family_size": 3, **whole}
            for level, change, q in (("female", 0.1, 0.02), ("male", -0.1, 0.02), ("__missing__", 0.01, 0.6))
        ],
        "drift_totals": [
            {"before": 0, "after": 1, "rows_before": 90, "rows_after": 100, "came": 12, "went": 2, "moved": 3,
             "same": 85, **whole}
        ],
    }  # fmt: skip
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMAS[name]), space.census / f"{name}.parquet")
    notes = ["detectability: 2 of 90 chosen pictures did not open", "sex: missing on every row"]
    write_json(space.census / "census.json", {"notes": notes})


@pytest.fixture
def full_workspace(tmp_path: Path, full_workspace_read_only: Workspace) -> Workspace:
    """A private copy, times kept."""
    folder = shutil.copytree(full_workspace_read_only.root, tmp_path / "full", copy_function=shutil.copy2)
    return Workspace(Path(folder))


@pytest.fixture(scope="session")
def full_workspace_read_only(tmp_path_factory: pytest.TempPathFactory, workspace_read_only: Workspace) -> Workspace:
    """The workspace with every table of the census, and a certificate that compares methods."""
    folder = tmp_path_factory.mktemp("full") / "work"
    workspace = Workspace(Path(shutil.copytree(workspace_read_only.root, folder, copy_function=shutil.copy2)))
    _write_further_census(workspace)
    solution = json.loads(workspace.solution.read_text())
    line = {"largest_residual": 1e-9, "effective_share": 0.93, "min_weight": 0.8, "max_weight": 1.4,
            "num_rows_outside_bounds": 0, "num_rows_above_cap": 0}  # fmt: skip
    compared = [line | {"method": "calibration"}, line | {"method": "inverse", "largest_residual": 0.12}]
    clipped = {"attribute": "sex", "level": "other", "wanted": 0.3, "target": 0.1, "reachable_low": 0.0,
               "reachable_high": 0.1}  # fmt: skip
    further = {"comparison": compared, "clipped": [clipped], "method": "calibration", "strength_factor": 0.8}
    write_json(workspace.solution, solution | further)
    return workspace
