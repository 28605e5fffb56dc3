"""What a configuration says of one dataset."""

import re
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from ingest.adapters.root import Root
from ingest.deidentify import PUBLIC_KEY, pseudonym
from ingest.disguise import Folder, HiddenFolder
from ingest.namespaces import NAMESPACES
from ingest.sample import SCHEMA_VERSION
from ingest.workspace import digest_of

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class SplitPolicy(StrEnum):
    """What becomes of an official split that shares a person: moved whole to one side, or left as published."""

    GROUPED = "grouped"
    OFFICIAL = "official"


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """One ``[[datasets]]`` table, its paths already absolute. ``options`` are the adapter's own.

    name: the value of the ``dataset`` column; unless given, the adapter's name.
    identifiable: rows and files get keyed pseudonyms; the default is the adapter's. key_file: where the key
    stands, else in the environment.

    max_samples: at most so many samples, those of lowest sample id (a hash); None: all.
    expected_rows: rows the publisher names, for ``refresh --dry-run``; changes nothing.
    """

    adapter: str
    root: Path
    name: str = ""
    max_repeats: int | None = None
    max_samples: int | None = None
    expected_rows: int | None = None
    max_bad_share: float = 0.05
    allow_absent_images: bool = False
    identifiable: bool = False
    key_file: Path | None = None
    split: SplitPolicy = SplitPolicy.GROUPED
    options: Any = None
    key: bytes = field(default=PUBLIC_KEY, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.adapter)
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name: expected lower-case letters, digits and _, a letter first, got {self.name!r}")
        if self.name != self.adapter and self.adapter in NAMESPACES:
            raise ValueError(f"name: expected none, for other data sets share people with {self.adapter}")
        if not 0 <= self.max_bad_share <= 1:
            raise ValueError(f"max_bad_share: expected 0 to 1, got {self.max_bad_share}")
        for name in ("max_repeats", "max_samples", "expected_rows"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")

    @property
    def pictures(self) -> Folder:
        """What image and mask URIs of samples/ are joined to: the option ``images``, else the root."""
        folder = self._images or self.root
        return HiddenFolder(folder, self.name, self.key) if self.identifiable else folder

    @property
    def _images(self) -> Path | None:
        return getattr(self.options, "images", None)

    def open(self, *, pixels: bool = True) -> Root:
        """What the adapter is handed."""
        return Root(
            self.root, self.name, key=self.key, pixels=pixels, identifiable=self.identifiable, images=self._images
        )  # fmt: skip

    def listed_name(self, name: str) -> str:
        """A file's name as a listing may show it: of identifiable data sets a pseudonym, for names name patients."""
        return pseudonym(self.name, name, self.key) if self.identifiable else name

    def roots(self) -> list[Path]:
        """The folder and the further files and folders that the adapter's options name."""
        return [self.root, *(path for path in vars(self.options).values() if isinstance(path, Path))]

    def settings_digest(self) -> str:
        """Digest of every setting that decides what is read from the files."""
        # Names, not places: a corpus that was moved whole is the same corpus.
        named = {name: value.name if isinstance(value, Path) else value for name, value in asdict(self.options).items()}
        settings = [
            self.adapter, self.name, self.allow_absent_images, self.max_bad_share, self.max_samples, named,
            digest_of(self.key.hex()),
        ]  # fmt: skip
        return digest_of([SCHEMA_VERSION, settings])
