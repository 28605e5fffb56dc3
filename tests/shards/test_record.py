"""A packed sample comes back from its bytes, or is called unreadable."""

import io
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

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


def test_damaged_masks_are_unreadable():
    record = Record.of_members({"json": b"{}", "masks.npz": b"PK nothing"})
    with pytest.raises(UnreadableSample, match="BadZipFile"):
        _ = record.masks
    with pytest.raises(UnreadableSample, match="BadZipFile"):
        record.read_native_masks()
