"""BiasCareVL: one network that answers, classifies and segments (REFERENCE section 1).

The language branch reads pictures and text; its hidden states become a text prompt for the segmentation branch
and, together with that branch's image embeddings, the input of the classification head. What is trained on them
stands in ``model.objective``.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from model.batch import Batch
from model.heads import ClassificationHead, Part, gathered_tokens, tokens_at
from model.language_model import Answers, build_language_model, generate_answers
from model.mask_decoder import DecodedMasks, MaskDecoder
from model.prompt_encoder import PromptEncoder
from model.prompts import MaskPrompts
from model.sizes import NetworkConfig
from model.text_prompt import TextPrompt
from model.vision_encoder import ImageEncoder


class BiasCareVL(nn.Module):
    """``answer``, ``classify`` and ``segment`` predict; the other methods are the steps they share with training."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        sizes, hidden_size = config.segmentation, config.language["text_config"]["hidden_size"]
        attention = "eager" if config.padding == "reference" else "sdpa"
        self.language_model = build_language_model(config.language, attention=attention)
        self.image_encoder = ImageEncoder(sizes)
        self.prompt_encoder = PromptEncoder(sizes)
        self.mask_decoder = MaskDecoder(sizes)
        self.text_prompt = TextPrompt(hidden_size, sizes.width)
        if config.head:
            num_classes = max(len(config.classes), 1)
            self.head = ClassificationHead(
                config.head, hidden_size=hidden_size, width=sizes.width, num_classes=num_classes
            )

    @property
    def device(self) -> torch.device:
        return cast(Tensor, self.text_prompt.query).device

    def checkpoint_activations(self) -> None:
        """Compute activations again in the backward pass instead of keeping them: less memory, a third more time."""
        language_model: Any = self.language_model
        language_model.gradient_checkpointing_enable({"use_reentrant": False})
        self.image_encoder.sam_encoder.checkpoints = True

    def read(self, batch: Batch) -> Tensor:
        """Last hidden states of the language model, [B, L, D]."""
        inputs = {**batch.language_inputs, "use_cache": False}
        return cast(Tensor, self.language_model.model(**inputs).last_hidden_state)

    def embed_images(self, images_B3SS: Tensor) -> Tensor:
        """Image embeddings [B, E, G, G]: what every prompt about a picture shares."""
        weight = self.image_encoder.sam_encoder.patch_embed.proj.weight
        return cast(Tensor, self.image_encoder(images_B3SS.to(weight.dtype)))

    def decode(self, embeddings_BEGG: Tensor, text_BE: Tensor, prompts: MaskPrompts) -> DecodedMasks:
        """Masks of one structure per picture. The text branch works with and without a text token."""
        return cast(
            DecodedMasks,
            self.mask_decoder(
                embeddings_BEGG,
                positions_1EGG=self.prompt_encoder.grid_positions(),
                sparse_BPE=self.prompt_encoder.sparse_tokens(prompts, text_BE).to(embeddings_BEGG.dtype),
                dense_BEGG=self.prompt_encoder.embed_masks(prompts.logits_B1hw, len(embeddings_BEGG)),
                text_BE=text_BE,
            ),
        )

    def class_logits(self, hidden_BLD: Tensor, batch: Batch, embeddings_BEGG: Tensor) -> Tensor:
        """Logits [B, C] over the run's classes, whatever the samples' label spaces."""
        assert self.config.head, "the network has a classification head"
        is_image_BL = batch.image_type_BL == 1
        is_class_token_BL = batch.input_ids_BL == self.config.class_token_id
        if self.config.padding == "reference":
            part, is_text_BL = gathered_tokens, ~is_image_BL
        else:
            part, is_text_BL = tokens_at, (batch.attention_mask_BL == 1) & ~is_image_BL
        parts = {
            Part.TEXT: part(hidden_BLD, is_text_BL),
            Part.IMAGE: part(hidden_BLD, is_image_BL),
            Part.CLASS_TOKEN: part(hidden_BLD, is_class_token_BL),
        }
        return cast(Tensor, self.head(parts, embeddings_BEGG))

    @torch.no_grad()
    def answer(self, batch: Batch, *, max_new_tokens: int) -> Answers:
        """Greedy answers to the prompts of a batch without answers in it."""
        return generate_answers(self.language_model, batch.language_inputs, max_new_tokens=max_new_tokens)

    @torch.no_grad()
    def classify(self, batch: Batch) -> Tensor:
        """Probabilities [B, C] over the run's classes, 0 outside a sample's label space.

        They sum to 1 where exactly one class holds, and are each its own where several may.
        """
        logits_BC = self.class_logits(self.read(batch), batch, self.embed_images(batch.images_B3SS)).float()
        one_of_many = logits_BC.masked_fill(~batch.competes_BC, -torch.inf).softmax(-1)
        several = logits_BC.sigmoid() * batch.competes_BC
        return torch.where(batch.is_multi_label_B[:, None], several, one_of_many)

    @torch.no_grad()
    def segment(self, batch: Batch) -> DecodedMasks:
        """Masks of the targets named in the texts, by the batch's prompt set."""
        text_BE = self.text_prompt(self.read(batch), batch.attention_mask_BL)
        return self.decode(self.embed_images(batch.images_B3SS), text_BE, batch.mask_prompts)


def build_network(config: NetworkConfig, *, seed: int) -> BiasCareVL:
    """A network with fresh weights that depend on ``seed`` alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BiasCareVL(config)
