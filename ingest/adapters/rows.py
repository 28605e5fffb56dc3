"""Tables read row by row, however large: CSV, a JSON array, Parquet. A broken file is one clear BadInput."""

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.adapters.folders import stays_in_its_folder
from ingest.errors import BadInput

_CHARACTERS_PER_READ = 1 << 20
MAX_ROW_CHARACTERS = 1 << 24
"""A JSON element longer than this is taken for a damaged file: memory stays bounded."""
_DECODER = json.JSONDecoder()
_NOT_BLANK = re.compile(r"[^ \t\r\n]")
_BYTES_OF_A_HEADER = 1 << 14
_PARQUET_ROWS_PER_BATCH = 4096
_PARQUET_ERRORS = (pa.ArrowException, OSError, RuntimeError, ValueError, MemoryError)
_READ_ERRORS = (UnicodeDecodeError, OSError, EOFError, zlib.error)


def open_text(path: Path) -> IO[str]:
    """A text file in UTF-8, with or without a byte-order mark; unpacked where its name ends in .gz."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def read_csv(
    path: Path, *, columns: Sequence[str] = (), delimiter: str = ","
) -> Iterator[tuple[int, dict[str, str] | None]]:
    """The rows of a CSV file as (line number, header being line 1; row by column, None when it is ragged).

    Raises: BadInput when the file is absent, not UTF-8 CSV, or its header does not hold each of ``columns`` once.
    """
    try:
        with open_text(path) as file:
            reader = csv.reader(file, delimiter=delimiter)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header, columns)
            for row in reader:
                if row:
                    whole = len(row) == len(header)
                    yield reader.line_num, dict(zip(header, row, strict=True)) if whole else None
    except (*_READ_ERRORS, csv.Error) as error:
        raise BadInput(f"{path}: expected CSV in UTF-8, got {_told(error)}") from error


def _check_header(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in header]
    if missing:
        raise BadInput(f"{path}: expected the columns {', '.join(missing)}, got {', '.join(header)[:200]}")
    twice = [name for name in columns if header.count(name) > 1]
    if twice:
        raise BadInput(f"{path}: expected each column once, got {', '.join(twice)} more than once")


def csv_has_columns(path: Path, columns: Sequence[str]) -> bool:
    """Whether ``path`` is a CSV file whose header holds ``columns``; only its first line is read."""
    try:
        if not stays_in_its_folder(path):
            return False
        with path.open("rb") as file:
            header = file.readline(_BYTES_OF_A_HEADER).decode("utf-8-sig", "replace")
    except (OSError, RuntimeError):  # RuntimeError: a loop of links
        return False
    return set(columns) <= {name.strip().strip('"') for name in header.split(",")}


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers from 1. Raises: BadInput as ``read_csv``."""
    try:
        with open_text(path) as file:
            for number, line in enumerate(file, start=1):
                if not line.isspace():
                    yield number, line.rstrip("\r\n")
    except _READ_ERRORS as error:
        raise BadInput(f"{path}: expected text in UTF-8, got {_told(error)}") from error


def read_json_array(path: Path) -> Iterator[tuple[int, Any]]:
    """The elements of a file that is one JSON array, as (number from 1, value), a piece of the file at a time.

    The standard decoder runs over a window of the text that grows only for an element longer than it: a nesting
    a hundred thousand deep is an error here, where an event parser that spells out its path runs out of memory.
    Raises: BadInput when the file is no array in UTF-8, or breaks off: the elements before that were yielded.
    """
    number = 0
    try:
        with open_text(path) as file:
            for value in _elements(_Window(file)):
                number += 1
                yield number, value
    except (*_READ_ERRORS, ValueError, RecursionError) as error:
        raise BadInput(f"{path}, element {number + 1}: expected a JSON array in UTF-8, got {_told(error)}") from error


