"""What lies behind a bar: the cell's counts, data sets, intersections, margin, and where allowed its pictures."""

from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from dash import dcc, html

from evaluation.app.parts import SUPPRESSED, facts, note, table
from evaluation.corpus import Corpus, Row, census_rows
from evaluation.page import name_of, plural, sentence_case, whole
from evaluation.rows import EVERYTHING
from ingest.percent import between, percent, points
from ingest.workspace import Workspace

SHOWN_INTERSECTIONS = 12
SHOWN_LABELS = 12


def panel(workspace: Workspace, corpus: Corpus, *, attribute: str, level: str, pictures: list[str]) -> Any:
    """Everything the aggregates say about one level. ``pictures``: data URLs, empty where none may be shown."""
    title = f"{sentence_case(name_of(attribute))}: {name_of(level)}"
    cells = [row for row in corpus.counts if row["attribute"] == attribute and row["level"] == level]
    everything = next((row for row in cells if row["dataset"] == EVERYTHING), None)
    if everything is None:
        return html.Section([html.H3(title), note("No row of the corpus has this level.")], className="cell")
    if everything["suppressed"]:
        words = "suppressed: so few persons that a figure could point to one of them."
        return html.Section([html.H3(title), html.P(words, className="hidden")], className="cell")
    return html.Section(
        [
            html.H3(title),
            facts(
                [
                    ("Share of rows", percent(everything["share"])), ("95 %", _interval(everything)),
                    ("Persons", whole(everything["num_persons"])), ("Studies", whole(everything["num_studies"])),
                    ("Images", whole(everything["num_images"])), ("Rows", whole(everything["num_rows"])),
                ]
            ),
            _weighting(corpus, attribute, level),
            _datasets(cells),
            _intersections(intersections(workspace, attribute, level), attribute),
            _labels(census_rows(workspace, "prevalence", attribute=attribute, level=level)),
            _pictures(pictures),
        ],
        className="cell",
    )  # fmt: skip


def intersections(workspace: Workspace, attribute: str, level: str) -> list[Row]:
    """The table's rows that hold the level, farthest from independence first: (n - expected) / sqrt(expected)."""
    path = workspace.census / "intersections.parquet"
    if not path.exists():
        return []
    held = [[(f"attribute_{place}", "=", attribute), (f"level_{place}", "=", level)] for place in (1, 2, 3)]
    found = pq.read_table(path, filters=held)
    expected = found["expected"]
    departure = pc.abs(pc.divide(pc.subtract(pc.cast(found["num_rows"], "float64"), expected), pc.sqrt(expected)))
    order = pc.sort_indices(departure, sort_keys=[("", "descending")])
    rows: list[Row] = found.take(order.slice(0, SHOWN_INTERSECTIONS)).to_pylist()
    return rows


def _interval(row: Row) -> str:
    return between(row["low"], row["high"]) or "–"


def _weighting(corpus: Corpus, attribute: str, level: str) -> Any:
    margin = next((row for row in corpus.margins if (row["attribute"], row["level"]) == (attribute, level)), None)
    if margin is None:
        return note("No training row has this level.")
    if margin["hidden"]:
        return html.P(["Weighting: ", SUPPRESSED])
    target = "no target" if margin["target"] is None else f"target {percent(margin['target'])}"
    return html.P(
        [
            f"Of the training rows {percent(margin['before'])} before weighting, {percent(margin['after'])} after "
            f"({target}). ",
            dcc.Link("See the margin", href=f"/weights?attribute={attribute}"),
        ]
    )


def _datasets(cells: list[Row]) -> Any:
    rows = [
        [row["dataset"], *([SUPPRESSED] * 3 if row["suppressed"] else
         [whole(row["num_persons"]), whole(row["num_rows"]), percent(row["share"])])]
        for row in sorted(cells, key=lambda row: row["dataset"]) if row["dataset"] != EVERYTHING
    ]  # fmt: skip
    return table(["Data set", "Persons", "Rows", "Share of its rows"], rows, caption="In each data set")


def _intersections(rows: list[Row], attribute: str) -> Any:
    if not rows:
        return None
    cells = [
        [_together(row, attribute), *([SUPPRESSED] * 4 if row["suppressed"] else
         [whole(row["num_persons"]), whole(row["num_rows"]), f"{row['lift']:.2f}", _limits(row)])]
        for row in rows
    ]  # fmt: skip
    caption = "Together with: farthest from what independence would give (lift 1) first"
    return table(["Together with", "Persons", "Rows", "Lift", "95 %"], cells, caption=caption)


def _together(row: Row, attribute: str) -> str:
    others = [
        (row[f"attribute_{place}"], row[f"level_{place}"])
        for place in (1, 2, 3)
        if row[f"attribute_{place}"] not in (None, attribute)
    ]
    return ", ".join(f"{name_of(name)} {name_of(level)}" for name, level in others)


def _limits(row: Row) -> str:
    return "–" if row["low"] is None else f"{row['low']:.2f} to {row['high']:.2f}"


def _labels(rows: list[Row]) -> Any:
    if not rows:
        return None
    open_rows = sorted((row for row in rows if not row["suppressed"]), key=lambda row: -abs(row["difference"] or 0))
    cells = [
        [name_of(row["label"]), whole(row["num_persons"]), percent(row["prevalence"]), _interval(row),
         points(row["difference"])]
        for row in open_rows[:SHOWN_LABELS]
    ]  # fmt: skip
    hidden = len(rows) - len(open_rows)
    said = f"; {plural(hidden, 'label')} suppressed" if hidden else ""
    caption = f"Labels at this level, largest difference to the rest first{said}"
    return table(["Label", "Persons", "Share", "95 %", "Difference to the rest"], cells, caption=caption)


def _pictures(pictures: list[str]) -> Any:
    if not pictures:
        return None
    shown = html.Div([html.Img(src=source, alt="Example of this cell") for source in pictures], className="examples")
    return html.Div([html.P("Examples, in the order of their hashed ids", className="note"), shown])
