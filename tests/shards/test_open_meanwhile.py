"""What happens to a loader while others weigh, pack and delete; and to the columns of versions that nobody reads."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingest.errors import BiasCareError
from ingest.workspace import Workspace
from shards import rows as rows_module
from shards.load import LoadConfig, open_shards
from shards.pack import pack
from shards.recipe import ShardsConfig
from shards.rows import packed_rows

HOLDER = """
import sys
from pathlib import Path
from ingest.workspace import Workspace
from shards.rows import packed_rows

if __name__ == "__main__":
    workspace = Workspace(Path(sys.argv[1]))
    rows = packed_rows(index=workspace.index, weights=workspace.weights, split="train", plans=workspace.plans)
    print(rows.folder.name, flush=True)
    sys.stdin.readline()
    print(int(rows.__reduce__()[0](*rows.__reduce__()[1]).starts.sum()), flush=True)
"""


@pytest.fixture
def workspace(refreshed, tmp_path):
    shutil.copytree(refreshed.workspace.root, tmp_path / "work", ignore=shutil.ignore_patterns("plans", "runs"))
    return Workspace(tmp_path / "work")


def versions(workspace):
    return {path.name for path in workspace.plans.glob("train-*")}


def opened_rows(workspace):
    return packed_rows(index=workspace.index, weights=workspace.weights, split="train", plans=workspace.plans)


def version_opened_after(workspace, times):
    """The version a loader opens, and lets go, once the weights were published at ``times``."""
    os.utime(workspace.weights, ns=(times, times))
    return opened_rows(workspace).folder.name


def test_a_version_goes_when_nobody_holds_it(workspace):
    version_opened_after(workspace, 1)
    held = opened_rows(workspace)
    second = version_opened_after(workspace, 2)
    assert versions(workspace) == {held.folder.name, second} and len(held.starts) == len(held)
    del held
    third = version_opened_after(workspace, 3)
    assert versions(workspace) == {third} != {second}


@pytest.mark.parametrize("end", ["lives", "is killed"])
def test_another_process_keeps_its_version_until_it_ends(workspace, tmp_path, end):
    (tmp_path / "holder.py").write_text(HOLDER)
    holder = subprocess.Popen(
        [sys.executable, str(tmp_path / "holder.py"), str(workspace.root)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    version = holder.stdout.readline().strip()
    if end == "is killed":
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    now = version_opened_after(workspace, 1)
    assert versions(workspace) == ({now, version} if end == "lives" else {now})
    answer, _ = holder.communicate("\n")
    assert end == "is killed" or int(answer) > 0  # mapped once more, as a spawned worker does


def test_files_published_while_they_are_read_are_read_again(workspace, monkeypatch):
    write_columns, calls = rows_module.write_columns, []

    def meanwhile(folder, **sources):
        write_columns(folder, **sources)
        calls.append(folder)
        if len(calls) == 1:
            os.utime(workspace.weights, ns=(7, 7))

    monkeypatch.setattr(rows_module, "write_columns", meanwhile)
    rows = opened_rows(workspace)
    assert len(calls) == 2 and versions(workspace) == {rows.folder.name}


def opened(workspace, **changes):
    config = LoadConfig(**{"batch_size": 8, "num_epochs": 2} | changes)
    encode = lambda record, generator: record.fields["sample_id"]  # noqa: E731
    return open_shards(workspace, split="train", encode=encode, collate=list, config=config)


def pack_again(workspace, refreshed, side_px):
    roots = {dataset.name: dataset.pictures for dataset in refreshed.datasets}
    pack(workspace, roots, ShardsConfig(image_side_px=side_px, samples_per_shard=100), samples_version=0)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_shards_packed_again_under_a_loader_are_named_and_never_skipped(workspace, refreshed, num_workers):
    pack_again(workspace, refreshed, 48)
    loader = opened(workspace, num_workers=num_workers, max_unreadable=10_000)
    batches = iter(loader)
    next(batches)
    pack_again(workspace, refreshed, 40)
    with pytest.raises(BiasCareError, match=r"packed again meanwhile; changed: .*isic2018.*Start the training anew"):
        list(batches)
        list(loader)
    assert loader.num_unreadable == 0


def test_the_same_bytes_packed_again_change_nothing(workspace):
    whole = list(opened(workspace))
    loader = opened(workspace)
    table = pq.read_table(workspace.index)
    pq.write_table(table, workspace.index, compression="gzip")
    assert list(loader) == whole


def test_a_shard_or_the_index_deleted_under_a_loader_is_told(workspace):
    loader = opened(workspace, draws_per_epoch=2000)
    batches = iter(loader)
    for shard in workspace.shards.rglob("isic2018/*-train-*.tar"):
        shard.unlink()
    with pytest.raises(BiasCareError, match=r"dataset isic2018, shard isic2018/.*tar, key and sample id \w+: File"):
        list(batches)
    workspace.index.unlink()
    with pytest.raises(BiasCareError, match="expected the index this run began with, got none any more"):
        list(loader)