class _Window:
    """A stretch of a text file, and the place in it of what comes next."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.text, self.at = "", 0

    def read_on(self) -> bool:
        """Drop what was passed and read on, at least as much again as is left; False at the end of the file."""
        left = len(self.text) - self.at
        more = self._file.read(max(_CHARACTERS_PER_READ, left)) if left <= MAX_ROW_CHARACTERS else ""
        self.text, self.at = self.text[self.at :] + more, 0
        return bool(more)

    def peek(self) -> str:
        """The next character that is no blank, where the window then stands; "" at the end of the file."""
        while True:
            match = _NOT_BLANK.search(self.text, self.at)
            self.at = match.start() if match else len(self.text)
            if match or not self.read_on():
                return self.text[self.at : self.at + 1]

    def take(self, expected: str) -> str:
        """Pass the next character, one of ``expected``. Raises: ValueError when it is another."""
        character = self.peek()
        if not character or character not in expected:
            raise ValueError(f"{'something else' if character else 'the end of the file'} where {expected} was due")
        self.at += 1
        return character


def whole_json(text: str) -> Any:
    """The value of a JSON text. Raises: ValueError, RecursionError."""
    return _without_lone_surrogates(json.loads(text), text, 0, len(text))


def _elements(window: _Window) -> Iterator[Any]:
    window.take("[")
    closed = window.peek() == "]"
    if closed:
        window.take("]")
    while not closed:
        window.peek()
        value, end = _decode(window)
        start, window.at = window.at, end
        yield _without_lone_surrogates(value, window.text, start, end)
        closed = window.take(",]") == "]"
    if window.peek():
        raise ValueError("more text behind the array")


def _decode(window: _Window) -> tuple[Any, int]:
    """The value at the window and where it ends. One that reaches the window's end may go on behind it."""
    while True:
        try:
            value, end = _DECODER.raw_decode(window.text, window.at)
        except (ValueError, RecursionError):
            if not window.read_on():
                raise
        else:
            if end < len(window.text) or not window.read_on():
                return value, end


def _without_lone_surrogates(value: Any, text: str, start: int, end: int) -> Any:
    r"""``value`` with "?" for half a surrogate pair ("\ud800" alone), which no UTF-8 file can hold."""
    if text.find("\\ud", start, end) < 0 and text.find("\\uD", start, end) < 0:
        return value
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def read_parquet(path: Path, *, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a Parquet file as (number from 0, row by column), only ``columns`` read ("a.b": field b of a).

    Raises: BadInput when the file is absent, damaged, or lacks one of ``columns``.
    """
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            known = _leaves_of(file)
            missing = [name for name in columns if not _stands_in(name, known)]
            if missing:
                got = ", ".join(sorted(known))[:200]
                raise BadInput(f"{path}: expected the columns {', '.join(missing)}, got {got}")
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS_PER_BATCH, columns=list(columns)):
                for row in batch.to_pylist():
                    yield number, row
                    number += 1
    except BadInput:
        raise
    except _PARQUET_ERRORS as error:
        raise BadInput(f"{path}, row {number}: expected a whole Parquet file, got {type(error).__name__}") from error


def parquet_has_columns(path: Path, columns: Sequence[str]) -> bool:
    """Whether ``path`` is a Parquet file that holds ``columns``; only its footer is read."""
    try:
        if not stays_in_its_folder(path):
            return False
        with pq.ParquetFile(path) as file:
            known = _leaves_of(file)
    except _PARQUET_ERRORS:
        return False
    return all(_stands_in(name, known) for name in columns)


def _leaves_of(file: pq.ParquetFile) -> set[str]:
    return {file.schema.column(index).path for index in range(len(file.schema.names))}


def _stands_in(name: str, leaves: set[str]) -> bool:
    return any(f"{leaf}.".startswith(f"{name}.") for leaf in leaves)


def _told(error: BaseException) -> str:
    """What went wrong, without a word of the file's content."""
    if isinstance(error, UnicodeDecodeError):
        return f"other bytes at {error.start}"
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    if isinstance(error, OSError | RecursionError):
        return type(error).__name__
    return (str(error).splitlines() or [type(error).__name__])[0]
