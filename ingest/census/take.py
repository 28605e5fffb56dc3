"""The census stage: every table of ``census/``, published whole."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from ingest import drift
from ingest.attributes import ABSENT_LEVELS, ATTRIBUTES, connect_samples, quoted
from ingest.census import concentration
from ingest.census.association import associations
from ingest.census.coded import Coded, encode
from ingest.census.config import CensusConfig
from ingest.census.corrected import correct_shares
from ingest.census.counts import count_levels, count_persons
from ingest.census.detectability import Pictures, detectability
from ingest.census.disclosure import close_levels, is_small, round_totals, suppress
from ingest.census.diversity import known_persons, summarise
from ingest.census.guard import Guard, hidden_attributes
from ingest.census.intersections import intersections
from ingest.census.missingness import missing_tests, missingness
from ingest.census.pairs import MAX_LEVELS, with_partners
from ingest.census.prevalence import prevalence
from ingest.census.protocol import protocol
from ingest.census.provenance import provenance
from ingest.census.reference import compare
from ingest.disguise import Folder
from ingest.errors import BadInput
from ingest.sample import PERSON_HASH_SQL
from ingest.workspace import Workspace, publishing, write_json

RECORD = "census.json"
Progress = Callable[[str], None]


def take_census(
    workspace: Workspace, config: CensusConfig, *, identifiable: set[str], roots: Mapping[str, Folder] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Measure the samples table and publish ``census/``; ``progress`` hears the name of each table begun.

    roots: data set -> what its image URIs are joined to; without, no picture is looked at.
    """
    connection = connect_samples(workspace.samples)
    pictures = Pictures(roots, workspace.picture_features, config.pictures) if roots else None
    tables, notes = measure(
        connection, config, identifiable=identifiable, pictures=pictures, progress=progress or (lambda name: None)
    )
    version = DeltaTable(workspace.samples).version()
    before = _earlier_version(workspace, version)
    tables |= _drift(workspace, config, before, version, identifiable, hidden_attributes(tables["counts"]), notes)
    with publishing(workspace.census) as folder:
        folder.mkdir(parents=True)
        for name, table in tables.items():
            pq.write_table(table, folder / f"{name}.parquet")
        settings = {"attributes": list(config.attributes), "suppress_below": config.suppress_below,
                    "num_resamples": config.num_resamples, "intersections": config.intersections,
                    "pictures": config.pictures}  # fmt: skip
        write_json(
            folder / RECORD,
            {"samples_version": version, "compared_with": before, "settings": settings, "notes": notes,
             "hidden_splits": _hidden_splits(connection, identifiable, config.suppress_below)},
        )  # fmt: skip
    return {"attributes": list(config.attributes), "num_levels": tables["counts"].num_rows, "notes": notes}


def _hidden_splits(connection: duckdb.DuckDBPyConnection, identifiable: set[str], below: int) -> list[list[str]]:
    """[data set, split] whose rows nobody may count: of few persons, or the complement of such."""
    names = ", ".join(f"'{quoted(name)}'" for name in sorted(identifiable))
    if not names:
        return []
    found = connection.execute(
        f"SELECT dataset, split, count(DISTINCT {PERSON_HASH_SQL}) FROM samples WHERE dataset IN ({names}) GROUP BY ALL"
    ).fetchall()
    counted = {(dataset, split): number for dataset, split, number in found}
    hidden = []
    for dataset in sorted(identifiable):
        splits = sorted(split for name, split in counted if name == dataset)
        persons = np.array([counted[dataset, split] for split in splits], np.int64)
        closed = close_levels(persons, int(persons.sum()), adds_up=True, below=below) | is_small(persons.sum(), below)
        hidden += [[dataset, split] for split, one in zip(splits, closed, strict=True) if one]
    return hidden


