"""The image path beside a bare decode-and-resize loop over the same files: `python -m benchmarks.pictures`.

Both end at a picture of at most 256 px. The bare loops do no more than a script would: Pillow's open, convert and
resize; pydicom's dcmread, pixel_array and resize. The image path also windows, turns upright and drops metadata.
CPU seconds, the best of five rounds each, rounds interleaved.
"""

import io
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from ingest.images import read_picture

SIDE_PX = 256
RESULTS = Path(__file__).parent / "results" / "pictures.json"
ROUNDS, NUM_FILES = 5, 24
TARGET = 0.9


def bare_pillow(path: Path) -> Image.Image:
    picture = Image.open(path).convert("RGB")
    return resized(picture)


def bare_pydicom(path: Path) -> Image.Image:
    return resized(Image.fromarray(pydicom.dcmread(path).pixel_array))


def resized(picture: Image.Image) -> Image.Image:
    scale = SIDE_PX / max(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    return picture.resize(size, Image.Resampling.BICUBIC)


def smooth(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A picture with the frequencies of a photograph rather than of noise: 0 to 1."""
    coarse = generator.random((height // 16, width // 16), dtype=np.float32)
    fine = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    return (0.95 * fine + 0.05 * generator.random((height, width), dtype=np.float32)).clip(0, 1)


def write_files(folder: Path, generator: np.random.Generator) -> dict[str, list[Path]]:
    kinds: dict[str, list[Path]] = {
        "jpeg_600x450": [],
        "jpeg_2500x2048": [],
        "png_512": [],
        "dicom_ct_512": [],
        "dicom_cr_2048": [],
    }
    for number in range(NUM_FILES):
        for kind, height, width in (("jpeg_600x450", 450, 600), ("jpeg_2500x2048", 2500, 2048), ("png_512", 512, 512)):
            if kind == "jpeg_2500x2048" and number >= NUM_FILES // 4:
                continue
            pixels = (np.stack([smooth(generator, height, width)] * 3, axis=-1) * 255).astype(np.uint8)
            path = folder / f"{kind}-{number}.{'png' if kind.startswith('png') else 'jpg'}"
            Image.fromarray(pixels).save(path, quality=90) if path.suffix == ".jpg" else Image.fromarray(pixels).save(
                path
            )
            kinds[kind].append(path)
        for kind, side in (("dicom_ct_512", 512), ("dicom_cr_2048", 2048)):
            if side == 2048 and number >= NUM_FILES // 4:
                continue
            path = folder / f"{kind}-{number}.dcm"
            path.write_bytes(dicom_file((smooth(generator, side, side) * 3000).astype(np.uint16)))
            kinds[kind].append(path)
    return kinds


def dicom_file(frame: np.ndarray) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns = frame.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.WindowCenter, dataset.WindowWidth, dataset.RescaleSlope, dataset.RescaleIntercept = 400, 1500, 1, -1000
    dataset.add_new("PixelData", "OW", frame.tobytes())
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def cpu_seconds(act: Callable[[Path], object], paths: list[Path]) -> float:
    start = time.process_time()
    for path in paths:
        act(path)
    return time.process_time() - start


def measure(paths: list[Path]) -> dict[str, float]:
    bare = bare_pydicom if paths[0].suffix == ".dcm" else bare_pillow
    ours = lambda path: read_picture(path, side_px=SIDE_PX)  # noqa: E731
    rounds = [(cpu_seconds(bare, paths), cpu_seconds(ours, paths)) for _ in range(ROUNDS)]
    best_bare, best_ours = (min(column) for column in zip(*rounds, strict=True))
    return {
        "speed_of_bare": round(best_bare / best_ours, 3),
        "bare_ms": round(1000 * best_bare / len(paths), 2),
        "ours_ms": round(1000 * best_ours / len(paths), 2),
    }


def measure_pictures() -> dict[str, Any]:
    """Milliseconds per file either way by kind, and how many times as fast as the bare loop ours is, over all files."""
    with tempfile.TemporaryDirectory() as folder:
        kinds = write_files(Path(folder), np.random.default_rng(0))
        results = {kind: measure(paths) for kind, paths in kinds.items()}
    total_bare = sum(result["bare_ms"] * len(kinds[kind]) for kind, result in results.items())
    total_ours = sum(result["ours_ms"] * len(kinds[kind]) for kind, result in results.items())
    return {"speed_of_bare_over_all_files": round(total_bare / total_ours, 3), "target": TARGET, "kinds": results}


def main() -> None:
    report = {
        **measure_pictures(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "date": str(date.today()),
    }
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
