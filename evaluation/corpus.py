"""What the data stages left in a workspace, as rows: the census, the weights, the leakage. Aggregates only.

A table that is absent (an older workspace, a stage that has not run) is an empty list.
"""

import functools
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from evaluation.rows import EVERYTHING, ordered_levels
from ingest.attributes import ABSENT_LEVELS, connect_delta
from ingest.workspace import Workspace

Row = dict[str, Any]
_ORDERED = frozenset({"age_band", "skin_type"})
NO_BIAS_QUESTION = frozenset({"dataset", "task", "label"})
"""Attributes whose levels are not meant to be equally frequent."""

SHORTCUT_NOTES = "detectability: "
"""What notes of the census begin with that stand beside the shortcuts."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """What the data stages left, as rows; empty where a stage has not run.

    datasets: ``dataset, rows_in, samples, quarantined, by_reason`` and where known ``splits`` (None: hidden).
    margins: the lines of margins.parquet with ``targeted``, ``target`` (None without one, or where hidden) and
    ``hidden``. leakage: ``kind, action, num_findings``.
    The rest: see ``ingest.census``.
    """

    datasets: list[Row]
    counts: list[Row]
    persons: list[Row]
    associations: list[Row] = field(default_factory=list)
    detectability: list[Row] = field(default_factory=list)
    reference: list[Row] = field(default_factory=list)
    missingness: list[Row] = field(default_factory=list)
    provenance: list[Row] = field(default_factory=list)
    drift: list[Row] = field(default_factory=list)
    drift_totals: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    leakage: list[Row] | None = None
    margins: list[Row] = field(default_factory=list)
    solution: Row | None = None


def read_corpus(workspace: Workspace) -> Corpus:
    """What the data stages left; empty where they have not run."""
    counts = census_rows(workspace, "counts")
    solution = _json(workspace.solution)
    record = _json(workspace.census / "census.json") or {}
    return Corpus(
        datasets=_datasets(workspace, record.get("hidden_splits", [])),
        counts=counts,
        persons=census_rows(workspace, "persons"),
        associations=numbered(census_rows(workspace, "associations")),
        detectability=census_rows(workspace, "detectability"),
        reference=census_rows(workspace, "reference"),
        missingness=census_rows(workspace, "missingness"),
        provenance=census_rows(workspace, "provenance"),
        drift=census_rows(workspace, "drift"),
        drift_totals=census_rows(workspace, "drift_totals"),
        notes=record.get("notes", []),
        leakage=_leakage(workspace.leakage),
        margins=_margins(_rows(workspace.solution.with_name("margins.parquet")) or [], solution, counts),
        solution=solution,
    )


def _leakage(path: Path) -> list[Row] | None:
    """Findings counted by kind and action: at the published size they are hundreds of thousands of rows."""
    if not path.exists():
        return None
    findings = pq.read_table(path, columns=["kind", "action"])
    counted = findings.group_by(["kind", "action"]).aggregate([([], "count_all")])
    counted = counted.rename_columns(["kind", "action", "num_findings"])
    return counted.sort_by([("kind", "ascending"), ("action", "ascending")]).to_pylist()


def census_rows(workspace: Workspace, name: str, **equal: str | int) -> list[Row]:
    """The rows of ``census/<name>.parquet`` whose columns equal ``equal``; none where there is no such table."""
    path = workspace.census / f"{name}.parquet"
    if not path.exists():
        return []
    filters = [(column, "=", value) for column, value in equal.items()]
    rows: list[Row] = pq.read_table(path, filters=filters or None).to_pylist()
    return rows


def _margins(margins: list[Row], solution: Row | None, counts: list[Row]) -> list[Row]:
    """Each margin with its target, and whether the census hides its level."""
    targets = {(line["attribute"], line["level"]): line["target"] for line in (solution or {}).get("margins", [])}
    hidden = {(row["attribute"], row["level"]) for row in counts if row["suppressed"]}
    return [
        row
        | {
            "num_persons": row.get("num_persons"),  # an older workspace has none
            "targeted": (row["attribute"], row["level"]) in targets,
            "target": targets.get((row["attribute"], row["level"])),
            "hidden": bool(row.get("suppressed")) or (row["attribute"], row["level"]) in hidden,
        }
        for row in margins
    ]


def attributes_of(counts: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["attribute"] for row in counts))


def levels_of(counts: Sequence[Row], attribute: str, dataset: str) -> list[Row]:
    """The rows of one attribute: ordered ones in order, others by persons; what is not known last."""
    rows = [row for row in counts if row["attribute"] == attribute and row["dataset"] == dataset]
    rank = {level: place for place, level in enumerate(ordered_levels({row["level"] for row in rows}))}
    if attribute in _ORDERED:
        return sorted(rows, key=lambda row: rank[row["level"]])
    return sorted(rows, key=lambda row: (is_absent(row), -(row["num_rows"] or 0), row["level"]))


def extremes_of(counts: Sequence[Row], attribute: str) -> tuple[Row, Row] | None:
    """The most and the least frequent known level of an attribute in the whole corpus; None of fewer than two."""
    known = [row for row in levels_of(counts, attribute, EVERYTHING) if not is_absent(row) and row["share"]]
    if len(known) < 2:
        return None
    return max(known, key=lambda row: row["share"]), min(known, key=lambda row: row["share"])


def is_absent(row: Row) -> bool:
    """Whether the level says that it is not known, or does not apply."""
    return row["level"] in ABSENT_LEVELS


def numbered(associations: list[Row]) -> list[Row]:
    """Pairs whose strength is a number, strongest first, then those that are suppressed."""
    known = [row for row in associations if row["cramers_v"] is not None and math.isfinite(row["cramers_v"])]
    hidden = [row for row in associations if row.get("suppressed")]
    return [*sorted(known, key=lambda row: -row["cramers_v"]), *hidden]


def open_pairs(associations: Sequence[Row]) -> list[Row]:
    """Those that are not suppressed."""
    return [row for row in associations if not row.get("suppressed")]


def _datasets(workspace: Workspace, hidden: list[list[str]]) -> list[Row]:
    """Rows in from the stamps of reading; samples by split and reasons of rejection as the tables hold them."""
    read = _read_summaries(workspace)
    splits = _delta_counts(workspace.samples, ("dataset", "split"))
    reasons = _delta_counts(workspace.quarantine, ("dataset", "reason"))
    names = sorted(set(read) | {key[0] for key in splits})
    rows = []
    for name in names:
        by_split = {key[1]: number for key, number in splits.items() if key[0] == name}
        by_reason = {key[1]: number for key, number in reasons.items() if key[0] == name}
        samples, aside = sum(by_split.values()), sum(by_reason.values())
        rows_in = read.get(name, {}).get("rows_in", samples + aside)
        rows.append(
            {"dataset": name, "rows_in": rows_in, "samples": samples, "quarantined": aside, "by_reason": by_reason,
             "splits": by_split | {split: None for place, split in hidden if place == name}}
        )  # fmt: skip
    return rows


def _read_summaries(workspace: Workspace) -> dict[str, Row]:
    return {
        path.stem.removeprefix("read-"): json.loads(path.read_text())["summary"]
        for path in sorted((workspace.root / "stages").glob("read-*.json"))
    }


def _delta_counts(path: Path, columns: tuple[str, ...]) -> Counter[tuple[str, ...]]:
    """How often each combination of columns stands in a Delta table; empty where there is none."""
    from deltalake import DeltaTable

    if not (path / "_delta_log").exists():
        return Counter()
    return _counted(path, columns, DeltaTable(path).version())


@functools.lru_cache(maxsize=64)
def _counted(path: Path, columns: tuple[str, ...], version: int) -> Counter[tuple[str, ...]]:
    """Counts of one version, which never change: pages that are opened again do not count again."""
    from deltalake import DeltaTable

    names = ", ".join(columns)
    connection = connect_delta(DeltaTable(path, version=version), "counted")
    rows = connection.sql(f"SELECT {names}, count(*) FROM counted GROUP BY {names}").fetchall()
    return Counter({tuple(str(value) for value in row[:-1]): row[-1] for row in rows})


def _rows(path: Path) -> list[Row] | None:
    return pq.read_table(path).to_pylist() if path.exists() else None


def _json(path: Path) -> Row | None:
    return json.loads(path.read_text()) if path.exists() else None
