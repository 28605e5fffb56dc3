"""How often a label is given within each level, and against the rest (METHODS section 1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.stats

from ingest.attributes import ATTRIBUTES
from ingest.census.coded import Coded, runs
from ingest.census.guard import NOBODY, Guard
from ingest.census.intervals import MIN_PERSONS, Z_95, Floats, wilson
from ingest.census.joint import hidden_levels
from ingest.census.pairs import SENSITIVE, SITES_AND_DEVICES, Pair, label_variables, variable

PREVALENCE_SCHEMA = pa.schema(
    [
        ("attribute", pa.string()),
        ("level", pa.string()),
        ("label", pa.string()),
        ("num_rows", pa.int64()),
        ("num_persons", pa.int64()),
        ("num_positive", pa.int64()),
        *((name, pa.float64()) for name in (
            "prevalence", "low", "high", "difference", "difference_low", "difference_high",
            "ratio", "ratio_low", "ratio_high",
        )),
        ("suppressed", pa.bool_()),
    ]
)  # fmt: skip
_FIGURES = PREVALENCE_SCHEMA.names[3:-1]


@dataclass(frozen=True)
class _Sums:
    """Per level [r]: rows n, positive rows y, persons with each, and sums over persons of y^2, y n, n^2."""

    n: Floats
    y: Floats
    persons: Floats
    with_label: Floats
    without: Floats
    yy: Floats
    yn: Floats
    nn: Floats


def prevalence(coded: Coded, attributes: Sequence[str], *, guard: Guard = NOBODY) -> pa.Table:
    """PREVALENCE_SCHEMA over rows whose level and labels are known, for sensitive attributes, sites and devices."""
    names = [name for name in dict.fromkeys([*attributes, *SITES_AND_DEVICES])
             if name in coded.occurrences and name in (*SENSITIVE, *SITES_AND_DEVICES)]  # fmt: skip
    groups = [one for one in (variable(coded, name) for name in names) if len(one.levels) > 1]
    rows: list[dict[str, Any]] = []
    for name in [name for name in coded.occurrences if ATTRIBUTES[name].is_list]:
        for label in label_variables(coded, name):
            for group in groups:
                pair = Pair.of(coded, group, label)
                if pair.varies:
                    rows += _of_pair(coded, pair, guard)
    return pa.Table.from_pylist(rows, schema=PREVALENCE_SCHEMA)


def _of_pair(coded: Coded, pair: Pair, guard: Guard) -> list[dict[str, Any]]:
    sums = _sums(pair)
    hidden = hidden_levels(coded, pair, guard, sums.n > 0)
    rows = []
    for place in np.flatnonzero(sums.n):
        row = {"attribute": pair.a.name, "level": pair.a.levels[place], "label": pair.b.label,
               "suppressed": bool(hidden[place])}  # fmt: skip
        rows.append(row if hidden[place] else row | _figures(sums, int(place)))
    return rows


def _sums(pair: Pair) -> _Sums:
    num_levels = len(pair.a.levels)
    level, person, n = runs(pair.a_M, pair.person_M, num_levels)
    positive = pair.b_M == 1
    key = level * (len(pair.person_sizes) + 1) + person
    hit_level, hit_person, y = runs(pair.a_M[positive], pair.person_M[positive], num_levels)
    place = np.searchsorted(key, hit_level * (len(pair.person_sizes) + 1) + hit_person)
    y_of = np.zeros(len(n))
    y_of[place] = y

    def per_level(values: Any) -> Floats:
        return np.bincount(level, weights=values, minlength=num_levels).astype(float)

    return _Sums(
        n=per_level(n), y=per_level(y_of), persons=per_level(n > 0), with_label=per_level(y_of > 0),
        without=per_level(y_of < n), yy=per_level(y_of**2), yn=per_level(y_of * n), nn=per_level(n.astype(float) ** 2),
    )  # fmt: skip


def _figures(sums: _Sums, place: int) -> dict[str, Any]:
    """Jeffreys' interval, Newcombe's difference to the rest and the ratio, each on effective rows."""
    here = np.zeros(len(sums.n), bool)
    here[place] = True
    p, n = _share(sums, here)
    low, high = scipy.stats.beta.ppf([0.025, 0.975], p * n + 0.5, (1 - p) * n + 0.5)
    found: dict[str, Any] = {
        "num_rows": int(sums.n[place]), "num_persons": int(sums.persons[place]), "num_positive": int(sums.y[place]),
        "prevalence": p, "low": float(low) if p > 0 else 0.0, "high": float(high) if p < 1 else 1.0,
    }  # fmt: skip
    if sums.n[~here].sum() == 0:
        return found
    rest, num_rest = _share(sums, ~here)
    (low_p, high_p), (low_rest, high_rest) = wilson(p, n), wilson(rest, num_rest)
    difference = p - rest
    found |= {
        "difference": difference,
        "difference_low": difference - ((p - low_p) ** 2 + (high_rest - rest) ** 2) ** 0.5,
        "difference_high": difference + ((high_p - p) ** 2 + (rest - low_rest) ** 2) ** 0.5,
    }
    if p > 0 and rest > 0:
        factor = float(np.exp(Z_95 * ((1 - p) / (p * n) + (1 - rest) / (rest * num_rest)) ** 0.5))
        found |= {"ratio": p / rest, "ratio_low": p / rest / factor, "ratio_high": p / rest * factor}
    return found


def _share(sums: _Sums, levels: Any) -> tuple[float, float]:
    """Share of positive rows over some levels, and how many independent rows it is worth.

    The variance is the patient bootstrap's to first order, sum (y_i - p n_i)^2 / n^2; with few persons on a side a
    person's rows count as one.
    """
    n, y = sums.n[levels].sum(), sums.y[levels].sum()
    p = float(y / n)
    spread = float((sums.yy[levels] - 2 * p * sums.yn[levels] + p**2 * sums.nn[levels]).sum())
    few = min(sums.with_label[levels].sum(), sums.without[levels].sum()) < MIN_PERSONS
    if few or spread <= 0:
        return p, float(n**2 / sums.nn[levels].sum())
    return p, min(float(n), p * (1 - p) * float(n) ** 2 / spread)
