"""Shards read over HTTP from a server on this machine, which fails as often as a test tells it to."""

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("aiohttp", reason="http:// needs aiohttp (extra `http`)")

from benchmarks._slow_server import serving
from ingest.errors import BadInput, BiasCareError
from ingest.workspace import Workspace
from shards import block_cache, store_faults
from shards.load import LoadConfig, open_shards
from shards.mirror import mirror
from shards.mirror_check import verify_mirror
from shards.store import Store


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(store_faults, "WAITS_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(block_cache, "BLOCK_BYTES", 60_000)


@pytest.fixture
def server(refreshed):
    with serving(refreshed.workspace.shards) as server:
        yield server


@pytest.fixture
def bare(refreshed, tmp_path):
    """The workspace of a machine that holds no shards, only their index and the weights."""
    workspace = Workspace(tmp_path / "bare")
    workspace.shards.mkdir(parents=True)
    for name in ("weights", "shards/index.parquet"):
        (workspace.root / name).symlink_to(refreshed.workspace.root / name)
    return workspace


def opened(workspace, **changes):
    config = LoadConfig(**{"batch_size": 8, "num_epochs": 1, "seed": 3} | changes)
    return open_shards(workspace, split="train", encode=sample_id, collate=list, config=config)


def sample_id(record, generator):
    return record.fields["sample_id"], len(record.images)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_epoch_over_http_is_the_one_from_the_disk(refreshed, bare, server, num_workers):
    there = list(opened(bare, store=server.url, num_workers=num_workers))
    assert there == list(opened(refreshed.workspace))
    largest = max(path.stat().st_size for path in refreshed.workspace.shards.rglob("*.tar"))
    assert largest > 60_000  # so that ranges of it were read, never the whole


def test_a_signature_goes_with_every_request_and_is_told_nowhere(bare, server, caplog):
    signed = f"{server.url}?X-Amz-Signature=c0ffee"
    with caplog.at_level(logging.INFO):
        list(opened(bare, store=signed))
        assert all(path.endswith(".tar?X-Amz-Signature=c0ffee") for path in server.paths)
        server.failures = ["403"] * 1000
        with pytest.raises(BadInput) as refused:
            opened(bare, store=signed)
    assert str(refused.value).startswith(f"{server.url}/imed361m/")
    assert str(refused.value).endswith(".tar: expected leave to use it, got refused (HTTP status 403)")
    assert "c0ffee" not in caplog.text and refused.value.__cause__ is None


@pytest.mark.parametrize("failure", ["reset", "503", "429", "short", "cut"])
def test_faults_that_pass_are_tried_again(refreshed, bare, server, failure):
    loader = opened(bare, store=server.url)
    server.failures = [failure] * 3
    assert list(loader) == list(opened(refreshed.workspace))
    assert not server.failures


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        ("reset", "ServerDisconnected"),
        ("503", "HTTP status 503"),
        ("short", "expected 60,000 bytes from byte [0-9,]+, got 30,000"),
    ],
)
def test_beyond_the_budget_the_sample_is_named(bare, server, failure, says):
    loader = opened(bare, store=server.url)
    server.failures = [failure] * 10_000
    named = rf"dataset \w+, shard \S+\.tar, key and sample id [0-9a-f]{{32}}: .*{server.url}/\S+\.tar.*{says}"
    with pytest.raises(BiasCareError, match=named) as stopped:
        next(iter(loader))
    assert "\n" not in str(stopped.value)


def test_a_shard_that_goes_while_it_is_read_is_named(corpus_copy, bare):
    shards = corpus_copy / "work" / "shards"
    with serving(shards) as server:
        loader = opened(bare, store=server.url)
        for path in shards.rglob("*.tar"):
            path.unlink()
        with pytest.raises(BiasCareError, match=r"key and sample id \w+: .*\.tar: expected a file, got none"):
            next(iter(loader))


def test_a_server_without_ranges_is_told_at_once(bare, server):
    server.gives_ranges = False
    with pytest.raises(BiasCareError, match=r"expected a server that gives ranges of a file, got [0-9,]+ bytes"):
        opened(bare, store=server.url)
    assert len(server.paths) == 1


def test_a_copy_over_http_is_verified_and_never_written(refreshed, server, corpus_copy):
    shards = refreshed.workspace.shards
    assert verify_mirror(shards, server.url) == []
    with pytest.raises(BadInput, match="got http://: read only"):
        mirror(shards, server.url)
    other = corpus_copy / "work" / "shards"
    first = min(other.rglob("*.tar"))
    first.write_bytes(first.read_bytes()[:-512])
    with serving(other) as damaged:
        (problem,) = verify_mirror(shards, damaged.url)
    assert problem.startswith(f"{damaged.url}: {first.relative_to(other)}: expected") and "cut short" in problem


def test_an_unreachable_host_is_bad_input_in_one_line(bare):
    with pytest.raises(BadInput, match=r"http://127.0.0.1:9/.*expected to reach the store, got no connection") as told:
        opened(bare, store="http://someone:secret@127.0.0.1:9")
    assert "secret" not in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://me:pw@host/a/b?sig=1#x now", "at https://host/a/b now"),
        ("url='http://h/p?X-Amz-Credential=AKIA%2F'", "url='http://h/p'"),
        ("two\nlines  of https://h/p", "two lines of https://h/p"),
        ("X-Amz-Signature=abc token=xyz", "X-Amz-Signature=... token=..."),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
    ],
)
def test_urls_are_told_without_secrets(text, shown):
    assert store_faults.scrubbed(text) == shown


SECRET = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+=-_.~", min_size=1)


@given(SECRET, SECRET, st.sampled_from(["https", "s3", "http"]), st.sampled_from(["{}", "at '{}': no", "(url={})"]))
def test_no_user_password_or_signature_survives(user, signature, protocol, words):
    said = words.format(f"{protocol}://<{user}>:<pw{user}>@host/a/b.tar?sig=<{signature}>&x=<y>")
    assert "<" not in store_faults.scrubbed(said)
    assert f"{protocol}://host/a/b.tar" in store_faults.scrubbed(said)


def test_a_mistake_in_the_program_is_no_fault_of_a_store_but_any_librarys_error_is():
    class RefreshError(Exception):
        """As a store's own library would raise it."""

    def act():
        raise RefreshError("at https://host/token?secret=1")

    with pytest.raises(store_faults.StoreFault, match=r"^gs://b: RefreshError: at https://host/token$"):
        store_faults.asked("gs://b", act, waits_s=())
    with pytest.raises(TypeError):
        store_faults.asked("gs://b", lambda: len(1), waits_s=())


def test_a_file_system_that_is_not_installed_names_its_extra(monkeypatch):
    import fsspec

    def missing(path, **settings):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(BadInput, match=r"pip install 'biascarevl\[s3\]'"):
        Store.at("s3://bucket/prefix")
    assert Path("pyproject.toml").read_text().count("\ns3 = [") == 1
