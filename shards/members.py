"""What a sample's tar members hold: pictures and masks, made smaller and encoded; equal input gives equal bytes.

Order in the tar: pictures, masks, and last the record as JSON, so that a packed sample which still ends in
the bytes of its present record need not be packed again.
"""

import functools
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray
from PIL import Image

from ingest.disguise import Folder
from ingest.errors import BiasCareError
from ingest.images import read_picture
from ingest.masks import read_masks
from shards.mask_planes import pack_planes
from shards.recipe import Format, Shape, ShardsConfig
from shards.tar import sample_bytes

MASK_DIGEST = "mask_xxh3_128"
"""In the JSON of a sample with masks: digest of the mask file it was packed from. Pictures have image_sha256."""


class PictureChanged(ValueError):
    """A picture file that is not the one the samples table describes."""


def has_masks(row: Mapping[str, Any]) -> bool:
    """Whether a sample has masks to pack: a file, and names for what is in it."""
    return bool(row["mask_uri"] and row["mask_targets"])


def mask_digest(row: Mapping[str, Any], root: Folder) -> str | None:
    """Digest of the sample's mask file as it is now; None without masks. Raises: BiasCareError."""
    if not has_masks(row):
        return None
    with _naming(row):
        return xxhash.xxh3_128_hexdigest((root / row["mask_uri"]).read_bytes())


def record_text(row: Mapping[str, Any], mask_xxh3_128: str | None) -> bytes:
    """The ``.json`` member: the row's fields that are not null, and the digest of its mask file."""
    fields = {**row, MASK_DIGEST: mask_xxh3_128}
    present = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(present, sort_keys=True, ensure_ascii=False, default=str).encode()


def packed_sample(row: Mapping[str, Any], text: bytes, root: Folder, config: ShardsConfig) -> bytes:
    """One sample as its run of tar members; ``text`` is its ``record_text``. Masks belong to the first picture.

    Raises: BiasCareError naming the sample whose files do not decode or changed since they were read.
    """
    members: dict[str, bytes] = {}
    suffix = "png" if config.format is Format.PNG else "jpg"
    digests = row["image_sha256"] or [None] * len(row["image_uris"])
    sizes: list[tuple[int, int]] = []
    with _naming(row):
        for number, (uri, digest) in enumerate(zip(row["image_uris"], digests, strict=True)):
            prefix = f"{number}." if len(row["image_uris"]) > 1 else ""
            members[prefix + suffix], size = _packed_picture(root / uri, digest, config)
            sizes.append(size)
        if has_masks(row):
            masks = read_masks(root / row["mask_uri"], len(row["mask_targets"]))
            members["masks.npz"] = encode_masks(masks, size=sizes[0])
    return sample_bytes(row["sample_id"], {**members, "json": text})


@contextmanager
def _naming(row: Mapping[str, Any]) -> Iterator[None]:
    """Turn a failure to read into one line that names the sample; the file's name may carry an identifier."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise BiasCareError(
            f"pack: dataset {row['dataset']}, sample {row['sample_id']}: {type(error).__name__}; "
            "its picture or mask changed since it was read: run refresh again"
        ) from error


@functools.lru_cache(maxsize=256)
def _packed_picture(path: Path, sha256: str | None, config: ShardsConfig) -> tuple[bytes, tuple[int, int]]:
    """A picture's bytes as packed, and (height, width). Cached: several questions share a picture."""
    if sha256 and path.is_file():
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != sha256:
                raise PictureChanged
    picture = shaped_picture(path, config)
    return encode_image(picture, config), (picture.height, picture.width)


def shaped_picture(path: Path, config: ShardsConfig) -> Image.Image:
    """A picture in mode L or RGB, at ``image_side_px`` in the shape that ``config`` asks for."""
    side_px = config.image_side_px
    if config.shape is Shape.LONGEST_SIDE:
        return read_picture(path, side_px=side_px)
    return read_picture(path).resize((side_px, side_px), Image.Resampling.BICUBIC, reducing_gap=3.0)


def encode_image(picture: Image.Image, config: ShardsConfig) -> bytes:
    """Picture -> PNG or JPEG bytes without any metadata; a grey picture is stored as one channel."""
    if picture.mode != "L":
        pixels = np.asarray(picture)
        if (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all():
            picture = Image.fromarray(np.ascontiguousarray(pixels[..., 0]))
    buffer = io.BytesIO()
    if config.format is Format.PNG:
        picture.save(buffer, format="PNG", compress_level=6)
    else:
        picture.save(buffer, format="JPEG", quality=config.jpeg_quality, subsampling=0)
    return buffer.getvalue()


def encode_masks(masks: NDArray[np.bool_], *, size: tuple[int, int]) -> bytes:
    """The ``.masks.npz`` member of native planes [T, H, W] for a picture packed at ``size`` = (h, w)."""
    return pack_planes(np.stack([shrink_mask(mask, size=size) for mask in masks]), masks)


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
