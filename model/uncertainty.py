"""How much each training sample counts: adaptive uncertainty, as published and corrected (METHODS section 3).

u is a sample's own difficulty: its loss plus how badly picture and text agree. Nothing here needs a network.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-6


@torch.no_grad()
def image_text_distance(embeddings_BEGG: Tensor, weights_Bhw: Tensor | None, text_BE: Tensor) -> Tensor:
    """1 - cosine of the text prompt and the mean image embedding, [B] in [0, 2]; no gradient.

    weights_Bhw: mask probabilities, resized to G x G (bilinear), that weigh the mean; None for an even mean.
    """
    B, _, G, _ = embeddings_BEGG.shape
    if weights_Bhw is None:
        weights_BGG = embeddings_BEGG.new_ones(B, G, G, dtype=torch.float32)
    else:
        size = (G, G)
        weights_BGG = F.interpolate(weights_Bhw[:, None].float(), size=size, mode="bilinear", align_corners=False)[:, 0]
    weighted_BE = (embeddings_BEGG.float() * weights_BGG[:, None]).sum((2, 3))
    mean_BE = weighted_BE / (weights_BGG.sum((1, 2))[:, None] + EPSILON)
    return 1 - F.cosine_similarity(mean_BE, text_BE.float(), dim=1)


def reference_weights(loss_B: Tensor, distance_B: Tensor, counts_B: Tensor, *, strength: float, beta: float) -> Tensor:
    """The published weights [B] in [0, 1] (REFERENCE section 2), their gradient left in.

    ``w = exp(strength * (loss + beta * distance)) * counts``, over the larger of the batch's maximum and 1.
    """
    weights_B = torch.exp(strength * (loss_B + beta * distance_B)) * counts_B
    return weights_B / (weights_B.max().clamp(min=1) + EPSILON)


def reference_loss(loss_B: Tensor, weights_B: Tensor, counts_B: Tensor) -> Tensor:
    """The published mean: over the samples that count, however the weights sum."""
    return (loss_B * weights_B).sum() / counts_B.sum().clamp(min=1)
