"""SAM's mask decoder (Kirillov et al. 2023) with a text branch added to every mask logit, and semantic tokens.

Tokens: one for quality, K for masks, K for semantics, then the sparse prompts. Parameter names follow SAM.
"""

import itertools
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.sizes import NUM_MASKS, SegmentationSizes
from model.vision_encoder import LayerNorm2d


@dataclass(frozen=True)
class DecodedMasks:
    """The first of the K masks of every prompt.

    logits_Bhw: [B, 4G, 4G]. quality_B: predicted Dice. semantics_Bc: [B, num_semantic].
    """

    logits_Bhw: Tensor
    quality_B: Tensor
    semantics_Bc: Tensor

    def rows(self, chosen: Tensor) -> "DecodedMasks":
        """Those of some prompts (a mask or indices)."""
        return DecodedMasks(self.logits_Bhw[chosen], self.quality_B[chosen], self.semantics_Bc[chosen])


class MaskDecoder(nn.Module):
    def __init__(self, sizes: SegmentationSizes) -> None:
        super().__init__()
        width = sizes.width
        self.transformer = TwoWayTransformer(sizes)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(NUM_MASKS, width)
        self.semantic_tokens = nn.Embedding(NUM_MASKS, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, stride=2),
            LayerNorm2d(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            LayeredMlp(width, width, width // 8, depth=3) for _ in range(NUM_MASKS)
        )
        self.text_output = nn.Linear(width, width // 8)
        depth, hidden_width = sizes.quality_depth, sizes.quality_width
        self.iou_prediction_head = LayeredMlp(width, hidden_width, NUM_MASKS, depth=depth)
        self.semantic_prediction_head = LayeredMlp(width, hidden_width, sizes.num_semantic, depth=depth)

    def forward(
        self,
        embeddings_BEGG: Tensor,
        *,
        positions_1EGG: Tensor,
        sparse_BPE: Tensor,
        dense_BEGG: Tensor,
        text_BE: Tensor,
    ) -> DecodedMasks:
        """Decode one prompt per image; ``text_BE`` feeds the text branch even where no text token is sparse."""
        B, _, G, _ = embeddings_BEGG.shape
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight, self.semantic_tokens.weight])
        tokens = torch.cat([own.expand(B, -1, -1), sparse_BPE], dim=1)
        tokens, image = self.transformer(tokens, embeddings_BEGG + dense_BEGG, positions_1EGG)
        upscaled = self.output_upscaling(image.transpose(1, 2).unflatten(2, (G, G)))
        # Of the K masks the first is the output (REFERENCE section 1), so the others are not computed.
        weights = self.output_hypernetworks_mlps[0](tokens[:, 1]) + self.text_output(text_BE)
        logits_Bhw = torch.einsum("bc,bchw->bhw", weights, upscaled)
        semantics_Bc = self.semantic_prediction_head(tokens[:, 1 + NUM_MASKS])
        return DecodedMasks(logits_Bhw, self.iou_prediction_head(tokens[:, 0])[:, 0], semantics_Bc)


class LayeredMlp(nn.Module):
    """``depth`` linear layers with ReLU between."""

    def __init__(self, width: int, hidden_width: int, out_width: int, *, depth: int) -> None:
        super().__init__()
        widths = [width, *[hidden_width] * (depth - 1), out_width]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, features: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            features = F.relu(layer(features))
        return cast(Tensor, self.layers[-1](features))


class ProjectedAttention(nn.Module):
    """Multi-head attention whose heads live in ``width // downsample`` channels."""

    def __init__(self, width: int, *, num_heads: int, downsample: int = 1) -> None:
        super().__init__()
        inner = width // downsample
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, inner) for _ in range(3))
        self.out_proj = nn.Linear(inner, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k, v = (
            layer(tensor).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer, tensor in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        )
        return cast(Tensor, self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)))


class TwoWayTransformer(nn.Module):
    """Tokens [B, P, E] and image [B, E, G, G] attend to each other: tokens [B, P, E], image [B, G * G, E]."""

    def __init__(self, sizes: SegmentationSizes) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(sizes, is_first=number == 0) for number in range(sizes.decoder_depth))
        self.final_attn_token_to_image = ProjectedAttention(sizes.width, num_heads=sizes.decoder_heads, downsample=2)
        self.norm_final_attn = nn.LayerNorm(sizes.width)

    def forward(self, tokens_BPE: Tensor, image_BEGG: Tensor, positions_1EGG: Tensor) -> tuple[Tensor, Tensor]:
        image = image_BEGG.flatten(2).transpose(1, 2)
        positions = positions_1EGG.flatten(2).transpose(1, 2)
        tokens = tokens_BPE
        for layer in self.layers:
            tokens, image = layer(tokens, image, tokens_BPE, positions)
        attended = self.final_attn_token_to_image(tokens + tokens_BPE, image + positions, image)
        return self.norm_final_attn(tokens + attended), image


class TwoWayBlock(nn.Module):
    def __init__(self, sizes: SegmentationSizes, *, is_first: bool) -> None:
        super().__init__()
        width, num_heads = sizes.width, sizes.decoder_heads
        self.is_first = is_first
        self.self_attn = ProjectedAttention(width, num_heads=num_heads)
        self.cross_attn_token_to_image = ProjectedAttention(width, num_heads=num_heads, downsample=2)
        self.cross_attn_image_to_token = ProjectedAttention(width, num_heads=num_heads, downsample=2)
        self.mlp = TokenMlp(width, sizes.decoder_mlp_width)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(width) for _ in range(4))

    def forward(
        self, tokens: Tensor, image: Tensor, token_positions: Tensor, image_positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The prompt tokens serve as their own positions; the first block's self-attention has none and no residual."""
        if self.is_first:
            tokens = self.norm1(self.self_attn(tokens, tokens, tokens))
        else:
            query = tokens + token_positions
            tokens = self.norm1(tokens + self.self_attn(query, query, tokens))
        query, key = tokens + token_positions, image + image_positions
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(query, key, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        query = tokens + token_positions
        return tokens, self.norm4(image + self.cross_attn_image_to_token(key, query, tokens))


class TokenMlp(nn.Module):
    def __init__(self, width: int, hidden_width: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden_width)
        self.lin2 = nn.Linear(hidden_width, width)

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.lin2(F.relu(self.lin1(features))))
