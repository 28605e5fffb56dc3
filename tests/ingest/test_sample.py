import dataclasses

import pyarrow as pa
import pytest

from ingest.attributes import connect_table
from ingest.sample import COLUMNS, SCHEMA, Sample, age_band_of, person_key_of, sample_id_of, to_table


def test_the_schema_is_the_dataclass():
    assert tuple(f.name for f in dataclasses.fields(Sample)) == COLUMNS
    assert SCHEMA.field("labels").type == pa.list_(pa.string())
    assert SCHEMA.field("boxes_xyxy_px").type == pa.list_(pa.list_(pa.float64()))
    assert SCHEMA.field("protocol").type == pa.map_(pa.string(), pa.string())
    assert not SCHEMA.field("sample_id").nullable and SCHEMA.field("sex").nullable


def test_a_table_gives_the_record_back():
    sample = Sample(
        sample_id="a", dataset="d", native_id="n", protocol={"kVp": "120"}, labels=["x"], boxes_xyxy_px=[[0, 1, 2, 3]]
    )
    (row,) = to_table([sample]).to_pylist(maps_as_pydicts="strict")
    assert row == dataclasses.asdict(sample)


def test_sample_ids_are_stable_and_told_apart_by_dataset():
    assert sample_id_of("vqa_rad", "1") == sample_id_of("vqa_rad", "1")
    assert sample_id_of("vqa_rad", "1") != sample_id_of("isic2018", "1")


@pytest.mark.parametrize(
    ("age", "band"),
    [(None, None), (0, "0-17"), (17.9, "0-17"), (18, "18-39"), (79, "60-79"), (80, "80+"), (101, "80+")],
)
def test_age_bands(age, band):
    assert age_band_of(age) == band


def test_the_person_is_the_most_trusted_identifier_and_sql_agrees():
    people = [
        {"patient_id": "p", "study_id": "s"},
        {"study_id": "s", "figure_id": "f"},
        {"figure_id": "f", "image_sha256": ["h"]},
        {"image_sha256": ["h"]},
        {},
    ]
    samples = [Sample(sample_id=str(n), dataset="d", native_id=str(n), **known) for n, known in enumerate(people)]
    keys = [person_key_of(dataclasses.asdict(sample)) for sample in samples]
    assert [column for column, _ in keys] == ["patient_id", "study_id", "figure_id", "image_sha256", "sample_id"]
    in_sql = connect_table(to_table(samples)).execute("SELECT person_key FROM samples ORDER BY sample_id").fetchall()
    assert [row[0] for row in in_sql] == [key for _, key in keys]
