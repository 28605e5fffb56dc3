"""What goes together in the corpus: every pair of attributes, every sensitive one with every label.

Strength is told on rows, certainty on persons (METHODS section 1). One family of tests, one Benjamini-Hochberg.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.attributes import ABSENT_LEVELS
from ingest.census.coded import Coded, Ints, runs
from ingest.census.guard import NOBODY, Guard, hide_rows
from ingest.census.intervals import Z_95, Floats
from ingest.census.odds import (
    NOTHING,
    Ratio,
    homogeneity_p,
    is_explained,
    is_reversed,
    mantel_haenszel,
    num_contrasts,
    odds_ratio,
    z_of_chosen,
)
from ingest.census.pairs import Pair, pairs_to_test
from ingest.census.permutation import benjamini_hochberg, permutation_p, phi2

ASSOCIATIONS_SCHEMA = pa.schema(
    [
        ("attribute_a", pa.string()),
        ("attribute_b", pa.string()),
        ("level_b", pa.string()),
        ("num_rows", pa.int64()),
        ("num_persons", pa.int64()),
        ("cramers_v", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("mutual_information", pa.float64()),
        ("nmi", pa.float64()),
        ("p_value", pa.float64()),
        ("q_value", pa.float64()),
        ("family_size", pa.int64()),
        ("strongest_a", pa.string()),
        ("strongest_b", pa.string()),
        ("odds_ratio", pa.float64()),
        ("odds_low", pa.float64()),
        ("odds_high", pa.float64()),
        ("mh_ratio", pa.float64()),
        ("mh_low", pa.float64()),
        ("mh_high", pa.float64()),
        ("strata", pa.list_(pa.string())),
        ("homogeneity_p", pa.float64()),
        ("explained", pa.bool_()),
        ("reversal", pa.bool_()),
        ("suppressed", pa.bool_()),
    ]
)
_FIGURES = [name for name in ASSOCIATIONS_SCHEMA.names[3:-1] if name not in ("family_size", "strata")]
MAX_STRATA = 2_000


def associations(
    coded: Coded, attributes: Sequence[str], *, guard: Guard = NOBODY, seed: int = 0
) -> pa.Table:  # fmt: skip
    """ASSOCIATIONS_SCHEMA over the rows where both attributes are known; strongest first, suppressed ones last.

    A pair is suppressed where its table, or that within strata, could give few persons of identifiable data away.
    """
    rows: list[dict[str, Any]] = []
    for pair in pairs_to_test(coded, attributes):
        if not pair.varies:
            continue
        name = f"{pair.a.name}|{pair.b.name}|{pair.b.label}"
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        rows.append(strength(pair) | {"p_value": permutation_p(pair, generator)} | _adjusted(coded, pair, guard))
    for row, q in zip(rows, benjamini_hochberg(np.array([row["p_value"] for row in rows])), strict=True):
        row |= {"q_value": float(q), "family_size": len(rows)}
    return pa.Table.from_pylist(hide_rows(rows, _FIGURES, by="cramers_v"), schema=ASSOCIATIONS_SCHEMA)


def cramers_v(table: NDArray[np.float64], num_effective: float | None = None) -> tuple[float, int]:
    """Bias-corrected Cramer's V of a contingency table, in [0, 1], and its n (Bergsma 2013).

    Args: num_effective: the n of the correction where rows cluster (effective_rows_of); default: the table's own.
    """
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    return _corrected_v(float(phi2(table)), table.shape, num_effective or float(table.sum())), int(table.sum())


def _corrected_v(phi2_seen: float, shape: tuple[int, ...], n: float) -> float:
    r, c = shape
    if n <= 1 or min(r, c) < 2:
        return 0.0
    corrected = max(0.0, phi2_seen - (r - 1) * (c - 1) / (n - 1))
    smaller = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    return min(1.0, (corrected / smaller) ** 0.5) if smaller > 0 else 0.0


def strength(pair: Pair) -> dict[str, Any]:
    """Corrected V with its interval over persons, mutual information, rows and persons of a pair."""
    table = pair.table()
    n = effective_rows_of(pair, table)
    v, num_rows = cramers_v(table, n)
    low, high = _v_interval(pair, table, n)
    information, normalised = mutual_information(table)
    return {
        "attribute_a": pair.a.name, "attribute_b": pair.b.name, "level_b": pair.b.label,
        "num_rows": num_rows, "num_persons": len(pair.person_sizes), "cramers_v": v,
        "low": min(low, v), "high": max(high, v), "mutual_information": information, "nmi": normalised,
    }  # fmt: skip


def effective_rows_of(pair: Pair, table: Floats) -> float:
    """Rows over the design effect that phi2 has under independence (first-order correction of Rao and Scott 1981).

    n E[phi2] is the sum over persons and cells of (rows - expected rows)^2 / expected rows; the effect is that sum over
    the same one with every row a person of its own.
    """
    n = table.sum()
    p, q = table.sum(1) / n, table.sum(0) / n
    num_a, num_b = table.shape
    cell, _, both = runs(pair.a_M * num_b + pair.b_M, pair.person_M, num_a * num_b)
    a, _, in_a = runs(pair.a_M, pair.person_M, num_a)
    b, _, in_b = runs(pair.b_M, pair.person_M, num_b)
    spread = (both**2 / (p[cell // num_b] * q[cell % num_b])).sum() - (in_a**2 / p[a]).sum() - (in_b**2 / q[b]).sum()
    together = float(spread + (pair.person_sizes.astype(float) ** 2).sum())
    with np.errstate(divide="ignore", invalid="ignore"):  # levels without rows: 0 x infinity
        alone = float(np.nansum(table * np.outer(1 / p - 1, 1 / q - 1)))
    return float(n / max(1.0, together / alone)) if alone > 0 else float(n)


def _v_interval(pair: Pair, table: Floats, n: float) -> tuple[float, float]:
    """95 %: phi2 linearised person by person, with its variance 2 df / n^2 under independence added.

    The linear part alone vanishes at independence and would promise certainty there.
    """
    rows, columns = table.sum(1, keepdims=True), table.sum(0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(table > 0, table / (rows * columns), 0.0)
        gradient = (
            2 * share
            - np.nan_to_num((share * table).sum(1, keepdims=True) / rows)
            - np.nan_to_num((share * table).sum(0, keepdims=True) / columns)
        )
    influence_P = np.bincount(pair.person_M, weights=gradient[pair.a_M, pair.b_M])
    shape = (int((rows > 0).sum()), int((columns > 0).sum()))
    variance = float((influence_P**2).sum()) + 2 * (shape[0] - 1) * (shape[1] - 1) / n**2
    seen, half = float(phi2(table)), Z_95 * variance**0.5
    return _corrected_v(seen - half, shape, n), _corrected_v(seen + half, shape, n)


def mutual_information(table: Floats) -> tuple[float, float]:
    """MI in nats, and over sqrt(H_A H_B); (0, 0) where either never varies."""
    p = table / table.sum()
    rows, columns = p.sum(1), p.sum(0)
    expected = np.outer(rows, columns)
    held = p > 0
    information = max(0.0, float((p[held] * np.log(p[held] / expected[held])).sum()))
    scale = (_entropy(rows) * _entropy(columns)) ** 0.5
    return information, min(1.0, information / scale) if scale > 0 else 0.0


def _entropy(shares: Floats) -> float:
    held = shares[shares > 0]
    return float(-(held * np.log(held)).sum())


def _adjusted(coded: Coded, pair: Pair, guard: Guard) -> dict[str, Any]:
    """The cell that departs most from independence, its odds ratio, the same within strata, and whether to hide it.

    Intervals hold for whichever cell that is (Bonferroni over the cells it was chosen from).
    """
    weights = pair.row_weights
    first, second = _strongest(pair.table(weights))
    names, strata_M = _strata(coded, pair)
    cell_M = 2 * (pair.a_M != first) + (pair.b_M != second)
    size = 4 * (int(strata_M.max(initial=0)) + 1)  # the last stratum may lack its last cell
    tables = np.bincount(strata_M * 4 + cell_M, weights=weights, minlength=size).reshape(-1, 2, 2).astype(float)
    z = z_of_chosen(num_contrasts(len(pair.a.levels), len(pair.b.levels)))
    marginal = odds_ratio(tables.sum(0), z)
    adjusted = mantel_haenszel(tables, z) if names else NOTHING
    return {
        "strongest_a": pair.a.levels[first], "strongest_b": pair.b.label or pair.b.levels[second],
        **_ratio_columns(("odds_ratio", "odds_low", "odds_high"), marginal),
        **_ratio_columns(("mh_ratio", "mh_low", "mh_high"), adjusted),
        "strata": names, "homogeneity_p": homogeneity_p(tables, adjusted.estimate) if names else None,
        "explained": is_explained(marginal, adjusted), "reversal": is_reversed(marginal, adjusted),
        "suppressed": guard.hides_pair(coded, pair, strata_M * 4 + cell_M),
    }  # fmt: skip


def _ratio_columns(names: tuple[str, str, str], ratio: Ratio) -> dict[str, float | None]:
    values = (ratio.estimate, ratio.low, ratio.high)
    return {name: value if np.isfinite(value) else None for name, value in zip(names, values, strict=True)}


def _strongest(table: Floats) -> tuple[int, int]:
    """Of the cells with more than independence gives, the one with the largest adjusted residual; of a label, "yes"."""
    n = table.sum()
    rows, columns = table.sum(1, keepdims=True) / n, table.sum(0, keepdims=True) / n
    spread = rows * (1 - rows) * columns * (1 - columns) * n
    residual = np.where(spread > 0, (table - n * rows * columns) / np.sqrt(np.maximum(spread, 1e-300)), -np.inf)
    first, second = np.unravel_index(int(residual.argmax()), residual.shape)
    return int(first), int(second)


def _strata(coded: Coded, pair: Pair) -> tuple[list[str], Ints]:
    """Site x device, or modality where most devices are not known (METHODS section 1); never the pair's own columns."""
    device = "manufacturer" if _is_mostly_known(coded, "manufacturer", pair) else "modality"
    names = [
        name for name in ("dataset", device)
        if name in coded.occurrences and name not in (pair.a.name, pair.b.name)
        and len(coded.occurrences[name].levels) > 1
    ]  # fmt: skip
    codes = np.zeros(pair.num_rows, np.int64)
    for name in names:
        codes = codes * len(coded.occurrences[name].levels) + coded.single(name)[pair.rows]
    if int(codes.max(initial=0)) >= MAX_STRATA:  # only those that have rows, then
        _, codes = np.unique(codes, return_inverse=True)
    return names, codes


def _is_mostly_known(coded: Coded, name: str, pair: Pair) -> bool:
    if name not in coded.occurrences:
        return False
    levels = coded.occurrences[name].levels
    known = np.array([level not in ABSENT_LEVELS for level in levels])
    return bool(known[coded.single(name)[pair.rows]].mean() >= 0.5)
