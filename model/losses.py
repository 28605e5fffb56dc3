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


def answer_loss(logits_Nv: Tensor, truth_N: Tensor) -> Tensor:
    """Cross entropy over the N answer tokens of a batch, in nats per token."""
    return F.cross_entropy(logits_Nv.float(), truth_N)


def class_loss(logits_BC: Tensor, truth_B: Tensor, *, competes_BC: Tensor, class_weights_C: Tensor) -> Tensor:
    """Weighted cross entropy among the classes of each sample's own label space, in nats.

    A sample counts as much as its class weighs; the mean is over samples, so that one frequent-class sample in
    a batch does not count like a rare one.
    """
    logits_BC = logits_BC.float().masked_fill(~competes_BC, torch.finfo(torch.float32).min)
    loss_B = F.cross_entropy(logits_BC, truth_B, reduction="none")
    return (loss_B * class_weights_C[truth_B]).mean()
