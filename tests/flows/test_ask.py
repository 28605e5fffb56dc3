"""From a released checkpoint to an answer about one picture, as the shell does it."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.ask import Asked, ask, box_of, point_of
from flows.cli import app
from flows.config import load_config
from flows.predict_with import predict_with
from ingest.errors import BadInput
from ingest.masks import decode_mask

DATASETS = ("imed361m", "isic2018", "vqa_rad")


def test_marks_are_read_from_the_shell():
    assert point_of("3,4") == (3, 4, True) and point_of("3,4.5,0") == (3, 4.5, False)
    assert box_of("1,2,3,4") == (1, 2, 3, 4)
    for text in ("3", "a,b", "1,2,3,4"):
        with pytest.raises(BadInput, match="--point: expected X,Y"):
            point_of(text)


def test_a_released_checkpoint_answers_about_one_picture(released_checkpoint, tmp_path):
    from model.import_weights import import_weights

    folder = tmp_path / "ours"
    network = import_weights(released_checkpoint, folder, head="vlmcross", classes=("a", "b", "c"))
    assert network.config.classes == ("a", "b", "c")
    assert "Imported from released" in (folder / "README.md").read_text()
    Image.fromarray(np.full((50, 70, 3), 90, np.uint8)).save(tmp_path / "slice.png")
    asked = Asked(image=tmp_path / "slice.png", question="Normal?", target="liver", points=((5.0, 5.0, True),))
    result = ask(asked, weights=folder, out=tmp_path / "out")
    written = json.loads((tmp_path / "out" / "results" / "slice.json").read_text())
    assert written["pred"] == result["pred"] and set(written["probs"]) == {"a", "b", "c"}
    assert decode_mask(written["segmentation"]["mask"]).shape == (50, 70)
    assert Image.open(tmp_path / "out" / "visualization" / "slice.png").size == (140, 50)
    with pytest.raises(BadInput, match="expected a new folder"):
        import_weights(released_checkpoint, folder)


def test_a_released_checkpoint_predicts_the_splits_of_a_configuration(released_checkpoint, corpus_copy, tmp_path):
    from model.import_weights import import_weights

    import_weights(released_checkpoint, tmp_path / "ours", head="vlmcross", classes=("a", "b", "c"))
    arguments = ["predict", str(corpus_copy / "demo.toml"), "--weights", str(tmp_path / "ours")]
    said = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert said.exit_code == 0
    (run,) = (corpus_copy / "work" / "runs").iterdir()
    assert said.stdout.splitlines()[-1] == f"results: {run / 'results'}" and run.name.startswith("given-ours-")
    results = sorted(path.name for path in (run / "results").iterdir())
    assert results == [f"{name}_{split}.json" for name in DATASETS for split in ("test", "validation")]
    (row, *_) = json.loads((run / "results" / "isic2018_test.json").read_text())
    assert set(row["probs"]) == {"a", "b", "c"} and row["pred"] in "abc" and row["ref"]
    assert any((run / "visualization").glob("*.png")) and json.loads((run / "cls_metrics.json").read_text())
    before = (run / "predictions" / "test.parquet").read_bytes()
    CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert (run / "predictions" / "test.parquet").read_bytes() == before  # seconds in it: not predicted again
    with pytest.raises(BadInput, match=r"expected a folder of ours with config\.json"):
        CliRunner().invoke(app, [*arguments[:-1], str(tmp_path)], catch_exceptions=False)
    with pytest.raises(BadInput, match="expected --image beside"):
        CliRunner().invoke(app, [*arguments, "--question", "Normal?"], catch_exceptions=False)


def test_a_checkpoint_without_a_head_leaves_classification_out(released, reference_plain, corpus_copy, tmp_path):
    import torch

    from model.import_weights import import_weights

    (tmp_path / "released.json").write_text(json.dumps(reference_plain))
    torch.save(released()[1], tmp_path / "released.bin")
    import_weights(tmp_path / "released.bin", tmp_path / "ours", config_file=tmp_path / "released.json")
    run = predict_with(load_config(corpus_copy / "demo.toml"), tmp_path / "ours")
    results = sorted(path.name for path in (run / "results").iterdir())
    assert results == [f"{name}_{split}.json" for name in ("imed361m", "vqa_rad") for split in ("test", "validation")]


def test_a_checkpoint_without_configuration_says_where_one_was_looked_for(released_checkpoint, tmp_path):
    from model.import_weights import import_weights

    (released_checkpoint / "config.json").unlink()
    with pytest.raises(BadInput, match=r"expected a configuration in .*config\.json, got none; see --config"):
        import_weights(released_checkpoint, tmp_path / "ours")


@pytest.fixture
def released_checkpoint(released, reference_plain, tmp_path):
    """pytorch_model.bin and config.json, as published, at the size of a toy."""
    import torch

    folder = tmp_path / "released"
    folder.mkdir()
    _, tensors = released("vlmcross")
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(reference_plain))
    return folder
