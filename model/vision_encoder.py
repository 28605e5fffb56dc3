"""SAM's image encoder (Kirillov et al. 2023): a vision transformer with windows and decomposed relative positions.

Parameter names follow timm's ``samvit`` below ``sam_encoder``; its own neck is dropped, ours widens to E.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from model.sizes import PATCH_PX, SegmentationSizes


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of [B, channels, h, w]."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, features_Bchw: Tensor) -> Tensor:
        return super().forward(features_Bchw.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ImageEncoder(nn.Module):
    """Images [B, 3, S, S], normalised, to image embeddings [B, E, G, G]."""

    def __init__(self, sizes: SegmentationSizes) -> None:
        super().__init__()
        self.sam_encoder = WindowedTransformer(sizes)
        self.neck = nn.Sequential(
            nn.Conv2d(sizes.encoder_width, sizes.width, 1, bias=False),
            LayerNorm2d(sizes.width),
            nn.Conv2d(sizes.width, sizes.width, 3, padding=1, bias=False),
            LayerNorm2d(sizes.width),
        )

    def forward(self, images_B3SS: Tensor) -> Tensor:
        return cast(Tensor, self.neck(self.sam_encoder(images_B3SS).permute(0, 3, 1, 2)))


class PatchEmbedding(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH_PX, stride=PATCH_PX)

    def forward(self, images_B3SS: Tensor) -> Tensor:
        return cast(Tensor, self.proj(images_B3SS)).permute(0, 2, 3, 1)


class WindowedTransformer(nn.Module):
    """Images [B, 3, S, S] to features [B, G, G, width]. checkpoints: compute activations twice in training."""

    checkpoints = False

    def __init__(self, sizes: SegmentationSizes) -> None:
        super().__init__()
        stored_side = sizes.pretrain_side_px // PATCH_PX
        self.patch_embed = PatchEmbedding(sizes.encoder_width)
        self.pos_embed = nn.Parameter(torch.zeros(1, stored_side, stored_side, sizes.encoder_width))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.blocks = nn.ModuleList(
            Block(sizes, window_side=0 if number in sizes.global_blocks else sizes.window_side)
            for number in range(sizes.encoder_depth)
        )

    def forward(self, images_B3SS: Tensor) -> Tensor:
        features = self.patch_embed(images_B3SS)
        features = features + resample_positions(self.pos_embed, features.shape[1])
        for block in self.blocks:
            if self.checkpoints and self.training:
                features = checkpoint(block, features, use_reentrant=False)
            else:
                features = block(features)
        return cast(Tensor, features)


def resample_positions(positions: Tensor, side: int) -> Tensor:
    """Absolute position embedding [1, s, s, width] at another grid side, bicubic and antialiased as timm does."""
    if positions.shape[1] == side:
        return positions
    grid = positions.permute(0, 3, 1, 2).float()
    grid = F.interpolate(grid, size=(side, side), mode="bicubic", antialias=True, align_corners=False)
    return grid.permute(0, 2, 3, 1).to(positions.dtype)


class Block(nn.Module):
    """A pre-norm transformer block; ``window_side`` 0 attends over the whole grid."""

    def __init__(self, sizes: SegmentationSizes, *, window_side: int) -> None:
        super().__init__()
        width = sizes.encoder_width
        self.window_side = window_side
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        stored_side = window_side or sizes.pretrain_side_px // PATCH_PX
        self.attn = RelativeAttention(width, num_heads=sizes.encoder_heads, stored_side=stored_side)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, int(width * sizes.encoder_mlp_ratio))

    def forward(self, features_BGGc: Tensor) -> Tensor:
        normed = self.norm1(features_BGGc)
        if self.window_side:
            windows = split_windows(normed, self.window_side)
            attended = join_windows(self.attn(windows), normed.shape)
        else:
            attended = self.attn(normed)
        features_BGGc = features_BGGc + attended
        return cast(Tensor, features_BGGc + self.mlp(self.norm2(features_BGGc)))


def split_windows(features_BGGc: Tensor, side: int) -> Tensor:
    """Grid to windows [B * num_windows, side, side, c]; the grid is zero-padded right and below (as SAM does)."""
    B, G, _, channels = features_BGGc.shape
    padding = -G % side
    padded = F.pad(features_BGGc, (0, 0, 0, padding, 0, padding))
    n = (G + padding) // side
    return padded.view(B, n, side, n, side, channels).transpose(2, 3).reshape(-1, side, side, channels)


def join_windows(windows: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of ``split_windows`` for a grid of ``shape``; what was padded is cut off."""
    B, G, _, channels = shape
    side = windows.shape[1]
    n = (G + side - 1) // side
    grid = windows.view(B, n, n, side, side, channels).transpose(2, 3).reshape(B, n * side, n * side, channels)
    return grid[:, :G, :G]


class RelativeAttention(nn.Module):
    """Self-attention on [B, s, s, c] with one relative-position table per axis (decomposed, as in MViTv2)."""

    def __init__(self, width: int, *, num_heads: int, stored_side: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * stored_side - 1, width // num_heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * stored_side - 1, width // num_heads))

    def forward(self, features: Tensor) -> Tensor:
        B, side, _, width = features.shape
        qkv = self.qkv(features).view(B, side * side, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.position_bias(query, side)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return cast(Tensor, self.proj(attended.transpose(1, 2).reshape(B, side, side, width)))

    def position_bias(self, query: Tensor, side: int) -> Tensor:
        """What is added to the attention logits: [B, heads, side * side, side * side]."""
        grid = query.reshape(*query.shape[:2], side, side, -1)
        along_h = torch.einsum("bnhwc,hkc->bnhwk", grid, relative_table(self.rel_pos_h, side))
        along_w = torch.einsum("bnhwc,wkc->bnhwk", grid, relative_table(self.rel_pos_w, side))
        bias = along_h[..., :, None] + along_w[..., None, :]
        return bias.flatten(4, 5).flatten(2, 3)


def relative_table(table: Tensor, side: int) -> Tensor:
    """Stored offsets [2 s - 1, c], resampled linearly to ``side``, as [query, key, c]."""
    if table.shape[0] != 2 * side - 1:
        resampled = F.interpolate(table.t()[None].float(), size=2 * side - 1, mode="linear")
        table = resampled[0].t().to(table.dtype)
    steps = torch.arange(side, device=table.device)
    return table[steps[:, None] - steps[None, :] + side - 1]


class Mlp(nn.Module):
    def __init__(self, width: int, hidden_width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden_width)
        self.fc2 = nn.Linear(hidden_width, width)

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.fc2(F.gelu(self.fc1(features))))
