"""Every layout under one root: recognised, counted, written as a configuration that loads."""

import shutil

import pytest

from flows.config import KEY_VARIABLE, load_config
from flows.look import look_at, write_config
from ingest.adapters.recognise import recognise_under
from ingest.simulate import WRITERS, Images, Profile, simulate


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """All simulated data sets, one of them twice, a folder of something else, and a loop of links."""
    folder = tmp_path_factory.mktemp("every") / "raw"
    simulate(folder, num_samples=600, seed=3, profile=Profile.EVERY, images=Images.NONE)
    (folder / "odd").mkdir()
    (folder / "loop").symlink_to(folder)
    shutil.copytree(folder / "slake" / "Slake1.0", folder / "a" / "second" / "copy")
    return folder


def test_init_writes_every_data_set_under_a_root_once(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(KEY_VARIABLE, "a key for this test")
    write_config(root, tmp_path / "mine.toml")
    datasets = {dataset.name: dataset for dataset in load_config(tmp_path / "mine.toml").datasets}
    simulated = {name for name in WRITERS if (root / name).is_dir()}
    assert set(datasets) == simulated - {"ham10000"}  # which is ISIC 2018's metadata
    assert datasets["slake"].root.resolve() == root / "slake" / "Slake1.0"
    text = (tmp_path / "mine.toml").read_text()
    assert f"# not recognised: {root / 'odd'}\n" in text
    assert f"# slake once more, left out: {root / 'a' / 'second' / 'copy'}\n" in text
    assert "not recognised" in capsys.readouterr().err


def test_a_data_set_of_headers_alone_is_left_out_and_named(root, tmp_path, capsys):
    schema = tmp_path / "raw" / "pmc_vqa"
    schema.mkdir(parents=True)
    for name in ("train.csv", "test.csv"):
        header = (root / "pmc_vqa" / name).read_text().splitlines()[0]
        (schema / name).write_text(header + "\n")
    shutil.copytree(root / "vqa_rad", tmp_path / "raw" / "vqa_rad")
    write_config(tmp_path / "raw", tmp_path / "mine.toml")
    assert [dataset.name for dataset in load_config(tmp_path / "mine.toml").datasets] == ["vqa_rad"]
    line = f"pmc_vqa without a row, left out: {schema}"
    assert f"# {line}\n" in (tmp_path / "mine.toml").read_text() and line in capsys.readouterr().err


def test_look_counts_every_data_set_without_opening_a_picture(root, tmp_path):
    page = look_at(root, tmp_path / "bias.html").read_text()
    for name in {each.adapter for each in recognise_under(root)}:
        assert name in page
