"""What is not known, and how the rest is known: missing shares, provenance of each attribute, acquisition."""

from typing import Any

from dash import html

from evaluation.app.parts import SUPPRESSED, graph, note, section, table
from evaluation.census_figures import source_shares
from evaluation.corpus import Corpus, Row, attributes_of, census_rows
from evaluation.page import name_of, sentence_case, whole
from evaluation.rows import EVERYTHING
from evaluation.source_sections import MISSING_NOTE, PROVENANCE_NOTE, census_notes, ordered_sources
from ingest.applicability import MISSING
from ingest.percent import percent
from ingest.workspace import Workspace


def layout(workspace: Workspace, corpus: Corpus) -> Any:
    return [
        section("What is not known", *_missing(corpus), anchor="missing"),
        section("How the rest is known", *_provenance(corpus), anchor="sources"),
        section("How pictures were taken", *_protocol(census_rows(workspace, "protocol")), anchor="protocol"),
        section("What else to keep in mind", *_notes(corpus), anchor="notes"),
    ]


def _notes(corpus: Corpus) -> list[Any]:
    """What the census says of itself: what it did not test, on whom it leans."""
    return [note(f"{words}.") for words in census_notes(corpus)] or [note("Nothing was left out of a test.")]


def _missing(corpus: Corpus) -> list[Any]:
    """Share missing per attribute and data set; from the counts where an older census has no table of its own."""
    rows = corpus.missingness or [row for row in corpus.counts if row["level"] == MISSING]
    if not rows:
        return [note("Every attribute counted is known for every row.")]
    datasets = [EVERYTHING, *sorted({row["dataset"] for row in rows} - {EVERYTHING})]
    cells = {(row["attribute"], row["dataset"]): row for row in rows}
    lines = [
        [sentence_case(name_of(attribute)), *(_missing_cell(cells.get((attribute, dataset))) for dataset in datasets)]
        for attribute in attributes_of(rows)
    ]
    columns = ["Attribute", *("All" if name == EVERYTHING else name for name in datasets)]
    return [
        note(MISSING_NOTE + " Behind it: of how many persons (n)."),
        table(columns, lines, caption="Missing, by attribute and data set"),
    ]


def _missing_cell(row: Row | None) -> Any:
    if row is None:
        return "none"
    if row["suppressed"]:
        return SUPPRESSED
    if row["share"] is None:
        return "not applicable"
    persons = row["num_persons"]
    return f"{percent(row['share'])} (n {whole(persons)})"


def _provenance(corpus: Corpus) -> list[Any]:
    rows = ordered_sources(corpus.provenance)
    if not rows:
        return [note("This census holds no table of sources.")]
    cells = [
        [sentence_case(name_of(row["attribute"])), name_of(row["source"]),
         *([SUPPRESSED] * 2 if row["suppressed"] else [percent(row["share"]), whole(row["num_persons"])])]
        for row in rows
    ]  # fmt: skip
    words = "Share of each source per attribute; the table below holds the same numbers"
    return [
        note(PROVENANCE_NOTE),
        graph(source_shares(rows), name="sources-figure", words=words),
        table(["Attribute", "Source", "Rows", "Persons"], cells, caption="Sources per attribute", words=2),
    ]


def _protocol(rows: list[Row]) -> list[Any]:
    if not rows:
        return [note("No acquisition settings were read.")]
    cells = [
        [name_of(row["field"]), row["dataset"],
         *([SUPPRESSED] * 5 if row["suppressed"] else [
             whole(row["num_persons"]), _share_known(row), f"{row['median']:g}", f"{row['q1']:g} to {row['q3']:g}",
             "–" if row["eta2"] is None else f"{row['eta2']:.2f}"])]
        for row in rows
    ]  # fmt: skip
    return [
        note(
            "Known: of the rows whose modality has the setting, the share that says it. Heterogeneity is the share of "
            "the ranks' variance that lies between data sets: 0 none, 1 all of it."
        ),
        html.Div(
            table(
                ["Setting", "Data set", "Persons", "Known", "Median", "Middle half", "Heterogeneity"], cells,
                caption="Acquisition settings", words=2,
            )
        ),
    ]  # fmt: skip


def _share_known(row: Row) -> str:
    """A dash for an older census, which did not count the rows a setting applies to."""
    return percent(row["num_rows"] / row["num_applicable"]) if row.get("num_applicable") else "–"
