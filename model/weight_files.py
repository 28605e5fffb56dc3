"""Tensors of a checkpoint on disk, one at a time: safetensors or ``.bin``, whole or sharded. Nothing is executed.

A mapping that reads a tensor when it is asked for: a network of 7 billion parameters is filled without a second copy
of it in memory (``.bin`` files are memory-mapped, safetensors are read tensor by tensor).
"""

import json
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ingest.errors import BadInput

PICKLED = (".bin", ".pt", ".pth")
READABLE = (".safetensors", *PICKLED)
INDEX_SUFFIX = ".index.json"
PREFERRED = ("model", "pytorch_model", "parity")
WRAPPERS = ("state_dict", "model", "module")
"""Keys under which trainers put the tensors beside other things."""


class StoredTensors(Mapping[str, Tensor]):
    """Name -> tensor over one or more files."""

    def __init__(self, files: list[Path]) -> None:
        self._sources: dict[str, Any] = {}
        for path in files:
            source = _open(path)
            for name in source.keys():  # noqa: SIM118 - a safetensors file has keys() and no iteration
                if name in self._sources:
                    raise BadInput(f"{path}: expected each tensor once, got {name} in two files")
                self._sources[name] = source

    def __getitem__(self, name: str) -> Tensor:
        source = self._sources[name]
        tensor: Tensor = source[name] if isinstance(source, dict) else source.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


def open_weights(path: Path) -> StoredTensors:
    """The tensors of a file, or of the one checkpoint in a folder (through its index where it is sharded).

    Raises: BadInput when there is none, a shard is missing, a file is damaged, or a pickle would run code.
    """
    return StoredTensors(weight_files(path))


def weight_files(path: Path) -> list[Path]:
    """The files of a checkpoint: the file itself, what a folder's index names, or its only readable file."""
    if path.is_file():
        return _shards(path) if path.name.endswith(INDEX_SUFFIX) else [path]
    if not path.is_dir():
        raise BadInput(f"{path}: expected a checkpoint file or a folder with one, got nothing there")
    indices = sorted(path.glob(f"*{INDEX_SUFFIX}"))
    if indices:
        return _shards(indices[-1])  # model.safetensors.index.json goes before pytorch_model.bin.index.json
    found = sorted(file for file in path.iterdir() if file.suffix in READABLE)
    named = [file for suffix in READABLE for name in PREFERRED for file in found if file.name == f"{name}{suffix}"]
    if named or len(found) == 1:
        return (named or found)[:1]
    names = ", ".join(file.name for file in found) or "none"
    raise BadInput(f"{path}: expected one file of {', '.join(READABLE)} or an index, got {names}")


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise BadInput(f"{index}: expected an index with a weight_map, got {type(error).__name__}") from error
    files = [index.parent / name for name in names]
    lost = [file.name for file in files if not file.is_file() or file.resolve().parent != index.parent.resolve()]
    if lost:
        raise BadInput(f"{index}: expected its shards beside it, got no {', '.join(lost)}")
    return files


def _open(path: Path) -> Any:
    """A safetensors handle, or a dict of memory-mapped tensors."""
    if path.suffix == ".safetensors":
        try:
            return safe_open(path, framework="pt")
        except (SafetensorError, OSError) as error:
            raise BadInput(f"{path}: expected safetensors, got {error}") from error
    if path.suffix not in PICKLED:
        raise BadInput(f"{path}: expected a file of {', '.join(READABLE)}, got {path.suffix or 'no suffix'}")
    return _tensors_in(_unpickle(path), path)


def _unpickle(path: Path) -> Any:
    """torch.load of tensors alone: any other object in the file is refused before it exists."""
    try:
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # a file from before torch 1.6 is no zip archive and cannot be mapped
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{path}: expected tensors alone, got a pickle with other objects, refused: {reason}") from error
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise BadInput(f"{path}: expected a whole file of tensors, got {type(error).__name__}: {error}") from error


def _tensors_in(content: Any, path: Path) -> dict[str, Tensor]:
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    named = isinstance(content, dict) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items()
    )
    if not named:
        raise BadInput(f"{path}: expected a mapping of names to tensors, got {type(content).__name__}")
    return dict(content)
