"""What was planted, so that a census, a guard or a score can be held against it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingest.quarantine import Reason

MIN_SAMPLES_WITH_DEFECTS = 300
_USUAL_BAD_SHARE = 0.02
_HIGHEST_BAD_SHARE = 0.035
_DUPLICATED_SHARE = 0.005


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every writer is told: the size of the whole corpus, the seed, whom to tell of rows written."""

    num_samples: int
    seed: int
    progress: Callable[[int], None]


@dataclass
class Planted:
    """The ledger of one simulated data set. Rows that are to be quarantined are listed, never counted."""

    dataset: str
    num_rows: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    duplicates: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def count(self, *, labels: Sequence[str] = (), **levels: str | None) -> None:
        """One row that enters the corpus: its level of every attribute (None: missing), and its labels."""
        self.num_rows += 1
        for attribute, level in levels.items():
            self.counts[attribute][level or "__missing__"] += 1
        for label in labels:
            self.counts["label"][label] += 1

    def reject(self, native_id: str, reason: Reason) -> None:
        """One row in the files that is to end in quarantine."""
        self.num_rows += 1
        self.quarantine.append({"dataset": self.dataset, "native_id": native_id, "reason": str(reason)})

    def duplicate(self, train_id: str, test_id: str) -> None:
        """One picture that stands, byte for byte, under two names and persons on two sides of the split."""
        self.duplicates.append(
            {"dataset": self.dataset, "kind": "same_image", "native_id": train_id, "split": "train",
             "other_native_id": test_id, "other_split": "test"}
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """Rows in the files, and for every attribute the counts and shares over the rows that enter."""
        return {
            "num_rows": self.num_rows,
            "num_samples": self.num_rows - len(self.quarantine),
            "counts": {name: dict(sorted(levels.items())) for name, levels in sorted(self.counts.items())},
            "shares": shares_of(self.counts),
            **self.notes,
        }


def shares_of(counts: dict[str, Counter[str]]) -> dict[str, dict[str, float]]:
    """Share of every level within its attribute."""
    return {
        name: {level: number / levels.total() for level, number in sorted(levels.items())}
        for name, levels in sorted(counts.items())
    }


def overall_counts(ledgers: Sequence[Planted]) -> dict[str, Counter[str]]:
    """Counts over all data sets; where one does not know an attribute, all its rows are missing there."""
    names = {name for ledger in ledgers for name in ledger.counts}
    overall: dict[str, Counter[str]] = {name: Counter() for name in names}
    for ledger in ledgers:
        num_samples = ledger.num_rows - len(ledger.quarantine)
        for name in names:
            overall[name] += ledger.counts.get(name) or Counter({"__missing__": num_samples})
    return overall


def defects_for(kinds: Sequence[Reason], *, num_rows: int, num_samples: int) -> list[Reason]:
    """The defects to plant among ``num_rows`` rows: about 2 %, each kind in turn, never 4 %."""
    if num_samples < MIN_SAMPLES_WITH_DEFECTS:
        return []
    wanted = max(len(kinds), round(_USUAL_BAD_SHARE * num_rows))
    number = min(wanted, int(_HIGHEST_BAD_SHARE * num_rows))
    return [kinds[index % len(kinds)] for index in range(number)]


def num_duplicates_for(*, num_rows: int, num_samples: int) -> int:
    """How many pictures to plant on both sides of the split."""
    return max(1, round(_DUPLICATED_SHARE * num_rows)) if num_samples >= MIN_SAMPLES_WITH_DEFECTS else 0
