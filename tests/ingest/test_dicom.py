import gzip
import io
import zlib

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from ingest import dicom
from ingest.dicom import open_dicom, read_frame
from ingest.images import describe_image, read_picture
from ingest.pixels import CorruptImage, NoPixels, UnsupportedImage


def dicom_bytes(frame=None, *, syntax=ExplicitVRLittleEndian, **tags):
    """A small DICOM file: uint16 grey unless ``tags`` say otherwise."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    if frame is not None:
        frame = np.asarray(frame)
        dataset.Rows, dataset.Columns = frame.shape[-2:] if frame.ndim < 4 else frame.shape[1:3]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = frame.dtype.itemsize * 8
        dataset.HighBit = dataset.BitsStored - 1
        dataset.PixelRepresentation = int(frame.dtype.kind == "i")
        if frame.ndim == 3:
            dataset.NumberOfFrames = len(frame)
        dataset.add_new("PixelData", "OW", frame.tobytes())
    for name, value in tags.items():
        setattr(dataset, name, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


RAMP = np.array([[0, 50, 100, 200]], np.uint16)


def test_grey_goes_through_rescale_and_window():
    # Hounsfield = 2 x - 100: -100, 0, 100, 300. Window 100 wide around 0.5: -49.5 .. 49.5 is black .. white.
    content = dicom_bytes(RAMP, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=[0.5, 9], WindowWidth=[100, 9])
    assert read_frame(content).tolist() == [[0, 128, 255, 255]]
    without = read_frame(dicom_bytes(np.arange(1001, dtype=np.uint16).reshape(1, -1)))
    assert without[0, [0, 5, 995, 1000]].tolist() == [0, 0, 255, 255]  # 0.5 % at either end
    assert read_frame(dicom_bytes(np.full((2, 2), 7, np.int16))).tolist() == [[0, 0], [0, 0]]


def test_monochrome1_and_inverse_presentation_are_inverted():
    window = {"WindowCenter": 100, "WindowWidth": 200}
    plain = read_frame(dicom_bytes(RAMP, **window))
    for inverse in ({"PhotometricInterpretation": "MONOCHROME1"}, {"PresentationLUTShape": "INVERSE"}):
        assert (read_frame(dicom_bytes(RAMP, **window, **inverse)) == 255 - plain).all()


def test_of_several_frames_the_middle_one_is_shown():
    frames = np.array([[[0, 9]], [[9, 0]], [[0, 9]]], np.uint16)
    assert read_frame(dicom_bytes(frames)).tolist() == [[255, 0]]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, [[0, 1], [2, 3]]),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}, [[0, 1], [2, 3]]),  # axial: to the left, to the back
        ({"ImageOrientationPatient": [-1, 0, 0, 0, -1, 0]}, [[3, 2], [1, 0]]),  # axial, upside down
        ({"ImageOrientationPatient": [0, 0, -1, 1, 0, 0]}, [[0, 2], [1, 3]]),  # coronal, lying
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, 1]}, [[2, 3], [0, 1]]),  # sagittal, head down
        ({"PatientOrientation": ["R", "H"]}, [[3, 2], [1, 0]]),
        ({"PatientOrientation": ["A", "F"]}, [[0, 1], [2, 3]]),  # a lateral view or a breast stays as taken
    ],
)
def test_frames_are_turned_to_the_usual_display(tags, expected):
    frame = np.array([[0, 85], [170, 255]], np.uint8)
    shown = read_frame(dicom_bytes(frame, WindowCenter=128, WindowWidth=256, **tags))
    assert (shown // 85).tolist() == expected


def test_sixteen_bit_colour_and_palettes_become_eight_bit_rgb():
    rgb = np.array([[[0, 256, 65535]]], np.uint16)
    content = dicom_bytes(
        rgb, Rows=1, Columns=1, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0,
        NumberOfFrames=1,
    )  # fmt: skip
    assert read_frame(content).tolist() == [[[0, 1, 255]]]
    tables = {
        f"{colour}PaletteColorLookupTable{part}": value
        for colour, levels in (("Red", [0, 65535]), ("Green", [0, 0]), ("Blue", [65535, 0]))
        for part, value in (("Descriptor", [2, 0, 16]), ("Data", np.array(levels, np.uint16).tobytes()))
    }
    indexed = dicom_bytes(np.array([[0, 1]], np.uint8), PhotometricInterpretation="PALETTE COLOR", **tables)
    assert read_frame(indexed).tolist() == [[[0, 0, 255], [255, 0, 0]]]


def test_a_file_is_described_and_shrunk_like_any_picture(tmp_path):
    frame = np.tile(np.arange(100, dtype=np.uint16), (40, 1))
    for name, content in (("a.dcm", dicom_bytes(frame)), ("b", dicom_bytes(frame)),
                          ("c.dcm.gz", gzip.compress(dicom_bytes(frame)))):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        facts = describe_image(tmp_path / name)
        assert (facts.width_px, facts.height_px, facts.perceptual_hash) == (100, 40, 2**64 - 1)
        assert read_picture(tmp_path / name, side_px=50).size == (50, 20)


def test_files_without_a_picture_say_why():
    whole = dicom_bytes(RAMP)
    with pytest.raises(NoPixels, match="expected pixels, got a Secondary Capture Image Storage without"):
        read_frame(dicom_bytes())
    with pytest.raises(UnsupportedImage):
        read_frame(
            dicom_bytes(RAMP, syntax=ExplicitVRLittleEndian).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.99999.9.9.9\0")
        )
    for broken in (b"", b"no dicom", whole[:-4], dicom_bytes(RAMP, Rows=20000, Columns=20000)):
        with pytest.raises(CorruptImage):
            read_frame(broken)


def test_what_inflates_without_end_is_a_bomb(monkeypatch):
    monkeypatch.setattr(dicom, "MAX_BYTES", 10_000)
    plain = dicom_bytes(np.zeros((300, 300), np.uint16))
    with pytest.raises(CorruptImage, match="bomb"):
        open_dicom(gzip.compress(plain))
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = deflater.compress(plain[-200_000:]) + deflater.flush()
    head = dicom_bytes(syntax=DeflatedExplicitVRLittleEndian)
    end = 144 + int.from_bytes(head[140:144], "little")
    with pytest.raises(CorruptImage, match="bomb"):
        open_dicom(head[:end] + deflated)


@settings(max_examples=150)
@given(st.data())
def test_damaged_files_are_corrupt_never_a_crash(data):
    content = bytearray(dicom_bytes(RAMP, WindowCenter=5, WindowWidth=9, PatientName="A^B", PatientAge="044Y"))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    try:
        frame = read_frame(bytes(content))
    except CorruptImage:
        return
    assert frame.dtype == np.uint8


def test_pydicom_never_speaks_of_values(recwarn, caplog):
    content = dicom_bytes(RAMP).replace(b"1.2.840.10008.5.1.4.1.1.7", b"CANARY840.10008.5.1.4.1.1")
    read_frame(content)
    pydicom.dcmread(io.BytesIO(content)).PatientAge = "CANARY"
    assert not [each for each in recwarn if "CANARY" in str(each.message)]
    assert "CANARY" not in caplog.text
