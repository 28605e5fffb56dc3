"""LoRA (Hu et al. 2022) on the language model's projections, as the published recipe trains them.

The adapter is put into the network in place; everything outside the language model trains in full beside it. It can
be written alone (in peft's own form), read again, and merged into the weights.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file

from ingest.errors import BadInput
from ingest.workspace import publishing
from model.network import BiasCareVL

TARGETS = r".*language_model\.layers\.\d+\.(self_attn\.(q|v|o)_proj|mlp\.(gate|up|down)_proj)"
"""The published targets: q, v, o, gate, up and down of the language model; the vision tower has equal names."""
ADAPTER = "default"
WEIGHTS_NAME = "adapter_model.safetensors"
PEFT_PREFIX = "base_model.model."


@dataclass(frozen=True, kw_only=True)
class LoraSizes:
    """Rank, scale and dropout; the defaults are the published ones."""

    rank: int = 8
    alpha: int = 16
    dropout: float = 0.01

    def settings(self) -> LoraConfig:
        return LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=TARGETS, task_type="CAUSAL_LM"
        )


def add_adapter(network: BiasCareVL, sizes: LoraSizes | None = None) -> None:
    """Freeze the projections of the language model and train low-rank changes of them instead.

    The vision tower, its merger, the embeddings and everything else go on training in full (REFERENCE section 4).
    """
    free = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    inject_adapter_in_model((sizes or LoraSizes()).settings(), network.language_model, adapter_name=ADAPTER)
    network.train(network.training)  # what was injected begins in training mode
    for name, parameter in network.named_parameters():
        parameter.requires_grad_("lora_" in name or (name in free and not is_frozen(name)))


def is_frozen(name: str) -> bool:
    """Weights of the language model's layers, norms and biases included, stand still under LoRA."""
    return ".language_model.layers." in name and "lora_" not in name


def layers(network: BiasCareVL) -> list[tuple[str, LoraLayer]]:
    return [(name, layer) for name, layer in network.named_modules() if isinstance(layer, LoraLayer)]


@torch.no_grad()
def merge_adapter(network: BiasCareVL) -> None:
    """Add the low-rank changes to the weights and take the adapter out: an ordinary network is left."""
    for name, layer in layers(network):
        merging: Any = layer
        merging.merge(safe_merge=True)
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, merging.get_base_layer())
    for parameter in network.parameters():
        parameter.requires_grad_(True)


def save_adapter(network: BiasCareVL, folder: Path, sizes: LoraSizes | None = None) -> None:
    """Write the adapter alone, so that peft itself can read it onto a Qwen2.5-VL. Raises: BadInput without one."""
    if not layers(network):
        raise BadInput(f"{folder}: expected a network with an adapter, got one without")
    changes = get_peft_model_state_dict(network.language_model, adapter_name=ADAPTER)
    with publishing(folder) as staged:
        staged.mkdir(parents=True)
        tensors = {f"{PEFT_PREFIX}{name.removeprefix(PEFT_PREFIX)}": t.contiguous() for name, t in changes.items()}
        save_file(tensors, staged / WEIGHTS_NAME)
        (sizes or LoraSizes()).settings().save_pretrained(str(staged))


def load_adapter(network: BiasCareVL, folder: Path) -> None:
    """Put an adapter that was written alone into a network. Raises: BadInput when it is absent or does not fit."""
    if not (folder / WEIGHTS_NAME).is_file():
        raise BadInput(f"{folder}: expected an adapter with {WEIGHTS_NAME}, got none")
    inject_adapter_in_model(LoraConfig.from_pretrained(str(folder)), network.language_model, adapter_name=ADAPTER)
    network.train(network.training)  # what was injected begins in training mode
    tensors = load_file(folder / WEIGHTS_NAME)
    stripped = {name.removeprefix(PEFT_PREFIX): tensor for name, tensor in tensors.items()}
    outcome: Any = set_peft_model_state_dict(network.language_model, stripped, adapter_name=ADAPTER)
    lost = [name for name in outcome.missing_keys if "lora_" in name]
    if outcome.unexpected_keys or lost:
        raise BadInput(f"{folder}: expected an adapter of this network, got {[*outcome.unexpected_keys, *lost][:4]}")
