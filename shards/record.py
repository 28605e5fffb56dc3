"""One packed sample: how it is laid out in a tar, written and read back. No torch.

Members of a sample with key K (readable by plain ``webdataset.WebDataset``):
``K.jpg`` or ``K.png`` (several pictures: ``K.0.jpg``, ``K.1.jpg``), ``K.json`` the record's text fields,
and where there are masks ``K.masks.npz`` with

- ``masks`` uint8 [T, h, w] in {0, 1}: one plane per target at the packed picture's size,
- ``native`` uint8: ``np.packbits`` of the planes at the native size, ``native_shape`` int64 [3] = (T, H, W).
"""

import dataclasses
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from ingest.workspace import Workspace

IMAGE_SUFFIXES = ("jpg", "png")


@dataclass(frozen=True)
class Record:
    """A sample as the loader hands it to ``encode``.

    fields: the record's columns that are not null, and ``person_key``.
    images: one uint8 [h, w, 3] array per picture.
    masks: bool [T, h, w] aligned with ``fields["mask_targets"]``, or None.
    read_native_masks: gives bool [T, H, W] at the size of the source; decoded only when called.
    """

    fields: dict[str, Any]
    images: list[NDArray[np.uint8]]
    masks: NDArray[np.bool_] | None
    read_native_masks: Callable[[], NDArray[np.bool_]]

    def without_truth(self) -> "Record":
        """The same record with everything a prediction must not see taken away."""
        hidden = {"answer", "labels", "boxes_xyxy_px", "mask_area_fraction"}
        fields = {name: value for name, value in self.fields.items() if name not in hidden}
        return dataclasses.replace(self, fields=fields, masks=None, read_native_masks=_no_masks)


def _no_masks() -> NDArray[np.bool_]:
    raise ValueError("this sample has no masks")


def decode_record(members: dict[str, bytes]) -> Record:
    """The record in a sample's members (suffix -> bytes)."""
    fields = json.loads(members["json"])
    names = [name for name in members if name.rpartition(".")[2] in IMAGE_SUFFIXES]
    names.sort(key=lambda name: int(name.split(".")[0]) if "." in name else 0)
    images = [np.asarray(Image.open(io.BytesIO(members[name])).convert("RGB")) for name in names]
    packed = members.get("masks.npz")
    if packed is None:
        return Record(fields, images, None, _no_masks)
    with np.load(io.BytesIO(packed)) as arrays:
        masks = arrays["masks"].astype(bool)

    def read_native_masks() -> NDArray[np.bool_]:
        with np.load(io.BytesIO(packed)) as arrays:
            shape = arrays["native_shape"]
            bits = np.unpackbits(arrays["native"], count=int(shape.prod()))
        return bits.reshape(shape).astype(bool)

    return Record(fields, images, masks, read_native_masks)


def members_of(chunk: bytes) -> dict[str, bytes]:
    """Suffix -> bytes of the one sample in ``chunk``, a run of whole tar members."""
    members: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(chunk), mode="r:") as archive:
        for member in archive:
            stream = archive.extractfile(member)
            assert stream is not None, "only plain files are packed"
            members[member.name.partition(".")[2]] = stream.read()
    return members


def iterate_records(workspace: Workspace, split: str) -> Iterator[Record]:
    """Every packed sample of ``split``, in index order."""
    index = pq.read_table(workspace.index, columns=["split", "shard", "offset", "size_bytes"])
    for row in index.to_pylist():
        if row["split"] == split:
            yield decode_record(members_of(read_range(workspace.shards / row["shard"], row)))


def read_range(shard: Path, row: dict[str, Any]) -> bytes:
    """The bytes of one index row: ``size_bytes`` from ``offset``."""
    with shard.open("rb") as stream:
        stream.seek(row["offset"])
        return stream.read(row["size_bytes"])
