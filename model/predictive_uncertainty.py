"""How unsure a prediction is, from the prediction alone, and what that meant on the validation split.

Raw signs lie in [0, 1]; no truth is read. ``Calibration`` turns them into the expected error, learned on validation
by isotonic regression (Zadrozny and Elkan 2002).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from torch import Tensor

from model.losses import enlarge
from model.mask_decoder import DecodedMasks
from model.uncertainty import image_text_distance

FEWEST_ROWS = 20
"""Validation rows below which raw signs are kept: a curve through fewer says nothing."""


def mask_uncertainty(masks: DecodedMasks, embeddings_BEGG: Tensor, text_BE: Tensor, *, side_px: int) -> Tensor:
    """Mean of three signs, [B]: how undecided the mask's pixels are, how far the predicted Dice is from the one the
    mask expects of itself, and how badly the region and the text agree."""
    logits_BSS = enlarge(masks.logits_Bhw, side_px)
    chances_BSS = logits_BSS.sigmoid()
    disagreement_B = (masks.quality_B.float().clamp(0, 1) - expected_dice(chances_BSS)).abs()
    distance_B = image_text_distance(embeddings_BEGG, chances_BSS, text_BE) / 2
    return torch.stack([undecided_share(logits_BSS), disagreement_B, distance_B]).mean(0).clamp(0, 1)


def undecided_share(logits_BSS: Tensor) -> Tensor:
    """Entropy of the pixels over the area that is, or may be, the structure: [B] in [0, 1].

    Over the whole picture the entropy of a small lesion would drown in a background that is certain.
    """
    chances_BSS = logits_BSS.sigmoid()
    entropy_BSS = F.binary_cross_entropy_with_logits(logits_BSS, chances_BSS, reduction="none") / math.log(2)
    area_BSS = torch.maximum(chances_BSS, entropy_BSS)
    return (entropy_BSS * area_BSS).sum((1, 2)) / area_BSS.sum((1, 2)).clamp(min=1e-6)


def expected_dice(chances_BSS: Tensor) -> Tensor:
    """Dice the thresholded mask expects if its own pixel chances are right: [B] in [0, 1]."""
    mask_BSS = (chances_BSS > 0.5).float()
    sizes_B = chances_BSS.sum((1, 2)) + mask_BSS.sum((1, 2))
    return 2 * (chances_BSS * mask_BSS).sum((1, 2)) / sizes_B.clamp(min=1e-6)


@dataclass(frozen=True)
class Calibration:
    """A monotone curve from raw sign to expected error, as points (so that it can be written as JSON)."""

    raw: tuple[float, ...]
    error: tuple[float, ...]

    @classmethod
    def fit(cls, raw_N: Sequence[float], error_N: Sequence[float]) -> "Calibration":
        """Learn from validation rows; with fewer than FEWEST_ROWS the curve is the identity."""
        if len(raw_N) < FEWEST_ROWS:
            return cls((0.0, 1.0), (0.0, 1.0))
        curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(raw_N, error_N)
        return cls(tuple(curve.X_thresholds_.tolist()), tuple(curve.y_thresholds_.tolist()))

    def expected_error(self, raw_N: Sequence[float]) -> NDArray[np.float64]:
        return np.interp(raw_N, self.raw, self.error)
