"""Shortcut risk: what a model could read off a picture instead of the finding (METHODS section 1, G-AUDIT).

Detectability: AUC of an attribute from coarse features of a sample of pictures (``reading_off``). Utility U:
bias-corrected Cramer's V of the attribute with a label, over all rows. Risk = U x (2 AUC - 1): a shortcut needs both.
It is flagged only where both are beyond chance: p is the larger of the two permutation p-values (Berger 1982), for with
one of them at chance permuting both at once would call the other's strength a risk.
"""

import itertools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ingest.attributes import ABSENT_LEVELS, ATTRIBUTES
from ingest.census.association import strength
from ingest.census.coded import NUM_THREADS, Coded, Ints
from ingest.census.guard import NOBODY, Guard, hide_rows
from ingest.census.intervals import Floats
from ingest.census.pairs import SITES_AND_DEVICES, Pair, Variable, label_variables, variable
from ingest.census.permutation import benjamini_hochberg, permutation_p
from ingest.census.picture_sample import sample_pictures
from ingest.census.reading_off import Reading, read_off
from ingest.disguise import Folder
from ingest.picture_features import read_features

DETECTABILITY_SCHEMA = pa.schema(
    [
        ("attribute", pa.string()),
        ("label", pa.string()),
        ("num_rows", pa.int64()),
        ("num_persons", pa.int64()),
        ("num_pictures", pa.int64()),
        ("num_levels", pa.int64()),
        *((name, pa.float64()) for name in (
            "utility", "utility_low", "utility_high", "auc", "auc_low", "auc_high", "risk", "low", "high", "p_value",
            "q_value",
        )),
        ("family_size", pa.int64()),
        ("suppressed", pa.bool_()),
    ]
)  # fmt: skip
MAX_LABELS = 20
"""Labels tested, the most frequent ones."""
NOT_IN_PICTURES = frozenset({"task", "split", "language", "answer_type", "modality_source", "anatomy_source"})
"""Of the row, not of the picture."""
NOTHING_SEEN = "detectability: no picture was looked at"
_FIGURES = DETECTABILITY_SCHEMA.names[2:-1]


@dataclass(frozen=True)
class Pictures:
    """Where a census may look at pictures. cache: what it keeps of those seen. number: how many it looks at."""

    roots: Mapping[str, Folder]
    cache: Path
    number: int


def detectability(
    connection: duckdb.DuckDBPyConnection, coded: Coded, attributes: Sequence[str], pictures: Pictures | None, *,
    guard: Guard = NOBODY, seed: int = 0,
) -> tuple[pa.Table, list[str]]:  # fmt: skip
    """DETECTABILITY_SCHEMA and notes: every attribute read alone (label null), then with every label, riskiest first.

    Either is a family of tests of its own. Without pictures no row, and a note that says so.
    """
    names = [name for name in dict.fromkeys([*attributes, *SITES_AND_DEVICES])
             if name in coded.occurrences and name not in NOT_IN_PICTURES and not ATTRIBUTES[name].is_list]  # fmt: skip
    readings, notes = _readings(connection, names, pictures, guard.below, seed)
    alone: list[dict[str, Any]] = [
        {"attribute": name, "suppressed": False} | _read(reading) for name, reading in readings.items()
    ]
    together: list[dict[str, Any]] = []
    read = [(variable(coded, name), reading) for name, reading in readings.items()]
    for label in _labels(coded, notes) if read else ():
        for one, reading in read:
            pair = Pair.of(coded, one, label)
            if pair.varies:
                together.append(_risk(pair, reading, seed) | {"suppressed": guard.hides_pair(coded, pair)})
    for family in (alone, together):
        for row, q in zip(family, benjamini_hochberg(np.array([row["p_value"] for row in family])), strict=True):
            row |= {"q_value": float(q), "family_size": len(family)}
    alone.sort(key=lambda row: -row["auc"])
    shown = [*alone, *hide_rows(together, _FIGURES, by="risk")]
    return pa.Table.from_pylist(shown, schema=DETECTABILITY_SCHEMA), notes


