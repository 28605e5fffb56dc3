"""What training minimises on a batch: the losses of the tasks in it, weighed as the settings say.

Kept apart from the network, which is what is saved: the objective holds what only training needs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.batch import Batch
from model.class_losses import MULTI_LABEL_LOSSES, one_of_many
from model.config import TrainingConfig
from model.losses import IGNORED
from model.mask_objective import Looked, MaskObjective
from model.network import BiasCareVL
from model.uncertainty import AdaptiveWeights, Weighed, image_text_distance

WEIGHED_TASKS = ("segmentation", "text")


@dataclass(frozen=True)
class Influence:
    """How much one drawn sample counted in its task's loss; suspicious ones are for a person to look at."""

    sample_id: str
    task: str
    weight: float
    difficulty: float
    is_suspicious: bool


class Objective(nn.Module):
    """Called on a batch it gives losses by name: ``total`` to minimise, and of the tasks present ``text``,
    ``classification``, ``segmentation``, ``quality`` (of the predicted Dice).

    ``influences`` holds what adaptive uncertainty made of the last batch's samples. Chance (clicks) depends on the
    seed, the rank and how many batches came before, so that a resumed run draws the same.
    """

    def __init__(self, network: BiasCareVL, training: TrainingConfig, *, seed: int = 0, rank: int = 0) -> None:
        super().__init__()
        self.network, self.training_config = network, training
        self.seed, self.rank, self.num_batches = seed, rank, 0
        self.masks = MaskObjective(training)
        self.weights = AdaptiveWeights(WEIGHED_TASKS, strength=training.uncertainty_strength)
        self.influences: list[Influence] = []

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        hidden_BLD = self.network.read(batch)
        generator = np.random.default_rng([self.seed, self.rank, self.num_batches])
        self.num_batches += 1
        losses: dict[str, Tensor] = {}
        looked = self.masks.look_at(self.network, hidden_BLD, batch) if batch.is_mask_B.any() else None
        answered = (batch.labels_BL != IGNORED).any(1).nonzero()[:, 0]
        per_token = token_losses(self.network, hidden_BLD[answered], batch.labels_BL[answered])
        weighed = self._weigh(batch, hidden_BLD, looked, answered, per_token)
        if len(answered):
            num_tokens = (batch.labels_BL[:, 1:] != IGNORED).sum()
            losses["text"] = mean_token_loss(per_token, num_tokens, weighed.get("text"))
        if batch.is_class_B.any():
            losses["classification"] = self._class_loss(hidden_BLD, batch)
        if looked is not None:
            weights = weighed["segmentation"].weights_B if "segmentation" in weighed else None
            losses |= self.masks.loss(self.network, looked, weights_B=weights, generator=generator)
        self.masks.follow(looked, self.network.device)
        losses["total"] = sum(losses.values(), start=hidden_BLD.new_zeros((), dtype=torch.float32)) + self._nothing()
        return losses

    def _weigh(
        self, batch: Batch, hidden_BLD: Tensor, looked: Looked | None, answered: Tensor, per_token: Tensor
    ) -> dict[str, Weighed]:
        """Corrected weights by task (METHODS section 3), none unless they are asked for. A collective over ranks."""
        self.influences = []
        if self.training_config.uncertainty != "corrected":
            return {}
        beta = self.training_config.uncertainty_beta
        nothing = hidden_BLD.new_zeros(0, dtype=torch.float32)
        difficulty = {"segmentation": nothing, "text": nothing}
        if looked is not None:
            assert looked.distance_B is not None, "asked for with corrected uncertainty"
            difficulty["segmentation"] = looked.loss_B.detach() + beta * looked.distance_B
        if len(answered):
            num_tokens_B = (batch.labels_BL[answered] != IGNORED).sum(1)
            distance_B = self._text_distance(batch.rows(answered), hidden_BLD[answered])
            difficulty["text"] = per_token.detach().sum(1) / num_tokens_B + beta * distance_B
        weighed: dict[str, Weighed] = self.weights(difficulty)
        if batch.samples:
            rows = {"segmentation": batch.is_mask_B.nonzero()[:, 0], "text": answered}
            for task in WEIGHED_TASKS:
                self._note(batch, task, rows[task], difficulty[task], weighed[task])
        return weighed

    @torch.no_grad()
    def _text_distance(self, rows: Batch, hidden_BLD: Tensor) -> Tensor:
        """Between a text's prompt and its picture as a whole: text samples have no mask to weigh it by."""
        text_BE = self.network.text_prompt(hidden_BLD, rows.attention_mask_BL)
        return image_text_distance(self.network.embed_images(rows.images_B3SS), None, text_BE)

    def _note(self, batch: Batch, task: str, rows: Tensor, difficulty_B: Tensor, weighed: Weighed) -> None:
        columns = (rows, weighed.weights_B, difficulty_B, weighed.is_suspicious_B)
        for row, weight, difficulty, is_suspicious in zip(*(column.tolist() for column in columns), strict=True):
            sample_id = batch.samples[row].sample_id
            self.influences.append(Influence(sample_id, task, weight, difficulty, is_suspicious))

    def _class_loss(self, hidden_BLD: Tensor, batch: Batch) -> Tensor:
        """Mean over the classification samples, each by the loss of its own kind of label space."""
        chosen = batch.is_class_B.nonzero()[:, 0]
        rows = batch.rows(chosen)
        logits_BC = self.network.class_logits(hidden_BLD[chosen], rows, self.network.embed_images(rows.images_B3SS))
        class_weights_C = logits_BC.new_tensor(self.network.config.class_weights, dtype=torch.float32)
        single_B = one_of_many(
            logits_BC, rows.class_truth_BC, competes_BC=rows.competes_BC, class_weights_C=class_weights_C
        )
        loss = single_B.masked_fill(rows.is_multi_label_B, 0.0).mean()
        if rows.is_multi_label_B.any():
            counts_BC = rows.competes_BC & rows.is_multi_label_B[:, None]
            prevalence_C = logits_BC.new_tensor(self.network.config.prevalence, dtype=torch.float32)
            multi_label_loss = MULTI_LABEL_LOSSES[self.training_config.multi_label_loss]
            multi = multi_label_loss(logits_BC, rows.class_truth_BC, prevalence_C, counts_BC)
            loss = loss + rows.is_multi_label_B.float().mean() * multi
        return loss

    def _nothing(self) -> Tensor:
        """0, with a gradient of 0 for every parameter: ranks whose batches hold different tasks still reduce alike."""
        return sum(
            (0 * p.flatten()[0].float() for p in self.parameters() if p.requires_grad),
            start=torch.zeros((), device=self.network.device),
        )

    def get_extra_state(self) -> dict[str, Any]:
        return {"num_batches": self.num_batches}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.num_batches = state["num_batches"]


def token_losses(network: BiasCareVL, hidden_BLD: Tensor, labels_BL: Tensor) -> Tensor:
    """Cross entropy in nats [B, L - 1], 0 outside the answers. Position t predicts token t + 1; the vocabulary is
    only computed where an answer token follows."""
    follows = labels_BL[:, 1:] != IGNORED
    logits_Nv = network.language_model.lm_head(hidden_BLD[:, :-1][follows])
    losses = torch.zeros(follows.shape, device=hidden_BLD.device)
    losses[follows] = F.cross_entropy(logits_Nv.float(), labels_BL[:, 1:][follows], reduction="none")
    return losses


def mean_token_loss(per_token_BL: Tensor, num_tokens: Tensor, weighed: Weighed | None = None) -> Tensor:
    """Mean over the answer tokens of a batch, in nats per token; a sample's tokens count by its weight."""
    if weighed is not None:
        per_token_BL = per_token_BL * weighed.weights_B[:, None]
    return per_token_BL.sum() / num_tokens
