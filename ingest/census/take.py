"""The census stage: every table of ``census/``, published whole."""

from typing import Any

import pyarrow.parquet as pq

from ingest.attributes import connect_samples
from ingest.census.association import associations
from ingest.census.coded import encode
from ingest.census.config import CensusConfig
from ingest.census.counts import count_levels, count_persons
from ingest.census.disclosure import round_totals, suppress
from ingest.census.diversity import summarise
from ingest.census.pairs import with_partners
from ingest.workspace import Workspace, publishing


def take_census(workspace: Workspace, config: CensusConfig, *, identifiable: set[str]) -> dict[str, Any]:
    """Count the samples table and publish ``census/``."""
    connection = connect_samples(workspace.samples)
    coded = encode(connection, with_partners(config.attributes))
    counts = count_levels(coded, config.attributes, num_resamples=config.num_resamples)
    persons = count_persons(connection)
    counts = suppress(
        counts, below=config.suppress_below, identifiable=identifiable, num_persons=coded.persons_by_dataset
    )
    tables = {
        "counts": counts,
        "summaries": summarise(counts),
        "associations": associations(coded, config.attributes),
        "persons": round_totals(persons, counts, below=config.suppress_below, identifiable=identifiable),
    }
    with publishing(workspace.census) as folder:
        folder.mkdir(parents=True)
        for name, table in tables.items():
            pq.write_table(table, folder / f"{name}.parquet")
    return {"attributes": list(config.attributes), "num_levels": counts.num_rows}
