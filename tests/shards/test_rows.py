"""The columns of the training rows are made ahead, once, where index and weights belong together."""

import shutil

from ingest.workspace import Workspace
from shards.rows import packed_rows, prepare_training_rows


def columns_in(workspace):
    return [path.stat().st_mtime_ns for path in sorted(workspace.plans.glob("train-*/rows.json"))]


def copy_without_plans(refreshed, root):
    shutil.copytree(refreshed.workspace.root, root, ignore=shutil.ignore_patterns("plans", "runs"))
    return Workspace(root)


def test_a_loader_opens_what_was_prepared(refreshed, tmp_path):
    workspace = copy_without_plans(refreshed, tmp_path / "copy")
    prepare_training_rows(workspace)
    prepared = columns_in(workspace)
    rows = packed_rows(index=workspace.index, weights=workspace.weights, split="train", plans=workspace.plans)
    assert len(prepared) == 1 and columns_in(workspace) == prepared
    assert len(rows) > 0


def test_nothing_is_prepared_before_both_are_there(refreshed, tmp_path):
    workspace = copy_without_plans(refreshed, tmp_path / "copy")
    workspace.weights.unlink()
    prepare_training_rows(workspace)
    assert columns_in(workspace) == []


def test_refresh_prepares_them(refreshed):
    assert len(columns_in(refreshed.workspace)) >= 1
