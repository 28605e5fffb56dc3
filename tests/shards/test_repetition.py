import json
from collections import Counter

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.audit_draws import audit_runs
from ingest.errors import GateRefused
from ingest.workspace import Workspace
from shards.load import LoadConfig, open_shards
from shards.plan import draw_counts
from shards.repetition import caps_of, check_caps


@given(st.lists(st.floats(0.1, 20), min_size=2, max_size=30), st.integers(1, 4), st.integers(1, 60), st.integers(1, 12))
def test_what_passes_never_draws_a_row_more_often_than_its_cap(weights, num_epochs, num_draws, cap):
    shares = {"a": max(weights) / sum(weights)}
    try:
        check_caps({"a": cap}, shares, num_draws=num_draws, num_epochs=num_epochs)
    except GateRefused:
        assert num_epochs * num_draws * shares["a"] > cap
        return
    times = sum(
        draw_counts(weights, epoch=epoch, num_epochs=num_epochs, num_draws=num_draws, seed=1)
        for epoch in range(num_epochs)
    )
    assert times.max() <= cap


@pytest.fixture
def capped(corpus_copy):
    """The workspace as if weighed with a cap of 60 draws for vqa_rad."""
    workspace = Workspace(corpus_copy / "work")
    cap(workspace, "vqa_rad", 60)
    return workspace


def cap(workspace, name, most):
    solution = json.loads(workspace.solution.read_text())
    workspace.solution.write_text(json.dumps(solution | {"max_repeats": {name: most, "isic2018": None}}))


def opened(workspace, folder=None, **changes):
    config = LoadConfig(**{"batch_size": 7, "num_epochs": 2, "draw_log": folder} | changes)
    encode = lambda record, generator: (record.fields["dataset"], record.fields["sample_id"])  # noqa: E731
    return open_shards(workspace, split="train", encode=encode, collate=list, config=config)


def test_a_run_that_would_break_a_cap_is_not_begun(capped):
    assert caps_of(capped.solution) == {"vqa_rad": 60} and caps_of(capped.root / "none.json") == {}
    opened(capped)
    with pytest.raises(GateRefused, match=r"max_repeats of vqa_rad: expected at most 60 draws of a row, got up to"):
        opened(capped, num_epochs=500)
    with pytest.raises(GateRefused, match="expected a known number of epochs to hold 60, got None"):
        opened(capped, num_epochs=None)


def test_the_largest_share_of_each_data_set_is_found_whatever_the_order(refreshed):
    rows = opened(refreshed.workspace).plan.rows
    index = pq.read_table(refreshed.workspace.index, columns=["sample_id", "dataset"]).to_pylist()
    dataset_of = {row["sample_id"]: row["dataset"] for row in index}
    largest, total = Counter(), 0.0
    for row in pq.read_table(refreshed.workspace.weights).to_pylist():
        name = dataset_of[row["sample_id"]]
        largest[name] = max(largest[name], row["weight"])
        total += row["weight"]
    assert rows.largest_shares == pytest.approx({name: weight / total for name, weight in largest.items()})


def test_the_audit_holds_the_whole_log_against_the_caps(corpus_copy, capsys):
    workspace = Workspace(corpus_copy / "work")
    list(opened(workspace, workspace.runs / "mine" / "draws"))
    (name, _), most = Counter(key for batch in opened(workspace) for key in batch).most_common(1)[0]
    cap(workspace, name, most)
    assert audit_runs(workspace) == 0
    cap(workspace, name, most - 1)
    assert audit_runs(workspace) == 1
    assert f"max_repeats of {name}: expected at most {most - 1} draws of a row" in capsys.readouterr().out
