"""Shards packed to, verified in and loaded from S3: a moto server on this machine, spoken to over real HTTP."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

pytest.importorskip("s3fs", reason="s3:// needs s3fs (extra `s3`)")
pytest.importorskip("moto.server", reason="a local S3 needs moto[server] (extra `dev`)")

from flows.config import load_config
from ingest.errors import BadInput
from ingest.workspace import Workspace
from shards import block_cache, store_faults
from shards.load import LoadConfig, open_shards
from shards.mirror import SENDING, mirror
from shards.mirror_check import verify_mirror
from shards.pack import pack
from shards.plan import draw_counts
from shards.store import Store

URL = "s3://corpus/v1"
KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "wJalrXsecret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def s3_url():
    """A server in a process of its own: one in this process would share its locks with what it serves."""
    code = "from moto.server import ThreadedMotoServer as S; s = S('127.0.0.1', 0, verbose=False); s.start()"
    code += "; print(s.get_host_and_port()[1], flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    process.stdin.close()
    process.wait(timeout=20)


@pytest.fixture(autouse=True)
def environment(s3_url, monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    nowhere = str(tmp_path / "none")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, nowhere)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_url)
    monkeypatch.setattr(store_faults, "WAITS_S", (0.01,))
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    yield
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture
def bucket():
    system = fsspec.filesystem("s3", use_listings_cache=False)
    system.mkdir("corpus")
    yield system
    system.rm("corpus", recursive=True)


def sample_id(record, generator):
    return record.fields["sample_id"], len(record.images)


def opened(workspace, **changes):
    config = LoadConfig(**{"batch_size": 8, "num_epochs": 1, "seed": 3} | changes)
    return open_shards(workspace, split="train", encode=sample_id, collate=list, config=config)


def verified(path):
    """Exit code and both outputs of ``biascarevl verify``."""
    command = [sys.executable, "-m", "flows.cli", "verify", str(path)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    return run.returncode, run.stdout + run.stderr


def with_store(corpus_copy, url=URL):
    path = corpus_copy / "demo.toml"
    path.write_text(path.read_text().replace("[shards]", f'[shards]\nstore = "{url}"'))
    return path


def test_pack_verify_and_load_over_s3(corpus_copy, bucket, monkeypatch, tmp_path):
    path = with_store(corpus_copy)
    config = load_config(path)
    roots = {dataset.name: dataset.root for dataset in config.datasets}
    pack(config.workspace, roots, config.shards, samples_version=0)
    assert bucket.cat_file("corpus/v1/manifest.json") == config.workspace.manifest.read_bytes()
    assert not bucket.exists(f"corpus/v1/{SENDING}")
    code, said = verified(path)
    assert (code, said.splitlines()[-1]) == (0, "0 problems")
    monkeypatch.setattr(block_cache, "BLOCK_BYTES", 60_000)
    bare = Workspace(tmp_path / "bare")
    bare.shards.mkdir(parents=True)
    for name in ("weights", "shards/index.parquet"):
        (bare.root / name).symlink_to(config.workspace.root / name)
    there = list(opened(bare, store=URL, num_workers=2))
    assert there == list(opened(config.workspace))
    weights = [*opened(bare, store=URL).plan.rows.weights]
    counts = draw_counts(weights, epoch=0, num_epochs=1, num_draws=len(weights), seed=3)
    assert sum(map(len, there)) == counts.sum()


def test_damage_in_a_bucket_is_told_by_name_and_kind(refreshed, bucket):
    shards = refreshed.workspace.shards
    mirror(shards, URL)
    store = Store.at(URL)
    flipped, short, gone = sorted(name for name in store.sizes() if name.endswith(".tar"))[:3]
    content = bytearray(store.read(flipped))
    content[600] ^= 1
    store.write(flipped, bytes(content))
    store.write(short, store.read(short)[:5000])
    store.remove(gone)
    store.write("index.parquet", b"PAR1" + store.read("index.parquet")[4:][::-1])
    said = verify_mirror(shards, URL)
    for name, what in ((flipped, "changed bytes"), (short, "cut short"), (gone, "missing"), ("index", "stale")):
        assert any(f"{URL}: {name}" in line and what in line for line in said), said
    assert any(f"{flipped}: sample " in line for line in said) and len(said) == 5


def test_a_copy_to_s3_killed_twice_keeps_what_it_sent_and_leaves_no_parts(refreshed, bucket):
    shards = refreshed.workspace.shards
    num_shards = len(list(shards.rglob("*.tar")))
    code = """
