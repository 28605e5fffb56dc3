"""Small corpora made by hand, as the census reads them."""

import pytest

from ingest.attributes import connect_table
from ingest.census import encode, with_partners
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


def table_of(rows):
    return to_table(
        Sample(**{"sample_id": str(n), "dataset": "a", "native_id": str(n), "modality": "x_ray"} | row)
        for n, row in enumerate(rows)
    )
