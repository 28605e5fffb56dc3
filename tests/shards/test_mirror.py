import fsspec
import pytest

from ingest.errors import BadInput, BiasCareError
from ingest.workspace import Workspace
from shards.mirror import SENDING, Store, mirror, verify_mirror
from shards.pack import pack


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


def test_only_what_differs_is_sent_and_strays_go(corpus_copy, shards, url):
    mirror(shards, url)
    from flows.config import load_config

    config = load_config(corpus_copy / "demo.toml")
    roots = {dataset.name: dataset.root for dataset in config.datasets if dataset.name != "vqa_rad"}
    without_vqa_rad(config.workspace)
    pack(config.workspace, roots, config.shards, samples_version=1)
    assert mirror(config.workspace.shards, url) == 0
    assert verify_mirror(config.workspace.shards, url) == []
    assert not any(path.startswith("vqa_rad") for path in Store.at(url).shards())


def without_vqa_rad(workspace):
    from deltalake import DeltaTable

    DeltaTable(workspace.samples).delete("dataset = 'vqa_rad'")


def test_an_interrupted_copy_shows_no_manifest_and_goes_on(shards, url):
    def stop(done, total):
        if done == 3:
            raise OSError("line cut")

    with pytest.raises(BiasCareError, match="line cut; run it again"):
        mirror(shards, url, progress=stop)
    store = Store.at(url)
    assert store.read("manifest.json") is None and len(store.shards()) == 3
    assert verify_mirror(shards, url) == [
        f"{url}: expected a whole copy of the shards, got none; run `biascarevl pack`"
    ]
    assert mirror(shards, url) == num_shards(shards) - 3
    assert verify_mirror(shards, url) == [] and store.read(SENDING) is None


def test_damage_in_a_copy_is_told_by_name(shards, url):
    mirror(shards, url)
    store = Store.at(url)
    first, second = sorted(store.shards())[:2]
    content = bytearray(store.read(first))
    content[600] ^= 1
    store.write(first, bytes(content))
    store.remove(second)
    store.write("stray.tar", b"")
    problems = verify_mirror(shards, url)
    assert len(problems) == 3
    for name, problem in zip((first, second, "stray.tar"), problems, strict=True):
        assert name in problem


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
