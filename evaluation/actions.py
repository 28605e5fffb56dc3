"""From a finding to what was done about it: which margin of the weights answers it, or that none does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.census_figures import is_known, pair_words
from evaluation.corpus import NO_BIAS_QUESTION, Corpus, attributes_of, extremes_of
from evaluation.page import name_of, sentence_case
from evaluation.rows import EVERYTHING
from ingest.applicability import MISSING
from ingest.percent import percent

Row = dict[str, Any]
MISSING_SHARE = 0.2
"""Above this share of missing rows, an attribute is a finding of its own (METHODS section 5)."""
NUM_ASSOCIATIONS = 5
NUM_SHORTCUTS = 3
_NEVER_A_FINDING = NO_BIAS_QUESTION | {"split"}


@dataclass(frozen=True)
class Finding:
    """words: what was found about ``attribute`` (and ``level``). action: what the weights do about it.

    answered: whether a margin has it as its target; margin: its line in margins.parquet.
    """

    attribute: str
    level: str | None
    words: str
    action: str
    answered: bool
    margin: Row | None = None


def findings_of(corpus: Corpus) -> list[Finding]:
    """What the census found wanting, each with its margin: who is missing, what goes together, what is not known."""
    found = [*_against_reference(corpus), *_rarest(corpus), *_together(corpus), *_given_away(corpus), *_unknown(corpus)]
    return sorted(found, key=lambda finding: not finding.answered)


def _against_reference(corpus: Corpus) -> list[Finding]:
    """Levels whose share is known to differ from the reference population's, the most missing first."""
    rows = [
        row for row in corpus.reference
        if row["dataset"] == EVERYTHING and not row["suppressed"] and row["high"] is not None and row["high"] < 1
    ]  # fmt: skip
    return [
        _finding(
            corpus, row["attribute"], row["level"],
            f"{sentence_case(name_of(row['level']))}: {percent(row['observed'])} of the rows that say it, "
            f"{percent(row['expected'])} in the reference population.",
        )
        for row in sorted(rows, key=lambda row: row["ratio"])
    ]  # fmt: skip


def _rarest(corpus: Corpus) -> list[Finding]:
    """Where there is no reference: the rarest known level of each attribute."""
    referenced = {row["attribute"] for row in corpus.reference}
    found = []
    for attribute in attributes_of(corpus.counts):
        extremes = extremes_of(corpus.counts, attribute)
        if attribute in referenced or attribute in _NEVER_A_FINDING or extremes is None:
            continue
        most, least = extremes
        words = (
            f"{sentence_case(name_of(least['level']))} is the rarest with {percent(least['share'])} of rows, "
            f"{name_of(most['level'])} the most frequent with {percent(most['share'])}."
        )
        found.append(_finding(corpus, attribute, least["level"], words))
    return found


def _together(corpus: Corpus) -> list[Finding]:
    """The strongest associations that survive the correction, answered where either side is targeted."""
    known = [row for row in corpus.associations if is_known(row)]
    found = []
    for row in sorted(known, key=lambda row: -row["cramers_v"])[:NUM_ASSOCIATIONS]:
        words = f"{sentence_case(pair_words(row))} go together (Cramér's V {row['cramers_v']:.2f})."
        found.append(_pair_finding(corpus, row["attribute_a"], row["attribute_b"], words))
    return found


def shortcuts_of(corpus: Corpus) -> list[Row]:
    """What pictures give away and goes with a label, beyond chance and open to be shown, riskiest first."""
    rows = [row for row in corpus.detectability if row["label"] is not None and not row["suppressed"]]
    return sorted((row for row in rows if is_known(row) and row["risk"] > 0), key=lambda row: -row["risk"])


def _given_away(corpus: Corpus) -> list[Finding]:
    """The riskiest shortcuts, answered as far as the attribute or the labels are targeted."""
    return [
        _pair_finding(
            corpus, row["attribute"], "label",
            f"{sentence_case(name_of(row['attribute']))} can be told from pictures and goes with label "
            f"{name_of(row['label'])} (risk {row['risk']:.2f}).",
        )
        for row in shortcuts_of(corpus)[:NUM_SHORTCUTS]
    ]  # fmt: skip


def _pair_finding(corpus: Corpus, a: str, b: str, words: str) -> Finding:
    targeted = [name for name in (a, b) if _targeted(corpus, name)]
    action = (
        f"The margins of {' and '.join(map(name_of, targeted))} are moved; what remains between the two is not."
        if targeted
        else f"No target: add weights.targets.{a}."
    )
    return Finding(a, None, words, action, bool(targeted))


def _unknown(corpus: Corpus) -> list[Finding]:
    """Attributes that too many rows do not tell: no weight can repair that."""
    missed = corpus.missingness or [row for row in corpus.counts if row["level"] == MISSING]
    return [
        Finding(
            row["attribute"], MISSING,
            f"{sentence_case(name_of(row['attribute']))} is not known for {percent(row['share'])} of "
            f"{'rows' if row.get('num_applicable') in (None, row['num_rows']) else 'the rows it applies to'}.",
            "No weight can repair this: weighting leaves such rows free.", answered=False,
        )
        for row in missed
        if row["dataset"] == EVERYTHING and (row["share"] or 0) > MISSING_SHARE
    ]  # fmt: skip


def _finding(corpus: Corpus, attribute: str, level: str, words: str) -> Finding:
    margin = _margin(corpus.margins, attribute, level)
    if margin is not None and margin["target"] is not None and not margin["hidden"]:
        action = (
            f"Margin {name_of(attribute)} = {name_of(level)}: {percent(margin['before'])} of training rows before, "
            f"target {percent(margin['target'])}, {percent(margin['after'])} after."
        )
        return Finding(attribute, level, words, action, answered=True, margin=margin)
    action = f"No target: add weights.targets.{attribute}."
    if _targeted(corpus, attribute):
        action = f"The target on {name_of(attribute)} leaves this level free."
    if margin is None:
        action = "No training row has it: weights cannot help, further data can."
    elif margin["hidden"]:
        action = "Suppressed: too few persons to say."
    return Finding(attribute, level, words, action, answered=False, margin=margin)


def _margin(margins: Sequence[Row], attribute: str, level: str) -> Row | None:
    return next((row for row in margins if (row["attribute"], row["level"]) == (attribute, level)), None)


def _targeted(corpus: Corpus, attribute: str) -> bool:
    return any(row["attribute"] == attribute and row["targeted"] for row in corpus.margins)
