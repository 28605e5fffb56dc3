"""A copy killed with SIGKILL while it is sent, by a file system that takes its time.

Each story ends the same way: the copy that stood is whole or withdrawn, never mixed; the next run sends only what is
not there yet, and leaves nothing behind but the copy.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ingest.errors import BiasCareError
from ingest.workspace import Workspace
from shards.manifest import read_manifest
from shards.mirror import MANIFEST, SENDING, mirror
from shards.mirror_check import verify_mirror
from shards.pack import pack
from shards.recipe import ShardsConfig
from shards.store import Store

CHILD = """
import sys
import time
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from shards.mirror import mirror
from shards.store import Store

def put_file(system, source, target, **settings):
    with open(source, "rb") as reader, open(target, "wb", buffering=0) as writer:
        while piece := reader.read(20_000):
            time.sleep(0.005)
            writer.write(piece)

def move(store, name, to, move=Store.move):
    time.sleep(0.1)
    move(store, name, to)

LocalFileSystem.put_file, Store.move = put_file, move
print("go", flush=True)
mirror(Path(sys.argv[1]), sys.argv[2])
"""


@pytest.fixture(scope="module")
def corpora(refreshed, tmp_path_factory):
    """Two packs of the same samples with the same names of shards and other bytes."""
    folders = []
    for quality in (92, 60):
        workspace = Workspace(tmp_path_factory.mktemp("corpus"))
        workspace.samples.symlink_to(refreshed.workspace.samples)
        roots = {dataset.name: dataset.root for dataset in refreshed.datasets}
        config = ShardsConfig(image_side_px=64, samples_per_shard=40, jpeg_quality=quality)
        pack(workspace, roots, config, samples_version=0)
        folders.append(workspace.shards)
    return folders


def killed(folder: Path, url: str, *, after_s: float) -> bool:
    """Whether a child that copies was still at it when it was killed."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), url], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert child.stdout is not None and child.stdout.readline() == b"go\n"
    time.sleep(after_s)
    child.send_signal(signal.SIGKILL)
    child.stdout.close()
    return child.wait() == -signal.SIGKILL


def survive(old: Path, new: Path, place: Path, *, after_s: float) -> str:
    """Kill the copy of ``new`` over ``old``; check what stands then and after another run; what stood."""
    url = f"file://{place}"
    mirror(old, url)
    if not killed(new, url, after_s=after_s):
        assert verify_mirror(new, url) == []
        return "finished"
    standing = (place / MANIFEST).read_bytes() if (place / MANIFEST).exists() else None
    if standing is not None:
        whole = old if standing == (old / MANIFEST).read_bytes() else new
        assert verify_mirror(whole, url) == []
    sizes = {line["sha256"]: line["size_bytes"] for line in read_manifest(new / MANIFEST)["shards"]}
    there = Store.at(url).sizes()
    sent = {
        name for name, size in there.items()
        if name.startswith(SENDING) and size == sizes.get(name.removeprefix(f"{SENDING}/").partition("-")[0])
    }  # fmt: skip
    num_sent = mirror(new, url)
    if standing == (old / MANIFEST).read_bytes():
        assert num_sent == len(sizes) - len(sent)
    else:
        assert num_sent == 0
    assert verify_mirror(new, url) == []
    assert {path.name for path in place.rglob("*") if path.is_file()} == {p.name for p in new.rglob("*.*")}
    assert not (place / SENDING).exists()
    if standing is None:
        return "withdrawn"
    return "the old one" if whole is old else "the new one"


def test_a_copy_killed_at_some_moments_is_whole_or_withdrawn_and_completes(corpora, tmp_path):
    old, new = corpora
    stood = [survive(old, new, tmp_path / str(n), after_s=after_s) for n, after_s in enumerate((0.05, 0.3))]
    assert "the old one" in stood


@pytest.mark.soak
def test_a_copy_killed_at_twenty_random_moments(corpora, tmp_path):
    old, new = corpora
    moments = np.random.default_rng(5).uniform(0, 0.9, 20)
    stood = [survive(old, new, tmp_path / str(n), after_s=after_s) for n, after_s in enumerate(moments)]
    print({what: stood.count(what) for what in sorted(set(stood))})  # noqa: T201  the counts are the result
    assert {"the old one", "withdrawn"} <= set(stood)


def test_two_corpora_differ_in_every_shard(corpora):
    old, new = ({line["path"]: line["sha256"] for line in read_manifest(f / MANIFEST)["shards"]} for f in corpora)
    assert old.keys() == new.keys() and not set(old.values()) & set(new.values())
    with pytest.raises(BiasCareError, match="expected packed shards"):
        mirror(corpora[0] / "nowhere", "memory://nowhere")
