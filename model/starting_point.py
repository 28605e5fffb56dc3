"""Where training starts from: fresh weights of a preset, or released ones (the [model] table).

``weights``: a folder of ours, or a released checkpoint with its configuration beside it; decides every size.
``language``: a Qwen2.5-VL or HuatuoGPT-Vision folder, read by transformers; decides the language branch and tokenizer.
``segmentation``: SAM or IMIS-Net weights; decide nothing, and must fit the preset.
"""

import dataclasses
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration

from ingest.errors import BadInput
from ingest.workspace import Workspace
from model.checkpoint import CONFIG_NAME, from_pretrained, network_config, read_tokenizer, refuse, renamed
from model.config import ModelConfig
from model.corpus import TrainingFacts, read_training_facts
from model.import_weights import find_settings, find_tokenizer, with_project_tokens
from model.language_model import language_config
from model.network import BiasCareVL, build_network
from model.reference_config import language_settings, reference_config
from model.reference_names import IMIS_NAMES, REFERENCE_NAMES, SAM_NAMES, SAM_TRUNK_NAMES, Names
from model.sizes import NetworkConfig, Preset
from model.tokenizer import CLASS_TOKEN, train_tokenizer
from model.weight_files import open_weights

logger = logging.getLogger(__name__)

SEGMENTATION_PARTS = ("image_encoder.", "prompt_encoder.", "mask_decoder.")
HEAD = "head."


def network_and_tokenizer(workspace: Workspace, model: ModelConfig) -> tuple[NetworkConfig, PreTrainedTokenizerFast]:
    """Sizes from the [model] table, classes from the packed training rows. Raises: BadInput."""
    facts = read_training_facts(workspace)
    if model.weights:
        config, tokenizer = stored_config(Path(model.weights))
        return with_facts(config, facts, head=config.head or model.head, tokenizer=tokenizer), tokenizer
    if model.language:
        tokenizer = with_project_tokens(read_tokenizer(Path(model.language)))
        language = language_settings(json.loads((Path(model.language) / "config.json").read_text()))
        text = language["text_config"]
        text["vocab_size"] = max(text["vocab_size"], len(tokenizer))
        config = dataclasses.replace(preset_config(model.sizes, tokenizer), language=language)
    else:
        tokenizer = train_tokenizer(facts.texts, vocabulary_size=model.sizes.vocabulary_size)
        config = preset_config(model.sizes, tokenizer)
    return with_facts(config, facts, head=model.head, tokenizer=tokenizer), tokenizer


def preset_config(sizes: Preset, tokenizer: PreTrainedTokenizerFast) -> NetworkConfig:
    """A network of a preset's sizes for a tokenizer, without classes."""
    return NetworkConfig(
        segmentation=sizes.segmentation, language=language_config(sizes, tokenizer), min_pixels=sizes.min_pixels,
        classes=(), class_weights=(), label_spaces={},
    )  # fmt: skip


def with_facts(
    config: NetworkConfig, facts: TrainingFacts, *, head: str, tokenizer: PreTrainedTokenizerFast
) -> NetworkConfig:
    """The same network for the classes of this corpus."""
    return dataclasses.replace(
        config, head=head, class_token_id=tokenizer.vocab.get(CLASS_TOKEN, -1), classes=facts.classes,
        class_weights=facts.class_weights, prevalence=facts.prevalence, label_spaces=facts.label_spaces,
        multi_label_spaces=facts.multi_label_spaces,
    )  # fmt: skip


def stored_config(source: Path) -> tuple[NetworkConfig, PreTrainedTokenizerFast]:
    """Configuration and tokenizer of a folder of ours, or of a released checkpoint."""
    if is_ours(source):
        return network_config(json.loads((source / CONFIG_NAME).read_text())), read_tokenizer(source)
    config = reference_config(find_settings(source, None, None))
    return config, find_tokenizer(source, None, config)


def is_ours(source: Path) -> bool:
    path = source / CONFIG_NAME
    return path.is_file() and "segmentation" in json.loads(path.read_text())


def starting_network(config: NetworkConfig, model: ModelConfig, *, seed: int) -> BiasCareVL:
    """A network whose fresh weights depend on ``seed`` and whose others are the released ones.

    Raises: BadInput listing every tensor that does not fit; a head for other classes starts afresh, and is told.
    """
    network = build_network(config, seed=seed)
    if model.weights:
        source = Path(model.weights)
        if is_ours(source):
            stored, _ = from_pretrained(source)
            take(network, stored.state_dict(), {}, source=str(source), may_lack=(HEAD,))
        else:
            take(network, open_weights(source), REFERENCE_NAMES, source=str(source), may_lack=(HEAD,))
    if model.language:
        take_language(network, Path(model.language))
    if model.segmentation:
        take_segmentation(network, Path(model.segmentation))
    return network


def take(
    network: BiasCareVL, tensors: Mapping[str, Tensor], names: Names, *, source: str, may_lack: tuple[str, ...]
) -> None:
    """Copy tensors into a network. Of the parts in ``may_lack`` what is absent or of another shape stays fresh."""
    expected = network.state_dict()
    placed, extra = renamed(tensors, names)
    fresh: list[str] = []
    missing: list[str] = []
    wrong: list[str] = []
    for new, place in expected.items():
        optional = new.startswith(may_lack)
        if new not in placed:
            (fresh if optional else missing).append(new)
        elif tensors[placed[new]].shape != place.shape:
            (fresh if optional else wrong).append(new)
        else:
            place.copy_(tensors[placed[new]])
    extra += [old for new, old in placed.items() if new not in expected and not new.startswith(may_lack)]
    refuse(missing=missing, extra=extra, wrong=wrong, source=source)
    if fresh:
        logger.info("%s: %d tensors start afresh: %s", source, len(fresh), ", ".join(fresh[:6]))


def take_segmentation(network: BiasCareVL, source: Path) -> None:
    """SAM or IMIS-Net weights. Of SAM a wider branch takes the transformer alone, and the rest starts afresh."""
    tensors = open_weights(source)
    is_sam = "image_encoder.pos_embed" in tensors
    neck = "image_encoder.neck.0.weight"
    fits = neck in tensors and tensors[neck].shape == network.state_dict()[neck].shape
    names = (SAM_NAMES if fits else SAM_TRUNK_NAMES) if is_sam else IMIS_NAMES
    others = tuple(name for name in network.state_dict() if not name.startswith(SEGMENTATION_PARTS))
    ours_alone = ("mask_decoder.semantic", "mask_decoder.text_output")  # SAM has neither
    lacking = ours_alone if fits else ("image_encoder.neck.", "prompt_encoder.", "mask_decoder.")
    take(network, tensors, names, source=str(source), may_lack=others + (lacking if is_sam else ()))


def take_language(network: BiasCareVL, folder: Path) -> None:
    """A Qwen2.5-VL folder through transformers. Raises: BadInput for one it cannot read."""
    attention = network.language_model.config._attn_implementation
    load: Any = Qwen2_5_VLForConditionalGeneration.from_pretrained
    try:
        model = load(folder, local_files_only=True, attn_implementation=attention, dtype="auto")
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{folder}: expected a Qwen2.5-VL folder, got one transformers cannot read: {reason}") from error
    model.resize_token_embeddings(network.config.language["text_config"]["vocab_size"], mean_resizing=False)
    network.language_model = model
