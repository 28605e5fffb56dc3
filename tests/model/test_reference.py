"""Released checkpoints, under their own names: every tensor is accounted for, nothing is executed or copied."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ingest.errors import BadInput
from model.checkpoint import from_reference, head_of
from model.heads import HEADS
from model.reference_names import SAM_NAMES, new_name
from model.weight_files import open_weights

SHARED = Path(__file__).resolve().parents[3] / "shared" / "reference"


@pytest.mark.parametrize("head", ["", *HEADS])
def test_a_released_network_comes_back_without_a_copy(released, reference_plain, head):
    network, tensors = released(head)
    loaded = from_reference(tensors, {**reference_plain, "head": head})
    assert loaded.config == network.config
    mine, theirs = loaded.state_dict(), network.state_dict()
    assert all(mine[name].data_ptr() == tensor.data_ptr() for name, tensor in theirs.items())
    ids = torch.arange(6)[None]
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    expected = network.language_model(**inputs).logits
    assert torch.equal(loaded.language_model(**inputs).logits, expected)  # rotary frequencies are stored nowhere


def test_everything_that_does_not_fit_is_listed_at_once(released, reference_plain):
    _, tensors = released()
    del tensors["add11"]
    tensors["text_fc.weight"] = torch.zeros(3, 3)
    tensors["SEG.surprise"] = torch.zeros(1)
    tensors["VL.model.layers.7.mlp.up_proj.weight"] = torch.zeros(1)
    with pytest.raises(BadInput) as caught:
        from_reference(tensors, reference_plain)
    message = str(caught.value)
    assert "1 missing: text_prompt.query" in message
    assert "2 extra: SEG.surprise, VL.model.layers.7.mlp.up_proj.weight" in message
    assert "1 wrongly shaped: text_fc.weight (expected (32, 32), got (3, 3))" in message


def test_a_head_is_found_by_its_tensors_unless_two_look_alike(released, reference_plain):
    _, tensors = released("twovisiondualcrosstoken")
    assert from_reference(tensors, reference_plain).config.head == "twovisiondualcrosstoken"
    _, tensors = released("vlmcrossdualcross")
    with pytest.raises(BadInput, match="vlmcrossdualcrossplustext, vlmcrossdualcross"):
        head_of(tensors)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_whole_and_sharded_files_hold_the_same(released, reference_plain, tmp_path, suffix):
    _, tensors = released()
    save = save_file if suffix == "safetensors" else torch.save
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    names = sorted(tensors)
    whole, sharded = tmp_path / "whole", tmp_path / "sharded"
    whole.mkdir()
    sharded.mkdir()
    save(tensors, whole / f"{stem}.{suffix}")
    places = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"{stem}-0000{number}-of-00002.{suffix}"
        save({name: tensors[name] for name in part}, sharded / file)
        places |= dict.fromkeys(part, file)
    (sharded / f"{stem}.{suffix}.index.json").write_text(json.dumps({"weight_map": places}))
    for folder in (whole, sharded):
        stored = open_weights(folder)
        assert sorted(stored) == names
        from_reference(stored, reference_plain)
    (sharded / file).unlink()
    with pytest.raises(BadInput, match=f"expected its shards beside it, got no {file}"):
        open_weights(sharded)


class Mischief:
    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    mischief = Mischief()
    mischief.path = str(tmp_path / "ran")
    plain, zipped = tmp_path / "plain.bin", tmp_path / "zipped.bin"
    plain.write_bytes(pickle.dumps({"add11": mischief}))
    torch.save({"add11": mischief}, zipped)
    for path in (plain, zipped):
        with pytest.raises(BadInput, match="refused"):
            open_weights(path)
    assert not (tmp_path / "ran").exists()


def test_damaged_and_absent_files_are_named(tmp_path):
    with pytest.raises(BadInput, match=r"nothing: expected a checkpoint .* got nothing there"):
        open_weights(tmp_path / "nothing")
    for name in ("cut.safetensors", "cut.bin"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 and then nothing")
        with pytest.raises(BadInput, match=name):
            open_weights(tmp_path / name)
    with pytest.raises(BadInput, match=r"expected one file of .*got cut\.bin, cut\.safetensors"):
        open_weights(tmp_path)


def test_names_of_plain_sam_find_their_places():
    assert new_name("image_encoder.blocks.11.mlp.lin1.weight", SAM_NAMES) == (
        "image_encoder.sam_encoder.blocks.11.mlp.fc1.weight"
    )
    assert new_name("mask_decoder.iou_token.weight", SAM_NAMES) == "mask_decoder.iou_token.weight"
    assert new_name("pixel_mean", SAM_NAMES) is None
    with pytest.raises(KeyError):
        new_name("image_encoder.blocks.0.surprise", SAM_NAMES)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recorded numbers of the published system are not here")
def test_every_recorded_number_of_the_published_system():
    from benchmarks.parity import LIMIT, differences_in

    with torch.no_grad():
        differences = differences_in(SHARED)
    assert len(differences) > 200
    assert {name: difference for name, difference in differences.items() if not difference <= LIMIT} == {}
