"""Pickles as data: lists, dicts, texts, numbers. What could name or call anything is refused before it is read."""

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any, NoReturn

from ingest.errors import BadInput

_PLAIN = frozenset(
    {
        "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "NONE", "NEWTRUE", "NEWFALSE",
        "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
        "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
        "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "EMPTY_LIST", "APPEND", "APPENDS", "LIST",
        "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS",
        "GET", "BINGET", "LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE",
    }
)  # fmt: skip
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_FAILURES = (
    pickle.UnpicklingError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError, OverflowError,
    RecursionError, MemoryError,
)  # fmt: skip


class _DataOnly(pickle.Unpickler):
    """The second lock: even a pickle that passed the check finds no class and no persistent object."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError("a name of a class or function")

    def persistent_load(self, key: Any) -> NoReturn:
        raise pickle.UnpicklingError("a reference outside the pickle")


def load_plain_pickle(path: Path) -> Any:
    """The content of a pickle that holds nothing but data. Texts of Python 2 are taken for UTF-8.

    Raises: BadInput when it is damaged or holds any other instruction (GLOBAL, REDUCE, BUILD ...).
    """
    try:
        content = path.read_bytes()
        _check_plain(content)
        return _DataOnly(io.BytesIO(content), encoding="utf-8", errors="strict").load()
    except (*_FAILURES, OSError) as error:
        told = str(error) if isinstance(error, pickle.UnpicklingError) else type(error).__name__
        raise BadInput(f"{path}: expected a pickle of plain data, got {told}") from error


def _check_plain(content: bytes) -> None:
    """Raises: pickle.UnpicklingError at the first instruction that is not about data.

    Memo numbers are checked too: the C reader makes room for all numbers below, up to 32 GiB for four bytes.
    """
    for opcode, argument, place in pickletools.genops(content):
        if opcode.name not in _PLAIN:
            raise pickle.UnpicklingError(f"the instruction {opcode.name} at {place}")
        if opcode.name in _PUTS and not 0 <= int(argument or 0) <= len(content):
            raise pickle.UnpicklingError(f"a memo number out of range at {place}")
