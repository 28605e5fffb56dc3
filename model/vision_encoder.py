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
        features_BGGc = features_BGGc + self.attn(self.norm1(features_BGGc), window_side=self.window_side)
        return cast(Tensor, features_BGGc + self.mlp(self.norm2(features_BGGc)))


def split_windows(features_BGGc: Tensor, side: int) -> Tensor:
    """Grid to windows [B * num_windows, side, side, c]; the grid is zero-padded right and below (as SAM does)."""
    B, G, _, channels = features_BGGc.shape
    padding = -G % side
    padded = F.pad(features_BGGc, (0, 0, 0, padding, 0, padding))
    n = (G + padding) // side
    return padded.view(B, n, side, n, side, channels).transpose(2, 3).reshape(-1, side, side, channels)


class RelativeAttention(nn.Module):
    """Self-attention on a grid [B, G, G, c] with one relative-position table per axis (decomposed, as in MViTv2)."""

    def __init__(self, width: int, *, num_heads: int, stored_side: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * stored_side - 1, width // num_heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * stored_side - 1, width // num_heads))

    def forward(self, features_BGGc: Tensor, *, window_side: int = 0) -> Tensor:
        """Attend within windows, or over the whole grid.

        SAM pads the grid to whole windows with zeros that are attended to. A zero projects to the bias, so only real
        positions are projected, and only they ask: at 256 px and windows of 14 these are a third of all.
        """
        if not window_side:
            side = features_BGGc.shape[1]
            return cast(Tensor, self.proj(self.attend(self.qkv(features_BGGc), height=side, width=side)))
        windows = split_windows(F.linear(features_BGGc, self.qkv.weight), window_side) + self.qkv.bias
        return cast(Tensor, self.proj(self._attend_in_windows(windows, features_BGGc)))

    def _attend_in_windows(self, windows: Tensor, features_BGGc: Tensor) -> Tensor:
        """Full windows together, then those cut by the right edge, the lower one, and both."""
        B, G, _, channels = features_BGGc.shape
        side = windows.shape[1]
        num_full, rest, num_sides = G // side, G % side, -(-G // side)
        grid = windows.view(B, num_sides, num_sides, side, side, -1)
        strips = [(slice(0, num_full), side)] * (num_full > 0) + [(slice(num_full, num_sides), rest)] * (rest > 0)
        rows = []
        for down, height in strips:
            row = []
            for right, width in strips:
                alike = grid[:, down, right]
                num_down, num_right = alike.shape[1:3]
                attended = self.attend(alike.reshape(-1, side, side, alike.shape[-1]), height=height, width=width)
                there = attended.view(B, num_down, num_right, height, width, channels).transpose(2, 3)
                row.append(there.reshape(B, num_down * height, num_right * width, channels))
            rows.append(torch.cat(row, dim=2))
        return torch.cat(rows, dim=1)

    def attend(self, qkv: Tensor, *, height: int, width: int) -> Tensor:
        """Query, key and value [N, s, s, 3 c] to what the upper left ``height`` x ``width`` positions attend to,
        [N, height, width, c]."""
        N, side, _, triple = qkv.shape
        heads = (self.num_heads, triple // 3 // self.num_heads)
        asking = qkv[:, :height, :width, : triple // 3].reshape(N, height * width, *heads).transpose(1, 2)
        asked = qkv[..., triple // 3 :].reshape(N, side * side, 2, *heads)
        key, value = asked.permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.position_bias(asking, height=height, width=width, side=side)
        attended = F.scaled_dot_product_attention(asking, key, value, attn_mask=bias)
        return attended.transpose(1, 2).reshape(N, height, width, triple // 3)

    def position_bias(self, query: Tensor, *, height: int, width: int, side: int) -> Tensor:
        """What is added to the attention logits: [N, heads, height * width, side * side]."""
        grid = query.reshape(*query.shape[:2], height, width, -1)
        along_h = torch.einsum("bnhwc,hkc->bnhwk", grid, relative_table(self.rel_pos_h, side)[:height])
        along_w = torch.einsum("bnhwc,wkc->bnhwk", grid, relative_table(self.rel_pos_w, side)[:width])
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
