"""How much each training sample counts: adaptive uncertainty, as published and corrected (METHODS section 3).

u is a sample's own difficulty: its loss plus how badly picture and text agree. Nothing here needs a network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.ranks import largest, summed
from model.running_quantile import RunningQuantile

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


@dataclass(frozen=True)
class Weighed:
    """weights_B: what each sample counts, no gradient. is_suspicious_B: rows for a person to look at."""

    weights_B: Tensor
    is_suspicious_B: Tensor


NOISE_QUANTILE = 0.995
LEAST_ROWS = 200
"""Rows of a task before its quantile is trusted."""
LIGHTEST, HEAVIEST = 0.25, 4.0


class AdaptiveWeights(nn.Module):
    """Corrected weights: detached, mean one per task over the global batch, clipped, noisy rows set aside.

    With u equal to the loss and nothing clipped, the gradient is that of tilted risk,
    ``1 / strength * log mean exp(strength * loss)`` (Li et al. 2021). A row above the 99.5 % running quantile of its
    task is more likely mislabelled than hard: it counts 1 and goes to the review list.
    """

    def __init__(self, tasks: Sequence[str], *, strength: float) -> None:
        super().__init__()
        self.strength = strength
        self.guards = nn.ModuleDict({task: RunningQuantile(NOISE_QUANTILE) for task in tasks})

    @torch.no_grad()
    def forward(self, difficulty: Mapping[str, Tensor]) -> dict[str, Weighed]:
        """Weights by task from u_B by task; every task on every rank, empty where it has no rows."""
        tasks = list(difficulty)
        u = {task: difficulty[task].detach().double() for task in tasks}
        top = largest(
            torch.stack([u[task].max() if len(u[task]) else u[task].new_tensor(-torch.inf) for task in tasks])
        )
        raw = {task: torch.exp(self.strength * (u[task] - top[number])) for number, task in enumerate(tasks)}
        clipped = {task: weights.clamp(LIGHTEST, HEAVIEST) for task, weights in mean_one(raw).items()}
        suspicious = {task: self._suspicious(task, u[task]) for task in tasks}
        trusted = mean_one({task: clipped[task].masked_fill(suspicious[task], 1.0) for task in tasks})
        return {
            task: Weighed(trusted[task].masked_fill(suspicious[task], 1.0).float(), suspicious[task]) for task in tasks
        }

    def _suspicious(self, task: str, u_B: Tensor) -> Tensor:
        guard = self.guards[task]
        assert isinstance(guard, RunningQuantile)
        known = guard.num_seen >= LEAST_ROWS
        is_suspicious_B = (u_B > guard.value) & known
        guard.update(u_B)
        return is_suspicious_B


def mean_one(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of every task over their mean on all ranks."""
    sums = summed(torch.stack([torch.stack([w.sum(), w.new_tensor(len(w))]) for w in weights.values()]))
    return {
        task: w * (count / total.clamp(min=EPSILON))
        for (task, w), (total, count) in zip(weights.items(), sums, strict=True)
    }
