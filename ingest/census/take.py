"""The census stage: every table of ``census/``, published whole."""

from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from ingest.attributes import connect_samples
from ingest.census.association import associations
from ingest.census.coded import Coded, encode
from ingest.census.config import CensusConfig
from ingest.census.counts import WHOLE_CORPUS, count_levels, count_persons
from ingest.census.disclosure import round_totals, suppress
from ingest.census.diversity import summarise
from ingest.census.intersections import intersections
from ingest.census.missingness import missing_tests, missingness
from ingest.census.pairs import MAX_LEVELS, with_partners
from ingest.census.prevalence import prevalence
from ingest.census.protocol import protocol
from ingest.census.provenance import provenance
from ingest.census.reference import compare
from ingest.workspace import Workspace, publishing, write_json

Progress = Callable[[str], None]


def take_census(
    workspace: Workspace, config: CensusConfig, *, identifiable: set[str], progress: Progress | None = None
) -> dict[str, Any]:
    """Measure the samples table and publish ``census/``; ``progress`` hears the name of each table begun."""
    connection = connect_samples(workspace.samples)
    tables, notes = measure(connection, config, identifiable=identifiable, progress=progress or (lambda name: None))
    with publishing(workspace.census) as folder:
        folder.mkdir(parents=True)
        for name, table in tables.items():
            pq.write_table(table, folder / f"{name}.parquet")
        settings = {"attributes": list(config.attributes), "suppress_below": config.suppress_below,
                    "num_resamples": config.num_resamples, "intersections": config.intersections}  # fmt: skip
        write_json(
            folder / "census.json",
            {"samples_version": DeltaTable(workspace.samples).version(), "settings": settings, "notes": notes},
        )
    return {"attributes": list(config.attributes), "num_levels": tables["counts"].num_rows}


def measure(
    connection: duckdb.DuckDBPyConnection, config: CensusConfig, *, identifiable: set[str], progress: Progress
) -> tuple[dict[str, pa.Table], list[str]]:
    """Every table by name, cells that must not be shown already hidden, and the notes."""
    attributes, below = list(config.attributes), config.suppress_below
    progress("counts")
    coded = encode(connection, with_partners(attributes))
    counts = suppress(
        count_levels(coded, attributes, num_resamples=config.num_resamples),
        below=below, identifiable=identifiable, num_persons=coded.persons_by_dataset,
    )  # fmt: skip
    hidden = {(row["attribute"], row["dataset"]) for row in counts.to_pylist() if row["suppressed"]}
    persons = count_persons(connection)
    guarded = frozenset(identifiable)
    tables = {
        "counts": counts,
        "persons": round_totals(persons, counts, below=below, identifiable=identifiable),
        "summaries": summarise(counts),
        "reference": compare(coded, config.reference, hidden=hidden),
        "missingness": missingness(counts, _rows_by_dataset(coded)),
    }
    steps: dict[str, Callable[[], pa.Table]] = {
        "associations": lambda: associations(coded, attributes),
        "prevalence": lambda: prevalence(coded, attributes, below=below, identifiable=guarded),
        "missing_tests": lambda: missing_tests(coded, attributes),
        "intersections": lambda: intersections(
            coded, attributes, order=config.intersections, below=below, identifiable=guarded
        ),
        "provenance": lambda: provenance(connection, attributes, below=below, identifiable=identifiable),
    }
    for name, step in steps.items():
        progress(name)
        tables[name] = step()
    progress("protocol")
    more, notes = protocol(connection, below=below, identifiable=identifiable)
    return tables | more, [*_notes(coded), *notes]


def _rows_by_dataset(coded: Coded) -> dict[str, int]:
    counted = coded.row_counts["dataset"].sum(1)
    return dict(zip(coded.datasets, counted.tolist(), strict=True)) | {WHOLE_CORPUS: coded.num_rows}


def _notes(coded: Coded) -> list[str]:
    """What a reader would otherwise have to guess: levels that the tests pool, attributes nobody knows."""
    notes = []
    for name, found in coded.occurrences.items():
        if found.levels == [found.levels[found.missing]] and found.missing >= 0:
            notes.append(f"{name}: missing on every row; counted, not tested")
        elif len(found.levels) > MAX_LEVELS + 1:
            rest = len(found.levels) - MAX_LEVELS
            notes.append(
                f"{name}: {rest:,} of {len(found.levels):,} levels, the rarest, are counted but pooled in tests"
            )
    return notes
