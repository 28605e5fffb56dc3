"""Before and after weighting, side by side; the certificate; which finding led to which margin."""

from typing import Any

from dash import dcc, html

from evaluation.actions import findings_of
from evaluation.app.parts import SUPPRESSED, choice, graph, note, section, table
from evaluation.census_figures import before_after
from evaluation.certificate_section import (
    COMPARISON_COLUMNS,
    MARGIN_COLUMNS,
    MARGINS_NOTE,
    certificate_words,
    comparison_cells,
    margin_numbers,
    weights_words,
)
from evaluation.corpus import Corpus, Row, attributes_of, levels_of
from evaluation.page import name_of, sentence_case, whole
from evaluation.rows import EVERYTHING
from ingest.percent import percent

SHOWN_LEVELS = 24


def layout(corpus: Corpus, *, attribute: str | None) -> Any:
    """The page; ``attribute`` is shown first where there are margins of it."""
    if corpus.solution is None or not corpus.margins:
        return section("Before and after weighting", note("No weights yet: run `biascarevl weigh`."), anchor="weights")
    targeted = [row["attribute"] for row in corpus.margins if row["targeted"]]
    names = list(dict.fromkeys([*targeted, *attributes_of(corpus.margins)]))
    chosen: str = attribute if attribute in names and attribute else names[0]
    options = [(name, sentence_case(name_of(name)) + ("" if name in targeted else " (no target)")) for name in names]
    return [
        section(
            "Before and after weighting",
            html.P(weights_words(corpus.solution)),
            note(
                "Share of the training rows, with the training persons (n). The line marks the target. Levels without "
                "a target move only as far as the targets pull them along."
            ),
            html.Div(choice("Attribute", name="margin-attribute", value=chosen, options=options), className="choices"),
            html.Div(margins(corpus, chosen), id="margins"),
            anchor="weights",
        ),
        section("What was done about each finding", *_actions(corpus), anchor="actions"),
        section("Certificate", *_certificate(corpus), anchor="certificate"),
    ]


def margins(corpus: Corpus, attribute: str) -> Any:
    """Figure and table of one attribute; behind a target, what the solver says of it."""
    rows = levels_of(
        [row | {"dataset": EVERYTHING, "num_rows": row["before"] or 0} for row in corpus.margins], attribute, EVERYTHING
    )
    lines = {line["level"]: line for line in (corpus.solution or {})["margins"] if line["attribute"] == attribute}
    columns = ["Level", "Persons", "Before", "After", *(MARGIN_COLUMNS if lines else [])]
    words = f"Shares of {name_of(attribute)} before and after weighting; the table below holds the same numbers"
    return [
        graph(before_after(rows[:SHOWN_LEVELS]), name="margins-figure", words=words),
        table(
            columns,
            [[sentence_case(name_of(row["level"])), *_numbers(row, lines)] for row in rows],
            caption=f"{sentence_case(name_of(attribute))}: training rows",
        ),
    ]


def _numbers(row: Row, lines: dict[str, Row]) -> list[Any]:
    width = 3 + (len(MARGIN_COLUMNS) if lines else 0)
    if row["hidden"]:
        return [SUPPRESSED] * width
    persons = "–" if row["num_persons"] is None else whole(row["num_persons"])
    shown = [persons, percent(row["before"]), percent(row["after"])]
    if row["level"] in lines:
        shown += margin_numbers(lines[row["level"]])
    return shown + ["–"] * (width - len(shown))


def _actions(corpus: Corpus) -> list[Any]:
    found = findings_of(corpus)
    if not found:
        return [note("Nothing was found that a weight could answer.")]
    rows = [
        [
            dcc.Link(sentence_case(name_of(finding.attribute)), href=f"/?attribute={finding.attribute}"),
            finding.words,
            dcc.Link(finding.action, href=f"/weights?attribute={finding.attribute}")
            if finding.margin is not None and finding.answered
            else finding.action,
        ]
        for finding in found
    ]
    caption = "Findings of the census, and the margin that answers each"
    return [table(["Attribute", "Found", "Done"], rows, caption=caption, words=3)]


def _certificate(corpus: Corpus) -> list[Any]:
    solution: Row = corpus.solution or {}
    parts: list[Any] = [html.Ul([html.Li(words) for words in certificate_words(solution)]), note(MARGINS_NOTE)]
    if solution.get("comparison"):
        caption = "The same rows, targets and bounds under other ways of weighting"
        compared = [comparison_cells(row) for row in solution["comparison"]]
        parts += [html.H3("Other ways of weighting"), table(COMPARISON_COLUMNS, compared, caption=caption)]
    return parts
