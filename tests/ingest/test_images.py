import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from ingest.deidentify import PUBLIC_KEY, pseudonym
from ingest.images import describe_image, read_image, read_picture
from ingest.masks import CorruptMask, MaskNameDisagrees, decode_mask, encode_mask, mask_areas, read_masks
from ingest.pixels import CorruptImage


def test_a_mask_as_text():
    assert encode_mask(np.array([[0, 0], [0, 1]], bool)) == "2x2:3 1"
    assert encode_mask(np.array([[1, 0], [0, 0]], bool)) == "2x2:0 1 3"
    assert encode_mask(np.zeros((2, 3), bool)) == "2x3:6"


@given(arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=12)))
def test_a_mask_comes_back(mask_HW):
    decoded_HW = decode_mask(encode_mask(mask_HW))
    assert decoded_HW.dtype == bool
    assert np.array_equal(decoded_HW, mask_HW)


@given(st.text() | st.from_regex(r"\d{1,6}x\d{1,6}:(\d{1,4} ?)*"))
def test_text_that_is_no_mask_is_a_value_error(text):
    try:
        decode_mask(text)
    except ValueError:
        return
    assert ":" in text


def write_masks(path, channels_TP, *, shape=None):
    """A CSR file from dense channels."""
    indices = [np.flatnonzero(channel) for channel in channels_TP]
    np.savez(
        path, indices=np.concatenate(indices).astype(np.int32), format=np.array(b"csr"),
        indptr=np.cumsum([0, *map(len, indices)], dtype=np.int32),
        shape=np.array(shape or np.shape(channels_TP)), data=np.ones(sum(map(len, indices)), np.int32),
    )  # fmt: skip


def test_areas_and_masks_of_a_sparse_file(tmp_path):
    path = tmp_path / "x___a.(3, 2, 2, 1).npz"
    write_masks(path, [[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 1]])
    assert mask_areas(path) == ([0.25, 0.0, 0.75], (2, 2))
    assert read_masks(path, 2).tolist() == [[[True, False], [False, False]], [[False, True], [True, True]]]
    with pytest.raises(CorruptMask, match="expected 3 non-empty channels, got 2"):
        read_masks(path, 3)


def test_masks_that_lie_about_themselves_are_refused(tmp_path):
    other = tmp_path / "x___a.(2, 2, 2, 1).npz"
    write_masks(other, [[1, 0, 0, 0]])
    nameless = tmp_path / "x___a.npz"
    write_masks(nameless, [[1, 0, 0, 0]])
    for path in (other, nameless):
        with pytest.raises(MaskNameDisagrees):
            mask_areas(path)
    cut = tmp_path / "x___b.(1, 2, 2, 1).npz"
    write_masks(cut, [[1, 0, 0, 0]])
    cut.write_bytes(cut.read_bytes()[:100])
    outside = tmp_path / "x___c.(1, 2, 2, 1).npz"
    write_masks(outside, [[0] * 7 + [1]], shape=(1, 4))
    for path in (cut, outside):
        with pytest.raises(CorruptMask):
            mask_areas(path)
    with pytest.raises(FileNotFoundError):
        mask_areas(tmp_path / "x___d.(1, 2, 2, 1).npz")


def test_a_picture_is_described_and_read(tmp_path):
    path = tmp_path / "a.png"
    ramp_HW = np.tile(np.arange(0, 180, 10, dtype=np.uint8), (8, 1))
    Image.fromarray(ramp_HW).save(path)
    facts = describe_image(path)
    assert (facts.width_px, facts.height_px) == (18, 8)
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert facts.perceptual_hash == 2**64 - 1  # brighter to the right everywhere
    assert np.array_equal(read_image(path), np.repeat(ramp_HW[..., None], 3, axis=2))
    assert np.array_equal(read_image(path.read_bytes()), read_image(path))


def test_a_picture_on_its_side_is_put_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new("RGB", (40, 20), "red").save(tmp_path / "a.jpg", exif=exif)
    facts = describe_image(tmp_path / "a.jpg")
    assert (facts.width_px, facts.height_px) == (20, 40)
    assert read_image(tmp_path / "a.jpg").shape == (40, 20, 3)


def test_sixteen_bits_are_stretched_and_any_mode_becomes_rgb(tmp_path):
    Image.fromarray(np.array([[1000, 3000]], np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png")[0, :, 0].tolist() == [0, 255]
    for mode in ("1", "L", "LA", "P", "RGBA"):
        Image.new(mode, (3, 2)).save(tmp_path / f"{mode}.png")
        assert read_image(tmp_path / f"{mode}.png").shape == (2, 3, 3)
    Image.new("CMYK", (3, 2)).save(tmp_path / "c.jpg")
    assert read_image(tmp_path / "c.jpg").shape == (2, 3, 3)


def test_a_picture_is_shrunk_turned_and_stripped_of_what_else_its_file_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "CANARY name"
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 900, 3), dtype=np.uint8))
    picture.save(tmp_path / "a.jpg", exif=exif, comment=b"CANARY comment", xmp=b"CANARY xmp")
    small = read_picture(tmp_path / "a.jpg", side_px=90)
    assert (small.size, small.mode, small.info) == ((30, 90), "RGB", {})
    assert read_picture(tmp_path / "a.jpg").size == (300, 900)
    small.save(tmp_path / "b.jpg")
    assert b"CANARY" in (tmp_path / "a.jpg").read_bytes()
    assert b"CANARY" not in (tmp_path / "b.jpg").read_bytes()


def test_broken_pictures_say_so(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for name in ("a.png", "a.jpg"):
        Image.fromarray(noise).save(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        for broken in (b"", b"no picture", content[: len(content) // 2]):
            (tmp_path / name).write_bytes(broken)
            with pytest.raises(CorruptImage):
                describe_image(tmp_path / name)
            with pytest.raises(CorruptImage):
                read_image(broken)


def test_pseudonyms_depend_on_data_set_person_and_key():
    one = pseudonym("vqa_rad", "case 1", PUBLIC_KEY)
    assert len(one) == 32
    assert one == pseudonym("vqa_rad", "case 1", PUBLIC_KEY)
    others = {pseudonym("slake", "case 1", PUBLIC_KEY), pseudonym("vqa_rad", "case 2", PUBLIC_KEY),
              pseudonym("vqa_rad", "case 1", b"secret")}  # fmt: skip
    assert len(others | {one}) == 4
    with pytest.raises(ValueError, match="expected 1 to 64 bytes"):
        pseudonym("a", "b", b"")
