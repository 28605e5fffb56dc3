"""What a person marks in a picture, checked and put into the network's own pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ingest.errors import BadInput
from model.boxes import Box


@dataclass(frozen=True)
class Marks:
    """What a person marked in one picture, in px: clicks (x, y, is_foreground), a box, a rough mask [H, W]."""

    clicks: Sequence[tuple[float, float, bool]] = ()
    box_xyxy_px: Box | None = None
    mask_HW: NDArray[np.bool_] | None = None

    @property
    def kind(self) -> tuple[int, bool, bool]:
        """Pictures marked in the same way are decoded together."""
        return len(self.clicks), self.box_xyxy_px is not None, self.mask_HW is not None


def check_marks(mark: Marks, target: str, image_HW: NDArray[np.generic]) -> None:
    """Raise BadInput for marks that say nothing or lie outside the picture."""
    height, width = image_HW.shape[:2]
    for x, y, _ in mark.clicks:
        if not (0 <= x < width and 0 <= y < height):
            raise BadInput(f"point: expected one inside the picture of {width} x {height} px, got {x:g},{y:g}")
    if mark.box_xyxy_px is not None:
        x0, y0, x1, y1 = mark.box_xyxy_px
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise BadInput(
                f"box: expected x0 < x1 and y0 < y1 inside the picture of {width} x {height} px, "
                f"got {x0:g},{y0:g},{x1:g},{y1:g}"
            )
    if mark.mask_HW is not None and mark.mask_HW.shape != (height, width):
        raise BadInput(
            f"mask: expected {height} x {width} as the picture, got {' x '.join(map(str, mark.mask_HW.shape))}"
        )
    if not target and mark.kind == (0, False, False):
        raise BadInput("segment: expected the name of a structure, a click, a box or a mask, got none")


def to_network_px(point_xy: tuple[float, float], size_wh: tuple[int, int], side_px: int) -> tuple[float, float]:
    """A point in px of the picture as px of the S x S picture (pixel centres map to where they fall)."""
    x, y = ((value + 0.5) * side_px / size - 0.5 for value, size in zip(point_xy, size_wh, strict=True))
    return x, y


def mask_as_logits(mask_HW: NDArray[np.bool_], side: int, *, certainty: float = 8.0) -> Tensor:
    """A drawn mask as [1, side, side] logits, +-certainty inside and outside, softened where a cell holds both."""
    share = F.interpolate(torch.from_numpy(mask_HW.astype(np.float32))[None, None], size=(side, side), mode="area")
    return (2 * share[0] - 1) * certainty
