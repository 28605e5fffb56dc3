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
    with_label: Floats
    without: Floats
    yy: Floats
    yn: Floats
    nn: Floats


@dataclass(frozen=True)
class _Sides:
    """Sums within each level and over all its others, persons in each level, and what the two sides share.

    crossed: sums over persons of y y', y n', n y', n n', the second of each from the person's rows at other levels.
    """

    here: _Sums
    rest: _Sums
    persons: Floats
    crossed: tuple[Floats, Floats, Floats, Floats]


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
    sides = _sides(pair)
    hidden = hidden_levels(coded, pair, guard, sides.here.n > 0)
    rows = []
    for place in np.flatnonzero(sides.here.n):
        row = {"attribute": pair.a.name, "level": pair.a.levels[place], "label": pair.b.label,
               "suppressed": bool(hidden[place])}  # fmt: skip
        rows.append(row if hidden[place] else row | _figures(sides, int(place)))
    return rows


def _sides(pair: Pair) -> _Sides:
    num_levels = len(pair.a.levels)
    level, person, n = runs(pair.a_M, pair.person_M, num_levels)
    positive = pair.b_M == 1
    key = level * (len(pair.person_sizes) + 1) + person
    hit_level, hit_person, hits = runs(pair.a_M[positive], pair.person_M[positive], num_levels)
    y = np.zeros(len(n))
    y[np.searchsorted(key, hit_level * (len(pair.person_sizes) + 1) + hit_person)] = hits
    total_n = pair.person_sizes.astype(float)
    total_y = np.bincount(person, weights=y, minlength=len(total_n))
    other_n, other_y = total_n[person] - n, total_y[person] - y

    def per_level(values: Any) -> Floats:
        return np.bincount(level, weights=values, minlength=num_levels).astype(float)

    here = _Sums(
        n=per_level(n), y=per_level(y), with_label=per_level(y > 0), without=per_level(y < n),
        yy=per_level(y**2), yn=per_level(y * n), nn=per_level(n.astype(float) ** 2),
    )  # fmt: skip
    y_y, y_n, n_y, n_n = (per_level(mine * others) for mine in (y, n) for others in (other_y, other_n))
    # A person counts once among the rest, however many of the other levels they have.
    rest = _Sums(
        n=total_n.sum() - here.n, y=total_y.sum() - here.y,
        with_label=np.count_nonzero(total_y) - per_level((y > 0) & (other_y == 0)),
        without=np.count_nonzero(total_y < total_n) - per_level((y < n) & (other_y == other_n)),
        yy=(total_y**2).sum() - 2 * y_y - here.yy, yn=(total_y * total_n).sum() - y_n - n_y - here.yn,
        nn=(total_n**2).sum() - 2 * n_n - here.nn,
    )  # fmt: skip
    return _Sides(here, rest, per_level(n > 0), (y_y, y_n, n_y, n_n))


def _figures(sides: _Sides, place: int) -> dict[str, Any]:
    """Jeffreys' interval, Newcombe's difference to the rest and the ratio, each on effective rows."""
    p, n = _share(sides.here, place)
    low, high = scipy.stats.beta.ppf([0.025, 0.975], p * n + 0.5, (1 - p) * n + 0.5)
    found: dict[str, Any] = {
        "num_rows": int(sides.here.n[place]), "num_persons": int(sides.persons[place]),
        "num_positive": int(sides.here.y[place]),
        "prevalence": p, "low": float(low) if p > 0 else 0.0, "high": float(high) if p < 1 else 1.0,
    }  # fmt: skip
    if sides.rest.n[place] == 0:
        return found
    rest, num_rest = _share(sides.rest, place)
    together = _correlation(sides, place, p, rest)
    (low_p, high_p), (low_rest, high_rest) = wilson(p, n), wilson(rest, num_rest)
    difference = p - rest
    found |= {
        "difference": difference,
        "difference_low": difference - _reach(p - low_p, high_rest - rest, together),
        "difference_high": difference + _reach(high_p - p, rest - low_rest, together),
    }
    if p > 0 and rest > 0:
        errors = ((1 - p) / (p * n)) ** 0.5, ((1 - rest) / (rest * num_rest)) ** 0.5
        factor = float(np.exp(Z_95 * _reach(*errors, together)))
        found |= {"ratio": p / rest, "ratio_low": p / rest / factor, "ratio_high": p / rest * factor}
    return found


def _reach(one: float, other: float, correlation: float) -> float:
    """How far a difference reaches when its parts reach so far (Newcombe 1998, both papers: apart and paired)."""
    return float(max(0.0, one**2 - 2 * correlation * one * other + other**2) ** 0.5)


def _correlation(sides: _Sides, place: int, p: float, rest: float) -> float:
    """Of the shares here and in the rest, whose rows may be of the same persons; 0 where one of them hardly varies."""
    y_y, y_n, n_y, n_n = (values[place] for values in sides.crossed)
    spread, spread_rest = _spread(sides.here, place, p), _spread(sides.rest, place, rest)
    if min(spread, spread_rest) == 0:
        return 0.0
    together = y_y - rest * y_n - p * n_y + p * rest * n_n
    return float(np.clip(together / (spread * spread_rest) ** 0.5, -1, 1))


def _spread(sums: _Sums, place: int, p: float) -> float:
    """sum over persons of (y_i - p n_i)^2; 0 where it is only rounding."""
    spread = float(sums.yy[place] - 2 * p * sums.yn[place] + p**2 * sums.nn[place])
    return spread if spread > 1e-12 * p * (1 - p) * float(sums.n[place]) ** 2 else 0.0


def _share(sums: _Sums, place: int) -> tuple[float, float]:
    """Share of positive rows, and how many independent rows it is worth.

    The variance is the patient bootstrap's to first order, sum (y_i - p n_i)^2 / n^2; with few persons on a side a
    person's rows count as one at most.
    """
    n, y = float(sums.n[place]), float(sums.y[place])
    p = y / n
    spread, kish = _spread(sums, place, p), n**2 / float(sums.nn[place])
    if spread == 0:
        return p, kish
    few = min(sums.with_label[place], sums.without[place]) < MIN_PERSONS
    return p, min(kish if few else n, p * (1 - p) * n**2 / spread)