def _earlier_version(workspace: Workspace, version: int) -> int | None:
    """The version that the last census before this one counted; None for the first."""
    path = workspace.census / RECORD
    if not path.exists():
        return None
    record = json.loads(path.read_text())
    # Counted again without new data: still compared with what it was compared with.
    earlier: int | None = record["samples_version"] if record["samples_version"] < version else record["compared_with"]
    return earlier if earlier is not None and earlier < version else None


def _drift(
    workspace: Workspace, config: CensusConfig, before: int | None, after: int, identifiable: set[str],
    hidden: set[tuple[str, str]], notes: list[str],
) -> dict[str, pa.Table]:  # fmt: skip
    """The drift tables, empty where there is nothing to compare with; a note where it is gone."""
    empty = {"drift": drift.DRIFT_SCHEMA.empty_table(), "drift_totals": drift.TOTALS_SCHEMA.empty_table()}
    if before is None:
        return empty
    try:
        return drift.drift_between(
            workspace.samples, before, after, attributes=config.attributes, below=config.suppress_below,
            identifiable=identifiable, hidden=hidden,
        )  # fmt: skip
    except BadInput:
        notes.append(f"drift: version {before} of the samples table is no longer there")
        return empty


def measure(
    connection: duckdb.DuckDBPyConnection,
    config: CensusConfig,
    *,
    identifiable: set[str],
    progress: Progress,
    pictures: Pictures | None = None,
) -> tuple[dict[str, pa.Table], list[str]]:
    """Every table by name, cells that must not be shown already hidden, and the notes."""
    attributes, below = list(config.attributes), config.suppress_below
    progress("counts")
    coded = encode(connection, with_partners(attributes))
    counts = suppress(
        count_levels(coded, attributes, num_resamples=config.num_resamples),
        coded, below=below, identifiable=identifiable,
    )  # fmt: skip
    guard = Guard.of(counts, coded, below=below, identifiable=identifiable)
    hidden = hidden_attributes(counts)
    persons = count_persons(connection)
    tables = {
        "counts": counts,
        "persons": round_totals(persons, counts, below=below, identifiable=identifiable),
        "summaries": summarise(counts, known_persons(coded, attributes)),
        "reference": compare(coded, config.reference, hidden=hidden),
        "missingness": missingness(coded, counts, num_resamples=config.num_resamples),
    }
    steps: dict[str, Callable[[], pa.Table]] = {
        "associations": lambda: associations(coded, attributes, guard=guard),
        "prevalence": lambda: prevalence(coded, attributes, guard=guard),
        "missing_tests": lambda: missing_tests(coded, attributes, guard=guard),
        "intersections": lambda: intersections(coded, attributes, order=config.intersections, guard=guard),
        "provenance": lambda: provenance(connection, attributes, guard=guard),
    }
    for name, step in steps.items():
        progress(name)
        tables[name] = step()
    progress("detectability")
    tables["detectability"], looked = detectability(connection, coded, attributes, pictures, guard=guard)
    progress("protocol")
    more, notes = protocol(connection, guard=guard)
    tables["corrected"], doubts = correct_shares(
        connection, coded, audit=config.audit, declared_error=config.declared_error, hidden=hidden,
        num_resamples=config.num_resamples,
    )  # fmt: skip
    leaning = concentration.notes_of(coded, identifiable=identifiable)
    return tables | more, [*leaning, *_notes(coded), *looked, *notes, *doubts]


def _notes(coded: Coded) -> list[str]:
    """What a reader would otherwise have to guess: levels that the tests pool, attributes nobody knows."""
    notes = []
    for name, found in coded.occurrences.items():
        if found.levels == [found.levels[found.missing]] and found.missing >= 0:
            notes.append(f"{name}: missing on every row; counted, not tested")
            continue
        num_known = sum(level not in ABSENT_LEVELS for level in found.levels)
        rest = num_known - MAX_LEVELS
        if rest > 0 and ATTRIBUTES[name].is_list:
            notes.append(f"{name}: the rarest {rest:,} levels are counted but not tested")
        elif rest > 0:
            notes.append(f"{name}: the rarest {rest:,} of {num_known:,} levels are counted but pooled in tests")
    return notes
