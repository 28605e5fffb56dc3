"""Chapters of the report on findings: who is missing, what goes together, what was done about it."""

from evaluation.actions import findings_of
from evaluation.census_figures import association_strengths, is_known, pair_words
from evaluation.corpus import Corpus, Row, open_pairs
from evaluation.figures import fragment
from evaluation.page import BLUE, SUPPRESSED, Markup, Section, bar, folded, name_of, note, table, text, whole
from evaluation.rows import EVERYTHING
from ingest.percent import percent

SHOWN_PAIRS = 16


def finding_sections(corpus: Corpus, *, figures: bool) -> list[Section]:
    """Every chapter the tables allow; ``figures``: whether plotly is on the page."""
    chapters = []
    reference = [row for row in corpus.reference if row["dataset"] == EVERYTHING]
    if reference:
        chapters.append(Section("missing", "Who is missing", "Who is missing", _reference(reference)))
    if corpus.associations:
        body = _associations(corpus.associations, figures=figures)
        chapters.append(Section("associations", "Associations", "What goes together", body))
    if corpus.margins:
        chapters.append(Section("actions", "Actions", "What was done about it", actions_table(corpus)))
    return chapters


def _reference(rows: list[Row]) -> Markup:
    """Each level against the reference population, the most missing first."""
    first = rows[0]
    body = note(
        f"Against {first['reference']}, version {first['version']} of {first['date']}. The ratio is the share here "
        "over the share there: below 1 is too few. Its interval is over persons."
    )
    cells = [
        [
            text(name_of(row["attribute"])), text(name_of(row["level"])),
            *(["<i>suppressed</i>"] * 4 if row["suppressed"] else [
                percent(row["observed"]), percent(row["expected"]),
                "–" if row["ratio"] is None else f"{row['ratio']:.2f}",
                "–" if row["low"] is None else f"{row['low']:.2f} to {row['high']:.2f}",
            ]),
        ]
        for row in sorted(rows, key=lambda row: (row["suppressed"], row["ratio"] if row["ratio"] is not None else 9e9))
    ]  # fmt: skip
    columns = ["Attribute", "Level", "Here, of those known", "Reference", "Ratio", "95 %"]
    body += table(columns, cells, caption="Levels against the reference population, most missing first", words=2)
    distances = {
        row["attribute"]: [
            text(name_of(row["attribute"])), f"{row['d']:.3f}", f"{row['null_95']:.3f}", text(p_text(row["p_value"]))
        ]
        for row in rows if row["d"] is not None
    }  # fmt: skip
    caption = "Jensen-Shannon distance, 0 to 1, and how large chance makes it 19 times of 20"
    return body + table(["Attribute", "Distance", "By chance", "p"], list(distances.values()), caption=caption)


def _associations(associations: list[Row], *, figures: bool) -> Markup:
    explained = (
        "Cramér's V, corrected for its bias: 0 says that one tells nothing about the other, 1 that it fixes it. "
        "Rows where both are known; intervals and p over persons"
    )
    shown = open_pairs(associations)[:SHOWN_PAIRS]
    family = next((row["family_size"] for row in associations if row.get("family_size")), None)
    explained += f"; p corrected for {whole(family)} tests (Benjamini-Hochberg)." if family else "."
    body = note(explained)
    if figures and shown:
        body += fragment(association_strengths(shown), anchor="figure-associations")
    body += association_table(associations[:SHOWN_PAIRS])
    rest = associations[SHOWN_PAIRS:]
    if rest:
        words = "weaker or suppressed" if any(row.get("suppressed") for row in rest) else "weaker"
        body += folded(f"{len(rest)} {words} pairs", association_table(rest))
    return body


def association_table(rows: list[Row]) -> Markup:
    cells = [
        [text(pair_words(row)), "", *[SUPPRESSED] * 4, "–"] if row.get("suppressed") else [
            text(pair_words(row)) + ("" if is_known(row) else " (may be chance)"), bar(row["cramers_v"], BLUE),
            f"{row['cramers_v']:.2f}", number_between(row.get("low"), row.get("high")),
            whole(row.get("num_persons") or row["num_rows"]), text(p_text(row.get("q_value", row["p_value"]))),
            text(flag_words(row)),
        ]
        for row in rows
    ]  # fmt: skip
    columns = ["Pair", "", "V", "95 %", "Persons" if rows[0].get("num_persons") else "Rows", "p", "Adjusted"]
    return table(columns, cells, caption="Pairs, strongest first", words=2)


def flag_words(row: Row) -> str:
    """What is left of an association within strata of site, device or modality (Mantel-Haenszel)."""
    if row.get("reversal"):
        return "reverses"
    if row.get("explained"):
        return "explained"
    return "–" if row.get("mh_ratio") is None else f"OR {row['mh_ratio']:.2f}"


def actions_table(corpus: Corpus) -> Markup:
    """Each finding beside the margin that answers it."""
    rows = [
        [text(name_of(finding.attribute)), text(finding.words), text(finding.action)] for finding in findings_of(corpus)
    ]
    if not rows:
        return note("Nothing was found that a weight could answer.")
    return note("Which target of the weights answers which finding, and which findings none answers.") + table(
        ["Attribute", "Found", "Done"], rows, caption="Findings and their margins", words=3
    )


def number_between(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:.2f} to {high:.2f}"


def p_text(p_value: float | None) -> str:
    if p_value is None:
        return "–"
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"
