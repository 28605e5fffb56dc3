"""One packed sample, read back from its bytes in a tar. Decoded piece by piece, when asked. No torch.

Members of a sample with key K (readable by plain ``webdataset.WebDataset``):
``K.jpg`` or ``K.png`` (several pictures: ``K.0.jpg``, ``K.1.jpg``), ``K.json`` the record's text fields,
and where there are masks ``K.masks.npz`` (``shards.mask_planes``).
"""

import dataclasses
import functools
import json
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from ingest.workspace import Workspace
from shards.mask_planes import unpack_masks, unpack_native

IMAGE_SUFFIXES = ("jpg", "png")
TAR_BLOCK = 512
TRUTH_FIELDS = frozenset({"answer", "labels", "boxes_xyxy_px", "mask_area_fraction"})

Members = Mapping[str, bytes]
"""Suffix -> bytes of one sample's files."""

_parse_json = json.JSONDecoder().decode  # json.loads looks for an encoding first

_DECODE_ERRORS = (
    OSError, ValueError, SyntaxError, KeyError, EOFError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip


class UnreadableSample(ValueError):
    """The bytes of a packed sample are not what was packed."""


@dataclass(frozen=True)
class Record:
    """A sample as the loader hands it to ``encode``; one read from a tar decodes each part when first asked for it.

    fields: the record's columns that are not null, and ``person_key``.
    images: one uint8 [h, w, 3] array per picture, read-only.
    masks: bool [T, h, w] aligned with ``fields["mask_targets"]``, read-only, or None.
    read_native_masks: gives bool [T, H, W] at the size of the source; decoded only when called.
    Raises: UnreadableSample from any of them.
    """

    fields: dict[str, Any]
    images: list[NDArray[np.uint8]]
    masks: NDArray[np.bool_] | None
    read_native_masks: Callable[[], NDArray[np.bool_]]

    @classmethod
    def of_members(cls, members: Members) -> "Record":
        """The record in a sample's members; nothing is decoded yet."""
        record = object.__new__(cls)
        record.__dict__["members"] = members
        return record

    def __getattr__(self, name: str) -> Any:
        """Decode a part that was not asked for before: instances made by ``of_members`` start without any."""
        members = self.__dict__.get("members")
        if members is None or name not in _DECODERS:
            raise AttributeError(name)
        value = self.__dict__[name] = _decoded(_DECODERS[name], members)
        return value

    def without_truth(self) -> "Record":
        """The same record with everything a prediction must not see taken away."""
        fields = {name: value for name, value in self.fields.items() if name not in TRUTH_FIELDS}
        return dataclasses.replace(self, fields=fields, masks=None, read_native_masks=_no_masks)

    def again(self) -> "Record":
        """The same record for another draw, with what is decoded already; its fields may be written to."""
        copy = object.__new__(Record)
        copy.__dict__.update(self.__dict__)
        if "fields" in copy.__dict__:
            copy.__dict__["fields"] = dict(self.fields)
        return copy

    def read_masks(self, targets: Sequence[int]) -> NDArray[np.bool_]:
        """bool [len(targets), h, w]: some of ``masks`` without the time of all. Raises: ValueError without masks."""
        if "members" not in self.__dict__ or "masks" in self.__dict__:
            if self.masks is None:
                return _no_masks()
            return self.masks[list(targets)]
        planes: NDArray[np.bool_] = _decoded(functools.partial(_some_masks, targets), self.members)
        return planes

    @property
    def decoded_bytes(self) -> int:
        """Memory that this record holds now."""
        held = self.__dict__
        num_bytes = sum(map(len, held["members"].values())) if "members" in held else 0
        for image in held.get("images", ()):
            num_bytes += image.nbytes
        masks = held.get("masks")
        return num_bytes if masks is None else num_bytes + int(masks.nbytes)


def _no_masks() -> NDArray[np.bool_]:
    raise ValueError("this sample has no masks")


def _decoded(decode: Callable[[Members], Any], members: Members) -> Any:
    try:
        return decode(members)
    except _DECODE_ERRORS as error:
        raise UnreadableSample(f"{type(error).__name__}: {error}") from error


def _fields(members: Members) -> Any:
    return _parse_json(members["json"].decode())


def _images(members: Members) -> list[NDArray[np.uint8]]:
    from shards.picture import decode_picture  # here: a record made of pixels needs no decoder installed

    names = [name for name in members if name.rpartition(".")[2] in IMAGE_SUFFIXES]
    names.sort(key=lambda name: int(name.split(".")[0]) if "." in name else 0)
    return [decode_picture(members[name]) for name in names]


def _masks(members: Members) -> NDArray[np.bool_] | None:
    if "masks.npz" not in members:
        return None
    return unpack_masks(members["masks.npz"])


def _some_masks(targets: Sequence[int], members: Members) -> NDArray[np.bool_]:
    if "masks.npz" not in members:
        return _no_masks()
    return unpack_masks(members["masks.npz"], targets)


def _native_masks_reader(members: Members) -> Callable[[], NDArray[np.bool_]]:
    if "masks.npz" not in members:
        return _no_masks
    return functools.partial(_decoded, _native_masks, members)


def _native_masks(members: Members) -> NDArray[np.bool_]:
    return unpack_native(members["masks.npz"])


_DECODERS: dict[str, Callable[[Members], Any]] = {
    "fields": _fields, "images": _images, "masks": _masks, "read_native_masks": _native_masks_reader,
}  # fmt: skip


def decode_record(members: Members) -> Record:
    """The record in a sample's members, every part but the native masks decoded. Raises: UnreadableSample."""
    record = Record.of_members(members)
    for name in _DECODERS:
        getattr(record, name)
    return record


def members_of(chunk: bytes) -> dict[str, bytes]:
    """Suffix -> bytes of the one sample in ``chunk``, a run of whole plain ustar members.

    ``tarfile`` takes 40 times as long: it understands every dialect, and our own shards hold only one.
    Raises: UnreadableSample for anything else.
    """
    members: dict[str, bytes] = {}
    start, end = 0, len(chunk)
    while start < end:
        header = chunk[start : start + TAR_BLOCK]
        if header[257:262] != b"ustar" or header[156] not in b"0\0":
            raise UnreadableSample(f"expected a plain ustar member at byte {start} of the sample, got none")
        name = header[:100].partition(b"\0")[0].decode()
        try:
            size = int(header[124:135], 8)
        except ValueError as error:
            raise UnreadableSample(f"expected an octal size at byte {start + 124} of the sample") from error
        start += TAR_BLOCK
        if start + size > end:
            raise UnreadableSample(f"expected {size} bytes of member {name}, got {end - start}")
        members[name.rpartition("/")[2].partition(".")[2]] = chunk[start : start + size]
        start += -(-size // TAR_BLOCK) * TAR_BLOCK
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
