"""Released checkpoints into a folder of ours: ``biascarevl import-weights SRC DST``.

SRC is a file of tensors or a folder with one, under the published names. Its configuration is the file given, or a
``parity.json`` or ``config.json`` beside the tensors; its tokenizer lies beside them or in the language folder.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from ingest.errors import BadInput
from model.checkpoint import from_reference, read_tokenizer, save_pretrained
from model.network import BiasCareVL
from model.sizes import NetworkConfig
from model.tokenizer import (
    CLASS_TOKEN,
    IMAGE_PAD,
    PADDING,
    PROJECT_TOKENS,
    TURN_END,
    TURN_START,
    VIDEO_PAD,
    VISION_END,
    VISION_START,
)
from model.weight_files import open_weights

CONFIG_NAMES = ("parity.json", "config.json")
RECORDED_PREFIX = "w."
"""Before the weights in a file of recorded numbers, which holds inputs and outputs beside them."""


def import_weights(
    source: Path,
    destination: Path,
    *,
    config_file: Path | None = None,
    language: Path | None = None,
    head: str = "",
    classes: tuple[str, ...] = (),
) -> BiasCareVL:
    """Write ``destination`` whole, and return what is in it.

    Args: language: a Qwen2.5-VL or HuatuoGPT-Vision folder for configuration and tokenizer. head: which of two heads
        with the same tensors. classes: their names, in the order of the outputs.
    Raises: BadInput for anything absent, and listing every tensor that does not fit.
    """
    if destination.exists():
        raise BadInput(f"{destination}: expected a new folder, got one that exists")
    stored = open_weights(source)
    is_recorded = any(name.startswith(RECORDED_PREFIX) for name in stored)
    tensors: Mapping[str, Tensor] = Recorded(stored, head) if is_recorded else stored
    settings = find_settings(source, config_file, language)
    settings |= {"head": head} if head else {}
    settings |= {"classes": classes} if classes else {}
    network = from_reference(tensors, settings)
    tokenizer = find_tokenizer(source, language, network.config)
    save_pretrained(network, tokenizer, destination, origin=f"Imported from {source.name} under the published names.")
    return network


class Recorded(Mapping[str, Tensor]):
    """The weights among recorded numbers, under their own names; a head's stand under its name."""

    def __init__(self, stored: Mapping[str, Tensor], head: str) -> None:
        prefixes = (RECORDED_PREFIX, f"head.{head}.")
        self._stored = stored
        self._full = {n.removeprefix(p): n for p in prefixes for n in stored if n.startswith(p)}

    def __getitem__(self, name: str) -> Tensor:
        return self._stored[self._full[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._full)

    def __len__(self) -> int:
        return len(self._full)


def find_settings(source: Path, config_file: Path | None, language: Path | None) -> dict[str, Any]:
    """A configuration as ``model.reference_config`` reads it; a plain Qwen2.5-VL one stands for the published shape."""
    folder = source if source.is_dir() else source.parent
    places = [config_file] if config_file else [folder / name for name in CONFIG_NAMES]
    places += [language / "config.json"] if language else []
    found = [place for place in places if place.is_file()]
    if not found:
        raise BadInput(f"{source}: expected a configuration in {', '.join(map(str, places))}, got none; see --config")
    try:
        plain = json.loads(found[0].read_text())
    except ValueError as error:
        raise BadInput(f"{found[0]}: expected JSON, got {error}") from error
    plain = plain.get("config", plain)
    if "vl" in plain:
        return dict(plain)
    if plain.get("model_type") != "qwen2_5_vl":
        raise BadInput(f"{found[0]}: expected keys vl and seg or a qwen2_5_vl model, got {sorted(plain)[:5]}")
    return {"vl": plain}


def find_tokenizer(source: Path, language: Path | None, config: NetworkConfig) -> PreTrainedTokenizerFast:
    """The released tokenizer with the published special tokens added; single bytes for a checkpoint without one."""
    folders = [folder for folder in (source if source.is_dir() else source.parent, language) if folder]
    for folder in folders:
        if (folder / "tokenizer.json").is_file():
            return with_project_tokens(read_tokenizer(folder))
    return byte_tokenizer(config)


def with_project_tokens(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The tokenizer with the published special tokens added in their order, padding on the left."""
    tokens: Any = {"additional_special_tokens": [*PROJECT_TOKENS, CLASS_TOKEN]}
    tokenizer.add_special_tokens(tokens, replace_extra_special_tokens=False)
    tokenizer.padding_side = "left"
    return tokenizer


def byte_tokenizer(config: NetworkConfig) -> PreTrainedTokenizerFast:
    """One token per byte at the free ids, special tokens at the configuration's own.

    For tiny checkpoints that come without a tokenizer: everything runs, what it says means nothing.
    Raises: BadInput where the vocabulary is too small for the bytes.
    """
    text, language = config.language["text_config"], config.language
    special = {
        IMAGE_PAD: language["image_token_id"],
        VIDEO_PAD: language["video_token_id"],
        VISION_START: language["vision_start_token_id"],
        VISION_END: language["vision_end_token_id"],
        PADDING: text["pad_token_id"] if text.get("pad_token_id") is not None else 0,
        TURN_END: text["eos_token_id"] if isinstance(text.get("eos_token_id"), int) else 2,
    }
    if config.class_token_id >= 0:
        special[CLASS_TOKEN] = config.class_token_id
    free = (number for number in range(text["vocab_size"]) if number not in special.values())
    names = [TURN_START, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {**special, **dict(zip(names, free, strict=False))}
    if len(vocabulary) < len(special) + len(names):
        raise BadInput(
            f"tokenizer: expected tokenizer.json beside the weights or in --language, or room for {len(names)} bytes, "
            f"got a vocabulary of {text['vocab_size']}"
        )
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([*special, TURN_START])
    wrap: Any = PreTrainedTokenizerFast
    wrapped: PreTrainedTokenizerFast = wrap(
        tokenizer_object=tokenizer, pad_token=PADDING, eos_token=TURN_END, padding_side="left"
    )
    return wrapped
