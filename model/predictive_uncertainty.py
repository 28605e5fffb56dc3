"""How unsure a segmentation is, from the prediction alone: raw signs in [0, 1], no truth is read."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from model.losses import enlarge
from model.tail_loop import Look
from model.uncertainty import image_text_distance


def mask_uncertainty(look: Look, *, side_px: int) -> Tensor:
    """Mean of three signs, [B]: how undecided the mask's pixels are, how far the predicted Dice is from the one the
    mask expects of itself, and how badly the region and the text agree."""
    logits_BSS = enlarge(look.masks.logits_Bhw, side_px)
    chances_BSS = logits_BSS.sigmoid()
    disagreement_B = (look.masks.quality_B.float().clamp(0, 1) - expected_dice(chances_BSS)).abs()
    distance_B = image_text_distance(look.embeddings_BEGG, chances_BSS, look.text_BE) / 2
    return torch.stack([undecided_share(logits_BSS), disagreement_B, distance_B]).mean(0).clamp(0, 1)


def undecided_share(logits_BSS: Tensor) -> Tensor:
    """Entropy of the pixels over the area that is, or may be, the structure: [B] in [0, 1].

    Over the whole picture the entropy of a small lesion would drown in a background that is certain.
    """
    chances_BSS = logits_BSS.sigmoid()
    entropy_BSS = F.binary_cross_entropy_with_logits(logits_BSS, chances_BSS, reduction="none") / math.log(2)
    area_BSS = torch.maximum(chances_BSS, entropy_BSS)
    return (entropy_BSS * area_BSS).sum((1, 2)) / area_BSS.sum((1, 2)).clamp(min=1e-6)


def expected_dice(chances_BSS: Tensor) -> Tensor:
    """Dice the thresholded mask expects if its own pixel chances are right: [B] in [0, 1]."""
    mask_BSS = (chances_BSS > 0.5).float()
    sizes_B = chances_BSS.sum((1, 2)) + mask_BSS.sum((1, 2))
    return 2 * (chances_BSS * mask_BSS).sum((1, 2)) / sizes_B.clamp(min=1e-6)
