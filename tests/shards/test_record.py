"""A packed sample comes back from its bytes, or is called unreadable."""

import contextlib
import io
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shards.mask_planes import unpack_masks, unpack_native
from shards.members import encode_masks
from shards.record import Record, UnreadableSample, decode_record, members_of


def tar_of(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"key.{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        end = archive.offset
    return buffer.getvalue()[:end]


def png(value):
    buffer = io.BytesIO()
    Image.fromarray(np.full((2, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@given(st.dictionaries(st.sampled_from(["json", "0.jpg", "1.jpg", "masks.npz"]), st.binary(max_size=1100), min_size=1))
def test_members_are_what_tarfile_reads(members):
    assert members_of(tar_of(members)) == members


@pytest.mark.parametrize("cut", [512, 600, 1200])
def test_a_cut_sample_is_unreadable(cut):
    with pytest.raises(UnreadableSample, match="expected"):
        members_of(tar_of({"json": b"x" * 513})[:-cut])


def test_another_dialect_is_unreadable():
    chunk = bytearray(tar_of({"json": b"{}"}))
    chunk[156] = ord("x")
    with pytest.raises(UnreadableSample, match="plain ustar member at byte 0"):
        members_of(bytes(chunk))


def test_parts_are_decoded_only_when_asked_for():
    record = Record.of_members({"json": b'{"answer": "yes", "task": "vqa"}', "png": b"no picture"})
    assert record.fields["answer"] == "yes"
    with pytest.raises(UnreadableSample, match="UnidentifiedImageError"):
        _ = record.images
    assert not hasattr(record, "colour")


def test_pictures_come_in_their_order_and_cannot_be_written_to():
    members = {f"{number}.png": png(number) for number in (10, 2, 1)} | {"json": b"{}"}
    images = decode_record(members).images
    assert [int(image[0, 0, 0]) for image in images] == [1, 2, 10]
    with pytest.raises(ValueError, match="read-only"):
        images[0][0, 0] = 0


def test_masks_come_back_at_both_sizes():
    masks = np.zeros((2, 5, 7), bool)
    masks[1, 2, 3] = True
    record = decode_record({"json": b"{}", "masks.npz": encode_masks(masks, size=(5, 7))})
    assert np.array_equal(record.masks, masks) and np.array_equal(record.read_native_masks(), masks)
    assert record.decoded_bytes > masks.nbytes
    assert record.without_truth().masks is None


def test_some_masks_are_those_of_all():
    masks = np.random.default_rng(0).random((4, 5, 7)) < 0.4
    members = {"json": b"{}", "masks.npz": encode_masks(masks, size=(5, 7))}
    for record in (Record.of_members(members), decode_record(members)):
        assert np.array_equal(record.read_masks([3, 0, 3]), masks[[3, 0, 3]])
    with pytest.raises(ValueError, match="no masks"):
        Record.of_members({"json": b"{}"}).read_masks([0])


def test_numpy_alone_reads_the_masks():
    masks = np.random.default_rng(1).random((3, 5, 7)) < 0.4
    packed = encode_masks(masks, size=(5, 7))
    assert packed == encode_masks(masks, size=(5, 7))
    assert zipfile.ZipFile(io.BytesIO(packed)).testzip() is None
    with np.load(io.BytesIO(packed)) as arrays:
        assert arrays["layout"][:5].tolist() == [3, 5, 7, 5, 7]
        for name in ("masks", "native"):
            assert np.array_equal(np.unpackbits(arrays[name], axis=1, count=35).reshape(3, 5, 7), masks)


@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.data())
def test_planes_of_any_size_come_back_and_damage_is_told_or_harmless(number, height, width, data):
    bits = data.draw(st.lists(st.booleans(), min_size=height * width * number, max_size=height * width * number))
    masks = np.array(bits).reshape(number, height, width)
    packed = encode_masks(masks, size=(height, width))
    chosen = data.draw(st.lists(st.integers(0, number - 1), min_size=1, max_size=4))
    assert np.array_equal(unpack_masks(packed), masks) and np.array_equal(unpack_native(packed), masks)
    assert np.array_equal(unpack_masks(packed, chosen), masks[chosen])
    damaged = bytearray(packed[: data.draw(st.integers(0, len(packed)))])
    if damaged:
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    record = Record.of_members({"json": b"{}", "masks.npz": bytes(damaged)})
    for read in (lambda: record.read_masks(chosen), record.read_native_masks, lambda: record.masks):
        with contextlib.suppress(UnreadableSample):
            assert read().dtype == bool


def test_damaged_masks_are_unreadable():
    record = Record.of_members({"json": b"{}", "masks.npz": b"PK nothing"})
    with pytest.raises(UnreadableSample, match="masks: expected an"):
        _ = record.masks
    with pytest.raises(UnreadableSample, match="masks: expected an"):
        record.read_native_masks()
