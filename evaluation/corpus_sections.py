"""The data half of the report: rows in and out, the census before and after weighting, associations."""

from collections.abc import Sequence

from evaluation.census_figures import is_known, pair_words
from evaluation.certificate_section import certificate, weights_words
from evaluation.corpus import NO_BIAS_QUESTION, Corpus, Row, attributes_of, extremes_of, is_absent, levels_of
from evaluation.finding_sections import finding_sections
from evaluation.page import (
    BLUE,
    GREY,
    ORANGE,
    SUPPRESSED,
    Markup,
    Section,
    bar,
    folded,
    name_of,
    note,
    plural,
    sentence_case,
    table,
    text,
    whole,
)
from evaluation.rows import EVERYTHING
from evaluation.shortcut_section import shortcut_finding, shortcut_sections
from evaluation.source_sections import source_sections
from ingest.applicability import NOT_APPLICABLE
from ingest.attributes import UNKNOWN_LEVELS
from ingest.census.pairs import SENSITIVE
from ingest.percent import between, percent

SHOWN_LEVELS = 16
_PERSON_WORDS = {
    "patient_id": "patient", "study_id": "study", "figure_id": "figure",
    "image_sha256": "picture", "sample_id": "single row",
}  # fmt: skip


def corpus_sections(corpus: Corpus, *, figures: bool) -> list[Section]:
    """Every chapter the data allow, in reading order; ``figures``: whether plotly is on the page."""
    chapters = [Section("rows", "Rows", "Rows in, rows out", _rows_in_out(corpus))]
    if corpus.counts:
        chapters.append(Section("census", "Census", "Who and what is in the corpus", _census(corpus)))
    if corpus.solution is not None:
        hidden = {(row["attribute"], row["level"]) for row in corpus.margins if row["hidden"]}
        chapters.append(Section("weights", "Weights", "Weights certificate", certificate(corpus.solution, hidden)))
    for parts in (finding_sections, shortcut_sections, source_sections):
        chapters += parts(corpus, figures=figures)
    return chapters


def corpus_facts(corpus: Corpus) -> list[tuple[str, str]]:
    """The corpus in a handful of numbers."""
    return [
        ("Data sets", whole(len(corpus.datasets))),
        ("Rows in", whole(sum(row["rows_in"] for row in corpus.datasets))),
        ("Samples", whole(sum(row["samples"] for row in corpus.datasets))),
        ("Set aside", whole(sum(row["quarantined"] for row in corpus.datasets))),
        ("Persons", _num_persons(corpus.persons)),
    ]


def _association(rows: Sequence[Row]) -> str | None:
    """The strongest association beyond chance; of who people are, where there is one."""
    known = [row for row in rows if row["cramers_v"] and is_known(row)]
    of_people = [row for row in known if {row["attribute_a"], row["attribute_b"]} & set(SENSITIVE)]
    if not known:
        return None
    top = max(of_people or known, key=lambda row: row["cramers_v"])
    strength = f"Cramér's V {top['cramers_v']:.2f} of at most 1"
    return f"{sentence_case(pair_words(top))} go together most ({strength}): a model can read one off the other."


def corpus_findings(corpus: Corpus) -> list[tuple[str, str]]:
    """The corpus in sentences: what was set aside, who is missing, what weighting does."""
    rows_in = sum(row["rows_in"] for row in corpus.datasets)
    aside = sum(row["quarantined"] for row in corpus.datasets)
    words = f"All {whole(rows_in)} rows became samples; none was set aside."
    if aside:
        words = f"{whole(aside)} of {whole(rows_in)} rows were set aside, each with its reason."
    sentences = [("Rows", words)]
    for attribute in attributes_of(corpus.counts):
        balance = _balance(corpus.counts, attribute)
        if balance:
            sentences.append((sentence_case(name_of(attribute)), balance))
    association = _association(corpus.associations)
    if association:
        sentences.append(("Association", association))
    shortcut = shortcut_finding(corpus)
    if shortcut:
        sentences.append(("Shortcut", shortcut))
    if corpus.solution is not None:
        sentences.append(("Weights", weights_words(corpus.solution)))
    return sentences


