"""What training minimises on segmentation samples: Dice, weighed, with a second look at the hard ones."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from model.batch import Batch
from model.config import TrainingConfig
from model.losses import dice_loss, enlarge, presence_loss, quality_loss
from model.network import BiasCareVL
from model.prompts import MaskPrompts
from model.running_quantile import RunningQuantile
from model.tail_loop import (
    SHARE,
    Look,
    reader_rounds,
    reference_clicks,
    reference_hard,
    second_look,
)
from model.uncertainty import image_text_distance, reference_loss, reference_weights


@dataclass(frozen=True)
class Looked:
    """One look at the samples decoded, with their truth. counts_B: 1 for segmentation samples, else 0.

    loss_B: Dice loss. distance_B: between picture and text, None where it is not asked for.
    """

    look: Look
    truth_BSS: Tensor
    boxes_B4: Tensor
    counts_B: Tensor
    loss_B: Tensor
    distance_B: Tensor | None

    @property
    def is_clickable(self) -> Tensor:
        """Segmentation samples with something to find."""
        return self.counts_B.bool() & self.truth_BSS.flatten(1).any(1)


class MaskObjective(nn.Module):
    """Holds the running quantile above which a sample is hard."""

    def __init__(self, training: TrainingConfig) -> None:
        super().__init__()
        self.training_config = training
        self.hard_above = RunningQuantile(1 - SHARE)

    def look_at(self, network: BiasCareVL, hidden_BLD: Tensor, batch: Batch) -> Looked:
        """Decode the segmentation samples; with the published tail loop all samples, because its ranking takes
        them in (REFERENCE section 2)."""
        is_decoded = torch.ones_like(batch.is_mask_B) if self._is_published_tail else batch.is_mask_B
        chosen = is_decoded.nonzero()[:, 0]
        rows = batch.rows(chosen)
        embeddings_BEGG = network.embed_images(rows.images_B3SS)
        text_BE = network.text_prompt(hidden_BLD[chosen], rows.attention_mask_BL)
        masks = network.decode(embeddings_BEGG, text_BE, rows.mask_prompts)
        truth_BSS = rows.masks_BSS.float()
        loss_B, distance_B = dice_loss(masks.logits_Bhw, truth_BSS), None
        if self.training_config.uncertainty == "corrected":
            is_empty_B = ~rows.masks_BSS.flatten(1).any(1)
            loss_B = torch.where(is_empty_B, presence_loss(masks.logits_Bhw, truth_BSS), loss_B)
        if self.training_config.uncertainty != "off":
            chances_BSS = enlarge(masks.logits_Bhw, truth_BSS.shape[-1]).sigmoid()
            distance_B = image_text_distance(embeddings_BEGG, chances_BSS, text_BE)
        look = Look(embeddings_BEGG, text_BE, rows.mask_prompts, masks)
        return Looked(look, truth_BSS, rows.boxes_B4, rows.is_mask_B.float(), loss_B, distance_B)

    def loss(
        self, network: BiasCareVL, looked: Looked, *, weights_B: Tensor | None, generator: np.random.Generator
    ) -> dict[str, Tensor]:
        """``segmentation`` and ``quality``. weights_B: corrected weights, None for the published or none."""
        counts_B, loss_B = looked.counts_B, looked.loss_B
        weights_B = self._published_weights(looked) if weights_B is None else weights_B
        loss = reference_loss(loss_B, weights_B, counts_B)
        if self._is_published_tail:
            score_B = weights_B if self.training_config.uncertainty == "reference" else loss_B
            loss = loss + published_tail(network, looked, score_B.detach(), generator)
        elif self.training_config.tail_loop == "corrected":
            loss = loss + self._corrected_tail(network, looked, generator)
        real = counts_B.bool()
        masks, truth_BSS = looked.look.masks.rows(real), looked.truth_BSS[real]
        return {"segmentation": loss, "quality": quality_loss(masks.quality_B, masks.logits_Bhw, truth_BSS)}

    @property
    def _is_published_tail(self) -> bool:
        return self.training_config.tail_loop == "reference"

    def _published_weights(self, looked: Looked) -> Tensor:
        if self.training_config.uncertainty != "reference":
            return looked.counts_B
        assert looked.distance_B is not None, "asked for with the published uncertainty"
        return reference_weights(
            looked.loss_B,
            looked.distance_B,
            looked.counts_B,
            strength=self.training_config.uncertainty_strength,
            beta=self.training_config.uncertainty_beta,
        )

    def follow(self, looked: Looked | None, device: torch.device) -> None:
        """Move the threshold above which a later batch's samples are hard. A collective: every rank calls it, also
        one without segmentation samples."""
        if self.training_config.tail_loop == "corrected":
            losses = torch.zeros(0, device=device) if looked is None else looked.loss_B[looked.is_clickable]
            self.hard_above.update(losses)

    def _corrected_tail(self, network: BiasCareVL, looked: Looked, generator: np.random.Generator) -> Tensor:
        """Dice loss after each click on samples above the running quantile, over all segmentation samples: a second
        look counts like a first one, however few of a batch are hard. An empty mask is never clicked."""
        hard = (looked.is_clickable & (looked.loss_B > self.hard_above.value)).nonzero()[:, 0]
        if self.hard_above.num_seen == 0 or not len(hard):
            return looked.loss_B.new_zeros(())
        rounds = reader_rounds(
            network,
            looked.look.rows(hard),
            looked.truth_BSS[hard],
            rounds=self.training_config.tail_rounds,
            generator=generator,
        )
        each = torch.stack(list(rounds)).mean(0)
        return each.sum() / looked.counts_B.sum().clamp(min=1)


def published_tail(network: BiasCareVL, looked: Looked, score_B: Tensor, generator: np.random.Generator) -> Tensor:
    """The published second pass: click + truth box + text + first answer, its gradient left in the prompt."""
    hard_B = reference_hard(score_B, looked.counts_B)
    look, truth_BSS, counts_B = looked.look.rows(hard_B), looked.truth_BSS[hard_B], looked.counts_B[hard_B]
    boxed = MaskPrompts(boxes_B4=looked.boxes_B4[hard_B])
    points, labels = reference_clicks(truth_BSS, look.masks.logits_Bhw, generator)
    second = second_look(network, Look(look.embeddings_BEGG, look.text_BE, boxed, look.masks), points, labels)
    return reference_loss(dice_loss(second.masks.logits_Bhw, truth_BSS), counts_B, counts_B)