def _readings(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], pictures: Pictures | None, below: int, seed: int
) -> tuple[dict[str, Reading], list[str]]:
    """How well each attribute is read off the pictures that open; those with too few persons at a level left out."""
    if pictures is None or not pictures.roots or not pictures.number:
        return {}, [NOTHING_SEEN]
    sample = sample_pictures(connection, names, pictures.roots.keys(), number=pictures.number, seed=seed)
    if not sample.num_rows:
        return {}, [f"{NOTHING_SEEN}, for none is present"]
    features = read_features(sample, pictures.roots, pictures.cache, num_threads=NUM_THREADS)
    opened = np.isfinite(features).all(1) if features.size else np.zeros(sample.num_rows, bool)
    closed = int((~opened).sum())
    notes = [f"detectability: {closed:,} of {sample.num_rows:,} chosen pictures did not open"] * bool(closed)
    if not opened.any():
        return {}, [NOTHING_SEEN, *notes]
    seen: Floats = np.column_stack([features.astype(np.float64), _log_pixels(sample)])[opened]
    readings = {}
    for name in names:
        generator = np.random.default_rng([seed, zlib.crc32(f"read off {name}".encode())])
        codes = _codes(sample[f"level_{name}"].filter(pa.array(opened)).to_pylist())
        reading = read_off(seen, codes, generator=generator, min_persons=below)
        if reading is not None:
            readings[name] = reading
    looked = f"{len(seen):,}" if len(seen) >= below else f"fewer than {below}"
    unread = [name for name in names if name not in readings]
    return readings, [
        f"detectability: {looked} pictures were looked at, one per person",
        *notes,
        *(f"detectability: {name}: too few pictures at two levels or more; not tested" for name in unread),
    ]


def _log_pixels(sample: pa.Table) -> Floats:
    """[n] log of width x height; the mean where no size was read, so that not knowing it tells nothing."""
    size = sample["width_px"].to_numpy().astype(float) * sample["height_px"].to_numpy().astype(float)
    logs = np.log(np.maximum(size, 1.0))
    return np.where(np.isfinite(logs), logs, np.nanmean(logs) if np.isfinite(logs).any() else 0.0)


def _codes(levels: list[str]) -> Ints:
    known = sorted(set(levels) - set(ABSENT_LEVELS))
    place = {level: number for number, level in enumerate(known)}
    return np.array([place.get(level, -1) for level in levels], np.int64)


def _labels(coded: Coded, notes: list[str]) -> Iterator[Variable]:
    for name in [name for name in coded.occurrences if ATTRIBUTES[name].is_list]:
        found = coded.occurrences[name]
        rest = len(found.levels) - (found.missing >= 0) - MAX_LABELS
        if rest > 0:
            notes.append(f"detectability: {name}: the rarest {rest:,} levels are not tested")
        yield from itertools.islice(label_variables(coded, name), MAX_LABELS)


def _read(reading: Reading) -> dict[str, Any]:
    return {
        "num_pictures": reading.num_persons, "num_levels": reading.num_levels, "auc": reading.auc,
        "auc_low": reading.low, "auc_high": reading.high, "p_value": reading.p_value,
    }  # fmt: skip


def _risk(pair: Pair, reading: Reading, seed: int) -> dict[str, Any]:
    """U x (2 AUC - 1) with the interval of a product of independent figures (delta method)."""
    found = strength(pair)
    generator = np.random.default_rng([seed, zlib.crc32(f"{pair.a.name}|{pair.b.name}|{pair.b.label}".encode())])
    utility, reach = found["cramers_v"], max(0.0, 2 * reading.auc - 1)
    risk = utility * reach
    # Half widths of U and of 2 AUC - 1, each times the other figure.
    half = float(np.hypot(reach * (found["high"] - found["low"]) / 2, utility * (reading.high - reading.low)))
    return _read(reading) | {
        "attribute": pair.a.name, "label": pair.b.label, "num_rows": found["num_rows"],
        "num_persons": found["num_persons"], "utility": utility, "utility_low": found["low"],
        "utility_high": found["high"], "risk": risk, "low": max(0.0, risk - half), "high": min(1.0, risk + half),
        "p_value": max(permutation_p(pair, generator), reading.p_value),
    }  # fmt: skip
