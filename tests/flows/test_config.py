from pathlib import Path

import numpy as np
import pytest
from deltalake import DeltaTable
from PIL import Image

from flows.config import load_config
from flows.runner import run_stages
from flows.stages import refresh_stages
from ingest.deidentify import key_of
from ingest.errors import BadInput
from ingest.leakage import Kind, Policy


def changed(simulated, tmp_path, old, new):
    """The demo configuration with ``old`` replaced by ``new``, beside links to its raw data."""
    (tmp_path / "raw").symlink_to(simulated / "raw")
    text = (simulated / "demo.toml").read_text()
    assert old in text
    path = tmp_path / "changed.toml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("seed = 7", "sead = 7", "key sead: expected one of workspace, seed"),
        ("seed = 7", 'seed = "7"', "key seed: expected int, got '7'"),
        ("steps = 3", "stepps = 3", "key training.stepps: expected one of"),
        ("steps = 3", 'steps = "3"', "key training.steps: expected a valid integer, got '3'"),
        ("image_side_px = 64", "image_side_px = 4", "key shards.image_side_px: expected 16 to 8192, got 4"),
        ('"raw/vqa_rad"', '"raw/nowhere"', "datasets[1].root: expected a folder, got"),
        ('adapter = "vqa_rad"', 'adapter = "vqa"', "datasets[1].adapter: expected one of imed361m, vqa_rad, isic2018"),
        ('adapter = "vqa_rad"', 'adapter = "vqa_rad"\ncolour = 1', "datasets[1].colour: expected one of"),
        (
            'adapter = "vqa_rad"',
            'adapter = "vqa_rad"\nmax_bad_share = 7',
            "datasets[1].max_bad_share: expected 0 to 1",
        ),
        (
            'adapter = "vqa_rad"',
            'adapter = "vqa_rad"\nsplit = "mine"',
            "datasets[1].split: expected 'grouped' or 'official'",
        ),
        (
            'adapter = "vqa_rad"',
            'adapter = "vqa_rad"\nidentifiable = true',
            "expected a pseudonym key in BIASCAREVL_KEY",
        ),
        ("metadata.csv", "metadata.tsv", "datasets[2].metadata: expected a path, got"),
        (
            "female = 0.5",
            "woman = 0.5",
            "key weights.targets.sex: expected a level of female, male, other, unknown, got 'woman'",
        ),
        ("female = 0.5", "female = 0.6", "expected shares that sum to 1, got 1.1"),
        (
            "[weights.targets]",
            "[weights.targets]\nlabel = { toward = { nevus = 1.4 } }",
            "key weights.targets.label: expected rates of 0 to 1, got 1.4 for nevus",
        ),
        ("strength = 0.3", "strenght = 0.3", "weights.targets.modality.strenght: expected one of"),
        ('toward = "uniform"', 'toward = "even"', "key weights.targets.modality"),
        ('"sex", "age_band"', '"sex", "agee"', "key census.attributes: expected some of modality"),
        ("[census]", '[census]\nreference = "nowhere.toml"', "key census.reference: expected a TOML file, got"),
        (
            "[census]",
            '[census]\nreference = { nam = "x" }',
            "census.reference.nam: expected one of name, version, date",
        ),
        ("[census]", '[census]\nreference = { name = "x" }', "key census"),
        ("[census]", '[census]\naudit = "nowhere.csv"', "key census.audit: expected a file, got"),
        ("[census]", "[census]\nintersections = 4", "key census.intersections: expected 0, 2 or 3, got 4"),
        ("[census]", "[census]\ndeclared_error = { view = 0.1 }", "key census.declared_error.view: expected 0 to 1 of"),
        ("[shards]", '[gates]\nleakage = "ignore"\n[shards]', "key gates.leakage"),
        ("[shards]", '[model]\npreset = "huge"\n[shards]', "key model.preset: expected one of"),
        ("[weights.targets]", "[weights]\nlower = 3.0\nupper = 2.0\n[weights.targets]", "expected 0 <= lower <= upper"),
    ],
)
def test_a_mistake_is_one_line_with_file_key_expected_and_got(simulated, tmp_path, old, new, expected):
    path = changed(simulated, tmp_path, old, new)
    with pytest.raises(BadInput) as caught:
        load_config(path)
    message = str(caught.value)
    assert expected in message and str(path) in message
    assert "\n" not in message
    assert caught.value.exit_code == 2


