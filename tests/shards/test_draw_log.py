"""What was really drawn is on record, nothing twice, and an audit finds what differs from plan and targets."""

import json
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from flows.audit_draws import audit_runs
from ingest.errors import BadInput, BiasCareError
from ingest.workspace import Workspace
from shards.audit import audit_draws
from shards.draw_log import read_draw_log
from shards.load import LoadConfig, open_shards
from shards.plan import draw_counts


def opened(workspace, folder, **changes):
    config = LoadConfig(**{"batch_size": 7, "num_epochs": 2, "seed": 3, "draw_log": folder} | changes)
    encode = lambda record, generator: record.fields["sample_id"]  # noqa: E731
    return open_shards(workspace, split="train", encode=encode, collate=list, config=config)


def logged(folder, epoch):
    counts = Counter()
    for row in read_draw_log(folder, epoch).to_pylist():
        assert row["epoch"] == epoch
        counts[row["sample_id"]] += row["count"]
    return counts


def planned(workspace, epoch):
    weights = pq.read_table(workspace.weights)
    counts = draw_counts(weights["weight"], epoch=epoch, num_epochs=2, num_draws=weights.num_rows, seed=3)
    return Counter(dict(zip(weights["sample_id"].to_pylist(), counts.tolist(), strict=True))) + Counter()


def test_the_log_is_the_plan_of_a_finished_epoch_and_the_audit_agrees(refreshed, tmp_path):
    loader = opened(refreshed.workspace, tmp_path)
    given = Counter(sample_id for batch in loader for sample_id in batch)
    assert given == logged(tmp_path, 0) == planned(refreshed.workspace, 0)
    (audited,) = audit_draws(refreshed.workspace, tmp_path)
    assert audited.problems == []
    assert audited.num_distinct == len(given) and audited.margins
    assert all(margin.error <= max(1e-3, margin.rounding) for margin in audited.margins)
    assert f"{len(loader.plan.rows)} of {len(loader.plan.rows)} draws" in str(audited)


def test_a_stop_and_other_ranks_leave_every_draw_once_in_the_log(refreshed, tmp_path):
    ranks = [opened(refreshed.workspace, tmp_path, rank=rank, world_size=3, batch_size=4) for rank in range(3)]
    for loader in ranks:
        for number, _ in enumerate(loader, 1):
            if number == 5:
                state = loader.state_dict()
            if number == 8:
                break  # killed here: three steps that no state knows of
        loader.state_dict()  # even when it got to write them
    for rank in range(2):
        loader = opened(refreshed.workspace, tmp_path, rank=rank, world_size=2)
        loader.load_state_dict(state)
        list(loader)
    assert logged(tmp_path, 0) == planned(refreshed.workspace, 0)
    assert audit_draws(refreshed.workspace, tmp_path)[0].problems == []


def test_the_audit_says_what_was_drawn_otherwise(refreshed, tmp_path):
    list(opened(refreshed.workspace, tmp_path))
    (path,) = tmp_path.glob("epoch-000000/*.parquet")
    log = pq.read_table(path)
    rows = log.to_pylist()
    moved = [{**row, "count": row["count"] + len(rows) - 1} if not i else None for i, row in enumerate(rows)][:1]
    pq.write_table(log.from_pylist(moved, schema=log.schema), path)  # almost as many draws, all of one sample
    problems = audit_draws(refreshed.workspace, tmp_path)[0].problems
    assert any("rows were drawn otherwise than planned" in problem for problem in problems)


def test_an_unfinished_epoch_is_called_so(refreshed, tmp_path):
    loader = opened(refreshed.workspace, tmp_path)
    next(iter(loader))
    loader.state_dict()
    (audited,) = audit_draws(refreshed.workspace, tmp_path)
    assert (audited.num_drawn, audited.margins, audited.problems) == (7, [], [])


def test_weights_that_changed_since_are_found(corpus_copy, tmp_path):
    workspace = Workspace(corpus_copy / "work")
    list(opened(workspace, tmp_path))
    weights = pq.read_table(workspace.weights)
    order = np.argsort(-weights["weight"].to_numpy(), kind="stable")
    pq.write_table(weights.set_column(1, "weight", weights["weight"].take(order)), workspace.weights)
    assert audit_draws(workspace, tmp_path)[0].problems


def test_the_log_of_another_plan_is_not_written_into(refreshed, tmp_path):
    list(opened(refreshed.workspace, tmp_path))
    with pytest.raises(BiasCareError, match="another plan's log"):
        list(opened(refreshed.workspace, tmp_path, seed=4))


def test_the_command_audits_every_run(corpus_copy, capsys):
    workspace = Workspace(corpus_copy / "work")
    with pytest.raises(BadInput, match="draw log"):
        audit_runs(workspace)
    with pytest.raises(BadInput, match="expected a draw log"):
        audit_draws(workspace, workspace.runs / "none")
    list(opened(workspace, workspace.runs / "mine" / "draws"))
    assert audit_runs(workspace) == 0
    assert "mine: epoch 0: " in capsys.readouterr().out
    plan = workspace.runs / "mine" / "draws" / "plan.json"
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"seed": 9}))
    assert audit_runs(workspace) == 1