def _balance(counts: list[Row], attribute: str) -> str | None:
    """Largest and smallest known level, and how much is not known; None for what is no bias question."""
    extremes = extremes_of(counts, attribute)
    if attribute in NO_BIAS_QUESTION or extremes is None:
        return None
    largest, smallest = extremes
    rows = levels_of(counts, attribute, EVERYTHING)
    absent = sum(row["share"] or 0 for row in rows if row["level"] in UNKNOWN_LEVELS)
    apart = sum(row["share"] or 0 for row in rows if row["level"] == NOT_APPLICABLE)
    whose = f"Of the {percent(1 - apart)} it applies to" if apart else "For"
    unknown = f" {whose} {percent(absent / (1 - apart))}{',' * bool(apart)} it is not known." if absent else ""
    return (
        f"{sentence_case(name_of(largest['level']))} is the most frequent with {percent(largest['share'])} of rows, "
        f"{name_of(smallest['level'])} the rarest with {percent(smallest['share'])}.{unknown}"
    )


def _rows_in_out(corpus: Corpus) -> Markup:
    served: dict[str, list[Row]] = {row["dataset"]: [] for row in corpus.persons}
    for row in corpus.persons:
        served[row["dataset"]].append(row)
    splits = any("splits" in row for row in corpus.datasets)
    split_names = ["train", "validation", "test"] if splits else []
    columns = [
        "Data set",
        "A person is",
        "Rows in",
        "Samples",
        *map(str.capitalize, split_names),
        "Set aside",
        "Persons",
    ]
    rows = [
        [
            text(row["dataset"]), text(_person_words(served.get(row["dataset"], []))), whole(row["rows_in"]),
            whole(row["samples"]), *(_split_cell(row, name) for name in split_names),
            whole(row["quarantined"]), _num_persons(served.get(row["dataset"], [])),
        ]
        for row in corpus.datasets
    ]  # fmt: skip
    lost = [row for row in corpus.datasets if row["rows_in"] != row["samples"] + row["quarantined"]]
    explained = (
        "Every row that was read is accounted for: rows in = samples + set aside."
        if not lost
        else "Not every row is accounted for in " + ", ".join(row["dataset"] for row in lost) + "."
    )
    body = note(explained + " Every interval counts persons, not rows.")
    body += table(columns, rows, caption="Rows per data set", words=2)
    return body + _reasons(corpus.datasets) + _leakage(corpus.leakage)


def _split_cell(row: Row, name: str) -> Markup:
    number = row.get("splits", {}).get(name, 0)
    return SUPPRESSED if number is None else whole(number)


def _num_persons(rows: list[Row]) -> str:
    """Persons in all; where some of the counts are hidden, how many there are besides."""
    open_counts = [row["num_persons"] for row in rows if row["num_persons"] is not None]
    if len(open_counts) == len(rows):
        return whole(sum(open_counts))
    return f"over {whole(sum(open_counts))}" if open_counts else "suppressed"


def _person_words(rows: list[Row]) -> str:
    """Which column stood for a person, the most frequent first."""
    ranked = sorted(rows, key=lambda row: -(row["num_rows"] or 0))
    return (
        ", else ".join(_PERSON_WORDS.get(str(row["person_column"]), str(row["person_column"])) for row in ranked) or "–"
    )


