"""A copy in a store re-read, every byte, against the manifest here: which file differs, in what, and which samples."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from ingest.errors import BiasCareError
from shards.manifest import parse_manifest, read_manifest
from shards.mirror import INDEX, MANIFEST, for_all, strays_of, wanted_files
from shards.shard_check import named
from shards.store import Store
from shards.store_faults import FIRST_WAITS_S, told

Progress = Callable[[int, int], None]
"""Told (samples checked, samples in all)."""


def verify_mirror(folder: Path, url: str, *, progress: Progress | None = None) -> list[str]:
    """One line per way in which the copy at ``url`` is not the manifest's shards; every byte is read.

    Raises: BadInput where nothing is packed here, and for a store that is unknown, missing, out of reach or not ours.
    """
    store, manifest = Store.at(url), read_manifest(folder / MANIFEST)
    with told():
        published = Store.at(url, waits_s=FIRST_WAITS_S).read(MANIFEST)
        if published is None:
            return [f"{store.shown}: expected a whole copy of the shards, got none; run `biascarevl pack`"]
        problems = list(_manifest(published, (folder / MANIFEST).read_bytes()))
        problems += _files(store, folder, manifest, progress)
        problems += [
            f"{name}: a shard the manifest does not list" for name in strays_of(store.sizes(), wanted_files(manifest))
        ]
        return [f"{store.shown}: {problem}" for problem in problems]


def _files(store: Store, folder: Path, manifest: dict[str, Any], progress: Progress | None) -> Iterator[str]:
    wanted, lock, done = wanted_files(manifest), Lock(), 0
    num_samples = {line["path"]: line["num_samples"] for line in manifest["shards"]}

    def check(name: str) -> list[str]:
        nonlocal done
        found = list(_file(store, folder, name, wanted[name]))
        with lock:
            done += num_samples.get(name, 0)
            if progress:
                progress(done, sum(num_samples.values()))
        return found

    return itertools.chain(*for_all(sorted(wanted), check))


def _manifest(published: bytes, ours: bytes) -> Iterator[str]:
    if published == ours:
        return
    try:
        corpus = parse_manifest(published, MANIFEST)["corpus"]
    except BiasCareError as error:
        yield str(error)
        return
    yield f"{MANIFEST}: expected corpus {json.loads(ours)['corpus']}, got {corpus}: stale; run `biascarevl pack`"


def _strays(store: Store, manifest: dict[str, Any]) -> Iterator[str]:
    for name in strays_of(store.sizes(), wanted_files(manifest)):
        yield f"{name}: a shard the manifest does not list"


def _file(store: Store, folder: Path, name: str, sha256: str) -> Iterator[str]:
    """What is wrong with one file of the copy."""
    wanted_bytes, size = (folder / name).stat().st_size, store.size(name)
    if size is None:
        yield f"{name}: expected {wanted_bytes:,} bytes, got no file: missing; run `biascarevl pack`"
        return
    if size != wanted_bytes:
        how = "cut short" if size < wanted_bytes else "too long"
        yield f"{name}: expected {wanted_bytes:,} bytes, got {size:,}: {how}; run `biascarevl pack`"
        return
    got = store.sha256(name, size)
    if got == sha256:
        return
    how = "changed or stale" if name == INDEX else "changed bytes"
    yield f"{name}: expected sha256 {sha256}, got {got}: {how}; delete it there and run `biascarevl pack`"
    if name != INDEX:
        for problem in named(_changed_samples(store, folder, name), "its bytes are not those of the index"):
            yield f"{name}: {problem}"


def _changed_samples(store: Store, folder: Path, name: str) -> list[str]:
    rows: list[dict[str, Any]] = pq.read_table(folder / INDEX, filters=pc.field("shard") == name).to_pylist()
    return [
        row["sample_id"]
        for row in rows
        if xxhash.xxh3_128_hexdigest(store.read_range(name, row["offset"], row["offset"] + row["size_bytes"]))
        != row["xxh3_128"]
    ]
