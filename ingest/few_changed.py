"""Where two versions of the samples table differ by few persons of an identifiable data set: drift hides it.

An attribute is hidden whole in such a data set, and then in the whole corpus: what is shown has no small cell before,
after or in between, neither at a level nor in what is left beside it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb

from ingest.applicability import MISSING
from ingest.attributes import ATTRIBUTES
from ingest.census.counts import WHOLE_CORPUS
from ingest.census.disclosure import is_small

Moves = Mapping[tuple[str, str], Mapping[str, tuple[int, int]]]
"""(level, data set) -> which way -> rows and persons."""


@dataclass
class FewChanged:
    """connection: with ``both_versions`` of ``drift_between``. hidden: (attribute, data set) hidden in the counts."""

    connection: duckdb.DuckDBPyConnection
    below: int
    identifiable: frozenset[str]
    hidden: frozenset[tuple[str, str]]
    _moved: set[str] = field(default_factory=set)

    def datasets_of(self, attribute: str, levels: Iterable[Mapping[str, Any]], moves: Moves) -> set[str]:
        """Where the attribute is hidden. levels: rows with ``dataset``, persons_before, _after and _changed."""
        closed = {dataset for name, dataset in self.hidden if name == attribute} & self.identifiable
        closed |= self._few_persons_changed()
        for row in levels:
            before, after = row["persons_before"], row["persons_after"]
            if self._is_few(row["dataset"], before, after, abs(after - before), row["persons_changed"]):
                closed.add(row["dataset"])
        moved = {dataset for (_, dataset), ways in moves.items()
                 if self._is_few(dataset, *(persons for _, persons in ways.values()))}  # fmt: skip
        self._moved |= moved
        closed |= moved
        if ATTRIBUTES[attribute].is_list:
            closed |= self._few_without(attribute)
        return self._with_whole(closed)

    def datasets_in_all(self, rows: Iterable[Mapping[str, Any]]) -> set[str]:
        """Where the totals are hidden: rows with persons_came, _went, _moved and _same. After all attributes."""
        closed = self._few_persons_changed() | self._moved
        for row in rows:
            if self._is_few(row["dataset"], *(row[f"persons_{kind}"] for kind in ("came", "went", "moved", "same"))):
                closed.add(row["dataset"])
        return self._with_whole(closed)

    def _is_few(self, dataset: str, *numbers: int) -> bool:
        return dataset in self.identifiable and any(is_small(number, self.below) for number in numbers)

    def _with_whole(self, closed: set[str]) -> set[str]:
        return closed | {WHOLE_CORPUS} if closed else closed

    def _few_persons_changed(self) -> set[str]:
        """Data sets to which few persons came, or from which few went."""
        found = self.connection.execute(
            "WITH persons AS (SELECT dataset, person, bool_or(is_new = 0) AS old, bool_or(is_new = 1) AS new "
            "FROM both_versions GROUP BY ALL) "
            "SELECT dataset, count(*) FILTER (NOT old), count(*) FILTER (NOT new) FROM persons GROUP BY dataset"
        ).fetchall()
        return {dataset for dataset, *numbers in found if self._is_few(dataset, *numbers)}

    def _few_without(self, attribute: str) -> set[str]:
        """Data sets where few persons lack a level of a list attribute, or where their number changed by few."""
        found = self.connection.execute(
            f"WITH rows AS (SELECT is_new, dataset, person, level_{attribute} AS levels FROM both_versions), "
            "persons AS (SELECT is_new, dataset, person, count(*) AS num_rows, "
            f"count(*) FILTER (NOT list_contains(levels, '{MISSING}')) AS num_known FROM rows GROUP BY ALL), "
            "sizes AS (SELECT is_new, dataset, count(*) AS num_persons, "
            "count(*) FILTER (num_known > 0) AS num_known_persons FROM persons GROUP BY ALL), "
            "levelled AS (SELECT is_new, dataset, person, unnest(levels) AS level FROM rows), "
            "hits AS (SELECT is_new, dataset, person, level, count(*) AS num_hits FROM levelled GROUP BY ALL) "
            "SELECT is_new, dataset, level, "
            "any_value(num_persons) - count(*) FILTER (num_hits = num_rows), "
            "any_value(num_known_persons) - count(*) FILTER (num_hits = num_known) "
            "FROM hits JOIN persons USING (is_new, dataset, person) JOIN sizes USING (is_new, dataset) GROUP BY ALL"
        ).fetchall()
        without: dict[tuple[str, str], list[int]] = {}
        closed = set()
        for _, dataset, level, *numbers in found:
            if self._is_few(dataset, *numbers):
                closed.add(dataset)
            without.setdefault((dataset, level), []).append(numbers[0])
        return closed | {dataset for (dataset, _), numbers in without.items()
                         if self._is_few(dataset, max(numbers) - min(numbers))}  # fmt: skip
