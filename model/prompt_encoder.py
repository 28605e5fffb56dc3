"""SAM's prompt encoder (Kirillov et al. 2023): clicks, boxes and rough masks as tokens of width E.

A text prompt is one more sparse token, given by ``model.text_prompt``.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn

from model.prompts import BACKGROUND, BOX_START, MaskPrompts
from model.sizes import SegmentationSizes
from model.vision_encoder import LayerNorm2d


class FourierPositions(nn.Module):
    """Random Fourier features of positions in [0, 1] (Tancik et al. 2020); the matrix is fixed, not learned."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, width // 2))

    def forward(self, positions_xy: Tensor) -> Tensor:
        """[..., 2] as (x, y) in [0, 1] to [..., E], computed in float32: bfloat16 cannot tell pixels apart."""
        matrix = self.positional_encoding_gaussian_matrix.float()
        angles = (2 * positions_xy.float() - 1) @ matrix * (2 * math.pi)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class PromptEncoder(nn.Module):
    def __init__(self, sizes: SegmentationSizes) -> None:
        super().__init__()
        width, channels = sizes.width, sizes.mask_channels
        self.side_px, self.grid_side = sizes.image_side_px, sizes.grid_side
        self.pe_layer = FourierPositions(width)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, width)
        self.no_mask_embed = nn.Embedding(1, width)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, channels // 4, 2, stride=2),
            LayerNorm2d(channels // 4),
            nn.GELU(),
            nn.Conv2d(channels // 4, channels, 2, stride=2),
            LayerNorm2d(channels),
            nn.GELU(),
            nn.Conv2d(channels, width, 1),
        )

    def sparse_tokens(self, prompts: MaskPrompts, text_BE: Tensor) -> Tensor:
        """Tokens in the order clicks, box, text: [B, P, E]; P may be 0."""
        tokens: list[Tensor] = [text_BE.new_zeros(len(text_BE), 0, text_BE.shape[1])]
        if prompts.points_BP2 is not None and prompts.labels_BP is not None:
            tokens.append(self.embed_points(prompts.points_BP2, prompts.labels_BP))
        if prompts.boxes_B4 is not None:
            tokens.append(self.embed_boxes(prompts.boxes_B4))
        if prompts.with_text:
            tokens.append(text_BE[:, None])
        return torch.cat([token.to(text_BE.dtype) for token in tokens], dim=1)

    def embed_points(self, points_BP2: Tensor, labels_BP: Tensor) -> Tensor:
        """Clicks (x, y) in px with labels 1 foreground, 0 background, -1 padding: [B, P, E]."""
        tokens = self.pe_layer((points_BP2 + 0.5) / self.side_px)
        tokens = tokens + self._kinds()[labels_BP.clamp(min=BACKGROUND)]
        return torch.where((labels_BP == -1)[..., None], self.not_a_point_embed.weight, tokens)

    def embed_boxes(self, boxes_B4: Tensor) -> Tensor:
        """Boxes (x0, y0, x1, y1) in px as two corner tokens: [B, 2, E]."""
        corners = self.pe_layer((boxes_B4.reshape(-1, 2, 2) + 0.5) / self.side_px)
        return cast(Tensor, corners + self._kinds()[BOX_START:])

    def _kinds(self) -> Tensor:
        """Embeddings of background, foreground and the two box corners: [4, E]."""
        return torch.cat([cast(nn.Embedding, kind).weight for kind in self.point_embeddings])

    def embed_masks(self, masks_B1hw: Tensor | None, num_samples: int) -> Tensor:
        """Mask logits [B, 1, 4G, 4G], or None for no mask: dense embeddings [B, E, G, G]."""
        if masks_B1hw is not None:
            weight = cast(nn.Conv2d, self.mask_downscaling[0]).weight
            dense: Tensor = self.mask_downscaling(masks_B1hw.to(weight.dtype))
            return dense
        return self.no_mask_embed.weight[..., None, None].expand(num_samples, -1, self.grid_side, self.grid_side)

    def grid_positions(self) -> Tensor:
        """Positions of the image embeddings: [1, E, G, G]."""
        device = self.no_mask_embed.weight.device
        centres = (torch.arange(self.grid_side, device=device) + 0.5) / self.grid_side
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        encoded: Tensor = self.pe_layer(torch.stack([x, y], dim=-1))
        return encoded.permute(2, 0, 1)[None].to(self.no_mask_embed.weight.dtype)
