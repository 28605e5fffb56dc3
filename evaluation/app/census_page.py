"""Who is in the corpus, and who is missing: a bar per level, and behind each bar its cell."""

from typing import Any

from dash import dcc, html

from evaluation.app.parts import SUPPRESSED, aria, button, choice, facts, findings, graph, note, section, table
from evaluation.census_figures import level_shares
from evaluation.corpus import Corpus, Row, attributes_of, levels_of
from evaluation.corpus_sections import corpus_facts, corpus_findings
from evaluation.page import name_of, sentence_case, whole
from evaluation.rows import EVERYTHING
from ingest.percent import between, percent

SHOWN_LEVELS = 24


def layout(corpus: Corpus, *, attribute: str | None) -> Any:
    """The page; ``attribute`` is shown first where the census has it."""
    attributes = attributes_of(corpus.counts)
    if not attributes:
        return section("Who is in the corpus", note("No census yet: run `biascarevl refresh`."), anchor="census")
    chosen = attribute if attribute in attributes else attributes[0]
    datasets = sorted({row["dataset"] for row in corpus.counts} - {EVERYTHING})
    return [
        facts(corpus_facts(corpus)),
        findings(corpus_findings(corpus)),
        section(
            "Who is in the corpus, and who is missing",
            note(
                "Share of rows, with the number of persons and its 95 % interval over persons. Missing and not "
                "applicable are levels of their own. A suppressed cell is so small that it could point to a person."
            ),
            html.Div(
                [
                    choice(
                        "Attribute", name="attribute", value=chosen,
                        options=[(name, sentence_case(name_of(name))) for name in attributes],
                    ),
                    choice(
                        "Data set", name="dataset", value=EVERYTHING,
                        options=[(EVERYTHING, "All data sets"), *((name, name) for name in datasets)],
                    ),
                ],
                className="choices",
            ),
            html.Div(shares(corpus, chosen, EVERYTHING), id="shares"),
            dcc.Loading(html.Div(id="cell", tabIndex="-1", **aria(live="polite")), delay_show=400),
            anchor="census",
        ),
    ]  # fmt: skip


def shares(corpus: Corpus, attribute: str, dataset: str) -> Any:
    """Figure, table and distance of one attribute in one data set."""
    rows = levels_of(corpus.counts, attribute, dataset)
    reference = [row for row in corpus.reference if row["attribute"] == attribute and row["dataset"] == dataset]
    against = {row["level"]: row for row in reference}
    expected = _expected(rows, reference)
    present = {row["level"] for row in rows}
    rows = [*rows, *(_nobody(row, dataset) for row in reference if row["level"] not in present)]
    if not rows:
        return note("No row of this data set.")
    words = f"Shares of {name_of(attribute)} with intervals; the table below holds the same numbers"
    return [
        graph(level_shares(rows[:SHOWN_LEVELS], expected=expected or None), name="census-figure", words=words),
        _distance(reference),
        note("Choose a level to see its cell, what it stands together with, and what weighting does to it."),
        _table(rows, against, attribute),
    ]


def _expected(rows: list[Row], reference: list[Row]) -> dict[str, float]:
    """The population's shares, as shares of all rows: of those that say the attribute, not of those that do not."""
    named = {row["level"] for row in reference}
    known = sum(row["share"] or 0.0 for row in rows if row["level"] in named)
    return {row["level"]: row["expected"] * known for row in reference if not row["suppressed"]}


def _nobody(row: Row, dataset: str) -> Row:
    """A level of the reference population that no row of the corpus has."""
    none = dict.fromkeys(("num_rows", "num_images", "num_studies", "num_persons"), 0)
    return {
        "attribute": row["attribute"], "level": row["level"], "dataset": dataset, **none, "share": 0.0, "low": None,
        "high": None, "suppressed": row["suppressed"],
    }  # fmt: skip


def _table(rows: list[Row], against: dict[str, Row], attribute: str) -> Any:
    columns = [
        "Level",
        "Persons",
        "Rows",
        "Share",
        "95 %",
        *(["Of those known", "Reference", "Ratio", "95 % of the ratio"] if against else []),
    ]
    return table(
        columns,
        [
            [
                button(sentence_case(name_of(row["level"])), kind="level", key=row["level"]),
                *_numbers(row), *(_against(against.get(row["level"])) if against else []),
            ]
            for row in rows
        ],
        caption=f"{sentence_case(name_of(attribute))}: every level",
    )  # fmt: skip


def _numbers(row: Row) -> list[Any]:
    if row["suppressed"]:
        return [SUPPRESSED] * 4
    return [
        whole(row["num_persons"]),
        whole(row["num_rows"]),
        percent(row["share"]),
        between(row["low"], row["high"]) or "–",
    ]


def _against(row: Row | None) -> list[Any]:
    if row is None:
        return ["–"] * 4
    if row["suppressed"]:
        return [SUPPRESSED] * 4
    ratio = "–" if row["ratio"] is None else f"{row['ratio']:.2f}"
    interval = "–" if row["low"] is None else f"{row['low']:.2f} to {row['high']:.2f}"
    return [percent(row["observed"]), percent(row["expected"]), ratio, interval]


def _distance(reference: list[Row]) -> Any:
    """How far the attribute is from the reference population, and how far chance alone would put it."""
    measured = next((row for row in reference if row["d"] is not None), None)
    if measured is None:
        return None
    beyond = "farther than chance" if measured["d"] > measured["null_95"] else "no farther than chance"
    return note(
        f"Distance to {measured['reference']} (version {measured['version']}, {measured['date']}): "
        f"{measured['d']:.3f} of at most 1, {beyond} (19 times of 20 below {measured['null_95']:.3f})."
    )
