"""What a second refresh reads and writes: only what changed."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from flows.config import load_config
from flows.dry_run import print_dry_run
from flows.runner import PIPELINES, is_up_to_date, run_pipeline
from ingest.files import changes_between, list_files, listing_digest

REPOSITORY = Path(__file__).resolve().parents[2]


def refresh(folder):
    return run_pipeline(load_config(folder / "demo.toml"), PIPELINES["refresh"])


def is_fresh(folder):
    return is_up_to_date(load_config(folder / "demo.toml"), "refresh")


def files_of(folder):
    return set(DeltaTable(folder / "work" / "samples").file_uris())


def drop_last_line(folder):
    (truth,) = (folder / "raw" / "isic2018").rglob("*Training_GroundTruth.csv")
    truth.write_text("\n".join(truth.read_text().splitlines()[:-1]) + "\n")


def test_a_touched_table_changes_nothing(corpus_copy):
    for path in (corpus_copy / "raw").rglob("*.csv"):
        os.utime(path)
    assert is_fresh(corpus_copy)
    drop_last_line(corpus_copy)
    assert not is_fresh(corpus_copy)


def test_a_changed_dataset_replaces_its_own_rows_in_one_commit_and_opens_no_picture(corpus_copy):
    before = files_of(corpus_copy)
    drop_last_line(corpus_copy)
    summaries = refresh(corpus_copy)
    assert summaries["read-isic2018"]["pictures_opened"] == 0
    assert summaries["curate"]["written"] == ["isic2018"]
    assert DeltaTable(corpus_copy / "work" / "samples").version() == 1
    assert {uri for uri in before if "dataset=isic2018" not in uri} <= files_of(corpus_copy)
    assert is_fresh(corpus_copy)


def test_only_a_changed_picture_is_opened_and_a_touched_one_changes_no_row(corpus_copy):
    first, second, *_ = sorted((corpus_copy / "raw" / "vqa_rad").rglob("*.jpg"))
    shutil.copyfile(first, second)
    summary = refresh(corpus_copy)["read-vqa_rad"]
    assert summary["pictures_opened"] == 1
    version = DeltaTable(corpus_copy / "work" / "samples").version()
    assert version == 1


def test_a_dataset_that_left_the_configuration_takes_its_rows_along(corpus_copy):
    config = corpus_copy / "demo.toml"
    text = config.read_text()
    start, stop = text.index('[[datasets]]\nadapter = "vqa_rad"'), text.index('[[datasets]]\nadapter = "isic2018"')
    config.write_text(text[:start] + text[stop:])
    summary = refresh(corpus_copy)["curate"]
    assert summary["written"] == ["vqa_rad"]
    left = DeltaTable(corpus_copy / "work" / "samples").to_pyarrow_table(columns=["dataset"])["dataset"]
    assert set(left.to_pylist()) == {"imed361m", "isic2018"}


def test_a_removed_file_removes_its_rows(corpus_copy):
    for folder in (corpus_copy / "raw" / "imed361m").glob("SimChestXray"):
        shutil.rmtree(folder)
    refresh(corpus_copy)
    rows = DeltaTable(corpus_copy / "work" / "samples").to_pyarrow_table(columns=["native_id"])["native_id"].to_pylist()
    assert rows and not any(name.startswith("SimChestXray") for name in rows)


def test_a_dry_run_names_what_changed_and_writes_nothing(corpus_copy, capsys):
    print_dry_run(load_config(corpus_copy / "demo.toml"))
    assert "unchanged: nothing to do" in capsys.readouterr().out
    drop_last_line(corpus_copy)
    stamps = {path: path.stat().st_mtime_ns for path in (corpus_copy / "work").rglob("*") if path.is_file()}
    print_dry_run(load_config(corpus_copy / "demo.toml"))
    told = capsys.readouterr().out
    assert "isic2018: 1 files changed" in told and "would run: read-isic2018, curate" in told
    assert stamps == {path: path.stat().st_mtime_ns for path in (corpus_copy / "work").rglob("*") if path.is_file()}


def test_a_listing_tells_added_changed_and_removed(tmp_path):
    for name in ("a.csv", "b.csv", "c.png"):
        (tmp_path / name).write_text(name)
    before = list_files([tmp_path])
    os.utime(tmp_path / "a.csv", ns=(1, 1))
    assert listing_digest(list_files([tmp_path], known=before)) == listing_digest(before)
    (tmp_path / "a.csv").write_text("x")
    (tmp_path / "b.csv").unlink()
    (tmp_path / "d.csv").write_text("d")
    os.utime(tmp_path / "c.png", ns=(1, 1))
    changes = changes_between(before, list_files([tmp_path], known=before))
    assert (changes.added, changes.changed, changes.removed) == (["d.csv"], ["a.csv", "c.png"], ["b.csv"])
    assert changes_between(None, before).added == ["a.csv", "b.csv", "c.png"]


KILL = """
import os, signal, sys
left = int(os.environ["KILL_AT_RENAME"])

def count(event, arguments):
    global left
    if event == "os.rename":
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
"""


@pytest.mark.soak
@pytest.mark.parametrize("renames", range(0, 24, 2))
def test_a_refresh_killed_at_any_file_leaves_a_whole_version_and_is_finished_by_the_next(corpus_copy, renames):
    def rows():
        table = DeltaTable(corpus_copy / "work" / "samples").to_pyarrow_table(columns=["sample_id", "split"])
        return table.sort_by("sample_id")

    (corpus_copy / "sitecustomize.py").write_text(KILL)
    before = rows()
    drop_last_line(corpus_copy)
    path = os.pathsep.join([str(corpus_copy), str(REPOSITORY)])
    program = [sys.executable, "-m", "flows.cli", "refresh", str(corpus_copy / "demo.toml"), "--plain"]
    killed = subprocess.run(
        program, env=os.environ | {"PYTHONPATH": path, "KILL_AT_RENAME": str(renames)}, stderr=subprocess.DEVNULL
    )
    interrupted = rows()
    refresh(corpus_copy)
    after = rows()
    assert killed.returncode in (0, -signal.SIGKILL)
    assert interrupted.equals(before) or interrupted.equals(after)
    assert after.num_rows < before.num_rows and isinstance(after, pa.Table)
    assert is_fresh(corpus_copy)
