"""One learned query reads a text's hidden states into one prompt token of the segmentation branch."""

from typing import cast

import torch
from torch import Tensor, nn


class TextPrompt(nn.Module):
    """Hidden states [B, L, D] to text prompts [B, E]; padding is not read."""

    def __init__(self, hidden_size: int, width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, hidden_size) * 0.02)
        self.attention = nn.MultiheadAttention(hidden_size, num_heads=8, batch_first=True)
        self.projection = nn.Linear(hidden_size, width)

    def forward(self, hidden_BLD: Tensor, attention_mask_BL: Tensor) -> Tensor:
        query = self.query.expand(len(hidden_BLD), -1, -1)
        pooled, _ = self.attention(
            query, hidden_BLD, hidden_BLD, key_padding_mask=attention_mask_BL == 0, need_weights=False
        )
        return cast(Tensor, self.projection(pooled[:, 0]))
