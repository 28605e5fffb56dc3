"""A second look at hard segmentations: decoded again with a corrective click, as published and corrected.

The same second pass serves a click of a person (``model.assistant``).
"""

import math

import torch
from torch import Tensor

from model.mask_decoder import DecodedMasks
from model.network import BiasCareVL
from model.prompts import BACKGROUND, FOREGROUND, MaskPrompts

REFERENCE_SHARE = 0.3


def reference_hard(score_B: Tensor, counts_B: Tensor, *, share: float = REFERENCE_SHARE) -> Tensor:
    """[B] bool: the published choice, the max(1, floor(share * counted)) highest scores of the whole batch.

    Samples that do not count can be chosen where their score is high (REFERENCE section 2).
    """
    number = max(1, math.floor(share * int(counts_B.sum())))
    hard_B = torch.zeros_like(score_B, dtype=torch.bool)
    hard_B[score_B.topk(min(number, len(score_B))).indices] = True
    return hard_B


def reference_click(truth_SS: Tensor, predicted_SS: Tensor, generator: torch.Generator) -> tuple[Tensor, int]:
    """The published click (x, y) and label: any pixel of the error, else of the structure, else of the picture."""
    for region in (truth_SS ^ predicted_SS, truth_SS, torch.ones_like(truth_SS)):
        pixels = region.nonzero()
        if len(pixels):
            break
    y, x = pixels[int(torch.randint(len(pixels), (1,), generator=generator))].tolist()
    return torch.tensor([x, y], dtype=torch.float32), FOREGROUND if truth_SS[y, x] else BACKGROUND


def second_pass(
    network: BiasCareVL,
    embeddings_BEGG: Tensor,
    text_BE: Tensor,
    *,
    first: DecodedMasks,
    prompts: MaskPrompts,
    points_B12: Tensor,
    labels_B1: Tensor,
) -> DecodedMasks:
    """Decode again with one click more and the first answer as mask prompt; the image is not encoded again."""
    more = prompts.with_click(points_B12, labels_B1, logits_Bhw=first.logits_Bhw)
    return network.decode(embeddings_BEGG, text_BE, more)
