"""The language branch: Qwen2.5-VL from a configuration, its hidden states and its greedy answers."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from model.sizes import Preset
from model.tokenizer import IMAGE_PAD, VIDEO_PAD, VISION_END, VISION_START


def language_config(preset: Preset, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Qwen2.5-VL's configuration for ``tokenizer`` at the preset's sizes, as a plain mapping."""
    token_number = {token: int(tokenizer.vocab[token]) for token in (IMAGE_PAD, VIDEO_PAD, VISION_START, VISION_END)}
    config = Qwen2_5_VLConfig(
        text_config={
            **preset.text,
            "vocab_size": max(len(tokenizer), preset.text.get("vocab_size", 0)),
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config=dict(preset.vision),
        image_token_id=token_number[IMAGE_PAD],
        video_token_id=token_number[VIDEO_PAD],
        vision_start_token_id=token_number[VISION_START],
        vision_end_token_id=token_number[VISION_END],
    )
    plain: dict[str, Any] = json.loads(json.dumps(config.to_dict()))  # as it will be read back
    return plain


def build_language_model(config: Mapping[str, Any], *, attention: str = "sdpa") -> Qwen2_5_VLForConditionalGeneration:
    """Qwen2.5-VL with fresh weights from torch's current generator. attention: "sdpa" or "eager"."""
    settings: Any = Qwen2_5_VLConfig.from_dict(dict(config), attn_implementation=attention)
    return Qwen2_5_VLForConditionalGeneration(settings)


def restore_constants(model: Any) -> None:
    """Compute what a network built on the meta device lacks and no checkpoint stores: rotary frequencies."""
    for module in model.modules():
        lost = [name for name, buffer in module.named_buffers(recurse=False) if buffer.is_meta]
        for name in lost:
            blank = torch.empty_like(module.get_buffer(name), device="cpu")
            setattr(module, name, torch.nn.Buffer(blank, persistent=False))
        if lost:
            model._init_weights(module)


@dataclass(frozen=True)
class Answers:
    """Greedy answers: token ids [B, n] (padding after the end), and per sample the mean token probability and
    the mean token entropy as a share of its maximum, both over the tokens up to the end."""

    token_ids: Tensor
    probability_B: Tensor
    entropy_B: Tensor


@torch.no_grad()
def generate_answers(
    model: Qwen2_5_VLForConditionalGeneration, inputs: Mapping[str, Tensor], *, max_new_tokens: int
) -> Answers:
    """Continue left-padded prompts greedily until the end of the turn or ``max_new_tokens``."""
    text: Any = model.config.text_config
    generator: Any = model  # its annotations do not know its own subclasses
    output = generator.generate(
        **inputs,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
        eos_token_id=text.eos_token_id,
        pad_token_id=text.pad_token_id,
    )
    token_ids = output.sequences[:, inputs["input_ids"].shape[1] :]
    log_p = torch.stack(output.logits, dim=1).float().log_softmax(-1)
    chosen = log_p.gather(2, token_ids[..., None])[..., 0].exp()
    entropy = -(log_p.exp() * log_p).sum(-1) / math.log(log_p.shape[-1])
    ended = (token_ids == text.eos_token_id).cumsum(1)
    counts = (ended == 0) | ((ended == 1) & (token_ids == text.eos_token_id))
    num_tokens = counts.sum(1).clamp(min=1)
    return Answers(token_ids, (chosen * counts).sum(1) / num_tokens, (entropy * counts).sum(1) / num_tokens)
