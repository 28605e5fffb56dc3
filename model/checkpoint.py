"""A network on disk: ``config.json``, ``model.safetensors``, the tokenizer's files and a model card in one folder.

Released checkpoints come in by literal tables (``model.reference_names``), strictly: every tensor is accounted for.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from ingest.errors import BadInput
from ingest.workspace import publishing, write_json
from model.heads import heads_that_fit
from model.language_model import restore_constants
from model.model_card import model_card
from model.network import BiasCareVL
from model.reference_config import reference_config
from model.reference_names import REFERENCE_NAMES, Names, new_name
from model.sizes import NetworkConfig, SegmentationSizes
from model.weight_files import open_weights

CONFIG_NAME, WEIGHTS_NAME, CARD_NAME = "config.json", "model.safetensors", "README.md"


def save_pretrained(
    network: BiasCareVL, tokenizer: PreTrainedTokenizerFast, folder: Path, *, origin: str = "trained by biascarevl"
) -> None:
    """Write the network whole: the folder appears when everything in it stands. origin: a line for the model card."""
    with publishing(folder) as staged:
        staged.mkdir(parents=True)
        write_json(staged / CONFIG_NAME, dataclasses.asdict(network.config))
        tensors: dict[str, Tensor] = {name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}
        save_file(tensors, staged / WEIGHTS_NAME)
        (staged / WEIGHTS_NAME).chmod(0o644)  # safetensors leaves it to its owner alone
        tokenizer.save_pretrained(staged)
        (staged / CARD_NAME).write_text(model_card(network, origin=origin))


def from_pretrained(folder: Path) -> tuple[BiasCareVL, PreTrainedTokenizerFast]:
    """The network in evaluation mode and its tokenizer.

    Raises: BadInput for a folder without a network, and naming every tensor that does not fit.
    """
    path = folder / CONFIG_NAME
    if not path.is_file():
        raise BadInput(
            f"{folder}: expected a folder of ours with {CONFIG_NAME}, got none; see `biascarevl import-weights`"
        )
    network = empty_network(network_config(json.loads(path.read_text())))
    fill(network, open_weights(folder / WEIGHTS_NAME), {}, source=str(folder))
    return network.eval(), read_tokenizer(folder)


def from_reference(tensors: Mapping[str, Tensor], config: Mapping[str, Any] | NetworkConfig) -> BiasCareVL:
    """Released weights under their own names as a network of ours, in evaluation mode.

    Args: tensors: any mapping, read one tensor at a time and not copied. config: as in ``model.reference_config``;
        where it names no head but the tensors hold one, the head is the one they fit.
    Raises: BadInput listing every missing, extra and wrongly shaped tensor, or the heads an unnamed one may be.
    """
    if not isinstance(config, NetworkConfig):
        if not config.get("head") and any(name.startswith("cls_head_") for name in tensors):
            config = {**config, "head": head_of(tensors)}
        config = reference_config(config)
    network = empty_network(config)
    fill(network, tensors, REFERENCE_NAMES, source="released checkpoint")
    return network.eval()


def head_of(tensors: Mapping[str, Tensor]) -> str:
    """The name of the head among released tensors. Raises: BadInput where several have just these tensors."""
    names = {name.removeprefix("cls_head_") for name in tensors if name.startswith("cls_head_")}
    fitting = heads_that_fit(names, tensors["cls_head_final.weight"].shape[1] if "final.weight" in names else 0)
    if len(fitting) != 1:
        raise BadInput(
            f"released checkpoint: expected config['head'] to say which head it holds, got tensors that fit "
            f"{', '.join(fitting) or 'none of them'}"
        )
    return fitting[0]


def empty_network(config: NetworkConfig) -> BiasCareVL:
    """A network whose parameters take no memory yet; ``fill`` gives it the very tensors it is handed."""
    with torch.device("meta"):
        network = BiasCareVL(config)
    restore_constants(network.language_model)
    return network


def fill(network: BiasCareVL, tensors: Mapping[str, Tensor], names: Names, *, source: str) -> None:
    """Put every tensor in its place without a copy; an empty table means they carry our own names.

    Raises: BadInput listing all that are missing, extra or of another shape.
    """
    expected = network.state_dict()
    placed, extra = renamed(tensors, names)
    extra += sorted(old for new, old in placed.items() if new not in expected)
    found = {new: old for new, old in placed.items() if new in expected}
    wrong = []
    state: dict[str, Tensor] = {}
    for new, old in found.items():
        tensor = tensors[old]
        if tensor.shape != expected[new].shape:
            wrong.append(f"{old} (expected {tuple(expected[new].shape)}, got {tuple(tensor.shape)})")
        state[new] = tensor
    refuse(missing=sorted(set(expected) - set(found)), extra=extra, wrong=wrong, source=source)
    network.load_state_dict(state, strict=True, assign=True)


def renamed(tensors: Mapping[str, Tensor], names: Names) -> tuple[dict[str, str], list[str]]:
    """Our name -> name in the file of what is kept, and the names no row of the table fits."""
    if not names:
        return {name: name for name in tensors}, []
    placed: dict[str, str] = {}
    extra = []
    for old in tensors:
        try:
            new = new_name(old, names)
        except KeyError:
            extra.append(old)
            continue
        if new is not None:
            placed[new] = old
    return placed, extra


def refuse(*, missing: list[str], extra: list[str], wrong: list[str], source: str) -> None:
    """One BadInput that lists everything that does not fit, unless all is well."""
    problems = [
        f"{len(listed)} {kind}: {', '.join(listed)}"
        for kind, listed in (("missing", missing), ("extra", extra), ("wrongly shaped", wrong))
        if listed
    ]
    if problems:
        raise BadInput(f"{source}: expected every tensor to fit the network, got {'; '.join(problems)}")


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    return tokenizer


def network_config(plain: Mapping[str, Any]) -> NetworkConfig:
    """The configuration from its JSON form, lists being tuples again."""
    sizes = {**plain["segmentation"], "global_blocks": tuple(plain["segmentation"]["global_blocks"])}
    tuples = {name: tuple(plain[name]) for name in ("classes", "class_weights", "prevalence", "multi_label_spaces")}
    spaces = {space: tuple(names) for space, names in plain["label_spaces"].items()}
    return NetworkConfig(**{**plain, **tuples, "segmentation": SegmentationSizes(**sizes), "label_spaces": spaces})
