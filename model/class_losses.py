"""Losses of classification: one of many (softmax) and any number of many (sigmoid), plain, focal, weighted, asymmetric.

The formulas are the published system's (REFERENCE section 2). Multi-label losses take logits_BC and truth_BC in {0, 1}
and give the mean over all entries, or over those where ``counts_BC`` is True.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

FOCAL_ALPHA = 0.25
ASYMMETRIC_CLIP, GAMMA_NEGATIVE, GAMMA_POSITIVE = 0.05, 4.0, 1.0
PROBABILITY_FLOOR = 1e-8


def one_of_many(logits_BC: Tensor, truth_BC: Tensor, *, competes_BC: Tensor, class_weights_C: Tensor) -> Tensor:
    """Weighted cross entropy among the classes of each sample's own label space, [B] in nats.

    A sample counts as much as its class weighs. Where no class holds, the loss is 0.
    """
    logits_BC = logits_BC.float().masked_fill(~competes_BC, torch.finfo(torch.float32).min)
    weighted_BC = truth_BC.float() * class_weights_C
    return -(logits_BC.log_softmax(-1) * weighted_BC).sum(-1)


def mean_over(loss_BC: Tensor, counts_BC: Tensor | None) -> Tensor:
    """Mean over the entries that count; 0 where none does."""
    if counts_BC is None:
        return loss_BC.mean()
    return (loss_BC * counts_BC).sum() / counts_BC.sum().clamp(min=1)


def binary_loss(
    logits_BC: Tensor, truth_BC: Tensor, *, positive_weights_C: Tensor | None = None, counts_BC: Tensor | None = None
) -> Tensor:
    """Binary cross entropy; positives may weigh more, class by class."""
    loss_BC = F.binary_cross_entropy_with_logits(
        logits_BC.float(), truth_BC.float(), pos_weight=positive_weights_C, reduction="none"
    )
    return mean_over(loss_BC, counts_BC)


def focal_loss(logits_BC: Tensor, truth_BC: Tensor, *, gamma: float = 2.0, counts_BC: Tensor | None = None) -> Tensor:
    """``alpha_t (1 - p_t)^gamma`` times the binary cross entropy (Lin et al. 2017), alpha 0.25 for positives."""
    truth_BC = truth_BC.float()
    loss_BC = F.binary_cross_entropy_with_logits(logits_BC.float(), truth_BC, reduction="none")
    chance_BC = logits_BC.float().sigmoid()
    right_BC = chance_BC * truth_BC + (1 - chance_BC) * (1 - truth_BC)
    alpha_BC = FOCAL_ALPHA * truth_BC + (1 - FOCAL_ALPHA) * (1 - truth_BC)
    return mean_over(alpha_BC * (1 - right_BC) ** gamma * loss_BC, counts_BC)


def asymmetric_loss(
    logits_BC: Tensor, truth_BC: Tensor, prevalence_C: Tensor, *, counts_BC: Tensor | None = None
) -> Tensor:
    """Asymmetric loss (Ridnik et al. 2021) weighed by how rare a class is, mean over all entries.

    Negatives: probability shifted down by 0.05, focus 4, weight ``exp(prevalence)``; positives: focus 1, weight
    ``exp(1 - prevalence)``. prevalence_C: share of training samples that hold the class.
    """
    truth_BC, chance_BC = truth_BC.float(), logits_BC.float().sigmoid()
    absent_BC = (1 - chance_BC + ASYMMETRIC_CLIP).clamp(max=1)
    log_BC = truth_BC * chance_BC.clamp(min=PROBABILITY_FLOOR).log()
    log_BC = log_BC + (1 - truth_BC) * absent_BC.clamp(min=PROBABILITY_FLOOR).log()
    weight_BC = truth_BC * (1 - prevalence_C).exp() + (1 - truth_BC) * prevalence_C.exp()
    right_BC = chance_BC * truth_BC + absent_BC * (1 - truth_BC)
    gamma_BC = GAMMA_POSITIVE * truth_BC + GAMMA_NEGATIVE * (1 - truth_BC)
    return mean_over(-weight_BC * log_BC * (1 - right_BC) ** gamma_BC, counts_BC)


SMOOTHINGS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "log2": lambda ratio: (1 + ratio).log2(),
    "log1p": torch.log1p,
    "logmean": lambda ratio: torch.log1p(ratio) / torch.log1p(ratio).mean(),
    "sqrt": torch.sqrt,
    "clip": lambda ratio: ratio.clamp(max=10.0),
}


def positive_weights(prevalence_C: Tensor, smoothing: str) -> Tensor:
    """What a positive counts: negatives per positive, smoothed so that a rare class does not drown the rest."""
    floor_C = prevalence_C.clamp(min=1e-6)
    return SMOOTHINGS[smoothing]((1 - floor_C) / floor_C)


MultiLabelLoss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(logits_BC, truth_BC, prevalence_C, counts_BC) -> mean loss."""


def _smoothed(smoothing: str) -> MultiLabelLoss:
    def loss(logits_BC: Tensor, truth_BC: Tensor, prevalence_C: Tensor, counts_BC: Tensor) -> Tensor:
        weights_C = positive_weights(prevalence_C, smoothing)
        return binary_loss(logits_BC, truth_BC, positive_weights_C=weights_C, counts_BC=counts_BC)

    return loss


MULTI_LABEL_LOSSES: Mapping[str, MultiLabelLoss] = {
    "bce": lambda logits, truth, prevalence, counts: binary_loss(logits, truth, counts_BC=counts),
    "focal": lambda logits, truth, prevalence, counts: (
        binary_loss(logits, truth, counts_BC=counts) + focal_loss(logits, truth, counts_BC=counts)
    ),
    "focalonly": lambda logits, truth, prevalence, counts: focal_loss(logits, truth, counts_BC=counts),
    "focalonlygamma4": lambda logits, truth, prevalence, counts: focal_loss(logits, truth, gamma=4.0, counts_BC=counts),
    **{f"bce_{smoothing}": _smoothed(smoothing) for smoothing in SMOOTHINGS},
    "asl": lambda logits, truth, prevalence, counts: asymmetric_loss(logits, truth, prevalence, counts_BC=counts),
}
