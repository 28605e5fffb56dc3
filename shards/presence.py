"""Labels as attributes of their own: a row may carry several, so that each is present or absent (METHODS section 2).

A row is told of by the labels that its data set gives; of one that its data set never gives, and of rows without any
label, nothing is known, as in the census (``ingest.census.pairs``). Targets are presence rates among the rows known.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ingest.applicability import MISSING
from ingest.attributes import ABSENT_LEVELS, KEPT_LEVELS, level_sql, quoted
from ingest.errors import BadInput, GateRefused
from shards.cells import LABEL_SEPARATOR, Cells
from shards.targets import Goal, Target

ABSENT, PRESENT, NOT_TOLD = range(3)
_LEVELS = ["absent", "present", MISSING]
LARGEST_NUM_LABELS = 200
"""Labels under one target: each is a margin over all cells."""


def label_set_sql(name: str, spoken: Collection[str] | None) -> str:
    """The labels of a row as one text, sorted; only those of ``spoken``, so that rows share cells. None: all."""
    labels = level_sql(name)
    if spoken is not None:
        kept = ", ".join(f"'{quoted(label)}'" for label in sorted({*spoken, *ABSENT_LEVELS}))
        labels = f"list_filter({labels}, lambda label: label IN ({kept}))"
    return f"array_to_string(list_sort({labels}), '{LABEL_SEPARATOR}')"


def with_presences(cells: Cells, name: str) -> Cells:
    """The cells with each label of attribute ``name`` as an attribute ``<name>: <label>`` of the levels above.

    Raises: BadInput for too many labels.
    """
    sets = [set(text.split(LABEL_SEPARATOR)) - {""} for text in cells.levels[name]]
    labels = sorted(set[str]().union(*sets) - {*KEPT_LEVELS})
    if len(labels) > LARGEST_NUM_LABELS:
        raise BadInput(
            f"weights.targets.{name}: expected at most {LARGEST_NUM_LABELS} labels, got {len(labels):,}; name the ones "
            "that matter: toward = {label = rate, ...}"
        )
    known = np.array([not each or not each <= {*ABSENT_LEVELS} for each in sets])[cells.codes[name]]
    levels, codes, presences = dict(cells.levels), dict(cells.codes), dict(cells.presences)
    for label in labels:
        key = f"{name}: {label}"
        has = np.array([label in each for each in sets])[cells.codes[name]]
        told = known & _gives(cells, has)[cells.codes["dataset"]]
        levels[key], presences[key] = _LEVELS, (name, label)
        codes[key] = np.where(has, PRESENT, np.where(told, ABSENT, NOT_TOLD))
    return replace(cells, levels=levels, codes=codes, presences=presences)


def _gives(cells: Cells, has: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[D] which data sets give a label at all."""
    return np.bincount(cells.codes["dataset"][has], minlength=len(cells.levels["dataset"])) > 0


def presence_goals(name: str, target: Target, cells: Cells) -> tuple[dict[str, Goal], list[str]]:
    """A goal per label by key, and the labels named that no training row has.

    "uniform": the same rate for all labels that the same data sets give, their mean; "power": in proportion to
    p^alpha, the mean kept. Either keeps how many labels a row has.
    Raises: GateRefused for a given rate of a label without rows.
    """
    keys = {label: key for key, (attribute, label) in cells.presences.items() if attribute == name}
    rates, removed = _rules(target, cells, list(keys.values())), list[str]()
    if target.shares is not None:
        removed = [label for label in target.shares if label not in keys]
        unmet = [label for label in removed if target.shares[label] > 0]
        if unmet and target.is_given:
            raise GateRefused(
                f"weights.targets.{name}: level {unmet[0]}: expected training rows with this label, got none"
            )
        rates = {keys[label]: rate for label, rate in target.shares.items() if label in keys}
    return {
        key: Goal(np.array([True, True, False]), np.array([1 - g, g, 0.0]), []) for key, g in rates.items()
    }, removed


def _rules(target: Target, cells: Cells, keys: list[str]) -> dict[str, float]:
    """The rate that a rule wants of each label."""
    alike = defaultdict[tuple[bool, ...], list[str]](list)
    present = {}
    for key in keys:
        absent, has, _ = cells.margin(key, cells.ones)
        present[key] = float(has / (absent + has))
        alike[tuple(_gives(cells, cells.codes[key] == PRESENT).tolist())].append(key)
    alpha = target.alpha if target.toward == "power" else 0.0
    rates: dict[str, float] = {}
    for group in alike.values():
        scale = sum(present[key] for key in group) / sum(present[key] ** alpha for key in group)
        rates |= {key: min(1.0, scale * present[key] ** alpha) for key in group}
    return rates
