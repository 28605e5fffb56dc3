"""TOML tables as checked dataclasses: a wrong key, type or value is one line naming file, key, expected, got."""

import dataclasses
import json
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ingest.errors import BadInput


def read_toml(source: Path) -> dict[str, Any]:
    if not source.is_file():
        raise BadInput(f"{source}: expected a configuration file, got none")
    try:
        return tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{source}: expected TOML, got {error}") from error


def table_of(values: Any, kind: type[Any], source: Path, where: str) -> Any:
    """``values`` as the dataclass ``kind``; unknown keys, wrong types and its own checks are one clear line."""
    if not isinstance(values, dict):
        raise BadInput(f"{source}: key {where}: expected a table, got {values!r}")
    _check_fields(values, kind, source, where)
    try:
        # Strict and as JSON: "20" is no number, but a string may name an enum's value or a path.
        return TypeAdapter(kind).validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        raise BadInput(_first_problem(error, source, where)) from error


def value_of(value: Any, kind: type[Any], source: Path, where: str) -> Any:
    if type(value) is not kind:
        raise BadInput(f"{source}: key {where}: expected {kind.__name__}, got {value!r}")
    return value


def _check_fields(values: dict[str, Any], kind: type[Any], source: Path, where: str) -> None:
    """Refuse keys that ``kind``, or a dataclass inside it, does not have."""
    fields = {f.name: f.type for f in dataclasses.fields(kind)}
    check_keys(values, tuple(fields), source, where)
    hints = typing.get_type_hints(kind)
    for name, value in values.items():
        inner = _inner_dataclass(hints[name])
        if inner and isinstance(value, dict):
            for key, entry in value.items():
                if isinstance(entry, dict):
                    _check_fields(entry, inner, source, f"{where}.{name}.{key}")


def _inner_dataclass(hint: Any) -> type[Any] | None:
    """The dataclass of ``dict[str, Dataclass]``, else None."""
    if isinstance(hint, types.GenericAlias) and typing.get_origin(hint) is dict:
        value = typing.get_args(hint)[1]
        return value if dataclasses.is_dataclass(value) and isinstance(value, type) else None
    return None


def check_keys(values: dict[str, Any], known: tuple[str, ...], source: Path, where: str) -> None:
    for key in values:
        if key not in known:
            path = f"{where}.{key}" if where else key
            raise BadInput(f"{source}: key {path}: expected one of {', '.join(known)}, got an unknown key")


def _first_problem(error: ValidationError, source: Path, where: str) -> str:
    """The first problem as one line. Positions that name a branch of a union say nothing to a reader."""
    problem = error.errors(include_url=False)[0]
    parts = [str(part) for part in problem["loc"] if str(part).isidentifier()]
    path = ".".join([where, *parts])
    message = problem["msg"].removeprefix("Value error, ")
    key, says, rest = message.partition(": expected")
    if says and all(part.isidentifier() for part in key.split(".")):  # a check that names its own key
        path, message = (key if key.startswith(f"{where}.") else f"{path}.{key}"), f"expected{rest}"
    if problem["type"] in ("value_error", "missing"):
        return f"{source}: key {path}: {message}"
    return f"{source}: key {path}: expected {message.removeprefix('Input should be ')}, got {problem['input']!r}"
