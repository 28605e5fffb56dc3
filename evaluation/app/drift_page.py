"""What changed between two versions of the samples table."""

from typing import Any

from dash import html

from evaluation.app.parts import SUPPRESSED, choice, graph, note, section, table
from evaluation.census_figures import share_changes
from evaluation.corpus import Corpus, Row, attributes_of
from evaluation.page import between, name_of, percent, sentence_case, whole
from evaluation.rows import EVERYTHING
from evaluation.source_sections import ordered_changes


def pairs_of(corpus: Corpus) -> list[str]:
    """The pairs of versions that are compared, as ``before-after``, newest first."""
    pairs = {(row["before"], row["after"]) for row in corpus.drift_totals}
    return [f"{before}-{after}" for before, after in sorted(pairs, key=lambda pair: (-pair[1], -pair[0]))]


def layout(corpus: Corpus) -> Any:
    pairs = pairs_of(corpus)
    if not pairs:
        words = (
            "There is one version of the samples table so far: the next refresh that changes a row is compared with it."
        )
        return section("What changed", note(words), anchor="drift")
    attributes = attributes_of(corpus.drift)
    options = [(pair, "version " + pair.replace("-", " to version ")) for pair in pairs]
    return section(
        "What changed",
        html.Div(
            [
                choice("Versions", name="versions", value=pairs[0], options=options),
                choice(
                    "Attribute", name="drift-attribute", value=attributes[0] if attributes else None,
                    options=[(name, sentence_case(name_of(name))) for name in attributes],
                ),
            ],
            className="choices",
        ),
        html.Div(changes(corpus, pairs[0], attributes[0] if attributes else None), id="changes"),
        anchor="drift",
    )  # fmt: skip


def changes(corpus: Corpus, pair: str, attribute: str | None) -> Any:
    """What came and went, and one attribute's shares, between two versions."""
    before, after = (int(version) for version in pair.split("-"))
    totals = [row for row in corpus.drift_totals if (row["before"], row["after"]) == (before, after)]
    parts = [_totals(totals, before, after)]
    of_pair = [
        row for row in corpus.drift
        if (row["before"], row["after"], row["dataset"]) == (before, after, EVERYTHING)
    ]  # fmt: skip
    rows = ordered_changes(of_pair, attribute) if attribute else []
    if rows:
        title = sentence_case(name_of(attribute))
        words = f"Change of each level's share of {name_of(attribute)}; the table below holds the same numbers"
        parts += [
            html.H3(title),
            graph(share_changes(rows), name="changes-figure", words=words),
            table(
                ["Level", "Persons before", "Persons after", "Before", "After", "Change", "95 %", "Verdict"],
                [[sentence_case(name_of(row["level"])), *_change(row)] for row in rows],
                caption=f"{title}: shares of rows",
            ),
        ]  # fmt: skip
    return parts


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
        percent(row["share_after"]), "–" if row["change"] is None else f"{100 * row['change']:+.1f} points",
        between(row["low"], row["high"]) or "–", "changed" if known else "may be chance",
    ]  # fmt: skip
