"""BiasCareVL: one network that answers, classifies and segments (REFERENCE section 1).

The language branch reads pictures and text; its hidden states become a text prompt for the segmentation branch
and, together with that branch's image embeddings, the input of the classification head.
"""

from typing import cast

import torch
from torch import Tensor, nn

from model.batch import Batch
from model.config import NetworkConfig
from model.heads import ClassificationHead
from model.language_model import Answers, build_language_model, generate_answers
from model.losses import IGNORED, answer_loss, class_loss, dice_loss, quality_loss
from model.mask_decoder import DecodedMasks, MaskDecoder
from model.prompt_encoder import FOREGROUND, Prompt, PromptEncoder
from model.text_prompt import TextPrompt
from model.vision_encoder import ImageEncoder


class BiasCareVL(nn.Module):
    """Calling it on a batch gives the losses of the tasks in it; ``answer``, ``classify``, ``segment`` predict."""

    class_weights_C: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        sizes, hidden_size = config.segmentation, config.language["text_config"]["hidden_size"]
        self.language_model = build_language_model(config.language)
        self.image_encoder = ImageEncoder(sizes)
        self.prompt_encoder = PromptEncoder(sizes)
        self.mask_decoder = MaskDecoder(sizes)
        self.text_prompt = TextPrompt(hidden_size, sizes.width)
        self.head = ClassificationHead(hidden_size, sizes.width, max(len(config.classes), 1))
        self.register_buffer("class_weights_C", torch.tensor(config.class_weights or (1.0,)))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name: ``total`` to minimise, and of the tasks present ``text``, ``classification``,
        ``segmentation``, ``quality`` (of the predicted Dice)."""
        hidden_BLD = self.read(batch)
        losses: dict[str, Tensor] = {}
        if (batch.labels_BL != IGNORED).any():
            losses["text"] = self._answer_loss(hidden_BLD, batch.labels_BL)
        if batch.is_class_B.any():
            losses["classification"] = self._class_loss(hidden_BLD, batch)
        if batch.is_mask_B.any():
            masks = self._decode(hidden_BLD, batch)
            truth_BSS = batch.masks_BSS[batch.is_mask_B].float()
            losses["segmentation"] = dice_loss(masks.logits_Bhw, truth_BSS).mean()
            losses["quality"] = quality_loss(masks.quality_B, masks.logits_Bhw, truth_BSS)
        losses["total"] = sum(losses.values(), start=torch.zeros((), device=hidden_BLD.device)) + self._nothing()
        return losses

    def read(self, batch: Batch) -> Tensor:
        """Last hidden states of the language model, [B, L, D]."""
        inputs = {**batch.language_inputs, "use_cache": False}
        return cast(Tensor, self.language_model.model(**inputs).last_hidden_state)

    @torch.no_grad()
    def answer(self, batch: Batch, *, max_new_tokens: int) -> Answers:
        """Greedy answers to the prompts of a batch without answers in it."""
        return generate_answers(self.language_model, batch.language_inputs, max_new_tokens=max_new_tokens)

    @torch.no_grad()
    def classify(self, batch: Batch) -> Tensor:
        """Probabilities [B, C] over the run's classes; 0 outside a sample's label space."""
        logits_BC = self._class_logits(self.read(batch), batch).float()
        return logits_BC.masked_fill(~batch.competes_BC, -torch.inf).softmax(-1)

    @torch.no_grad()
    def segment(self, batch: Batch) -> DecodedMasks:
        """Masks of the targets named in the texts, by the batch's prompt set."""
        return self._decode(self.read(batch), batch)

    def _answer_loss(self, hidden_BLD: Tensor, labels_BL: Tensor) -> Tensor:
        """Position t predicts token t + 1; the vocabulary is only computed where an answer token follows."""
        follows = labels_BL[:, 1:] != IGNORED
        logits_Nv = self.language_model.lm_head(hidden_BLD[:, :-1][follows])
        return answer_loss(logits_Nv, labels_BL[:, 1:][follows])

    def _class_loss(self, hidden_BLD: Tensor, batch: Batch) -> Tensor:
        chosen = batch.is_class_B
        return class_loss(
            self._class_logits(hidden_BLD, batch),
            batch.class_numbers_B[chosen],
            competes_BC=batch.competes_BC[chosen],
            class_weights_C=self.class_weights_C,
        )

    def _class_logits(self, hidden_BLD: Tensor, batch: Batch) -> Tensor:
        chosen = batch.is_class_B
        is_image_BL = batch.image_type_BL[chosen] == 1
        return cast(
            Tensor,
            self.head(
                hidden_BLD[chosen],
                is_text_BL=(batch.attention_mask_BL[chosen] == 1) & ~is_image_BL,
                is_image_BL=is_image_BL,
                embeddings_BEGG=self._embed(batch.images_B3SS[chosen]),
            ),
        )

    def _embed(self, images_B3SS: Tensor) -> Tensor:
        """Image embeddings [B, E, G, G]."""
        weight = self.image_encoder.sam_encoder.patch_embed.proj.weight
        return cast(Tensor, self.image_encoder(images_B3SS.to(weight.dtype)))

    def _decode(self, hidden_BLD: Tensor, batch: Batch) -> DecodedMasks:
        """Masks of the segmentation samples; sparse tokens in the order point, box, text."""
        chosen = batch.is_mask_B
        embeddings_BEGG = self._embed(batch.images_B3SS[chosen])
        text_BE = self.text_prompt(hidden_BLD[chosen], batch.attention_mask_BL[chosen])
        sparse: list[Tensor] = []
        if Prompt.POINT in batch.prompt:
            points_B12 = batch.points_B12[chosen]
            labels_B1 = torch.full(points_B12.shape[:2], FOREGROUND, device=points_B12.device)
            sparse.append(self.prompt_encoder.embed_points(points_B12, labels_B1))
        if Prompt.BOX in batch.prompt:
            sparse.append(self.prompt_encoder.embed_boxes(batch.boxes_B4[chosen]))
        if Prompt.TEXT in batch.prompt:
            sparse.append(text_BE[:, None])
        return cast(
            DecodedMasks,
            self.mask_decoder(
                embeddings_BEGG,
                positions_1EGG=self.prompt_encoder.grid_positions(),
                sparse_BPE=torch.cat(sparse, dim=1).to(embeddings_BEGG.dtype),
                dense_BEGG=self.prompt_encoder.embed_masks(None, len(embeddings_BEGG)),
                text_BE=text_BE,
            ),
        )

    def _nothing(self) -> Tensor:
        """0, with a gradient of 0 for every parameter: ranks whose batches hold different tasks still reduce alike."""
        return sum(
            (0 * p.flatten()[0].float() for p in self.parameters() if p.requires_grad),
            start=torch.zeros((), device=self.class_weights_C.device),
        )


def build_network(config: NetworkConfig, *, seed: int) -> BiasCareVL:
    """A network with fresh weights that depend on ``seed`` alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BiasCareVL(config)
