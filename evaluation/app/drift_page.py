"""What changed between two versions of the samples table."""

import functools
import json
from pathlib import Path
from typing import Any

from dash import dcc, html
from deltalake import DeltaTable

from evaluation.app.parts import SUPPRESSED, choice, graph, note, section, table
from evaluation.census_figures import share_changes
from evaluation.corpus import Corpus, Row, attributes_of
from evaluation.page import name_of, sentence_case, whole
from evaluation.rows import EVERYTHING
from evaluation.source_sections import ordered_changes
from ingest.census import CensusConfig
from ingest.drift import drift_between
from ingest.errors import BadInput
from ingest.percent import between, percent, points
from ingest.workspace import Workspace

SHOWN_VERSIONS = 50


def layout(workspace: Workspace, corpus: Corpus) -> Any:
    """The page: the pair of versions that the census compared, or the last two, and menus for any other pair."""
    last = _last_version(workspace)
    compared = max(((row["after"], row["before"]) for row in corpus.drift_totals), default=None)
    if compared is None and not last:
        words = "There is nothing to compare yet: the next refresh that changes a row is held against this version."
        return section("What changed", note(words), anchor="drift")
    after, before = compared or (last, last - 1)
    last = max(last, after)
    versions = [(str(version), f"version {version}") for version in range(last, max(-1, last - SHOWN_VERSIONS), -1)]
    attributes = attributes_of(corpus.drift) or attributes_of(corpus.counts)
    return section(
        "What changed",
        html.Div(
            [
                choice("From", name="version-before", value=str(before), options=versions),
                choice("To", name="version-after", value=str(after), options=versions),
                choice(
                    "Attribute", name="drift-attribute", value=attributes[0] if attributes else None,
                    options=[(name, sentence_case(name_of(name))) for name in attributes],
                ),
            ],
            className="choices",
        ),
        dcc.Loading(html.Div(id="changes"), delay_show=400),
        anchor="drift",
    )  # fmt: skip


def changes(
    workspace: Workspace,
    corpus: Corpus,
    *,
    before: int,
    after: int,
    attribute: str | None,
    identifiable: frozenset[str],
) -> Any:
    """What came and went, and one attribute's shares, between two versions.

    A pair that the census did not compare is compared now: the one thing here that reads rows.
    """
    if before == after:
        return note("Choose two different versions.")
    pair = (before, after)
    drift = [row for row in corpus.drift if (row["before"], row["after"]) == pair]
    totals = [row for row in corpus.drift_totals if (row["before"], row["after"]) == pair]
    if not totals:
        try:
            hidden = frozenset((row["attribute"], row["dataset"]) for row in corpus.counts if row["suppressed"])
            settings = _settings(workspace, corpus)
            drift, totals = _compared(workspace.samples, before, after, *settings, identifiable, hidden)
        except BadInput:
            return note(f"Version {before} or version {after} of the samples table is no longer there.")
    parts = [_totals(totals, before, after)]
    rows = ordered_changes([row for row in drift if row["dataset"] == EVERYTHING], attribute) if attribute else []
    if rows:
        title = sentence_case(name_of(attribute))
        words = f"Change of each level's share of {name_of(attribute)}; the table below holds the same numbers"
        columns = ["Level", "Persons before", "Persons after", "Before", "After", "Change", "95 %", "Verdict"]
        cells = [[sentence_case(name_of(row["level"])), *_change(row)] for row in rows]
        parts += [
            html.H3(title),
            graph(share_changes(rows), name="changes-figure", words=words),
            table(columns, cells, caption=f"{title}: shares of rows"),
        ]
    return parts


def _last_version(workspace: Workspace) -> int:
    """The newest version of the samples table, 0 where there is none."""
    return DeltaTable(workspace.samples).version() if (workspace.samples / "_delta_log").exists() else 0


def _settings(workspace: Workspace, corpus: Corpus) -> tuple[tuple[str, ...], int]:
    """By which attributes the census counted, and below how many persons it hides."""
    path = workspace.census / "census.json"
    settings = json.loads(path.read_text())["settings"] if path.exists() else {}
    attributes = settings.get("attributes", attributes_of(corpus.counts))
    return tuple(attributes), settings.get("suppress_below", CensusConfig().suppress_below)


@functools.lru_cache(maxsize=16)
def _compared(
    samples: Path,
    before: int,
    after: int,
    attributes: tuple[str, ...],
    below: int,
    identifiable: frozenset[str],
    hidden: frozenset[tuple[str, str]],
) -> tuple[list[Row], list[Row]]:
    """Two versions never change, so neither does what lies between them."""
    tables = drift_between(
        samples, before, after, attributes=attributes, below=below, identifiable=set(identifiable), hidden=hidden
    )
    return tables["drift"].to_pylist(), tables["drift_totals"].to_pylist()


def _totals(rows: list[Row], before: int, after: int) -> Any:
    cells = [
        ["All" if row["dataset"] == EVERYTHING else row["dataset"],
         *([SUPPRESSED] * 6 if row["suppressed"] else
           [whole(row[key]) for key in ("rows_before", "came", "went", "moved", "same", "rows_after")])]
        for row in rows
    ]  # fmt: skip
    columns = ["Data set", "Rows before", "Came", "Went", "Changed", "Same", "Rows after"]
    return table(columns, cells, caption=f"Rows of version {before} and version {after}")


def _change(row: Row) -> list[Any]:
    if row["suppressed"]:
        return [SUPPRESSED] * 7
    known = row["q_value"] is not None and row["q_value"] <= 0.05
    return [
        whole(row["persons_before"]), whole(row["persons_after"]), percent(row["share_before"]),
        percent(row["share_after"]), points(row["change"]),
        between(row["low"], row["high"]) or "–", "changed" if known else "may be chance",
    ]  # fmt: skip
