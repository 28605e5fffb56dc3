"""What was seen of every picture when it was last opened, so that an unchanged one is never opened again.

A folder of Parquet parts, one per few thousand pictures looked at, each published whole: a read that is killed
after ten hours goes on where it stopped. ``close`` joins the parts.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.adapters.root import Root
from ingest.embedded import picture_bytes
from ingest.images import ImageFacts, describe_image
from ingest.pixels import CorruptImage
from ingest.quarantine import Reason
from ingest.workspace import publishing

LEDGER_SCHEMA = pa.schema(
    [
        ("uri", pa.string()),
        ("size_bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("sha256", pa.string()),
        ("width_px", pa.int32()),
        ("height_px", pa.int32()),
        ("perceptual_hash", pa.uint64()),
    ]
)
PART_PICTURES = 20_000

_Row = tuple[int, int, str, int, int, int]


class PictureLedger:
    """Facts of a data set's pictures by URI; ``folder`` keeps them from one read to the next."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, _Row] = {}
        self._fresh: list[str] = []
        self.num_opened = 0
        self._parts = sorted(folder.glob("*.parquet"))
        for part in self._parts:
            columns = pq.read_table(part, schema=LEDGER_SCHEMA).to_pydict()
            self._known.update(zip(columns.pop("uri"), zip(*columns.values(), strict=True), strict=True))

    def look_at(self, root: Root, uris: Sequence[str], threads: Executor) -> dict[str, ImageFacts | Reason]:
        """The facts of each picture, or why there are none; those unknown or changed are opened side by side."""
        seen: dict[str, ImageFacts | Reason] = {}
        unknown: list[tuple[str, int, int]] = []
        for uri in uris:
            try:
                status = root.stat(uri)
            except ValueError:
                seen[uri] = Reason.OUTSIDE_ROOT
                continue
            if status is None:
                seen[uri] = Reason.IMAGE_ABSENT
                continue
            row = self._known.get(uri)
            if row is not None and row[:2] == (status.st_size, status.st_mtime_ns):
                seen[uri] = ImageFacts(*row[2:])
            else:
                unknown.append((uri, status.st_size, status.st_mtime_ns))
        answers = threads.map(lambda each: self._open(root, each[0]), unknown)
        for (uri, size_bytes, mtime_ns), facts in zip(unknown, answers, strict=True):
            seen[uri] = facts
            if isinstance(facts, ImageFacts):
                self._note(uri, size_bytes, mtime_ns, facts)
        return seen

    def _open(self, root: Root, uri: str) -> ImageFacts | Reason:
        """Decode a picture, unless only its time changed and its bytes are those seen before."""
        known = self._known.get(uri)
        path = root.resolve(uri)
        try:
            if known is not None and hashlib.sha256(picture_bytes(path)).hexdigest() == known[2]:
                return ImageFacts(*known[2:])
            return describe_image(path)
        except CorruptImage as error:
            return error.reason
        except FileNotFoundError:
            return Reason.IMAGE_ABSENT
        except (ValueError, OSError):
            return Reason.OUTSIDE_ROOT

    def _note(self, uri: str, size_bytes: int, mtime_ns: int, facts: ImageFacts) -> None:
        self.num_opened += 1
        self._fresh.append(uri)
        self._known[uri] = (
            size_bytes, mtime_ns, facts.sha256, facts.width_px, facts.height_px, facts.perceptual_hash,
        )  # fmt: skip
        if len(self._fresh) >= PART_PICTURES:
            self._write(self._fresh)
            self._fresh = []

    def close(self) -> None:
        """Write what is new and join the parts; older parts go last, so that nothing is lost half-way."""
        if not self._fresh and len(self._parts) <= 1:
            return
        joined = list(self._parts)
        self._write(list(self._known))
        for part in joined:
            part.unlink()

    def _write(self, uris: list[str]) -> None:
        columns = [uris, *zip(*(self._known[uri] for uri in uris), strict=True)]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, LEDGER_SCHEMA, strict=True)]
        number = int(self._parts[-1].stem) + 1 if self._parts else 1
        path = self._folder / f"{number:06d}.parquet"
        with publishing(path) as staged:
            pq.write_table(pa.Table.from_arrays(arrays, schema=LEDGER_SCHEMA), staged)
        self._parts.append(path)