import sys, threading
from pathlib import Path
from shards import mirror
from shards.store import Store
lock, sent = threading.Lock(), []
def send(store, source, name, send=Store.send):
    with lock:
        sent.append(name)
        number = len(sent)
        if number > 4:
            print("stuck", flush=True)
    if number > 4:
        threading.Event().wait()
    send(store, source, name)
Store.send = send
mirror.mirror(Path(sys.argv[1]), sys.argv[2])
"""
    for _ in range(2):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(shards), URL], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        assert [child.stdout.readline() for _ in range(4)] == ["stuck\n"] * 4
        child.send_signal(signal.SIGKILL)
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
        assert not bucket.exists("corpus/v1/manifest.json")
    bucket.call_s3("create_multipart_upload", Bucket="corpus", Key=f"v1/{SENDING}/half")
    bucket.call_s3("create_multipart_upload", Bucket="corpus", Key="another/half")
    assert num_shards - 8 <= mirror(shards, URL) <= num_shards - 7  # eight files were sent, the index perhaps one
    assert verify_mirror(shards, URL) == []
    assert [upload["Key"] for upload in bucket.list_multipart_uploads("corpus")] == ["another/half"]
    assert not bucket.exists(f"corpus/v1/{SENDING}")


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        ("credentials", "expected credentials for this store, found none"),
        ("bucket", "expected a bucket there, got none of that name"),
        ("host", "expected to reach the store, got no connection"),
    ],
)
def test_what_a_user_must_change_is_one_line_of_bad_input(corpus_copy, monkeypatch, trouble, says):
    path = with_store(corpus_copy)
    if trouble == "credentials":
        for name in KEYS:
            monkeypatch.delenv(name)
    if trouble == "host":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(BadInput, match=says) as told:
        verify_mirror(corpus_copy / "work" / "shards", URL)
    assert str(told.value).count(URL) == 1 and "\n" not in str(told.value)
    with pytest.raises(BadInput, match=says):
        opened(Workspace(corpus_copy / "work"), store=URL)
    config = load_config(path)
    roots = {dataset.name: dataset.root for dataset in config.datasets}
    with pytest.raises(BadInput, match=says):  # before anything is packed
        pack(config.workspace, roots, config.shards, samples_version=0, progress=pytest.fail)
    if trouble == "credentials":
        code, said = verified(path)
        assert code == 2 and says in said and "Traceback" not in said


def test_leave_that_is_refused_is_told_without_the_key(bucket, monkeypatch):
    import botocore.exceptions

    refused = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    error = botocore.exceptions.ClientError(refused, f"GetObject with {KEYS['AWS_SECRET_ACCESS_KEY']}")
    fault = store_faults.fault_of(error, URL)
    assert str(fault) == f"{URL}: expected leave to use it, got refused (HTTP status 403)"


def test_a_large_file_is_sent_in_parts_of_bounded_size(bucket, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(os.urandom(2**20) * 20)
    Store.at(URL).send(large, "large")
    assert bucket.info("corpus/v1/large")["ETag"].endswith('-3"')  # parts of 8 MiB
    assert Store.at(URL).sha256("large", 20 * 2**20) == Store.at(f"file://{tmp_path}").sha256("large", 20 * 2**20)
