"""What training minimises on a batch: the losses of the tasks in it, weighed as the settings say.

Kept apart from the network, which is what is saved: the objective holds what only training needs.
"""

import torch
from torch import Tensor, nn

from model.batch import Batch
from model.class_losses import one_of_many
from model.config import TrainingConfig
from model.losses import IGNORED, answer_loss, dice_loss, enlarge, quality_loss
from model.network import BiasCareVL
from model.uncertainty import image_text_distance, reference_loss, reference_weights


class Objective(nn.Module):
    """Called on a batch it gives losses by name: ``total`` to minimise, and of the tasks present ``text``,
    ``classification``, ``segmentation``, ``quality`` (of the predicted Dice)."""

    def __init__(self, network: BiasCareVL, training: TrainingConfig) -> None:
        super().__init__()
        self.network, self.training_config = network, training

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        hidden_BLD = self.network.read(batch)
        losses: dict[str, Tensor] = {}
        if (batch.labels_BL != IGNORED).any():
            losses["text"] = self._answer_loss(hidden_BLD, batch.labels_BL)
        if batch.is_class_B.any():
            losses["classification"] = self._class_loss(hidden_BLD, batch)
        if batch.is_mask_B.any():
            losses |= self._mask_losses(hidden_BLD, batch)
        losses["total"] = sum(losses.values(), start=hidden_BLD.new_zeros((), dtype=torch.float32)) + self._nothing()
        return losses

    def _answer_loss(self, hidden_BLD: Tensor, labels_BL: Tensor) -> Tensor:
        """Position t predicts token t + 1; the vocabulary is only computed where an answer token follows."""
        follows = labels_BL[:, 1:] != IGNORED
        logits_Nv = self.network.language_model.lm_head(hidden_BLD[:, :-1][follows])
        return answer_loss(logits_Nv, labels_BL[:, 1:][follows])
