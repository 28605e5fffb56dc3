"""What goes together: the ranked list with intervals, and behind each pair its cells."""

from typing import Any

from dash import html

from evaluation.app.parts import SUPPRESSED, aria, button, graph, note, section, table
from evaluation.census_figures import association_strengths, is_known, pair_words, shortcut_risks
from evaluation.corpus import Corpus, Row, census_rows, open_pairs
from evaluation.finding_sections import flag_words, number_between, p_text
from evaluation.page import name_of, sentence_case, whole
from evaluation.rows import EVERYTHING
from evaluation.shortcut_section import (
    ALONE_COLUMNS,
    HIDDEN,
    RISK_COLUMNS,
    RISKS,
    TITLE,
    alone_caption,
    alone_cells,
    halves,
    risk_caption,
    risk_cells,
    said_of,
    weaker_words,
)
from ingest.percent import percent
from ingest.workspace import Workspace

SHOWN_PAIRS = 20
SHOWN_CELLS = 20
EXPLAINED = (
    "Explained: the association goes away within strata of site, device or modality (Mantel-Haenszel). Reverses: it "
    "turns round within them. OR: the odds ratio that remains, of the cell that departs most."
)


def key_of(row: Row) -> str:
    """What names a pair in a click."""
    return f"{row['attribute_a']}|{row['attribute_b']}|{row.get('level_b') or ''}"


def layout(corpus: Corpus) -> Any:
    return [_pairs(corpus), _shortcuts(corpus)]


def _pairs(corpus: Corpus) -> Any:
    ranked = corpus.associations
    if not ranked:
        return section("What goes together", note("No associations yet: run `biascarevl census`."), anchor="pairs")
    family = next((row["family_size"] for row in ranked if row.get("family_size")), None)
    corrected = f" p is corrected for {whole(family)} tests (Benjamini-Hochberg)." if family else ""
    hidden_words = ", suppressed ones last" if len(open_pairs(ranked)) < len(ranked) else ""
    rows = [
        [button(sentence_case(pair_words(row)), kind="pair", key=key_of(row)), *[SUPPRESSED] * 5, "–"]
        if row.get("suppressed") else
        [button(sentence_case(pair_words(row)), kind="pair", key=key_of(row)), f"{row['cramers_v']:.2f}",
         number_between(row.get("low"), row.get("high")), whole(row.get("num_persons")), whole(row["num_rows"]),
         p_text(row.get("q_value", row["p_value"])), flag_words(row) if is_known(row) else "may be chance"]
        for row in ranked
    ]  # fmt: skip
    return section(
        "What goes together",
        note(
            "Cramér's V, corrected for its bias: 0 says that one tells nothing about the other, 1 that it fixes it. A "
            f"hollow mark may be chance. Intervals and p are over persons.{corrected}"
        ),
        graph(
            association_strengths(open_pairs(ranked)[:SHOWN_PAIRS]), name="pairs-figure",
            words="Strength of each pair with its interval, strongest first; the table below holds the same numbers",
        ),
        note("Choose a pair to see its cells. " + EXPLAINED),
        table(
            ["Pair", "V", "95 %", "Persons", "Rows", "p", "Adjusted"], rows,
            caption=f"All {len(rows)} pairs, strongest first" + hidden_words,
        ),
        html.Div(id="pair", tabIndex="-1", **aria(live="polite")),
        anchor="pairs",
    )  # fmt: skip


def panel(workspace: Workspace, corpus: Corpus, key: str) -> Any:
    """One pair: which of its cells are fuller or emptier than independence would have them."""
    a, b, label = key.split("|", 2)
    row = next((row for row in corpus.associations if key_of(row) == key), None)
    if row is None:
        return None
    said: list[Any] = [html.H3(sentence_case(pair_words(row)))]
    if row.get("mh_ratio") is not None:
        said.append(html.P(_adjusted(row)))
    prevalence = [
        one for one in census_rows(workspace, "prevalence", attribute=a) if not label or one["label"] == label
    ]
    if label and prevalence:
        return html.Section([*said, _prevalence(prevalence)], className="cell")
    cells = [one for pair in ((a, b), (b, a)) for one in _pair_cells(workspace, *pair)]
    if cells:
        said.append(_cells(cells[:SHOWN_CELLS]))
    elif "dataset" in (a, b):
        said.append(_by_dataset(corpus, b if a == "dataset" else a))
    else:
        said.append(note("The census holds no cells of this pair."))
    return html.Section(said, className="cell")


