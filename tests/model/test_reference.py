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
from model.network import BiasCareVL
from model.reference_config import reference_config
from model.reference_names import REFERENCE_NAMES, SAM_NAMES, new_name
from model.weight_files import open_weights

SHARED = Path(__file__).resolve().parents[3] / "shared" / "reference"

PLAIN = {
    "seg": {
        "embed_dim": 32, "depth": 2, "num_heads": 2, "mlp_ratio": 2.0, "window_size": 3, "global_attn_indexes": [1],
        "pretrain_image_size": 128, "image_size": 64, "decoder_depth": 2, "decoder_mlp_dim": 48,
        "decoder_num_heads": 4, "iou_head_depth": 3, "iou_head_hidden_dim": 24, "num_multimask_outputs": 3,
        "semantic_out_dim": 16, "mask_in_chans": 16,
    },
    "vl": {
        "model_type": "qwen2_5_vl", "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 256,
        "rope_theta": 1e6, "rope_scaling": {"type": "default", "rope_type": "default", "mrope_section": [2, 3, 3]},
        "image_token_id": 290, "video_token_id": 291, "vision_start_token_id": 292, "vision_end_token_id": 293,
        "pad_token_id": 0, "eos_token_id": 2,
        "vision_config": {
            "model_type": "qwen2_5_vl", "depth": 1, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2,
            "window_size": 56, "fullatt_block_indexes": [0], "out_hidden_size": 32,
        },
    },
    "cls_num": 3,
    "special_token_ids": {"cls": 294},
}  # fmt: skip


def released(head: str = "") -> tuple[BiasCareVL, dict[str, torch.Tensor]]:
    """A network with random weights, and the file the published system would have left of it."""
    torch.manual_seed(0)
    network = BiasCareVL(reference_config({**PLAIN, "head": head}))
    old_names = {new: old for old, new in REFERENCE_NAMES.items() if new}
    dropped = ("SEG.text_out_dim.weight", "SEG.image_encoder.sam_encoder.neck.0.weight")
    tensors = {name: torch.zeros(1) for name in dropped}
    for name, tensor in network.state_dict().items():
        row = max((new for new in old_names if name == new or name.startswith(f"{new}.")), key=len)
        tensors[old_names[row] + name.removeprefix(row)] = tensor
    return network.eval(), tensors


@pytest.mark.parametrize("head", ["", *HEADS])
def test_a_released_network_comes_back_without_a_copy(head):
    network, tensors = released(head)
    loaded = from_reference(tensors, {**PLAIN, "head": head})
    assert loaded.config == network.config
    mine, theirs = loaded.state_dict(), network.state_dict()
    assert all(mine[name].data_ptr() == tensor.data_ptr() for name, tensor in theirs.items())
    ids = torch.arange(6)[None]
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    expected = network.language_model(**inputs).logits
    assert torch.equal(loaded.language_model(**inputs).logits, expected)  # rotary frequencies are stored nowhere


def test_everything_that_does_not_fit_is_listed_at_once():
    _, tensors = released()
    del tensors["add11"]
    tensors["text_fc.weight"] = torch.zeros(3, 3)
    tensors["SEG.surprise"] = torch.zeros(1)
    tensors["VL.model.layers.7.mlp.up_proj.weight"] = torch.zeros(1)
    with pytest.raises(BadInput) as caught:
        from_reference(tensors, PLAIN)
    message = str(caught.value)
    assert "1 missing: text_prompt.query" in message
    assert "2 extra: SEG.surprise, VL.model.layers.7.mlp.up_proj.weight" in message
    assert "1 wrongly shaped: text_fc.weight (expected (32, 32), got (3, 3))" in message


def test_a_head_is_found_by_its_tensors_unless_two_look_alike():
    _, tensors = released("twovisiondualcrosstoken")
    assert from_reference(tensors, PLAIN).config.head == "twovisiondualcrosstoken"
    _, tensors = released("vlmcrossdualcross")
    with pytest.raises(BadInput, match="vlmcrossdualcrossplustext, vlmcrossdualcross"):
        head_of(tensors)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_whole_and_sharded_files_hold_the_same(tmp_path, suffix):
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
        from_reference(stored, PLAIN)
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
