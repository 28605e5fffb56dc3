"""What training minimises, one function per task. Shapes: legend in ``model.config``."""

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-6
IGNORED = -100


def dice_loss(logits_Bhw: Tensor, truth_BSS: Tensor) -> Tensor:
    """1 - soft Dice per sample, [B] in [0, 1] (REFERENCE section 2); logits are resized to the truth, bilinear."""
    probabilities_BSS = enlarge(logits_Bhw, truth_BSS.shape[-1]).sigmoid()
    truth_BSS = truth_BSS.to(probabilities_BSS.dtype)
    overlap_B = (probabilities_BSS * truth_BSS).sum((1, 2))
    sizes_B = probabilities_BSS.sum((1, 2)) + truth_BSS.sum((1, 2))
    return 1 - (2 * overlap_B + EPSILON) / (sizes_B + EPSILON)


def presence_loss(logits_Bhw: Tensor, truth_BSS: Tensor) -> Tensor:
    """Cross entropy of "something is there" per sample, [B] in nats: Dice says nothing about an empty mask.

    The chance that something is there is that of the likeliest pixel.
    """
    likeliest_B = logits_Bhw.flatten(1).float().amax(1)
    return F.binary_cross_entropy_with_logits(likeliest_B, truth_BSS.flatten(1).amax(1).float(), reduction="none")


def quality_loss(quality_B: Tensor, logits_Bhw: Tensor, truth_BSS: Tensor) -> Tensor:
    """Squared error of the predicted Dice against that of the thresholded mask, mean (SAM trains its IoU head so)."""
    with torch.no_grad():
        predicted_BSS = (enlarge(logits_Bhw, truth_BSS.shape[-1]) > 0).float()
        overlap_B = (predicted_BSS * truth_BSS).sum((1, 2))
        dice_B = 2 * overlap_B / (predicted_BSS.sum((1, 2)) + truth_BSS.sum((1, 2))).clamp(min=1)
    return F.mse_loss(quality_B.float(), dice_B)


def enlarge(logits_Bhw: Tensor, side_px: int) -> Tensor:
    """Mask logits at [B, side_px, side_px] in float32, bilinear."""
    size = (side_px, side_px)
    return F.interpolate(logits_Bhw[:, None].float(), size=size, mode="bilinear", align_corners=False)[:, 0]