def _by_dataset(corpus: Corpus, attribute: str) -> Any:
    """The cells of an attribute with the data sets, which the counts hold."""
    rows = [row for row in corpus.counts if row["attribute"] == attribute and row["dataset"] != EVERYTHING]
    cells = [
        [row["dataset"], name_of(row["level"]), *([SUPPRESSED] * 3 if row["suppressed"] else [
            whole(row["num_persons"]), whole(row["num_rows"]), percent(row["share"])])]
        for row in sorted(rows, key=lambda row: (row["suppressed"], -(row["num_rows"] or 0)))[:SHOWN_CELLS]
    ]  # fmt: skip
    columns = ["Data set", "Level", "Persons", "Rows", "Share of its rows"]
    return table(columns, cells, caption="Cells, fullest first", words=2)


def _pair_cells(workspace: Workspace, a: str, b: str) -> list[Row]:
    rows = census_rows(workspace, "intersections", order=2, attribute_1=a, attribute_2=b)
    return sorted(rows, key=lambda row: (row["suppressed"], -(row["num_rows"] or 0)))


def _cells(rows: list[Row]) -> Any:
    cells = [
        [f"{name_of(row['level_1'])}, {name_of(row['level_2'])}", *([SUPPRESSED] * 5 if row["suppressed"] else [
            whole(row["num_persons"]), whole(row["num_rows"]), percent(row["share"]), f"{row['lift']:.2f}",
            number_between(row["low"], row["high"])])]
        for row in rows
    ]  # fmt: skip
    caption = "Cells, fullest first; lift 1 is what independence would give"
    return table(["Cell", "Persons", "Rows", "Share", "Lift", "95 %"], cells, caption=caption)


def _prevalence(rows: list[Row]) -> Any:
    cells = [
        [name_of(row["level"]), name_of(row["label"]), *([SUPPRESSED] * 3 if row["suppressed"] else [
            whole(row["num_persons"]), percent(row["prevalence"]),
            "–" if row["low"] is None else f"{percent(row['low'])} to {percent(row['high'])}"])]
        for row in rows
    ]  # fmt: skip
    return table(["Level", "Label", "Persons", "Share", "95 %"], cells, caption="How often the label stands", words=2)


def _adjusted(row: Row) -> str:
    strata = " and ".join(map(name_of, row["strata"])) if row.get("strata") else "the strata"
    cell = f"{name_of(row['strongest_a'])} with {name_of(row['strongest_b'])}"
    return (
        f"{sentence_case(cell)}: odds ratio {row['odds_ratio']:.2f} "
        f"({number_between(row['odds_low'], row['odds_high'])}); within {strata} {row['mh_ratio']:.2f} "
        f"({number_between(row['mh_low'], row['mh_high'])})."
        + (" The association is explained by them." if row.get("explained") else "")
        + (" It reverses within them." if row.get("reversal") else "")
    )


def _shortcuts(corpus: Corpus) -> Any:
    """What pictures give away, where a census has tried to look at them."""
    if not said_of(corpus):
        return None
    said = [note(said_of(corpus))]
    alone, risks = halves(corpus)
    if alone:
        said.append(table(ALONE_COLUMNS, alone_cells(alone), caption=alone_caption(alone)))
    shown = [row for row in risks if not row["suppressed"]][:SHOWN_PAIRS]
    if risks:
        said.append(note(RISKS))
    if shown:
        words = "Risk of each shortcut with its interval, riskiest first; the table below holds the same numbers"
        said.append(graph(shortcut_risks(shown), name="shortcuts-figure", words=words))
    if risks:
        cells = [[SUPPRESSED if cell == HIDDEN else cell for cell in row] for row in risk_cells(risks)]
        said.append(table(RISK_COLUMNS, cells[:SHOWN_PAIRS], caption=risk_caption(risks)))
    if risks[SHOWN_PAIRS:]:
        words = weaker_words(len(risks) - SHOWN_PAIRS)
        rest = table(RISK_COLUMNS, cells[SHOWN_PAIRS:], caption=sentence_case(words))
        said.append(html.Details([html.Summary(words), rest]))
    return section(TITLE, *said, anchor="shortcuts")
