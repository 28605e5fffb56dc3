"""Rules that read whole words, never substrings: "ct" is not in "fracture"."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Meaning = TypeVar("Meaning")


@dataclass(frozen=True)
class Rule(Generic[Meaning]):
    """A pattern and what it means; None for phrases that mean nothing, however they look."""

    meaning: Meaning | None
    pattern: re.Pattern[str]


def rule(meaning: Meaning | None, *phrases: str, exact_case: bool = False) -> Rule[Meaning]:
    """A rule out of regular expressions, each bounded by non-word characters on both sides."""
    flags = 0 if exact_case else re.IGNORECASE
    return Rule(meaning, re.compile(rf"(?<!\w)(?:{'|'.join(phrases)})(?!\w)", flags))


def normalise(text: str) -> str:
    """One line with single spaces; underscores and dashes of every kind become plain ones or spaces."""
    text = re.sub(r"[_\s]+", " ", text)
    return re.sub("[\u2010-\u2015\u2212]", "-", text).strip()


def meanings_in(text: str, rules: Sequence[Rule[Meaning]]) -> list[Meaning]:
    """The distinct meanings in a normalised text, in the order of their first mention.

    Rules come specific first: what one matches is taken out before the next one looks.
    """
    found: list[tuple[int, Meaning]] = []
    for each in rules:
        for match in each.pattern.finditer(text):
            if each.meaning is not None:
                found.append((match.start(), each.meaning))
        text = each.pattern.sub(lambda match: "\x00" * len(match.group()), text)
    found.sort(key=lambda mention: mention[0])
    return list(dict.fromkeys(meaning for _, meaning in found))
