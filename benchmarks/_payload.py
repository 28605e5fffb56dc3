"""20,000 samples of about 25 KB (a noisy 256 px JPEG and JSON fields), the same for every loader.

Deterministic: 1/f noise at quality 90. Kept importable without this project's packages.
"""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image
from simplejpeg import decode_jpeg

SIDE_PX = 256
NUM_PICTURES = 250
"""Different pictures; they repeat, under different fields: no loader looks for equal content."""


def pictures() -> list[bytes]:
    """JPEGs whose spectrum falls off as photographs' do."""
    rng = np.random.default_rng(7)
    rows, columns = np.fft.fftfreq(SIDE_PX)[:, None], np.fft.rfftfreq(SIDE_PX)[None]
    falloff = 1 / np.maximum(np.hypot(rows, columns), 1 / SIDE_PX) ** 1.3
    found = []
    for _ in range(NUM_PICTURES):
        spectrum = np.fft.rfft2(rng.normal(size=(3, SIDE_PX, SIDE_PX))) * falloff
        waves = np.fft.irfft2(spectrum, s=(SIDE_PX, SIDE_PX)).transpose(1, 2, 0)
        pixels = 128 + 44 * (waves - waves.mean()) / waves.std()
        buffer = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
        found.append(buffer.getvalue())
    return found


def samples(number: int) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    """(key, JPEG, fields) of each sample."""
    jpegs = pictures()
    for index in range(number):
        key = f"{index:032x}"
        fields = {
            "sample_id": key, "dataset": f"set_{index % 4}", "task": "vqa", "split": "train", "person_key": f"p{index}",
            "question": f"Is finding {index} present in this picture?", "answer": "yes" if index % 3 else "no",
            "modality": "x_ray", "anatomy": "chest", "width_px": SIDE_PX, "height_px": SIDE_PX,
        }  # fmt: skip
        yield key, jpegs[index % NUM_PICTURES], fields


def decode(jpeg: bytes) -> np.ndarray:
    """The one decoder that every loader is measured with: uint8 [256, 256, 3]."""
    pixels: np.ndarray = decode_jpeg(jpeg)
    return pixels
