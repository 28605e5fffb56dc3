"""Answers judged as text. The rules are strict and written down: protocol moves published scores more
than models do (PUBLISHED.md), so nothing is matched by substring and nothing unreadable is forgiven.
"""

import math
import re
from collections import Counter

from evaluation.metrics.row import Row

_WORD = re.compile(r"[a-z0-9]+(?:[.'/%-][a-z0-9]+)*%?")
_ARTICLES = frozenset({"a", "an", "the"})
_YES = frozenset({"yes", "yeah", "yep"})
_NO = frozenset({"no", "nope", "not", "without", "isn't", "aren't", "doesn't", "don't"})
_UNDECIDED = frozenset({"doubt", "sure", "certain", "clear", "possible", "know"})
"""After a "no" or "not" these deny nothing: "no doubt", "not sure"."""


def words_of(text: str) -> list[str]:
    """Lower-case words without punctuation and articles; "T2-weighted" and "3.5" stay whole."""
    return [word for word in _WORD.findall(text.lower().replace("’", "'")) if word not in _ARTICLES]


def yes_or_no(text: str) -> bool | None:
    """The first yes or no by word boundary; None where the text says neither.

    "no evidence of a fracture" is no, "there is not" is no; "normal", "nodule", "not sure" say nothing.
    """
    words = words_of(text)
    for word, following in zip(words, [*words, ""][1:], strict=True):
        if word in _YES:
            return True
        if word in _NO and following not in _UNDECIDED:
            return False
    return None


def accuracy(row: Row) -> float:
    """1 where the answer is right: closed questions by yes/no, open ones by their exact words."""
    return closed_accuracy(row) if row.closed else open_accuracy(row)


def closed_accuracy(row: Row) -> float:
    """Yes/no agreement of a closed question; NaN for an open one.

    An answer that says neither is wrong. A closed truth that is no yes/no (a choice such as
    "left or right") is compared by its exact words.
    """
    if not row.closed:
        return math.nan
    truth = strict_yes_or_no(row.truth)
    if truth is None:
        return float(words_of(row.truth) == words_of(row.predicted))
    return float(yes_or_no(row.predicted) is truth)


def open_accuracy(row: Row) -> float:
    """Equality after normalisation (case, punctuation, articles) of an open answer; NaN for a closed one."""
    return math.nan if row.closed else float(words_of(row.truth) == words_of(row.predicted))


def token_f1(row: Row) -> float:
    """Harmonic mean of precision and recall over the words as a multiset (SQuAD, Rajpurkar 2016).

    1 where both are without words, 0 where one is.
    """
    truth, predicted = Counter(words_of(row.truth)), Counter(words_of(row.predicted))
    if not truth or not predicted:
        return float(truth == predicted)
    shared = (truth & predicted).total()
    return 2 * shared / (truth.total() + predicted.total())


def unparsed(row: Row) -> float:
    """1 where a yes/no question got an answer that says neither, which accuracy takes for wrong; NaN for all others."""
    if not row.closed or strict_yes_or_no(row.truth) is None:
        return math.nan
    return float(yes_or_no(row.predicted) is None)


def strict_yes_or_no(truth: str) -> bool | None:
    """The truth as yes/no only where its first word is one: "no acute process" yes, "left" no."""
    words = words_of(truth)
    if not words:
        return None
    return words[0] in _YES if words[0] in _YES | _NO else None
