"""LoRA on the language model: what trains, merging, and the adapter on its own."""

import pytest
import torch

from ingest.errors import BadInput
from model.adapter import add_adapter, layers, load_adapter, merge_adapter, save_adapter
from model.network import build_network


def logits(network):
    ids = torch.arange(7)[None]
    with torch.no_grad():
        return network.language_model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def adapted(setup):
    """A network with an adapter that changes something."""
    network = build_network(setup.network.config, seed=0).eval()
    add_adapter(network)
    torch.manual_seed(1)
    for _, layer in layers(network):
        torch.nn.init.normal_(layer.lora_B["default"].weight, std=0.1)
    return network.eval()


def test_only_the_published_parts_train(setup):
    network = adapted(setup)
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert len(layers(network)) == 3 * 6  # three layers, q v o gate up down
    assert not any("k_proj" in name and "lora" in name for name in trained)
    assert not any("visual" in name and "lora" in name for name, _ in network.named_parameters())
    in_full = (
        "visual.patch_embed.proj.weight",
        "embed_tokens.weight",
        "lm_head.weight",
        "mask_decoder.iou_token.weight",
    )
    for part in in_full:
        assert any(name.endswith(part) for name in trained), part
    assert not any("language_model.layers" in name and "lora" not in name for name in trained)


def test_merging_leaves_an_ordinary_network_with_the_same_answers(setup):
    network = adapted(setup)
    before = logits(network)
    assert not torch.allclose(before, logits(setup.network), atol=1e-3)
    merge_adapter(network)
    assert set(network.state_dict()) == set(setup.network.state_dict())
    assert torch.allclose(logits(network), before, atol=1e-5)


def test_the_adapter_alone_restores_the_network_and_peft_can_read_it(setup, tmp_path):
    network = adapted(setup)
    save_adapter(network, tmp_path / "adapter")
    assert {"adapter_model.safetensors", "adapter_config.json"} <= {p.name for p in (tmp_path / "adapter").iterdir()}
    fresh = build_network(setup.network.config, seed=0).eval()
    load_adapter(fresh, tmp_path / "adapter")
    assert torch.equal(logits(fresh), logits(network))
    from peft import PeftModel

    plain = build_network(setup.network.config, seed=0).eval()
    plain.language_model = PeftModel.from_pretrained(plain.language_model, str(tmp_path / "adapter"))
    assert torch.equal(logits(plain), logits(network))


def test_what_is_no_adapter_is_refused(setup, tmp_path):
    with pytest.raises(BadInput, match="expected a network with an adapter"):
        save_adapter(setup.network, tmp_path / "none")
    with pytest.raises(BadInput, match="expected an adapter with adapter_model"):
        load_adapter(setup.network, tmp_path)
