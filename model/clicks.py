"""The click a reader would make to correct a mask: at the centre of the largest error, with noise. No torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Click:
    """Where (px) and whether it says "belongs to the structure"."""

    x: int
    y: int
    is_foreground: bool


@dataclass(frozen=True, kw_only=True)
class ReaderNoise:
    """How far a reader is from a robot (METHODS section 4, Interaction).

    spread: standard deviation of the position, as a share of the component's diameter. flip: chance of the wrong
    label. miss: chance that the largest component is not seen and the next one is corrected instead.
    """

    spread: float = 0.05
    flip: float = 0.02
    miss: float = 0.05


NO_NOISE = ReaderNoise(spread=0.0, flip=0.0, miss=0.0)


def corrective_click(
    truth_HW: Mask, predicted_HW: Mask, generator: np.random.Generator, noise: ReaderNoise = NO_NOISE
) -> Click | None:
    """The click on the innermost pixel of the largest error component; None where nothing is seen to correct.

    The innermost pixel is the maximum of the distance transform, so that it lies inside whatever the shape is.
    """
    missed = generator.random() < noise.miss
    offset_xy = generator.standard_normal(2) * noise.spread
    flipped = generator.random() < noise.flip
    components, _ = ndimage.label(truth_HW ^ predicted_HW)
    by_size = np.argsort(-np.bincount(components.ravel())[1:], kind="stable") + 1
    seen = by_size[int(missed) :]
    if not len(seen):
        return None
    component = components == seen[0]
    depth = ndimage.distance_transform_edt(np.pad(component, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    is_foreground = bool(truth_HW[y, x])
    diameter_px = 2 * np.sqrt(component.sum() / np.pi)
    height, width = truth_HW.shape
    return Click(
        x=int(np.clip(round(x + offset_xy[0] * diameter_px), 0, width - 1)),
        y=int(np.clip(round(y + offset_xy[1] * diameter_px), 0, height - 1)),
        is_foreground=is_foreground != flipped,
    )
