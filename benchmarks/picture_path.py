"""Decode, window, upright and resize to 256 px, beside a bare Pillow or pydicom loop over the same files.

python -m benchmarks.picture_path
"""

import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE_PX = 256
NUM_FILES = 24
ROUNDS = 5


def write_files(folder: Path) -> dict[str, list[Path]]:
    """Pictures of clinical sizes: photographs as JPEG, slices as PNG, radiographs as uncompressed 12-bit DICOM."""
    generator = np.random.default_rng(256)
    files: dict[str, list[Path]] = {"jpeg": [], "png": [], "dicom": []}
    for number in range(NUM_FILES):
        coarse = Image.fromarray(generator.integers(0, 256, (48, 64, 3), dtype=np.uint8))
        picture = coarse.resize((1024, 768), Image.Resampling.BICUBIC)
        files["jpeg"].append(folder / f"{number}.jpg")
        picture.save(files["jpeg"][-1], quality=90)
        files["png"].append(folder / f"{number}.png")
        picture.convert("L").resize((512, 512)).save(files["png"][-1])
        files["dicom"].append(folder / f"{number}.dcm")
        grey_HW = np.asarray(picture.convert("L").resize((1024, 1024)), np.uint16) * 16
        _write_dicom(files["dicom"][-1], grey_HW)
    return files


def _write_dicom(path: Path, grey_HW: np.ndarray) -> None:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    dataset = FileDataset(io.BytesIO(), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "DX", "MONOCHROME2", 1
    dataset.Rows, dataset.Columns = grey_HW.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.PixelData = grey_HW.tobytes()
    dataset.save_as(path, enforce_file_format=True)


def bare_pillow(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).resize((SIDE_PX, SIDE_PX)))


def bare_pydicom(path: Path) -> np.ndarray:
    from pydicom import dcmread
    from pydicom.pixels import apply_voi_lut

    dataset = dcmread(path)
    grey_HW = apply_voi_lut(dataset.pixel_array, dataset)
    low, high = grey_HW.min(), grey_HW.max()
    eight_HW = ((grey_HW - low) * (255 / max(high - low, 1))).astype(np.uint8)
    return np.asarray(Image.fromarray(eight_HW).resize((SIDE_PX, SIDE_PX)))


def ours(path: Path) -> np.ndarray:
    from ingest.images import read_picture

    return np.asarray(read_picture(path, side_px=SIDE_PX))


def measure_pictures() -> dict[str, dict[str, Any]]:
    """Files per CPU second of either way, in turns; ``ratio`` above 1: ours is the faster. The best turn counts."""
    with tempfile.TemporaryDirectory(prefix="picture_path_") as folder:
        files = write_files(Path(folder))
        measured = {}
        for kind, paths in files.items():
            bare = bare_pydicom if kind == "dicom" else bare_pillow
            best = {"ours": 0.0, "bare": 0.0}
            for _ in range(ROUNDS):
                for name, way in (("bare", bare), ("ours", ours)):
                    best[name] = max(best[name], len(paths) / _cpu_seconds(way, paths))
            measured[kind] = {
                "ratio": round(best["ours"] / best["bare"], 3),
                "files_per_cpu_second": {name: round(rate, 1) for name, rate in best.items()},
            }
    return measured


def _cpu_seconds(way: Callable[[Path], np.ndarray], paths: list[Path]) -> float:
    start = time.process_time()
    for path in paths:
        way(path)
    return time.process_time() - start


if __name__ == "__main__":
    print(json.dumps(measure_pictures(), indent=2))
