"""What was planted, so that a census, a guard or a score can be held against it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ingest.quarantine import Reason

MIN_SAMPLES_WITH_DEFECTS = 300
SAMPLE_EVERY = 100
"""Under ``--images sample`` one picture in so many is written."""
_USUAL_BAD_SHARE = 0.02
_HIGHEST_BAD_SHARE = 0.035
_DUPLICATED_SHARE = 0.005
_IN_PIXELS = frozenset(
    {Reason.IMAGE_ABSENT, Reason.IMAGE_CORRUPT, Reason.MASK_ABSENT, Reason.MASK_CORRUPT, Reason.MASK_NAME_DISAGREES,
     Reason.MASK_SIZE_DISAGREES}
)  # fmt: skip


class Images(StrEnum):
    """Which pictures (and masks) are written: none, one in SAMPLE_EVERY, or all. Tables are always whole."""

    NONE = "none"
    SAMPLE = "sample"
    ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every writer is told: the size of the corpus and of every part, the seed, whom to tell of rows written.

    A writer is ``write(folder, num_rows, plan) -> Planted`` and stands in ``ingest.simulate.WRITERS``. It writes
    ``num_rows`` rows under the new ``folder`` in the native layout, row by row: 1.3 million rows must fit in memory.
    """

    num_samples: int
    seed: int
    progress: Callable[[int], None]
    images: Images = Images.ALL
    num_rows_of: Mapping[str, int] = field(default_factory=dict)

    def has_picture(self, number: int) -> bool:
        """Whether picture (and mask) ``number`` of a data set, counted from 0, is written."""
        return self.images is Images.ALL or (self.images is Images.SAMPLE and number % SAMPLE_EVERY == 0)

    def defects(self, kinds: Sequence[Reason], num_rows: int) -> list[Reason]:
        """The defects to plant among ``num_rows`` rows: about 2 %, each kind in turn, never 4 %.

        Those that lie in pictures and masks are planted only where all of these are written.
        """
        if self.num_samples < MIN_SAMPLES_WITH_DEFECTS:
            return []
        kept = [kind for kind in kinds if self.images is Images.ALL or kind not in _IN_PIXELS]
        wanted = max(len(kept), round(_USUAL_BAD_SHARE * num_rows))
        number = min(wanted, int(_HIGHEST_BAD_SHARE * num_rows)) if kept else 0
        return [kept[index % len(kept)] for index in range(number)]

    def num_duplicates(self, num_rows: int) -> int:
        """How many pictures to plant on both sides of the split; none where pictures are not all written."""
        if self.num_samples < MIN_SAMPLES_WITH_DEFECTS or self.images is not Images.ALL:
            return 0
        return max(1, round(_DUPLICATED_SHARE * num_rows))


@dataclass
class Planted:
    """The ledger of one simulated data set. Rows that are to be quarantined are listed, never counted."""

    dataset: str
    num_rows: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    duplicates: list[dict[str, Any]] = field(default_factory=list)
    leaks: list[dict[str, Any]] = field(default_factory=list)
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

    def leak(self, kind: str, train_id: str, *, other_dataset: str, test_id: str) -> None:
        """A finding other than equal files: a training row and what it meets in test.

        Kinds are those of ``ingest.leakage``: same_patient, same_study, same_figure, same_article,
        report_derived_labels, test_id_in_training.
        """
        self.leaks.append(
            {"dataset": self.dataset, "kind": kind, "native_id": train_id, "split": "train",
             "other_dataset": other_dataset, "other_native_id": test_id, "other_split": "test"}
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