def test_no_datasets_the_same_one_twice_and_broken_toml_are_refused(tmp_path, simulated):
    path = tmp_path / "c.toml"
    for text, message in (
        ("seed = 1", "at least one"),
        ("seed = ", "expected TOML"),
        (f'[[datasets]]\nadapter="vqa_rad"\nroot="{simulated}/raw/vqa_rad"\n' * 2, "expected a name of its own"),
        (f'[[datasets]]\nadapter="imed361m"\nname="slake"\nroot="{simulated}/raw/imed361m"\n', "that of the adapter"),
        (f'[[datasets]]\nadapter="imed361m"\nname="A b"\nroot="{simulated}/raw/imed361m"\n', "lower-case letters"),
        (f'[[datasets]]\nadapter="vqa_rad"\nname="mine"\nroot="{simulated}/raw/vqa_rad"\n', "share people with"),
    ):
        path.write_text(text)
        with pytest.raises(BadInput, match=message):
            load_config(path)
    with pytest.raises(BadInput, match="got none"):
        load_config(tmp_path / "absent.toml")


def test_paths_are_relative_to_the_file_and_workspace_to_the_current_folder(simulated, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config(simulated / "demo.toml", workspace=Path("here"))
    assert config.workspace.root == tmp_path / "here"
    assert load_config(simulated / "demo.toml").workspace.root == simulated / "work"
    assert config.datasets[2].options.metadata == simulated / "raw/ham10000/HAM10000_metadata.csv"


def test_leakage_policies_can_be_given_by_kind(simulated, tmp_path):
    path = changed(simulated, tmp_path, "[shards]", '[gates]\nleakage.same_image = "warn"\n[shards]')
    gates = load_config(path).gates
    assert gates.policy(Kind.SAME_IMAGE) == Policy.WARN
    assert gates.policy(Kind.SAME_STUDY) == Policy.DROP_FROM_TRAIN
    assert gates.policy(Kind.NEAR_DUPLICATE) == Policy.WARN


def test_the_pseudonym_key_of_identifiable_data_comes_from_the_environment(simulated, tmp_path, monkeypatch):
    path = changed(simulated, tmp_path, 'adapter = "vqa_rad"', 'adapter = "vqa_rad"\nidentifiable = true')
    monkeypatch.setenv("BIASCAREVL_KEY", "a secret of the hospital")
    config = load_config(path)
    assert config.datasets[1].key == key_of(b"a secret of the hospital")
    assert "secret" not in repr(config)
    assert repr(config.datasets[1].key) not in repr(config)
    monkeypatch.setenv("BIASCAREVL_KEY", "short")
    with pytest.raises(BadInput, match="BIASCAREVL_KEY: expected at least 16 bytes, got 5"):
        load_config(path)


def test_the_pseudonym_key_may_stand_in_a_file(simulated, tmp_path, monkeypatch):
    monkeypatch.delenv("BIASCAREVL_KEY", raising=False)
    told = 'adapter = "vqa_rad"\nidentifiable = true\nkey_file = "pseudonyms.key"'
    path = changed(simulated, tmp_path, 'adapter = "vqa_rad"', told)
    with pytest.raises(BadInput, match=r"pseudonyms\.key: expected at least 16 bytes, got none"):
        load_config(path)
    (path.parent / "pseudonyms.key").write_text("a secret of the hospital\n")
    assert load_config(path).datasets[1].key == key_of(b"a secret of the hospital")


def test_one_adapter_reads_two_hospitals_under_their_names(tmp_path):
    config = ""
    for number, name in enumerate(("north", "south")):
        folder = tmp_path / name
        folder.mkdir()
        Image.fromarray(np.full((8, 8), 100 * number, np.uint8)).save(folder / "1.png")
        (folder / "rows.csv").write_text("path,mrn,label\n1.png,patient 1,nodule\n")
        config += f"""[[datasets]]
adapter = "table"
name = "{name}"
root = "{name}"
table = "{name}/rows.csv"
columns = {{ image = "path", patient_id = "mrn", label = "label" }}
identifiable = false
"""
    (tmp_path / "two.toml").write_text(config)
    loaded = load_config(tmp_path / "two.toml")
    stages = refresh_stages(loaded)
    run_stages(loaded, stages[: [stage.name for stage in stages].index("curate") + 1])
    read = DeltaTable(loaded.workspace.samples).to_pyarrow_table()
    assert sorted(read["dataset"].to_pylist()) == ["north", "south"]
    assert len(set(read["sample_id"].to_pylist())) == len(set(read["patient_id"].to_pylist())) == 2
