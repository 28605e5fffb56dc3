"""A folder of DICOM files as a scanner leaves them, by patient and study. The files are the rows: all have pixels."""

from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from ingest.anatomy import Anatomy
from ingest.modality import Modality
from ingest.quarantine import Reason
from ingest.sample import age_band_of
from ingest.simulate.pictures import Kind, Picture, Shape, Texture, draw
from ingest.simulate.planted import Plan, Planted

_DEFECTS = (Reason.BURNED_IN_ANNOTATION, Reason.NO_PIXELS, Reason.IMAGE_CORRUPT)
_SLICES_PER_STUDY = 4
_SIDE_PX = 48


def write(folder: Path, num_rows: int, plan: Plan) -> Planted:
    """Write ``num_rows`` CT slices, four to a patient; men are older than women."""
    planted = Planted("dicom")
    defects = dict(enumerate(plan.defects(_DEFECTS, num_rows)))
    for number in range(num_rows):
        patient, slice_number = divmod(number, _SLICES_PER_STUDY)
        name = f"PAT{patient:05d}/CT1/IM{slice_number:04d}.dcm"
        header = _header(patient, slice_number)
        defect = defects.get(number)
        if defect is Reason.BURNED_IN_ANNOTATION:
            header.BurnedInAnnotation = "YES"
        if defect is not Reason.NO_PIXELS:
            _add_pixels(header, plan.seed, number)
        if defect is Reason.IMAGE_CORRUPT:
            header.PixelData = header.PixelData[: _SIDE_PX * 10]
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        header.save_as(path, enforce_file_format=True)
        if defect is not None:
            planted.reject(name, defect)
        else:
            planted.count(
                modality=Modality.COMPUTED_TOMOGRAPHY, anatomy=Anatomy.CHEST, sex="male" if patient % 3 else "female",
                age_band=age_band_of(_age_years(patient)),
            )  # fmt: skip
        plan.progress(1)
    return planted


def _age_years(patient: int) -> int:
    return (60 if patient % 3 else 30) + patient % 20


def _header(patient: int, slice_number: int) -> Dataset:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = CTImageStorage
    header.SOPInstanceUID = UID(f"2.25.{patient + 1}.1.{slice_number + 1}")
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.StudyInstanceUID, header.SeriesInstanceUID = f"2.25.{patient + 1}", f"2.25.{patient + 1}.1"
    header.PatientName, header.PatientID = f"Simulated^{patient}", f"MRN{patient:05d}"
    header.PatientSex, header.PatientAge = "M" if patient % 3 else "F", f"{_age_years(patient):03d}Y"
    header.StudyDate, header.AccessionNumber = f"2019{1 + patient % 12:02d}11", f"ACC{patient:05d}"
    header.Modality, header.BodyPartExamined, header.Manufacturer = "CT", "CHEST", "Simulated"
    header.WindowCenter, header.WindowWidth, header.RescaleSlope, header.RescaleIntercept = 128, 256, 1, 0
    return header


def _add_pixels(header: Dataset, seed: int, number: int) -> None:
    shape = Shape(Kind.DISC, 48.0, 48.0, 14.0 + number % 20, (200.0,))
    pixels = Image.fromarray(draw(Picture(Texture.CT, (seed, 23, number), (60.0,), (shape,))))
    frame = np.asarray(pixels.resize((_SIDE_PX, _SIDE_PX)), dtype=np.uint16)
    header.Rows, header.Columns, header.SamplesPerPixel = _SIDE_PX, _SIDE_PX, 1
    header.PhotometricInterpretation, header.PixelRepresentation = "MONOCHROME2", 0
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    header.add_new("PixelData", "OW", frame.tobytes())
