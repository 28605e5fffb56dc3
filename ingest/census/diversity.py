"""How even an attribute is: entropy, evenness, Hill numbers, imbalance ratio, Gini; by row, image, study and person."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.attributes import ABSENT_LEVELS, ATTRIBUTES
from ingest.census.coded import Coded
from ingest.census.counts import WHOLE_CORPUS

SUMMARIES_SCHEMA = pa.schema(
    [
        ("attribute", pa.string()),
        ("dataset", pa.string()),
        ("unit", pa.string()),
        ("num_units", pa.int64()),
        ("num_levels", pa.int64()),
        ("num_declared", pa.int64()),
        ("entropy", pa.float64()),
        ("evenness", pa.float64()),
        ("hill1", pa.float64()),
        ("hill2", pa.float64()),
        ("imbalance_ratio", pa.float64()),
        ("gini", pa.float64()),
        ("empty_levels", pa.list_(pa.string())),
        ("suppressed", pa.bool_()),
    ]
)
UNIT_COLUMNS = {"row": "num_rows", "image": "num_images", "study": "num_studies", "person": "num_persons"}
_FIGURES = ("entropy", "evenness", "hill1", "hill2", "imbalance_ratio", "gini", "empty_levels")


def known_persons(coded: Coded, attributes: Sequence[str]) -> dict[tuple[str, str], int]:
    """Persons with a known level, by attribute and data set, WHOLE_CORPUS included."""
    persons: dict[tuple[str, str], int] = {}
    for name in attributes:
        found = coded.occurrences[name]
        known = np.isin(found.levels, ABSENT_LEVELS, invert=True)[found.codes]
        has_P = np.zeros(coded.num_persons, bool)
        has_P[coded.person_N[found.rows[known]]] = True
        counted = np.bincount(coded.dataset_P[has_P], minlength=len(coded.datasets)).tolist()
        persons |= {(name, dataset): number for dataset, number in zip(coded.datasets, counted, strict=True)}
        persons[name, WHOLE_CORPUS] = sum(counted)
    return persons


def summarise(counts: pa.Table, persons: Mapping[tuple[str, str], int]) -> pa.Table:
    """SUMMARIES_SCHEMA of COUNTS_SCHEMA rows: the known levels of each attribute, data set and unit.

    Levels that say "not known" are no level of their own here; "other" is one where somebody has it. ``num_units`` are
    level-unit pairs: a person with two levels stands under both. Where a level's count is suppressed, so is the
    summary: it would give the count away. Args: persons: those of known_persons.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in counts.to_pylist():
        groups.setdefault((row["attribute"], row["dataset"]), []).append(row)
    rows = [
        {
            "attribute": attribute,
            "dataset": dataset,
            "unit": unit,
            **_summary(attribute, members, column, persons[attribute, dataset]),
        }
        for (attribute, dataset), members in groups.items()
        for unit, column in UNIT_COLUMNS.items()
    ]
    return pa.Table.from_pylist(rows, schema=SUMMARIES_SCHEMA)


def _summary(attribute: str, members: Sequence[dict[str, Any]], column: str, persons: int) -> dict[str, Any]:
    known = [row for row in members if row["level"] not in ABSENT_LEVELS]
    found = {row["level"] for row in known}
    declared = [level for level in ATTRIBUTES[attribute].levels or ()
                if level not in ABSENT_LEVELS and (level in found or level != "other")]  # fmt: skip
    if any(row["suppressed"] for row in members):
        return {"num_declared": len(declared) or None, "suppressed": True}
    counts = np.array([row[column] for row in known], dtype=np.int64)
    present = counts[counts > 0]
    figures: dict[str, Any] = dict.fromkeys(_FIGURES)
    if len(present):
        figures |= diversity(present, num_effective=persons, num_reference=len(declared) or len(present))
    return {
        "num_units": int(counts.sum()), "num_levels": len(present), "num_declared": len(declared) or None, **figures,
        "empty_levels": [level for level in declared if level not in found], "suppressed": False,
    }  # fmt: skip


def diversity(counts: NDArray[np.int64], *, num_effective: float, num_reference: int) -> dict[str, float]:
    """METHODS section 1 of K counts above 0: H = -sum p ln p + (K - 1) / 2N (Miller-Madow, nats) and its kin.

    Args: num_effective: N of the correction (persons where rows cluster). num_reference: declared levels, for J.
    Returns: entropy; evenness J = H / ln K_ref, at most 1 (1 where one level is all there can be); hill1 = e^H, at most
        the levels; hill2 = 1 / sum p^2; imbalance_ratio max / min; gini in [0, 1 - 1/K].
    """
    p = np.sort(counts) / counts.sum()
    num_levels = len(p)
    entropy = float(-(p * np.log(p)).sum() + (num_levels - 1) / (2 * num_effective))
    rank = np.arange(1, num_levels + 1)
    return {
        "entropy": entropy,
        "evenness": min(1.0, entropy / float(np.log(num_reference))) if num_reference > 1 else 1.0,
        "hill1": min(float(np.exp(entropy)), float(max(num_levels, num_reference))),
        "hill2": float(1 / (p**2).sum()),
        "imbalance_ratio": float(p[-1] / p[0]),
        "gini": float(((2 * rank - num_levels - 1) * p).sum() / num_levels),
    }