def _reasons(datasets: list[Row]) -> Markup:
    """Reasons by data set, the commonest first."""
    totals: dict[str, int] = {}
    for row in datasets:
        for reason, number in row["by_reason"].items():
            totals[reason] = totals.get(reason, 0) + number
    if not totals:
        return ""
    rows = [
        [text(name_of(reason)), *(whole(row["by_reason"].get(reason, 0)) for row in datasets), whole(total)]
        for reason, total in sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    columns = ["Set aside because of", *(row["dataset"] for row in datasets), "All"]
    return table(columns, rows, caption="Rows set aside, by reason")


def _leakage(leakage: list[Row] | None) -> Markup:
    if leakage is None:
        return ""
    if not leakage:
        return "<h3>Leakage</h3>" + note("Nothing stands on both sides of a split.")
    rows = [[text(name_of(row["kind"])), text(name_of(row["action"])), whole(row["num_findings"])] for row in leakage]
    explained = "What stood on both sides of a split, and what was done about it. Every finding is in leakage.parquet."
    return "<h3>Leakage</h3>" + note(explained) + table(
        ["Found", "Done", "Findings"], rows, caption="Leakage findings by kind and action", words=2
    )  # fmt: skip


def _census(corpus: Corpus) -> Markup:
    weighed = {(row["attribute"], row["level"]): row for row in corpus.margins}
    legend = [(BLUE, "share of all rows")]
    if weighed:
        legend = [(BLUE, "share of all rows"), (GREY, "training rows, before weighting"), (ORANGE, "after weighting")]
    keys = "".join(f'<li><span style="background:{colour}"></span>{text(name)}</li>' for colour, name in legend)
    body = note(
        "A share of rows is shown with the number of persons behind it and its 95 % interval over persons. "
        "Missing and not applicable are levels of their own. A suppressed cell is one so small that it could point to "
        "a person."
    )
    body += f'<ul class="legend">{keys}</ul>'
    for attribute in attributes_of(corpus.counts):
        rows = levels_of(corpus.counts, attribute, EVERYTHING)
        body += f"<h3>{text(sentence_case(name_of(attribute)))}</h3>"
        body += _census_table(attribute, rows[:SHOWN_LEVELS], weighed)
        if len(rows) > SHOWN_LEVELS:
            rest = _census_table(attribute, rows[SHOWN_LEVELS:], weighed)
            body += folded(f"{plural(len(rows) - SHOWN_LEVELS, 'further level')}", rest)
        body += _by_dataset(corpus, attribute)
    return body


def _census_table(attribute: str, rows: list[Row], weighed: dict[tuple[str, str], Row]) -> Markup:
    has_margins = any((attribute, row["level"]) in weighed for row in rows)
    columns = ["Level", "Share of all rows", *(["Training rows, before and after weighting"] if has_margins else [])]
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in columns)
    body = "".join(_census_row(attribute, row, columns, weighed) for row in rows)
    label = f"Census of {name_of(attribute)}"
    return (
        f'<table class="census" aria-label="{text(label)}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    )


def _census_row(attribute: str, row: Row, columns: list[str], weighed: dict[tuple[str, str], Row]) -> Markup:
    level = row["level"] if attribute == "dataset" else name_of(row["level"])
    cells = [f'<td class="level">{text(level)}{_persons_line(row)}</td>']
    cells.append(f'<td data-label="{columns[1]}">{_share_cell(row)}</td>')
    if len(columns) > 2:
        margin = None if row["suppressed"] else weighed.get((attribute, row["level"]))
        hidden = row["suppressed"] or (margin is not None and margin["hidden"])
        cells.append(f'<td data-label="{columns[2]}">{_margin_cell(margin, suppressed=hidden)}</td>')
    return f"<tr{' class=absent' if is_absent(row) else ''}>{''.join(cells)}</tr>"


def _persons_line(row: Row) -> Markup:
    if row["suppressed"]:
        return ""
    words = f"{plural(row['num_persons'], 'person')}, {plural(row['num_rows'], 'row')}"
    return f'<span class="small">{text(words)}</span>'


def _share_cell(row: Row) -> Markup:
    if row["suppressed"]:
        return SUPPRESSED
    colour = GREY if is_absent(row) else BLUE
    interval = between(row["low"], row["high"])
    words = f"<strong>{percent(row['share'])}</strong> <span>({interval})</span>" if interval else percent(row["share"])
    return f'{bar(row["share"], colour)}<span class="small">{words}</span>'


def _margin_cell(margin: Row | None, *, suppressed: bool) -> Markup:
    if suppressed:
        return SUPPRESSED
    if margin is None:
        return '<span class="small">no training rows</span>'
    return (
        '<span class="pair">'
        f"<i>before</i>{bar(margin['before'], GREY)}<b>{percent(margin['before'])}</b>"
        f"<i>after</i>{bar(margin['after'], ORANGE)}<b>{percent(margin['after'])}</b></span>"
    )


def _by_dataset(corpus: Corpus, attribute: str) -> Markup:
    names = sorted({row["dataset"] for row in corpus.counts} - {EVERYTHING})
    if len(names) < 2 or attribute == "dataset":
        return ""
    cells = {(row["level"], row["dataset"]): row for row in corpus.counts if row["attribute"] == attribute}
    rows = [
        [text(name_of(row["level"])), *(_small_cell(cells.get((row["level"], name))) for name in names)]
        for row in levels_of(corpus.counts, attribute, EVERYTHING)
    ]
    caption = f"{sentence_case(name_of(attribute))}: share of each data set's rows (persons)"
    return folded("By data set", table(["Level", *names], rows, caption=caption))


def _small_cell(row: Row | None) -> Markup:
    if row is None:
        return "none"
    if row["suppressed"]:
        return SUPPRESSED
    return text(f"{percent(row['share'])} ({whole(row['num_persons'])})")
