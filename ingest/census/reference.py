"""How far the corpus is from a declared population: Jensen-Shannon distance with its null, and ratios by level."""

import zlib
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.attributes import ABSENT_LEVELS
from ingest.census.coded import Coded, Ints, runs
from ingest.census.config import Reference
from ingest.census.counts import WHOLE_CORPUS
from ingest.census.intervals import Floats, wilson

REFERENCE_SCHEMA = pa.schema(
    [
        ("attribute", pa.string()),
        ("dataset", pa.string()),
        ("level", pa.string()),
        ("observed", pa.float64()),
        ("expected", pa.float64()),
        ("ratio", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("d", pa.float64()),
        ("null_95", pa.float64()),
        ("p_value", pa.float64()),
        ("reference", pa.string()),
        ("version", pa.string()),
        ("date", pa.string()),
        ("suppressed", pa.bool_()),
    ]
)
NUM_NULL = 2_000


def compare(coded: Coded, reference: Reference | None, *, hidden: set[tuple[str, str]], seed: int = 0) -> pa.Table:
    """REFERENCE_SCHEMA for every attribute of the reference that the census counts, per data set and in all.

    Shares are among the rows whose level is known. Args: hidden: (attribute, dataset) with a suppressed cell.
    """
    rows: list[dict[str, Any]] = []
    for attribute, shares in (reference.shares if reference else {}).items():
        if attribute not in coded.occurrences:
            continue
        for place, dataset in enumerate([*coded.datasets, WHOLE_CORPUS]):
            generator = np.random.default_rng([seed, zlib.crc32(f"{attribute}|{dataset}".encode())])
            for row in _against(coded, attribute, place, shares, generator):
                assert reference is not None
                row |= {
                    "attribute": attribute, "dataset": dataset, "reference": reference.name,
                    "version": reference.version, "date": reference.date.isoformat(), "suppressed": False,
                }  # fmt: skip
                if (attribute, dataset) in hidden:
                    row |= dict.fromkeys(("observed", "ratio", "low", "high", "d", "null_95", "p_value"))
                    row["suppressed"] = True
                rows.append(row)
    return pa.Table.from_pylist(rows, schema=REFERENCE_SCHEMA)


def _against(
    coded: Coded, attribute: str, place: int, shares: dict[str, float], generator: np.random.Generator
) -> list[dict[str, Any]]:
    """Every level of the corpus or the reference; nothing where no row is known."""
    found = coded.occurrences[attribute]
    known = np.isin(np.array(found.levels), ABSENT_LEVELS, invert=True)[found.codes]
    if place < len(coded.datasets):
        known &= coded.dataset_N == place
    levels = sorted({*(found.levels[code] for code in np.unique(found.codes[known])), *shares})
    counts, num_effective = _known_counts(coded, attribute, known, levels)
    if counts.sum() == 0:
        return []
    p = counts / counts.sum()
    q = np.array([shares.get(level, 0.0) for level in levels])
    d, null = float(distance(p, q)), distance(generator.multinomial(max(1, round(num_effective)), q, NUM_NULL), q)
    tested = {
        "d": d, "null_95": float(np.quantile(null, 0.95)),
        "p_value": (1 + int((null >= d - 1e-12).sum())) / (NUM_NULL + 1),
    }  # fmt: skip
    rows = []
    for level, observed, expected in zip(levels, p, q, strict=True):
        low, high = wilson(float(observed), num_effective)
        ratios = [value / expected if expected else None for value in (observed, low, high)]
        rows.append({"level": level, "observed": observed, "expected": expected,
                     **dict(zip(("ratio", "low", "high"), ratios, strict=True)), **tested})  # fmt: skip
    return rows


def _known_counts(coded: Coded, attribute: str, known: Any, levels: list[str]) -> tuple[Ints, float]:
    """Rows by level, and their number over the design effect of a test of fit (Rao and Scott 1981)."""
    found = coded.occurrences[attribute]
    place = np.array([levels.index(level) if level in levels else -1 for level in found.levels])
    person = coded.person_N[known]
    dense = np.cumsum(np.append(False, person[1:] != person[:-1])) if len(person) else person
    level, _, hits = runs(place[found.codes[known]], dense.astype(np.int64), len(levels))
    counts = np.bincount(level, weights=hits, minlength=len(levels)).astype(np.int64)
    n, num_levels = counts.sum(), int((counts > 0).sum())
    sizes = np.bincount(dense) if len(dense) else np.zeros(0)
    if num_levels < 2:
        return counts, float(n**2 / (sizes.astype(float) ** 2).sum()) if n else 0.0
    together = (hits**2 / (counts[level] / n)).sum() - (sizes.astype(float) ** 2).sum()
    return counts, float(n / max(1.0, together / (n * (num_levels - 1))))


def distance(p: NDArray[Any], q: Floats) -> Floats:
    """Root of the Jensen-Shannon divergence in base 2, in [0, 1], of shares or counts [..., K] from shares q [K]."""
    p = p / p.sum(-1, keepdims=True)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        from_p = np.where(p > 0, p * np.log2(p / middle), 0.0).sum(-1)
        from_q = np.where(q > 0, q * np.log2(q / middle), 0.0).sum(-1)
    return np.sqrt(np.clip((from_p + from_q) / 2, 0, 1))
