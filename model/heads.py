"""The nine classification heads of the reference (REFERENCE section 3), each one row of a table.

Notation: H last hidden states; V those at image tokens, T those elsewhere, c the one at the class token; M image
embeddings as G * G tokens; X(q, kv) attention with 8 heads; LN after it; means over tokens.
A head first reads the language branch's tokens (``reads``), then may let the result and M read each other.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NUM_HEADS = 8
LEAK = 0.1


class Part(enum.Enum):
    """T, V and c of the notation."""

    TEXT = enum.auto()
    IMAGE = enum.auto()
    CLASS_TOKEN = enum.auto()


class Ending(enum.Enum):
    """What becomes of the tokens f that were read."""

    MEAN = enum.auto()  # their mean, D wide
    MEAN_BESIDE_IMAGE = enum.auto()  # [pro(mean), mean M]
    MUTUAL = enum.auto()  # f = pro(f), then [mean LN(X(M, f) + M), mean LN(X(f, M) + f)]


@dataclass(frozen=True, kw_only=True)
class HeadShape:
    """reads: query and key part of each first attention; several are concatenated; none takes V as it is.

    keeps_query: + query after the attention. token_beside: LeakyReLU(pro_token(c)) goes before the rest.
    """

    reads: tuple[tuple[Part, Part], ...]
    ending: Ending
    keeps_query: bool = True
    token_beside: bool = False


TEXT_READS_IMAGE, IMAGE_READS_TEXT = (Part.TEXT, Part.IMAGE), (Part.IMAGE, Part.TEXT)
TOKEN_READS_IMAGE, IMAGE_READS_TOKEN = (Part.CLASS_TOKEN, Part.IMAGE), (Part.IMAGE, Part.CLASS_TOKEN)

HEADS: Mapping[str, HeadShape] = {
    "vlmcross": HeadShape(reads=(TEXT_READS_IMAGE,), ending=Ending.MEAN),
    "vlmcrosscombine": HeadShape(reads=(TEXT_READS_IMAGE,), ending=Ending.MEAN_BESIDE_IMAGE),
    "vlmcrossdualcrossplustext": HeadShape(reads=(TEXT_READS_IMAGE,), ending=Ending.MUTUAL),
    "vlmcrossdualcross": HeadShape(reads=(TEXT_READS_IMAGE,), ending=Ending.MUTUAL, keeps_query=False),
    "vlmdualcrossdualcross": HeadShape(reads=(TEXT_READS_IMAGE, IMAGE_READS_TEXT), ending=Ending.MUTUAL),
    "vlmtokendualcrossdualcross1": HeadShape(reads=(TOKEN_READS_IMAGE,), ending=Ending.MUTUAL),
    "vlmtokendualcrossdualcross2": HeadShape(reads=(IMAGE_READS_TOKEN,), ending=Ending.MUTUAL),
    "twovisiondualcross": HeadShape(reads=(), ending=Ending.MUTUAL),
    "twovisiondualcrosstoken": HeadShape(reads=(), ending=Ending.MUTUAL, token_beside=True),
}


def needs_class_token(name: str) -> bool:
    """Whether the prompt must hold a class token for this head."""
    shape = HEADS[name]
    return shape.token_beside or any(Part.CLASS_TOKEN in read for read in shape.reads)


@dataclass(frozen=True)
class Tokens:
    """values_BnD, and which of them exist: no mean and no attention takes in the others."""

    values_BnD: Tensor
    exists_Bn: Tensor

    def mean(self) -> Tensor:
        share_Bn1 = (self.exists_Bn / self.exists_Bn.sum(1, keepdim=True).clamp(min=1))[..., None]
        return (self.values_BnD * share_Bn1.to(self.values_BnD.dtype)).sum(1)


class ClassificationHead(nn.Module):
    """Class logits from the hidden states and the image embeddings.

    The attentions and norms are numbered in the order of use, without a number where there is one (as released).
    """

    def __init__(self, name: str, *, hidden_size: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.shape = HEADS[name]
        is_mutual = self.shape.ending is Ending.MUTUAL
        widths = [hidden_size] * len(self.shape.reads) + [width, width] * is_mutual
        self.numbers = [""] if len(widths) == 1 else [str(number + 1) for number in range(len(widths))]
        for number, size in zip(self.numbers, widths, strict=True):
            self.add_module(f"cross_attn{number}", nn.MultiheadAttention(size, num_heads=NUM_HEADS, batch_first=True))
            self.add_module(f"ln{number}", nn.LayerNorm(size))
        if self.shape.ending is not Ending.MEAN:
            self.pro = nn.Linear(hidden_size, width)
        if self.shape.token_beside:
            self.pro_token = nn.Linear(hidden_size, width)
        pooled = hidden_size if self.shape.ending is Ending.MEAN else (2 + self.shape.token_beside) * width
        self.final = nn.Linear(pooled, num_classes)

    def forward(self, parts: Mapping[Part, Tokens], embeddings_BEGG: Tensor) -> Tensor:
        """Class logits [B, C]."""
        image_BnE = embeddings_BEGG.flatten(2).transpose(1, 2)
        read = self._read(parts)
        if self.shape.ending is Ending.MEAN:
            pooled = read.mean()
        elif self.shape.ending is Ending.MEAN_BESIDE_IMAGE:
            pooled = torch.cat([self.pro(read.mean()), image_BnE.mean(1)], dim=1)
        else:
            pooled = self._mutual(Tokens(self.pro(read.values_BnD), read.exists_Bn), image_BnE)
        if self.shape.token_beside:
            token_BE = F.leaky_relu(self.pro_token(parts[Part.CLASS_TOKEN].mean()), LEAK)
            pooled = torch.cat([token_BE, pooled], dim=1)
        return cast(Tensor, self.final(pooled))

    def _read(self, parts: Mapping[Part, Tokens]) -> Tokens:
        """LN(X(query, key) + query) of every first attention, one after the other; V where there is none."""
        if not self.shape.reads:
            return parts[Part.IMAGE]
        values, exists = [], []
        for number, (query, key) in zip(self.numbers, self.shape.reads, strict=False):
            asking = parts[query]
            values.append(self._attend(number, asking.values_BnD, parts[key], keeps_query=self.shape.keeps_query))
            exists.append(asking.exists_Bn)
        return Tokens(torch.cat(values, dim=1), torch.cat(exists, dim=1))

    def _mutual(self, fused: Tokens, image_BnE: Tensor) -> Tensor:
        """[mean LN(X(M, f) + M), mean LN(X(f, M) + f)]: [B, 2 E]."""
        everywhere = torch.ones(image_BnE.shape[:2], dtype=torch.bool, device=image_BnE.device)
        image = Tokens(image_BnE, everywhere)
        first, second = self.numbers[-2:]
        image_reads = Tokens(self._attend(first, image_BnE, fused), everywhere)
        fused_reads = Tokens(self._attend(second, fused.values_BnD, image), fused.exists_Bn)
        return torch.cat([image_reads.mean(), fused_reads.mean()], dim=1)

    def _attend(self, number: str, query: Tensor, key: Tokens, *, keeps_query: bool = True) -> Tensor:
        attention, norm = self.get_submodule(f"cross_attn{number}"), self.get_submodule(f"ln{number}")
        attended = attention(
            query, key.values_BnD, key.values_BnD, key_padding_mask=~key.exists_Bn, need_weights=False
        )[0]
        return cast(Tensor, norm(attended + query if keeps_query else attended))


def tokens_at(hidden_BLD: Tensor, is_part_BL: Tensor) -> Tokens:
    """A part of the hidden states in place: nothing is moved, so that the shapes never depend on the data."""
    return Tokens(hidden_BLD, is_part_BL)


def gathered_tokens(hidden_BLD: Tensor, is_part_BL: Tensor) -> Tokens:
    """A part moved to the front and zero-padded to the longest, the zeros counting as tokens: as the reference does."""
    longest = int(is_part_BL.sum(1).max())
    order_Bn = (~is_part_BL).byte().argsort(dim=1, stable=True)[:, :longest]
    values = hidden_BLD.gather(1, order_Bn[..., None].expand(-1, -1, hidden_BLD.shape[-1]))
    values = values * is_part_BL.gather(1, order_Bn)[..., None]
    return Tokens(values, torch.ones_like(order_Bn, dtype=torch.bool))


def heads_that_fit(names: set[str], pooled_width: int) -> list[str]:
    """The heads with just these parameter names and, where it is known (not 0), this input width of ``final``."""
    fitting = []
    for name in HEADS:
        with torch.device("meta"):
            # The widths are apart from each other, so that shapes tell the heads with equal names apart.
            head = ClassificationHead(name, hidden_size=2 * NUM_HEADS, width=NUM_HEADS, num_classes=1)
        if set(head.state_dict()) == names:
            fitting.append(name)
    return fitting
