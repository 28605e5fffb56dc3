"""A packed picture decodes to the very pixels that Pillow gives, whatever its JPEG looks like."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from ingest.pixels import CorruptImage
from shards.picture import decode_picture

NUM_CHANNELS = {"L": 1, "RGB": 3, "CMYK": 4}


def drawing(mode, height, width):
    pixels = np.random.default_rng([height, width]).integers(0, 256, (height, width, NUM_CHANNELS[mode]), np.uint8)
    return Image.fromarray(pixels.squeeze(2) if mode == "L" else pixels, mode).filter(ImageFilter.GaussianBlur(1))


def encoded(picture, suffix="JPEG", **settings):
    buffer = io.BytesIO()
    picture.save(buffer, suffix, **settings)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", NUM_CHANNELS)
@pytest.mark.parametrize("size", [(1, 1), (17, 33), (64, 50)])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [30, 92])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_has_the_pixels_that_pillow_reads(mode, size, subsampling, quality, progressive):
    jpeg = encoded(drawing(mode, *size), quality=quality, subsampling=subsampling, progressive=progressive)
    pixels = decode_picture(jpeg)
    assert pixels.dtype == np.uint8 and not pixels.flags.writeable
    assert np.array_equal(pixels, np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")))


def test_a_jpeg_stored_as_rgb_keeps_its_colours():
    jpeg = encoded(drawing("RGB", 9, 9), keep_rgb=True)
    assert np.array_equal(decode_picture(jpeg), np.asarray(Image.open(io.BytesIO(jpeg))))


@pytest.mark.parametrize("suffix", ["JPEG", "PNG"])
def test_three_channels_of_a_grey_picture_are_one_memory(suffix):
    pixels = decode_picture(encoded(drawing("L", 5, 7), suffix))
    assert pixels.shape == (5, 7, 3) and pixels.strides == (7, 1, 0)


def test_a_png_loses_nothing():
    picture = drawing("RGB", 6, 4)
    assert np.array_equal(decode_picture(encoded(picture, "PNG")), np.asarray(picture))


@pytest.mark.parametrize("kept", [2, 30, 300, -2])
def test_a_jpeg_cut_short_is_refused(kept):
    with pytest.raises((OSError, ValueError)):
        decode_picture(encoded(drawing("RGB", 64, 64), quality=92)[:kept])


def test_a_jpeg_that_claims_too_many_pixels_is_refused_before_it_takes_memory():
    jpeg = bytearray(encoded(drawing("L", 8, 8)))
    start_of_frame = jpeg.index(b"\xff\xc0")
    jpeg[start_of_frame + 5 : start_of_frame + 9] = (65_000).to_bytes(2, "big") * 2
    with pytest.raises(CorruptImage, match="65000 x 65000"):
        decode_picture(bytes(jpeg))
