"""Chapters of the report on where numbers come from: what is not known, how it was established, what changed."""

from evaluation.census_figures import SOURCE_COLOURS, share_changes, source_shares
from evaluation.corpus import SHORTCUT_NOTES, Corpus, Row, attributes_of, levels_of
from evaluation.figures import fragment
from evaluation.page import SUPPRESSED, Markup, Section, folded, name_of, note, sentence_case, table, text, whole
from evaluation.rows import EVERYTHING
from ingest.percent import between, percent, points

MISSING_NOTE = "Of the rows an attribute applies to, the share that does not say it. Nothing is filled in."
PROVENANCE_NOTE = (
    "How the value of a row was established. Metadata and curated values were written by people who had the patient or "
    "the image before them; a rule reads free text, a model guesses."
)


def source_sections(corpus: Corpus, *, figures: bool) -> list[Section]:
    """Every chapter the tables allow; ``figures``: whether plotly is on the page."""
    chapters = []
    if corpus.missingness or corpus.provenance:
        body = _missing(corpus.missingness) + _provenance(corpus.provenance, figures=figures)
        body += "".join(note(f"{words}.") for words in census_notes(corpus))
        chapters.append(Section("known", "Known", "What is not known, and how the rest is known", body))
    if corpus.drift_totals:
        chapters.append(
            Section("drift", "Drift", "What changed since the last version", _drift(corpus, figures=figures))
        )
    return chapters


def census_notes(corpus: Corpus) -> list[str]:
    """What the census says of itself; what it says of shortcuts stands beside those."""
    return [words for words in corpus.notes if not words.startswith(SHORTCUT_NOTES)]


def _missing(rows: list[Row]) -> Markup:
    """Share missing per attribute and data set."""
    if not rows:
        return ""
    datasets = [EVERYTHING, *sorted({row["dataset"] for row in rows} - {EVERYTHING})]
    cells = {(row["attribute"], row["dataset"]): row for row in rows}
    lines = [
        [text(name_of(attribute)), *(_missing_cell(cells.get((attribute, dataset))) for dataset in datasets)]
        for attribute in attributes_of(rows)
    ]
    columns = ["Attribute", *("all" if name == EVERYTHING else name for name in datasets)]
    return note(MISSING_NOTE + " In brackets: persons.") + table(
        columns, lines, caption="Missing, by attribute and data set"
    )


def _missing_cell(row: Row | None) -> Markup:
    if row is None:
        return "–"
    if row["share"] is None:
        return SUPPRESSED if row["suppressed"] else "not applicable"
    return text(f"{percent(row['share'])} ({whole(row['num_persons'])})")


def _provenance(rows: list[Row], *, figures: bool) -> Markup:
    everything = ordered_sources(rows)
    if not everything:
        return ""
    lines = [
        [text(name_of(row["attribute"])), text(name_of(row["source"])),
         *([SUPPRESSED] * 2 if row["suppressed"] else [percent(row["share"]), whole(row["num_persons"])])]
        for row in everything
    ]  # fmt: skip
    body = "<h3>How it is known</h3>" + note(PROVENANCE_NOTE)
    if figures:
        body += fragment(source_shares(everything), anchor="figure-sources")
    listed = table(["Attribute", "Source", "Rows", "Persons"], lines, caption="Sources per attribute", words=2)
    return body + (folded("As numbers", listed) if figures else listed)


def ordered_sources(rows: list[Row]) -> list[Row]:
    """The rows of the whole corpus: attributes in their order, the most trusted source of each first."""
    everything = [row for row in rows if row["dataset"] == EVERYTHING]
    places = {name: place for place, name in enumerate(attributes_of(everything))}
    trust = {name: place for place, name in enumerate(SOURCE_COLOURS)}
    return sorted(everything, key=lambda row: (places[row["attribute"]], trust.get(row["source"], len(trust))))


def _drift(corpus: Corpus, *, figures: bool) -> Markup:
    totals = corpus.drift_totals
    pair = (totals[-1]["before"], totals[-1]["after"])
    of_pair = [row for row in totals if (row["before"], row["after"]) == pair]
    lines = [
        [text("all" if row["dataset"] == EVERYTHING else row["dataset"]),
         *([SUPPRESSED] * 6 if row["suppressed"] else
           [whole(row[key]) for key in ("rows_before", "came", "went", "moved", "same", "rows_after")])]
        for row in of_pair
    ]  # fmt: skip
    columns = ["Data set", "Rows before", "Came", "Went", "Changed", "Same", "Rows after"]
    body = note(f"Version {pair[0]} of the samples table against version {pair[1]}.")
    body += table(columns, lines, caption=f"Rows of version {pair[0]} and version {pair[1]}")
    changed = [row for row in corpus.drift if (row["before"], row["after"]) == pair and row["dataset"] == EVERYTHING]
    for number, attribute in enumerate(attributes_of(changed)):
        rows = ordered_changes(changed, attribute)
        body += f"<h3>{text(sentence_case(name_of(attribute)))}</h3>"
        if figures:
            body += fragment(share_changes(rows), anchor=f"figure-drift-{number}")
        listed = table(
            ["Level", "Before", "After", "Change", "95 %", "Persons after"],
            [change_cells(row) for row in rows], caption=f"{sentence_case(name_of(attribute))}: shares of rows",
        )  # fmt: skip
        body += folded("As numbers", listed) if figures else listed
    return body


def ordered_changes(rows: list[Row], attribute: str) -> list[Row]:
    """The changes of one attribute in the reading order of its levels."""
    return levels_of([row | {"num_rows": row["rows_after"]} for row in rows], attribute, EVERYTHING)


def change_cells(row: Row) -> list[Markup]:
    if row["suppressed"]:
        return [text(name_of(row["level"])), *[SUPPRESSED] * 5]
    interval = between(row["low"], row["high"]) if row["low"] is not None else "–"
    return [
        text(name_of(row["level"])), percent(row["share_before"]), percent(row["share_after"]),
        points(row["change"]), interval,
        whole(row["persons_after"]),
    ]  # fmt: skip
