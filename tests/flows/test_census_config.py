"""A reference population beside the configuration, and a census that was taken twice."""

import datetime
import json

import pyarrow.parquet as pq

from flows.config import load_config
from flows.runner import PIPELINES, run_again, run_pipeline

POPULATION = """\
name = "planted"
version = "2"
date = 2026-01-01
[shares.sex]
female = 0.5
male = 0.5
"""


def test_a_reference_file_and_a_table_read_the_same(simulated, tmp_path):
    (tmp_path / "raw").symlink_to(simulated / "raw")
    (tmp_path / "population.toml").write_text(POPULATION)
    text = (simulated / "demo.toml").read_text()
    inline = '{ name = "planted", version = "2", date = 2026-01-01, shares = { sex = { female = 0.5, male = 0.5 } } }'
    found = []
    for value in ('"population.toml"', inline):
        (tmp_path / "demo.toml").write_text(text.replace("[census]", f"[census]\nreference = {value}"))
        found.append(load_config(tmp_path / "demo.toml").census.reference)
    assert found[0] == found[1] and found[0].date == datetime.date(2026, 1, 1)


def test_a_target_toward_the_reference_takes_its_shares_unless_it_has_its_own(simulated, tmp_path):
    (tmp_path / "raw").symlink_to(simulated / "raw")
    (tmp_path / "population.toml").write_text(POPULATION)
    text = (simulated / "demo.toml").read_text().replace("[census]", '[census]\nreference = "population.toml"')
    found = []
    for own in ("", ", reference = { female = 0.6, male = 0.4 }"):
        target = f'sex = {{ toward = "reference"{own} }}'
        (tmp_path / "demo.toml").write_text(text.replace("sex = { toward = { female = 0.5, male = 0.5 } }", target))
        found.append(load_config(tmp_path / "demo.toml").weights.targets["sex"].reference)
    assert found == [{"female": 0.5, "male": 0.5}, {"female": 0.6, "male": 0.4}]


def test_a_second_census_is_compared_with_the_first(corpus_copy):
    """One picture less: the drift table says so, and every table of the census is there."""
    text = (corpus_copy / "demo.toml").read_text()
    (corpus_copy / "population.toml").write_text(POPULATION)
    (corpus_copy / "demo.toml").write_text(text.replace("[census]", '[census]\nreference = "population.toml"'))
    config = load_config(corpus_copy / "demo.toml")
    record = json.loads((config.workspace.census / "census.json").read_text())
    assert record["compared_with"] is None
    metadata = corpus_copy / "raw" / "ham10000" / "HAM10000_metadata.csv"
    lines = metadata.read_text().splitlines()
    metadata.write_text("\n".join([line.replace(",female,", ",male,") for line in lines]) + "\n")
    run_pipeline(load_config(corpus_copy / "demo.toml"), PIPELINES["refresh"])
    tables = {path.stem: pq.read_table(path) for path in config.workspace.census.glob("*.parquet")}
    women = [row for row in tables["drift"].to_pylist()
             if (row["dataset"], row["attribute"], row["level"]) == ("isic2018", "sex", "female")]  # fmt: skip
    assert women[0]["rows_after"] == 0 and women[0]["rows_moved_out"] == women[0]["rows_before"] > 0
    assert tables["reference"].num_rows > 0 and tables["intersections"].num_rows > 0
    after = json.loads((config.workspace.census / "census.json").read_text())
    assert after["compared_with"] == record["samples_version"]
    run_again(load_config(corpus_copy / "demo.toml"), "census")
    assert json.loads((config.workspace.census / "census.json").read_text()) == after
