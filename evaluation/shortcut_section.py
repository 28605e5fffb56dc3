"""What pictures give away: the words and cells that the report's chapter and the dashboard's section share."""

from evaluation.actions import shortcuts_of
from evaluation.census_figures import is_known, shortcut_risks, shortcut_words
from evaluation.corpus import SHORTCUT_NOTES, Corpus, Row
from evaluation.figures import fragment
from evaluation.finding_sections import number_between, p_text
from evaluation.page import Markup, Section, folded, name_of, note, plural, sentence_case, table, text, whole
from ingest.census.pairs import SENSITIVE

TITLE = "What pictures give away"
SHOWN_RISKS = 16
READ_OFF = (
    "How well an attribute is told from what a picture gives away at a glance: grey levels, size, shape, text in its "
    "corners. One picture per person, judged on persons it was not learned from. AUC 0.5 is guessing, 1 is certain."
)
RISKS = (
    "A shortcut needs both: an attribute that can be told from the picture, and one that goes with the label. Risk is "
    "Cramér's V times 2 AUC − 1, from 0 to 1. A hollow mark may be chance in one of the two."
)
ALONE_COLUMNS = ("Attribute", "AUC", "95 %", "Levels", "Pictures", "p")
RISK_COLUMNS = ("Attribute and label", "Risk", "95 %", "V", "AUC", "Persons", "p")
HIDDEN = "suppressed"


def shortcut_sections(corpus: Corpus, *, figures: bool) -> list[Section]:
    """The chapter, where a census has tried to look at pictures; ``figures``: whether plotly is on the page."""
    if not said_of(corpus):
        return []
    alone, risks = halves(corpus)
    body = note(said_of(corpus))
    if alone:
        body += _table(ALONE_COLUMNS, alone_cells(alone), alone_caption(alone))
    if risks:
        shown = [row for row in risks if not row["suppressed"]][:SHOWN_RISKS]
        body += note(RISKS) + (fragment(shortcut_risks(shown), anchor="figure-shortcuts") if figures and shown else "")
        body += _table(RISK_COLUMNS, risk_cells(risks[:SHOWN_RISKS]), risk_caption(risks))
        rest = risks[SHOWN_RISKS:]
        body += folded(weaker_words(len(rest)), _table(RISK_COLUMNS, risk_cells(rest), "Further")) if rest else ""
    return [Section("shortcuts", "Shortcuts", TITLE, body)]


def _table(columns: tuple[str, ...], cells: list[list[str]], caption: str) -> Markup:
    rows = [[f"<i>{HIDDEN}</i>" if cell == HIDDEN else text(cell) for cell in row] for row in cells]
    return table(columns, rows, caption=caption)


def halves(corpus: Corpus) -> tuple[list[Row], list[Row]]:
    """The attributes read off alone, and those with a label."""
    alone = [row for row in corpus.detectability if row["label"] is None]
    return alone, [row for row in corpus.detectability if row["label"] is not None]


def said_of(corpus: Corpus) -> str:
    """What was done, and what the census says of the pictures it looked at; nothing where it never tried."""
    notes = [one.removeprefix(SHORTCUT_NOTES) for one in corpus.notes if one.startswith(SHORTCUT_NOTES)]
    said = [f"{sentence_case(words)}." for words in notes]
    return " ".join([READ_OFF, *said] if corpus.detectability else said)


def weaker_words(number: int) -> str:
    return f"{plural(number, 'further shortcut')}, weaker or suppressed"


def alone_caption(alone: list[Row]) -> str:
    return f"Told from the picture; p corrected for {whole(alone[0]['family_size'])} tests (Benjamini-Hochberg)"


def risk_caption(risks: list[Row]) -> str:
    sizes = [row["family_size"] for row in risks if not row["suppressed"]]
    corrected = f"; p corrected for {whole(sizes[0])} tests (Benjamini-Hochberg)" if sizes else ""
    return f"Shortcuts, riskiest first{corrected}"


def alone_cells(rows: list[Row]) -> list[list[str]]:
    """Text per ALONE_COLUMNS."""
    return [
        [sentence_case(name_of(row["attribute"])) + chance(row), f"{row['auc']:.2f}",
         number_between(row["auc_low"], row["auc_high"]), whole(row["num_levels"]), whole(row["num_pictures"]),
         p_text(row["q_value"])]
        for row in rows
    ]  # fmt: skip


def risk_cells(rows: list[Row]) -> list[list[str]]:
    """Text per RISK_COLUMNS; what is suppressed says so."""
    return [
        [sentence_case(shortcut_words(row)), *([HIDDEN] * 6 if row["suppressed"] else [
            f"{row['risk']:.2f}", number_between(row["low"], row["high"]), f"{row['utility']:.2f}",
            f"{row['auc']:.2f}", whole(row["num_persons"]), p_text(row["q_value"])])]
        for row in rows
    ]  # fmt: skip


def chance(row: Row) -> str:
    return "" if is_known(row) else " (may be chance)"


def shortcut_finding(corpus: Corpus) -> str | None:
    """The riskiest shortcut in a sentence, of who people are where there is one; None where none is beyond chance."""
    shortcuts = shortcuts_of(corpus)
    if not shortcuts:
        return None
    top = next((row for row in shortcuts if row["attribute"] in SENSITIVE), shortcuts[0])
    return (
        f"{sentence_case(name_of(top['attribute']))} can be told from a picture at a glance (AUC {top['auc']:.2f}) and "
        f"goes with {name_of(top['label'])} (Cramér's V {top['utility']:.2f}): a model can take the one for the other."
    )
