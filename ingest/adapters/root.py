"""What an adapter is handed: one data set's folder, read safely, and a place for rows set aside."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ingest.adapters.folders import subfolders
from ingest.adapters.rows import read_csv, read_json_array, read_lines, read_parquet, whole_json
from ingest.deidentify import PUBLIC_KEY, pseudonym
from ingest.disguise import disguised, hidden_key, hidden_name
from ingest.embedded import container_of
from ingest.errors import BadInput
from ingest.namespaces import namespace_of
from ingest.quarantine import Reason, Rejection
from ingest.sample import Sample, sample_id_of

_LONGEST_NAME, _LONGEST_PATH = 255, 3000  # bytes that file systems take; the root's own path comes on top
_LENGTH_TO_LOOK_AT = _LONGEST_NAME // 4  # shorter ones fit whatever their letters


class RowRefused(ValueError):
    """A row that cannot become a sample: the reason, and what was expected and found."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Root:
    """A data set's folder. No name read from a data file leads out of it, symbolic links included.

    ``pixels=False``: the adapter opens neither masks nor pictures. ``rejections`` grows while it reads.
    ``identifiable``: rows and files leave under disguised names. ``pictures`` is the folder that image URIs are
    relative to: ``images`` where that is given, else this one.
    """

    def __init__(
        self, path: Path, dataset: str, *, key: bytes = PUBLIC_KEY, pixels: bool = True, identifiable: bool = False,
        images: Path | None = None,
    ) -> None:  # fmt: skip
        if not path.is_dir():
            raise BadInput(f"{dataset}: expected a folder at {path}, got none")
        self.path = path
        self.dataset = dataset
        self.pixels = pixels
        self.rejections: list[Rejection] = []
        self._key = key
        self._inside = os.path.realpath(path)
        self._folders: dict[str, str] = {}  # folder as named -> its path, empty where it leads out of the root
        self._identifiable = identifiable
        self._names: dict[str, str] = {}  # disguised name -> name
        self.pictures: Root = self
        if images is not None and images != path:
            self.pictures = Root(images, dataset, key=key, pixels=pixels)
            self.pictures._names = self._names

    def resolve(self, name: str) -> Path:
        """The path of ``name``, relative to the root; "x.parquet#12" names a picture inside a file.

        Raises: ValueError when it leaves the root.
        """
        return Path(self._locate(name)[0])

    def stat(self, name: str) -> os.stat_result | None:
        """Size and time of the file ``name``, None when there is none. Raises: ValueError when it leaves the root."""
        status = self._locate(name)[1]
        return status if status is not None and stat.S_ISREG(status.st_mode) else None

    def _locate(self, name: str) -> tuple[str, os.stat_result | None]:
        """The path of ``name`` and the state of its file, None when there is none. One call of the system per name."""
        name = self._names.get(name, name)
        folder, _, base = name.rpartition("/")
        if len(name) > _LENGTH_TO_LOOK_AT and _is_too_long(name):
            raise ValueError(f"expected names of at most {_LONGEST_NAME} bytes, got a longer one")
        if base in ("", ".", "..") or "\0" in name:
            raise ValueError("expected a file's name, got an empty one, a folder or a NUL")
        place = self._folders.get(folder)
        if place is None:
            real = os.path.normpath(os.path.join(self.path, folder))  # noqa: PTH118
            place = self._folders[folder] = real if self._is_inside(real) else ""
        if not place:
            raise ValueError("expected a path inside the data set's folder, got one outside")
        path = f"{place}/{base}"
        container = container_of(Path(path)) if "#" in base else None
        file = str(container[0]) if container else path
        try:
            status = os.lstat(file)
            if not stat.S_ISLNK(status.st_mode):
                return path, status
            if self._is_inside(file):
                return path, os.stat(file)  # noqa: PTH116
        except OSError:
            return path, None
        raise ValueError("expected a path inside the data set's folder, got one outside")

    def _is_inside(self, path: str) -> bool:
        real = os.path.realpath(path)
        return real == self._inside or real.startswith(self._inside.rstrip(os.sep) + os.sep)

    def inside(self, name: str) -> str:
        """``name`` itself, if it stays inside. Raises: RowRefused when it leaves the root."""
        try:
            self._locate(name)
        except ValueError as error:
            raise RowRefused(Reason.OUTSIDE_ROOT, str(error)) from error
        return name

    def subfolders(self) -> list[Path]:
        """The folders right inside that really lie inside, by name; none below a folder of pictures."""
        return [folder for folder in subfolders(self.path) if self._is_inside(str(folder))]

    def exists(self, name: str) -> bool:
        """Whether ``name`` is a file inside the root."""
        try:
            return self.resolve(name).is_file()
        except (ValueError, OSError):
            return False

    def json(self, name: str) -> Any:
        """A whole JSON file. Raises: BadInput when it is absent, outside or unparsable."""
        path = self.required(name)
        try:
            return whole_json(path.read_text(encoding="utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{path}: expected JSON in UTF-8, got {error}") from error

    def csv(self, name: str, *, columns: Sequence[str] = ()) -> Iterator[tuple[int, dict[str, str] | None]]:
        """``read_csv`` of a file inside the root."""
        return read_csv(self.required(name), columns=columns)

    def json_rows(self, name: str) -> Iterator[tuple[int, Any]]:
        """``read_json_array`` of a file inside the root: its elements with their numbers from 1."""
        return read_json_array(self.required(name))

    def parquet(self, name: str, *, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """``read_parquet`` of a file inside the root: its rows with their numbers from 0, only ``columns`` read."""
        return read_parquet(self.required(name), columns=columns)

    def lines(self, name: str) -> Iterator[tuple[int, str]]:
        """``read_lines`` of a file inside the root."""
        return read_lines(self.required(name))

    def required(self, name: str) -> Path:
        """The path of a file that must be there. Raises: BadInput when it is absent or outside."""
        try:
            path = self.resolve(name)
        except ValueError as error:
            raise BadInput(f"{self.path}: {error}: {name!r}") from error
        if not path.is_file():
            raise BadInput(f"{path}: expected a file of the data set {self.dataset}, got none")
        return path

    def pseudonym(self, native: str) -> str:
        """The pseudonym of a native person identifier; the same in every data set of one namespace (and key)."""
        return pseudonym(namespace_of(self.dataset), native, self._key)

    def sample(self, native_id: str, **fields: Any) -> Sample:
        """A Sample of this data set; ``fields`` are Sample's own."""
        if self._identifiable:
            names = [*fields.get("image_uris", ()), *filter(None, [fields.get("mask_uri")])]
            self._names |= {hidden_name(self.dataset, name, self._key): name for name in names}
            fields = disguised(self.dataset, {"native_id": native_id, **fields}, self._key)
            native_id = fields.pop("native_id")
        sample_id = sample_id_of(self.dataset, native_id)
        return Sample(sample_id=sample_id, dataset=self.dataset, native_id=native_id, **fields)

    def refuse(self, native_id: str, refusal: RowRefused, *, source_file: str, source_row: int | None) -> None:
        """Set a row aside that never became a sample."""
        self.reject(
            native_id, source_file=source_file, source_row=source_row, reason=refusal.reason, detail=refusal.detail
        )

    def reject(
        self, native_id: str, *, source_file: str, source_row: int | None, reason: Reason, detail: str,
        sample: Sample | None = None,
    ) -> None:  # fmt: skip
        """Set a row aside, with what was expected and what was found (no identifier, no free text)."""
        if sample is not None:
            native_id, source_file = sample.native_id, sample.source_file
        elif self._identifiable:
            native_id = hidden_key(self.dataset, native_id, self._key)
            source_file = hidden_name(self.dataset, source_file, self._key)
        self.rejections.append(
            Rejection(
                dataset=self.dataset, native_id=native_id, source_file=source_file, source_row=source_row,
                reason=reason, detail=detail, sample=sample,
            )
        )  # fmt: skip


def _is_too_long(name: str) -> bool:
    encoded = name.encode(errors="replace")
    return len(encoded) > _LONGEST_PATH or max(map(len, encoded.split(b"/"))) > _LONGEST_NAME
