"""MIMIC-CXR's reports: one text per study, loose or in the published archive, and the section that is read.

The impression, else the findings, else the last paragraph (83, 12 and 5 % of the reports). Addenda stand on top,
behind a line of underscores each. The marks ``___`` of the publisher's de-identification stay as they are.
"""

import contextlib
import re
import zipfile
import zlib
from pathlib import Path

from ingest.adapters.root import Root
from ingest.errors import BadInput

ARCHIVE = "mimic-cxr-reports.zip"
MAX_REPORT_BYTES = 2**20
_HEADING = re.compile(r"^[ \t]*([A-Z][A-Z &/(),-]{2,60}):", re.MULTILINE)
_ADDENDUM_LINE = re.compile(r"^[ \t]*_{10,}[ \t]*$", re.MULTILINE)
_PARAGRAPHS = re.compile(r"\n[ \t]*\n")
_READ_ERRORS = (
    OSError, KeyError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError,
)  # fmt: skip
_WANTED = ("IMPRESSION", "FINDINGS")


class Reports:
    """The reports under a folder (files/p10/p10000032/s50414267.txt), or in an archive of such a folder."""

    def __init__(self, source: Path) -> None:
        archive = source if source.is_file() else source / ARCHIVE
        self._folder = Root(archive.parent, "mimic-cxr-reports")
        self._archive: zipfile.ZipFile | None = None
        if archive.is_file():
            try:
                self._archive = zipfile.ZipFile(self._folder.resolve(archive.name))
            except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
                raise BadInput(f"{archive}: expected a zip archive of reports, got {type(error).__name__}") from error

    def read(self, subject_id: str, study_id: str) -> str | None:
        """The whole report of a study; None where there is none, or none that can be read."""
        name = f"files/p{subject_id[:2]}/p{subject_id}/s{study_id}.txt"
        with contextlib.suppress(*_READ_ERRORS):
            return self._bytes_of(name).decode("utf-8", "replace")
        return None

    def _bytes_of(self, name: str) -> bytes:
        if self._archive is not None:
            with self._archive.open(name) as file:
                return file.read(MAX_REPORT_BYTES)
        with self._folder.resolve(name).open("rb") as file:
            return file.read(MAX_REPORT_BYTES)


def section_of(report: str) -> tuple[str, str] | None:
    """(Name, text) of the section that is read; None for a report without a word."""
    body = _ADDENDUM_LINE.split(report)[-1]
    headings = list(_HEADING.finditer(body))
    ends = [*(heading.start() for heading in headings), len(body)][1:]
    sections = {
        heading.group(1).strip(): _one_line(body[heading.end() : end])
        for heading, end in zip(headings, ends, strict=False)
    }
    for wanted in _WANTED:
        for name, text in sections.items():
            if wanted in name and text:
                return wanted.lower(), text
    paragraphs = [text for text in map(_one_line, _PARAGRAPHS.split(body)) if text]
    return ("last_paragraph", paragraphs[-1]) if paragraphs else None


def _one_line(text: str) -> str:
    return " ".join(text.split())
