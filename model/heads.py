"""The classification head: text reads the language branch's picture, then meets the segmentation branch's.

This is the reference's ``vlmcrossdualcross`` with padding left out of every mean and every attention.
"""

from typing import cast

import torch
from torch import Tensor, nn


class ClassificationHead(nn.Module):
    """With T, V the hidden states at text and image tokens and M the image embeddings:
    f = project(LN(X(T, V))); logits = final([mean LN(X(M, f) + M), mean LN(X(f, M) + f)])."""

    def __init__(self, hidden_size: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.cross_attn1 = nn.MultiheadAttention(hidden_size, num_heads=8, batch_first=True)
        self.cross_attn2 = nn.MultiheadAttention(width, num_heads=8, batch_first=True)
        self.cross_attn3 = nn.MultiheadAttention(width, num_heads=8, batch_first=True)
        self.ln1, self.ln2, self.ln3 = nn.LayerNorm(hidden_size), nn.LayerNorm(width), nn.LayerNorm(width)
        self.pro = nn.Linear(hidden_size, width)
        self.final = nn.Linear(2 * width, num_classes)

    def forward(
        self, hidden_BLD: Tensor, *, is_text_BL: Tensor, is_image_BL: Tensor, embeddings_BEGG: Tensor
    ) -> Tensor:
        """Class logits [B, C]. ``is_text_BL``, ``is_image_BL``: True where T and V are; padding is in neither."""
        image = embeddings_BEGG.flatten(2).transpose(1, 2)
        # Queries at image and padding positions are computed too, but nothing reads them.
        text = self.pro(self.ln1(self._attend(self.cross_attn1, hidden_BLD, hidden_BLD, is_image_BL)))
        image_with_text = self.ln2(self._attend(self.cross_attn2, image, text, is_text_BL) + image)
        text_with_image = self.ln3(self._attend(self.cross_attn3, text, image, None) + text)
        share_BL1 = (is_text_BL / is_text_BL.sum(1, keepdim=True).clamp(min=1))[..., None]
        pooled = torch.cat([image_with_text.mean(1), (text_with_image * share_BL1.to(text.dtype)).sum(1)], dim=1)
        return cast(Tensor, self.final(pooled))

    @staticmethod
    def _attend(attention: nn.Module, query: Tensor, source: Tensor, is_read: Tensor | None) -> Tensor:
        ignored = None if is_read is None else ~is_read
        return cast(Tensor, attention(query, source, source, key_padding_mask=ignored, need_weights=False)[0])
