import duckdb
import mlcroissant
import pyarrow as pa
import pytest

from ingest.census.card import export_census
from ingest.census.counts import COUNTS_SCHEMA
from ingest.census.snapshots import check_against_published, record_published
from ingest.errors import GateRefused
from ingest.percent import percent


@pytest.fixture(scope="module")
def card(refreshed, tmp_path_factory):
    out = tmp_path_factory.mktemp("card") / "export"
    settings = {"name": "demo", "licences": ["CC0-1.0"], "below": 11, "identifiable": set()}
    return export_census(refreshed.workspace, out, **settings)


def test_every_figure_of_the_card_is_what_its_query_gives(card, monkeypatch):
    monkeypatch.chdir(card.parent)
    lines = [line for line in card.read_text().splitlines() if "SELECT" in line]
    assert len(lines) > 20
    for line in lines:
        figure, query = line.split("|")[1].strip(), line.split("`")[1]
        ((value,),) = duckdb.connect().execute(query).fetchall()
        assert figure == (percent(value) if figure.endswith("%") else f"{value:.2f}")


def test_the_card_is_croissant_with_rai_fields_and_readable_records(card):
    dataset = mlcroissant.Dataset(jsonld=card.parent / "croissant.json")
    assert any("sex = female" in one for one in dataset.metadata.data_biases)
    assert "sex" in dataset.metadata.personal_sensitive_information
    record = next(iter(dataset.records("counts")))
    assert record["counts/attribute"] == b"age_band" and record["counts/num_rows"] > 0


def counts(persons):
    return pa.Table.from_pylist(
        [{"attribute": "sex", "level": "female", "dataset": "a", "num_persons": persons, "suppressed": False}],
        schema=COUNTS_SCHEMA,
    )


def test_two_exports_that_differ_by_few_persons_are_refused(tmp_path):
    settings = {"below": 11, "identifiable": {"a"}}
    record_published(counts(100), tmp_path)
    check_against_published(counts(100), tmp_path, **settings)
    check_against_published(counts(111), tmp_path, **settings)
    record_published(counts(111), tmp_path)
    with pytest.raises(GateRefused, match="0002, got fewer for sex female of a"):
        check_against_published(counts(115), tmp_path, **settings)
    check_against_published(counts(115), tmp_path, below=11, identifiable=set())
