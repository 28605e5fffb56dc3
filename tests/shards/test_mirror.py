import json

import fsspec
import pyarrow.parquet as pq
import pytest

from ingest.errors import BadInput
from ingest.workspace import Workspace, write_json
from shards.manifest import manifest_of
from shards.mirror import MOVING, SENDING, mirror
from shards.mirror_check import verify_mirror
from shards.pack import pack
from shards.store import Store


@pytest.fixture(params=["memory", "folder", "file"])
def url(request, tmp_path):
    yield {"memory": "memory://corpus/v1", "folder": str(tmp_path / "copy"), "file": f"file://{tmp_path}/copy"}[
        request.param
    ]
    if request.param == "memory":
        fsspec.filesystem("memory").store.clear()


@pytest.fixture
def shards(refreshed):
    return refreshed.workspace.shards


def num_shards(folder):
    return len(list(folder.rglob("*.tar")))


def test_a_copy_holds_the_same_bytes_and_is_sent_once(shards, url):
    assert mirror(shards, url) == num_shards(shards)
    assert verify_mirror(shards, url) == []
    store = Store.at(url)
    assert store.read("index.parquet") == (shards / "index.parquet").read_bytes()
    assert mirror(shards, url) == 0


def test_progress_counts_the_samples_sent(shards, url):
    told = []
    mirror(shards, url, progress=lambda done, total: told.append((done, total)))
    total = pq.read_metadata(shards / "index.parquet").num_rows
    assert told[-1] == (total, total) and sorted(told) == told


def test_only_what_differs_is_sent_and_strays_go(corpus_copy, shards, url):
    mirror(shards, url)
    from flows.config import load_config

    config = load_config(corpus_copy / "demo.toml")
    roots = {dataset.name: dataset.root for dataset in config.datasets if dataset.name != "vqa_rad"}
    without_vqa_rad(config.workspace)
    pack(config.workspace, roots, config.shards, samples_version=1)
    assert mirror(config.workspace.shards, url) == 0
    assert verify_mirror(config.workspace.shards, url) == []
    assert not any(path.startswith("vqa_rad") for path in tars(Store.at(url)))


def without_vqa_rad(workspace):
    from deltalake import DeltaTable

    DeltaTable(workspace.samples).delete("dataset = 'vqa_rad'")


def tars(store):
    return {name for name in store.sizes() if name.endswith(".tar")}


def test_an_interrupted_copy_shows_no_manifest_and_goes_on(shards, url):
    told = []

    def stop(done, total):
        told.append(done)
        if len(told) >= 3:
            raise OSError("line cut")

    with pytest.raises(OSError, match="line cut"):
        mirror(shards, url, progress=stop)
    store = Store.at(url)
    sent = [name for name in store.sizes() if name.startswith(f"{SENDING}/") and name.endswith(".tar")]
    assert store.read("manifest.json") is None and 1 <= len(sent) < num_shards(shards)
    assert verify_mirror(shards, url) == [
        f"{url}: expected a whole copy of the shards, got none; run `biascarevl pack`"
    ]
    assert mirror(shards, url) == num_shards(shards) - len(sent)
    assert verify_mirror(shards, url) == []
    assert not any(name.startswith(SENDING) for name in store.sizes())


def test_a_copy_cut_off_while_files_moved_is_completed_without_sending(shards, url, monkeypatch):
    moved = []

    def move(store, name, to, move=Store.move):
        if len(moved) == 3:
            raise KeyboardInterrupt
        moved.append(to)
        move(store, name, to)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "move", move)
        with pytest.raises(KeyboardInterrupt):
            mirror(shards, url)
    assert Store.at(url).read("manifest.json") is None and Store.at(url).read(MOVING) is not None
    assert mirror(shards, url) == 0
    assert verify_mirror(shards, url) == []


def damaged_copy(shards, url):
    """A store, and the names of: a shard with a flipped byte, one cut short, one gone, one that does not belong."""
    mirror(shards, url)
    store = Store.at(url)
    flipped, short, gone = sorted(tars(store))[:3]
    content = bytearray(store.read(flipped))
    content[600] ^= 1
    store.write(flipped, bytes(content))
    store.write(short, store.read(short)[:5000])
    store.remove(gone)
    store.write("stray.tar", b"")
    return store, flipped, short, gone


def test_damage_in_a_copy_is_told_by_name_and_kind(shards, url):
    store, flipped, short, gone = damaged_copy(shards, url)
    first = next(row for row in pq.read_table(shards / "index.parquet").to_pylist() if row["shard"] == flipped)
    store.write("index.parquet", store.read("index.parquet")[::-1])
    said = dict(problem.removeprefix(f"{url}: ").split(": ", 1) for problem in reversed(verify_mirror(shards, url)))
    assert set(said) == {flipped, short, gone, "stray.tar", "index.parquet"}
    assert "changed bytes; delete it there" in said[flipped]
    assert f"{url}: {flipped}: sample {first['sample_id']}: its bytes are not those of the index" in verify_mirror(
        shards, url
    )
    assert "got 5,000: cut short" in said[short]
    assert "got no file: missing" in said[gone]
    assert "changed or stale" in said["index.parquet"]
    assert "does not list" in said["stray.tar"]


def test_packing_again_mends_what_is_gone_or_cut_short(shards, url):
    store, flipped, _, _ = damaged_copy(shards, url)
    store.remove(flipped)
    assert mirror(shards, url) == 3
    assert verify_mirror(shards, url) == []


def test_an_older_copy_is_told_as_stale(shards, url, corpus_copy):
    mirror(shards, url)
    manifest = json.loads((shards / "manifest.json").read_text())
    newer = manifest_of(
        manifest["shards"][1:], recipe=manifest["recipe"], samples_version=1, index_sha256=manifest["index_sha256"]
    )
    write_json(corpus_copy / "work" / "shards" / "manifest.json", newer)
    stale, stray = verify_mirror(corpus_copy / "work" / "shards", url)
    assert f"expected corpus {newer['corpus']}, got {manifest['corpus']}: stale" in stale
    assert stray == f"{url}: {manifest['shards'][0]['path']}: a shard the manifest does not list"


def test_an_unknown_store_is_refused(shards):
    with pytest.raises(BadInput, match="expected a folder or an fsspec URL, got 'nowhere://x'"):
        mirror(shards, "nowhere://x")


def test_the_configured_store_is_filled_by_pack_and_relative_to_the_configuration(corpus_copy):
    from flows.config import load_config

    text = (corpus_copy / "demo.toml").read_text().replace("[shards]", '[shards]\nstore = "copy"')
    (corpus_copy / "demo.toml").write_text(text)
    config = load_config(corpus_copy / "demo.toml")
    roots = {dataset.name: dataset.root for dataset in config.datasets}
    pack(config.workspace, roots, config.shards, samples_version=0)
    assert (corpus_copy / "copy" / "manifest.json").read_bytes() == config.workspace.manifest.read_bytes()
    with pytest.raises(BadInput):
        verify_mirror(Workspace(corpus_copy / "nowhere").shards, str(corpus_copy / "copy"))
