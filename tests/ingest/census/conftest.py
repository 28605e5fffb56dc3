"""Small corpora made by hand, as the census reads them."""

import pytest

from ingest.attributes import connect_table
from ingest.census import CensusConfig, count_levels, encode, suppress, with_partners
from ingest.census.guard import Guard
from ingest.census.take import measure
from ingest.sample import Sample, to_table


@pytest.fixture
def coded_corpus():
    """From dicts of Sample fields (patient_id and what else matters) to the coded corpus of some attributes."""

    def make(rows, attributes):
        return encode(connect_table(table_of(rows)), with_partners(attributes))

    return make


@pytest.fixture
def connected():
    """The same rows as a DuckDB connection."""
    return lambda rows: connect_table(table_of(rows))


@pytest.fixture
def measured(connected):
    """Every table of a census, small cells of ``identifiable`` data sets hidden, as lists of dicts."""

    def make(rows, attributes, *, identifiable=frozenset({"a"}), **settings):
        config = CensusConfig(attributes=tuple(attributes), num_resamples=100, **settings)
        tables, _ = measure(connected(rows), config, identifiable=set(identifiable), progress=lambda name: None)
        return {name: table.to_pylist() for name, table in tables.items()}

    return make


@pytest.fixture
def guard_of():
    """The guard of a coded corpus, some data sets identifiable."""

    def make(coded, attributes, *, identifiable=frozenset({"a"}), below=11):
        counts = suppress(
            count_levels(coded, attributes, num_resamples=0), coded, below=below, identifiable=set(identifiable)
        )
        return Guard.of(counts, coded, below=below, identifiable=set(identifiable))

    return make


def table_of(rows):
    return to_table(
        Sample(**{"sample_id": str(n), "dataset": "a", "native_id": str(n), "modality": "x_ray"} | row)
        for n, row in enumerate(rows)
    )
