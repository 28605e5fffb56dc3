"""A second look at hard segmentations: decoded again with a corrective click, as published and corrected.

The same second pass serves a click of a person (``model.assistant``).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.batch import Batch
from model.clicks import ReaderNoise, corrective_click
from model.losses import dice_loss, enlarge
from model.mask_decoder import DecodedMasks
from model.network import BiasCareVL
from model.prompts import BACKGROUND, FOREGROUND, PADDING_POINT, MaskPrompts

SHARE = 0.3
"""Of the samples that get a second look."""
READER = ReaderNoise()


@dataclass(frozen=True)
class Look:
    """What one look at B pictures gave, and all a second look needs: the image is not encoded again."""

    embeddings_BEGG: Tensor
    text_BE: Tensor
    prompts: MaskPrompts
    masks: DecodedMasks

    def rows(self, chosen: Tensor) -> "Look":
        """The looks at some of the pictures (a mask or indices)."""
        return Look(
            self.embeddings_BEGG[chosen], self.text_BE[chosen], self.prompts.rows(chosen), self.masks.rows(chosen)
        )


@torch.no_grad()
def first_look(network: BiasCareVL, batch: Batch, prompts: MaskPrompts) -> Look:
    """Masks of a batch by ``prompts``, with all a second look or a measure of doubt needs."""
    text_BE = network.text_prompt(network.read(batch), batch.attention_mask_BL)
    embeddings_BEGG = network.embed_images(batch.images_B3SS)
    return Look(embeddings_BEGG, text_BE, prompts, network.decode(embeddings_BEGG, text_BE, prompts))


def second_look(network: BiasCareVL, look: Look, points_B12: Tensor, labels_B1: Tensor) -> Look:
    """Decode again with one click more and the earlier answer as mask prompt."""
    prompts = look.prompts.with_click(points_B12, labels_B1, logits_Bhw=look.masks.logits_Bhw)
    masks = network.decode(look.embeddings_BEGG, look.text_BE, prompts)
    return Look(look.embeddings_BEGG, look.text_BE, prompts, masks)


def reference_hard(score_B: Tensor, counts_B: Tensor, *, share: float = SHARE) -> Tensor:
    """[B] bool: the published choice, the max(1, floor(share * counted)) highest scores of the whole batch.

    Samples that do not count can be chosen where their score is high (REFERENCE section 2).
    """
    number = max(1, math.floor(share * int(counts_B.sum())))
    hard_B = torch.zeros_like(score_B, dtype=torch.bool)
    hard_B[score_B.topk(min(number, len(score_B))).indices] = True
    return hard_B


def reference_clicks(truth_BSS: Tensor, logits_Bhw: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The published clicks [B, 1, 2] and labels [B, 1]: any pixel of the error, else of the structure, else any."""
    predicted_BSS = enlarge(logits_Bhw, truth_BSS.shape[-1]) > 0
    points, labels = [], []
    for truth_SS, predicted_SS in zip(truth_BSS.bool(), predicted_BSS, strict=True):
        pixels = click_region(truth_SS, predicted_SS).nonzero()
        y, x = pixels[int(generator.integers(len(pixels)))].tolist()
        points.append([[float(x), float(y)]])
        labels.append([FOREGROUND if truth_SS[y, x] else BACKGROUND])
    return torch.tensor(points, device=logits_Bhw.device), torch.tensor(labels, device=logits_Bhw.device)


def click_region(truth_SS: Tensor, predicted_SS: Tensor) -> Tensor:
    """Where the published rule draws its click from."""
    regions = (truth_SS ^ predicted_SS, truth_SS, torch.ones_like(truth_SS))
    return next(region for region in regions if region.any())


def reader_clicks(truth_BSS: Tensor, logits_Bhw: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Clicks [B, 1, 2] and labels [B, 1] of a noisy reader; padding where nothing is left to correct."""
    predicted_BSS = (enlarge(logits_Bhw.detach(), truth_BSS.shape[-1]) > 0).cpu().numpy()
    points, labels = [], []
    for truth_SS, predicted_SS in zip(truth_BSS.bool().cpu().numpy(), predicted_BSS, strict=True):
        click = corrective_click(truth_SS, predicted_SS, generator, READER)
        points.append([[float(click.x), float(click.y)]] if click else [[0.0, 0.0]])
        labels.append([(FOREGROUND if click.is_foreground else BACKGROUND) if click else PADDING_POINT])
    return torch.tensor(points, device=logits_Bhw.device), torch.tensor(labels, device=logits_Bhw.device)


def reader_rounds(
    network: BiasCareVL, look: Look, truth_BSS: Tensor, *, rounds: int, generator: np.random.Generator
) -> Iterator[Tensor]:
    """Dice loss [B] after each round of one click more; earlier answers are prompts without a gradient."""
    for _ in range(rounds):
        earlier = look.masks.logits_Bhw.detach()
        points, labels = reader_clicks(truth_BSS, earlier, generator)
        masks = DecodedMasks(earlier, look.masks.quality_B, look.masks.semantics_Bc)
        look = second_look(network, Look(look.embeddings_BEGG, look.text_BE, look.prompts, masks), points, labels)
        yield dice_loss(look.masks.logits_Bhw, truth_BSS)
