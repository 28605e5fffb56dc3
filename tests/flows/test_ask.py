"""From a released checkpoint to an answer about one picture, as the shell does it."""

import json

import numpy as np
import pytest
from PIL import Image

from flows.ask import Asked, ask, box_of, point_of
from ingest.errors import BadInput
from ingest.masks import decode_mask


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
