"""The adapters' own keys of a ``[[datasets]]`` table."""

import pytest

from flows.config import load_config
from ingest.adapters import ADAPTERS
from ingest.dataset_config import DatasetConfig
from ingest.errors import BadInput

OPTIONS = [
    ("vqa_rad", 'layout = "parquet"', "layout", "parquet"), ("path_vqa", 'layout = "pickle"', "layout", "pickle"),
    ("pmc_vqa", "version = 2", "version", 2), ("slake", 'languages = ["en", "zh"]', "languages", ("en", "zh")),
    ("pubmedvision", "captions = true", "captions", True),
]  # fmt: skip
REFUSED = [
    ("vqa_rad", 'layout = "xml"', "layout: expected .*json.*parquet.* got 'xml'"),
    ("pmc_vqa", "version = 3", "version: expected .* got 3"),
    ("slake", 'languages = ["fr"]', "languages: expected some of en, zh, got fr"),
    ("kvasir_vqa", "layout = 1", r"layout: expected one of .*, got an unknown key"),
]


def config_with(folder, name, line):
    (folder / "raw").mkdir(exist_ok=True)
    (folder / "c.toml").write_text(f'[[datasets]]\nadapter = "{name}"\nroot = "raw"\n{line}\n')
    return folder / "c.toml"


@pytest.mark.parametrize(("name", "line", "option", "value"), OPTIONS)
def test_options_are_read_from_the_configuration_and_change_the_digest(tmp_path, name, line, option, value):
    (dataset,) = load_config(config_with(tmp_path, name, line)).datasets
    assert getattr(dataset.options, option) == value
    default = DatasetConfig(adapter=name, root=tmp_path / "raw", options=ADAPTERS[name].Options())
    assert dataset.settings_digest() != default.settings_digest()


@pytest.mark.parametrize(("name", "line", "says"), REFUSED)
def test_options_outside_the_vocabulary_are_refused(tmp_path, name, line, says):
    with pytest.raises(BadInput, match=says):
        load_config(config_with(tmp_path, name, line))
