"""What a sample's tar members hold: pictures and masks, made smaller and encoded; equal input gives equal bytes."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

JPEG_QUALITY = 92


def encode_image(picture: Image.Image, suffix: str) -> bytes:
    """Picture -> PNG or JPEG bytes without any metadata; a grey picture is stored as one channel."""
    if picture.mode != "L":
        pixels = np.asarray(picture)
        if (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all():
            picture = Image.fromarray(np.ascontiguousarray(pixels[..., 0]))
    buffer = io.BytesIO()
    if suffix == "png":
        picture.save(buffer, format="PNG", compress_level=6)
    else:
        picture.save(buffer, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def encode_masks(masks: NDArray[np.bool_], *, size: tuple[int, int]) -> bytes:
    """The ``.masks.npz`` member of native planes [T, H, W] for a picture packed at ``size`` = (h, w)."""
    planes = np.stack([shrink_mask(mask, size=size) for mask in masks])
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        masks=np.packbits(planes),
        shape=np.array(planes.shape, dtype=np.int64),
        native=np.packbits(masks),
        native_shape=np.array(masks.shape, dtype=np.int64),
    )
    return buffer.getvalue()


def shrink_mask(mask_HW: NDArray[np.bool_], *, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Resize a mask to ``size`` = (h, w) by area, at least half covered; a mask never vanishes.

    Where every cell of a non-empty mask is covered by less than half, the best covered one is kept:
    lesions of 3-5 px disappear from most pictures otherwise (METHODS, measured).
    """
    height, width = size
    picture = Image.fromarray(mask_HW.astype(np.uint8) * 255)
    covered = np.asarray(picture.resize((width, height), Image.Resampling.BOX))
    shrunk = covered >= 128
    if mask_HW.any() and not shrunk.any():
        soft = np.asarray(picture.convert("F").resize((width, height), Image.Resampling.BOX))
        shrunk = np.zeros((height, width), dtype=bool)
        shrunk.flat[int(soft.argmax())] = True
    return shrunk
