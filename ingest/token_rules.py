"""Rules that read whole words, never substrings: "ct" is not in "fracture"."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from re import _constants as opcodes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Generic, TypeVar

Meaning = TypeVar("Meaning")
_GRAM = 3


@dataclass(frozen=True)
class Rule(Generic[Meaning]):
    """A pattern and what it means; None for phrases that mean nothing, however they look.

    ``needs``: fragments, one of which stands in every text that matches; empty where none is known. They are lower
    case, and so is the text they are looked for in, unless the pattern is about exact case.
    """

    meaning: Meaning | None
    pattern: re.Pattern[str]
    needs: frozenset[str]
    exact_case: bool


def rule(meaning: Meaning | None, *phrases: str, exact_case: bool = False) -> Rule[Meaning]:
    """A rule out of regular expressions, each bounded by non-word characters on both sides."""
    alternatives = "|".join(phrases)
    pattern = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", 0 if exact_case else re.IGNORECASE)
    needs = _needs_of(parser.parse(alternatives))
    return Rule(meaning, pattern, needs if exact_case else frozenset(map(str.lower, needs)), exact_case)


def normalise(text: str) -> str:
    """One line with single spaces; underscores and dashes of every kind become plain ones or spaces."""
    text = " ".join(text.replace("_", " ").split())
    return text if text.isascii() else re.sub("[\u2010-\u2015\u2212]", "-", text)


class Lexicon(Generic[Meaning]):
    """Rules in order of priority, and an index by letters that tells which of them a text can match at all.

    A question matches two or three of a hundred rules: looking only at those is ten times as fast.
    """

    def __init__(self, rules: Sequence[Rule[Meaning]]) -> None:
        self._rules = tuple(rules)
        self._always = [number for number, each in enumerate(rules) if not each.needs]
        self._by_gram: defaultdict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
        self._short: list[tuple[str, int]] = []
        for number, each in enumerate(rules):
            for fragment in sorted(each.needs):
                is_short = len(fragment) < _GRAM
                (self._short if is_short else self._by_gram[tuple(fragment[:_GRAM].lower())]).append((fragment, number))

    def meanings_in(self, text: str) -> list[Meaning]:
        """The distinct meanings in a normalised text, in the order of their first mention.

        Rules come specific first: what one matches is taken out before the next one looks.
        """
        found: list[tuple[int, Meaning]] = []
        for number in sorted(self._possible(text)):
            each = self._rules[number]
            places = [match.span() for match in each.pattern.finditer(text)]
            for start, end in places:
                if each.meaning is not None:
                    found.append((start, each.meaning))
                text = text[:start] + "\x00" * (end - start) + text[end:]
        found.sort(key=lambda mention: mention[0])
        return list(dict.fromkeys(meaning for _, meaning in found))

    def _possible(self, text: str) -> set[int]:
        """The rules one of whose fragments stands in the text; found by the fragments' first letters."""
        lower = text.lower()
        texts = (lower, text)
        grams = _grams_of(lower)
        possible = set(self._always)
        for fragments in (self._short, *(self._by_gram[gram] for gram in grams & self._by_gram.keys())):
            for fragment, number in fragments:
                if number not in possible and fragment in texts[self._rules[number].exact_case]:
                    possible.add(number)
        return possible


@lru_cache(maxsize=8)
def _grams_of(lower: str) -> frozenset[tuple[str, ...]]:
    """All runs of _GRAM letters. Kept a while: several lexicons read the same text one after the other."""
    return frozenset(zip(lower, lower[1:], lower[2:], strict=False))


def _needs_of(parsed: Iterable[tuple[Any, Any]]) -> frozenset[str]:
    """Fragments of which every match of a parsed expression holds one: the longest that can be proven."""
    candidates: list[frozenset[str]] = []
    run = ""
    for code, argument in parsed:
        if code is opcodes.LITERAL:
            run += chr(argument)
            continue
        candidates.append(frozenset({run} if run else ()))
        run = ""
        candidates.append(_needs_of_part(code, argument))
    candidates.append(frozenset({run} if run else ()))
    return max(candidates, key=lambda fragments: min(map(len, fragments), default=0))


def _needs_of_part(code: Any, argument: Any) -> frozenset[str]:
    if code is opcodes.SUBPATTERN:
        _, added_flags, _, inner = argument
        return frozenset() if added_flags else _needs_of(inner)  # "(?i:...)" is not about exact case
    if code is opcodes.MAX_REPEAT and argument[0] > 0:
        return _needs_of(argument[2])
    if code is opcodes.BRANCH:
        branches = [_needs_of(branch) for branch in argument[1]]
        return frozenset().union(*branches) if all(branches) else frozenset()
    return frozenset()
