"""A copy of the packed shards in a folder or any fsspec store (``s3://``, ``gs://``, ``memory://`` ...).

An object store cannot swap folders. So everything that differs is first sent beside the copy that stands there,
under ``.sending``, and that copy stays as it is however the sending ends. Then it is withdrawn (its manifest goes),
the sent files move to their names, and the manifest comes last: a reader finds a whole copy or none, and none only
while files move inside the store. What was sent is named after its digest: an interrupted copy goes on from what is
there, and sends nothing twice.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock
from typing import Any, TypeVar

from ingest.errors import BadInput, BiasCareError
from shards.manifest import parse_manifest, read_manifest
from shards.store import Store
from shards.store_faults import FIRST_WAITS_S, told

NUM_THREADS = 4
INDEX, MANIFEST, SENDING = "index.parquet", "manifest.json", ".sending"
MOVING = f"{SENDING}/moving.json"
"""What lay at its name when files began to move: {name: sha256}; and what moves to its name: {name: sha256}."""

Progress = Callable[[int, int], None]
"""Told (samples sent, samples to send)."""

T = TypeVar("T")


def mirror(folder: Path, url: str, *, progress: Progress | None = None) -> int:
    """Make ``url`` hold what ``folder`` holds; the number of shards sent.

    Raises: BadInput for a store that is unknown, missing, out of reach or not ours to write; BiasCareError where it
    fails on the way.
    """
    published = published_at(url)
    store = Store.at(url)
    with told():
        num_sent = _replace(store, published, folder, progress)
        store.forget_broken_uploads()
        store.remove_folder(SENDING)
        return num_sent


def published_at(url: str) -> bytes | None:
    """The manifest that stands there. Raises: BadInput for a store that ``mirror`` could not fill."""
    store = Store.at(url, waits_s=FIRST_WAITS_S)
    if not store.can_be_written:
        raise BadInput(f"{store.shown}: expected a store that can be written to, got {store.protocol}://: read only")
    with told():
        return store.read(MANIFEST)


def wanted_files(manifest: dict[str, Any]) -> dict[str, str]:
    """sha256 of every file a copy holds besides the manifest."""
    return {line["path"]: line["sha256"] for line in manifest["shards"]} | {INDEX: manifest["index_sha256"]}


def strays_of(there: Iterable[str], wanted: Mapping[str, str]) -> list[str]:
    """The tars that a manifest does not list."""
    return sorted(n for n in there if n.endswith(".tar") and n not in wanted and not n.startswith(f"{SENDING}/"))


def for_all(names: Iterable[str], act: Callable[[str], T]) -> list[T]:
    """What ``act`` gives for every name, NUM_THREADS at a time. The first error ends it; no other is started then."""
    failed = Event()

    def unless_failed(name: str) -> T:
        if failed.is_set():
            raise CancelledError  # told to nobody: the error stands earlier in the list
        try:
            return act(name)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(NUM_THREADS) as threads:
        return list(threads.map(unless_failed, names))


def _replace(store: Store, published: bytes | None, folder: Path, progress: Progress | None) -> int:
    manifest, there = read_manifest(folder / MANIFEST), store.sizes()
    wanted = wanted_files(manifest)
    size_of = {name: (folder / name).stat().st_size for name in wanted}
    at_name = _at_name(store, published, there)
    kept = {n: digest for n, digest in wanted.items() if (at_name.get(n), there.get(n)) == (digest, size_of[n])}
    moving = {name: digest for name, digest in wanted.items() if name not in kept}
    strays = strays_of(there, wanted)
    if not moving and not strays and published == (folder / MANIFEST).read_bytes():
        return 0
    missing = {n: _beside(n, digest) for n, digest in moving.items() if there.get(_beside(n, digest)) != size_of[n]}
    num_samples = {line["path"]: line["num_samples"] for line in manifest["shards"] if line["path"] in missing}
    _send(store, folder, missing, num_samples, progress)
    store.send(folder / MANIFEST, f"{SENDING}/{MANIFEST}")
    store.write(MOVING, json.dumps({"kept": kept, "moving": moving}).encode())
    store.remove(MANIFEST)
    for_all(moving, lambda name: store.move(_beside(name, moving[name]), name))
    for_all(strays, store.remove)
    store.move(f"{SENDING}/{MANIFEST}", MANIFEST)
    return len(missing.keys() - {INDEX})


def _beside(name: str, sha256: str) -> str:
    """Where a file is sent before it takes its place; equal names hold equal bytes."""
    return f"{SENDING}/{sha256}-{name.replace('/', '-')}"


def _at_name(store: Store, published: bytes | None, there: Mapping[str, int]) -> dict[str, str]:
    """sha256 of files that the store holds under their names: by its manifest, else by the note of what moved."""
    if published is not None:
        with contextlib.suppress(BiasCareError):
            return wanted_files(parse_manifest(published, MANIFEST))
    elif (note := store.read(MOVING)) is not None:
        with contextlib.suppress(ValueError):
            noted = json.loads(note)
            moved = {n: digest for n, digest in noted["moving"].items() if _beside(n, digest) not in there}
            return {**noted["kept"], **moved}
    return {}


def _send(
    store: Store,
    folder: Path,
    targets: Mapping[str, str],
    num_samples: Mapping[str, int],
    progress: Progress | None,
) -> None:
    lock, done, total = Lock(), 0, sum(num_samples.values())

    def send(name: str) -> None:
        nonlocal done
        store.send(folder / name, targets[name])
        with lock:
            done += num_samples.get(name, 0)
            if progress:
                progress(done, total)

    for_all(targets, send)
