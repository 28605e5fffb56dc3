"""A network on disk: ``config.json``, ``model.safetensors`` and the tokenizer's files in one folder."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from ingest.workspace import publishing, write_json
from model.config import NetworkConfig, SegmentationSizes
from model.network import BiasCareVL

CONFIG_NAME, WEIGHTS_NAME = "config.json", "model.safetensors"


def save_pretrained(network: BiasCareVL, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the network whole: the folder appears when everything in it stands."""
    with publishing(folder) as staged:
        staged.mkdir()
        write_json(staged / CONFIG_NAME, dataclasses.asdict(network.config))
        tensors: dict[str, Tensor] = {name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}
        save_file(tensors, staged / WEIGHTS_NAME)
        tokenizer.save_pretrained(staged)


def from_pretrained(folder: Path) -> tuple[BiasCareVL, PreTrainedTokenizerFast]:
    """The network in evaluation mode and its tokenizer. Raises: RuntimeError naming every tensor that does not fit."""
    config = network_config(json.loads((folder / CONFIG_NAME).read_text()))
    with torch.random.fork_rng():
        network = BiasCareVL(config)
    network.load_state_dict(load_file(folder / WEIGHTS_NAME), strict=True)
    return network.eval(), read_tokenizer(folder)


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    return tokenizer


def network_config(plain: Mapping[str, Any]) -> NetworkConfig:
    """The configuration from its JSON form, lists being tuples again."""
    sizes = {**plain["segmentation"], "global_blocks": tuple(plain["segmentation"]["global_blocks"])}
    return NetworkConfig(
        segmentation=SegmentationSizes(**sizes),
        language=plain["language"],
        min_pixels=plain["min_pixels"],
        classes=tuple(plain["classes"]),
        class_weights=tuple(plain["class_weights"]),
        label_spaces={space: tuple(names) for space, names in plain["label_spaces"].items()},
    )
