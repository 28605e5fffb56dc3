"""What the mask decoder is told about one structure per picture: clicks, a box, a text, a rough mask."""

import dataclasses
import enum
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class Prompt(enum.Flag):
    """The sparse kinds; training draws one of the seven non-empty sets per batch."""

    POINT = enum.auto()
    BOX = enum.auto()
    TEXT = enum.auto()


PROMPT_SETS: tuple[Prompt, ...] = tuple(Prompt(bits) for bits in range(1, 8))

BACKGROUND, FOREGROUND, BOX_START, BOX_END = range(4)
PADDING_POINT = -1
"""Rows of the four learned kinds of point; a click's label is one of the first two, -1 pads."""


@dataclass(frozen=True, kw_only=True)
class MaskPrompts:
    """Prompts for B pictures in px of the S x S image; any combination, None for what is not given.

    points_BP2: (x, y); labels_BP: 1 foreground, 0 background, -1 padding. boxes_B4: (x0, y0, x1, y1).
    logits_B1hw: an earlier answer at 4G x 4G. with_text: whether the text prompt is also a sparse token.
    """

    points_BP2: Tensor | None = None
    labels_BP: Tensor | None = None
    boxes_B4: Tensor | None = None
    logits_B1hw: Tensor | None = None
    with_text: bool = True

    def rows(self, chosen: Tensor) -> "MaskPrompts":
        """The prompts of some pictures (a mask or indices)."""
        picked: dict[str, Any] = {
            field.name: value[chosen]
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return dataclasses.replace(self, **picked)

    def with_click(self, points_B12: Tensor, labels_B1: Tensor, *, logits_Bhw: Tensor) -> "MaskPrompts":
        """The same prompts, one click more, and the answer that the click corrects."""
        points, labels = points_B12, labels_B1
        if self.points_BP2 is not None and self.labels_BP is not None:
            points, labels = torch.cat([self.points_BP2, points], 1), torch.cat([self.labels_BP, labels], 1)
        return dataclasses.replace(self, points_BP2=points, labels_BP=labels, logits_B1hw=logits_Bhw[:, None])
