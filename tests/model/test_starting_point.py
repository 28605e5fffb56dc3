"""Training starts from released weights: ours, published, a language folder, a segmentation file."""

import json

import pytest
import torch

from ingest.errors import BadInput
from model.checkpoint import save_pretrained
from model.config import ModelConfig
from model.network import build_network
from model.starting_point import network_and_tokenizer, starting_network, take_language, take_segmentation


@pytest.fixture(scope="module")
def corpus(write_shapes, tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("start") / "work", {"train": 6})


def test_weights_of_ours_are_taken_and_a_head_for_other_classes_starts_afresh(setup, corpus, tmp_path):
    save_pretrained(setup.network, setup.tokenizer, tmp_path / "ours")
    model = ModelConfig(weights=str(tmp_path / "ours"))
    config, tokenizer = network_and_tokenizer(corpus, model)
    assert len(tokenizer) == len(setup.tokenizer) and set(config.classes) <= {"pale", "red", "green"}
    network = starting_network(config, model, seed=9)
    name = "mask_decoder.iou_token.weight"
    assert torch.equal(network.state_dict()[name], setup.network.state_dict()[name])


def test_a_published_checkpoint_is_taken_as_it_is(released, reference_plain, corpus, tmp_path):
    _, tensors = released("twovisiondualcross")
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps({**reference_plain, "head": "twovisiondualcross"}))
    model = ModelConfig(weights=str(tmp_path))
    config, _ = network_and_tokenizer(corpus, model)
    network = starting_network(config, model, seed=9)
    assert torch.equal(network.text_prompt.query, tensors["add11"])
    assert config.head == "twovisiondualcross" and network.head.final.weight.shape[0] == len(config.classes)
    del tensors["add11"]
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    with pytest.raises(BadInput, match=r"1 missing: text_prompt\.query"):
        starting_network(config, model, seed=9)


def test_a_language_folder_comes_through_transformers(setup, corpus, tmp_path):
    setup.network.language_model.save_pretrained(tmp_path)
    setup.tokenizer.save_pretrained(tmp_path)
    config, _ = network_and_tokenizer(corpus, ModelConfig(language=str(tmp_path)))
    network = starting_network(config, ModelConfig(language=str(tmp_path)), seed=9)
    theirs = setup.network.language_model.state_dict()
    mine = network.language_model.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    with pytest.raises(BadInput, match=r"expected a Qwen2\.5-VL folder"):
        take_language(network, tmp_path / "nothing")


def sam_file(network, path):
    """The segmentation branch as plain SAM names it, without what SAM lacks."""
    tensors = {"pixel_mean": torch.zeros(3), "pixel_std": torch.ones(3)}
    for name, tensor in network.state_dict().items():
        if "semantic" in name or "text_output" in name:
            continue
        trunk = "image_encoder.sam_encoder."
        if name.startswith(trunk):
            name = "image_encoder." + name.removeprefix(trunk).replace("mlp.fc", "mlp.lin")
        elif not name.startswith(("image_encoder", "prompt_encoder", "mask_decoder")):
            continue
        tensors[name] = tensor + 1
    torch.save(tensors, path)


def test_plain_sam_fills_the_branch_where_the_widths_agree_and_the_transformer_where_not(setup, tmp_path):
    network = build_network(setup.network.config, seed=2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    sam_file(network, tmp_path / "sam.pth")
    take_segmentation(network, tmp_path / "sam.pth")
    after = network.state_dict()
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    branch = {name for name in after if name.startswith(("image_encoder", "prompt_encoder", "mask_decoder"))}
    assert changed == {name for name in branch if "semantic" not in name and "text_output" not in name}
    tensors = torch.load(tmp_path / "sam.pth", weights_only=True)
    tensors["image_encoder.neck.0.weight"] = torch.zeros(5, 5, 1, 1)  # SAM's 256 beside our width
    tensors["surprise"] = torch.zeros(1)
    torch.save(tensors, tmp_path / "narrow.pth")
    with pytest.raises(BadInput, match="1 extra: surprise"):
        take_segmentation(network, tmp_path / "narrow.pth")
    del tensors["surprise"]
    torch.save(tensors, tmp_path / "narrow.pth")
    take_segmentation(network, tmp_path / "narrow.pth")


def test_imis_net_fills_the_branch_and_its_text_model_is_left_behind(setup, tmp_path):
    network = build_network(setup.network.config, seed=3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    branch = {name for name in before if name.startswith(("image_encoder", "prompt_encoder", "mask_decoder"))}
    tensors = {name: before[name] + 1 for name in branch}
    for name in ("text_model.text_model.final_layer_norm.weight", "text_out_dim.bias", "pixel_mean", "pixel_std",
                 "image_encoder.sam_encoder.neck.0.weight"):  # fmt: skip
        tensors[name] = torch.ones(3)
    torch.save(tensors, tmp_path / "imis.pth")
    take_segmentation(network, tmp_path / "imis.pth")
    after = network.state_dict()
    assert {name for name, tensor in after.items() if not torch.equal(tensor, before[name])} == branch
    assert all(torch.equal(after[name], tensors[name]) for name in branch)
    del tensors["mask_decoder.iou_token.weight"]
    torch.save(tensors, tmp_path / "imis.pth")
    with pytest.raises(BadInput, match=r"1 missing: mask_decoder\.iou_token\.weight"):
        take_segmentation(network, tmp_path / "imis.pth")
