import pytest
from deltalake import write_deltalake

from ingest.attributes import connect_samples
from ingest.sample import Sample, to_table


@pytest.mark.parametrize("folder", ["plain", "it's an odd one"])
def test_every_dataset_name_comes_back_as_it_was_written(tmp_path, folder):
    names = ["007", "a b/ü=%", "it's"]
    rows = [Sample(sample_id=name, dataset=name, native_id="1", source_file="x", patient_id="p") for name in names]
    write_deltalake(tmp_path / folder, to_table(rows), partition_by=["dataset"])
    found = connect_samples(tmp_path / folder).sql("SELECT sample_id, dataset, person_key FROM samples ORDER BY ALL")
    assert found.fetchall() == [(name, name, f"{name}:patient_id:p") for name in names]


def test_a_table_without_rows_can_be_asked(tmp_path):
    write_deltalake(tmp_path / "none", to_table([]), partition_by=["dataset"])
    assert connect_samples(tmp_path / "none").sql("SELECT count(*) FROM samples").fetchall() == [(0,)]
