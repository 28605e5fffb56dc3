"""Real DeepSpeed runs in processes of their own, and the predictions of what they leave."""

import json
import shutil
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from ingest.errors import BiasCareError
from ingest.masks import decode_mask
from ingest.workspace import Workspace
from model.checkpoint import from_pretrained, network_config
from model.config import ModelConfig, TrainingConfig
from model.predict import predict
from model.prediction import SCHEMA
from model.starting_point import starting_network
from model.train import train


@pytest.fixture(scope="module")
def trained(write_shapes, tmp_path_factory):
    """A workspace and the summary of a run of two epochs of three steps in one process."""
    workspace = write_shapes(tmp_path_factory.mktemp("run") / "work", {"train": 12, "validation": 6, "test": 3})
    bias_control = {"uncertainty": "corrected", "tail_loop": "corrected"}
    training = TrainingConfig(epochs=2, micro_batch=4, accumulate=1, **bias_control)
    return workspace, training, train(workspace, model=ModelConfig(), training=training, seed=1)


def journal(workspace, run):
    return [json.loads(line) for line in (workspace.runs / run / "train.jsonl").read_text().splitlines()]


def test_a_run_leaves_everything_it_promises(trained):
    workspace, _, summary = trained
    folder = workspace.runs / summary["run"]
    lines = journal(workspace, summary["run"])
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line["draws"] for line in lines] == [4, 8, 12, 16, 20, 24]
    assert {"loss", "loss_segmentation", "loss_text", "loss_classification", "learning_rate", "seconds"} <= set(
        lines[0]
    )
    present = [lines[0][f"loss_{task}"] for task in ("segmentation", "text", "classification")]
    assert lines[0]["loss"] == pytest.approx(np.mean([loss for loss in present if loss is not None]))
    assert summary["fall"] == pytest.approx(1 - lines[-1]["loss"] / lines[0]["loss"])
    assert (folder / "checkpoints" / "last").is_dir() and any((folder / "tensorboard").iterdir())
    assert (folder / "checkpoints" / "final" / "model.safetensors").is_file()
    description = json.loads((folder / "run.json").read_text())
    assert description["classes"] == ["green", "pale", "red"] and description["seed"] == 1
    assert json.loads((workspace.runs / "current.json").read_text()) == {"run": summary["run"]}


def test_a_finished_run_is_found_again_and_a_changed_setting_is_another_run(trained, monkeypatch):
    workspace, training, summary = trained
    monkeypatch.setattr("model.train.start_workers", lambda *arguments: pytest.fail("trained again"))
    assert train(workspace, model=ModelConfig(), training=training, seed=1) == summary


def test_a_killed_run_goes_on_as_if_nothing_had_happened(trained, tmp_path, monkeypatch):
    """Killed after the checkpoint that ends the first epoch, the second start gives the unbroken run's numbers."""
    unbroken, training, summary = trained
    shutil.copytree(unbroken.root, tmp_path / "work", ignore=shutil.ignore_patterns("runs", "stages"))
    workspace = Workspace(tmp_path / "work")

    def kill_after_first_checkpoint(worker, journal, *, name):
        while worker.poll() is None and not (journal.parent / "checkpoints" / "last").exists():
            time.sleep(0.01)
        worker.terminate()
        return worker.wait()

    with monkeypatch.context() as patch:
        patch.setattr("model.train.watch", kill_after_first_checkpoint)
        with pytest.raises(BiasCareError, match="failed with exit code"):
            train(workspace, model=ModelConfig(), training=training, seed=1)
    resumed = train(workspace, model=ModelConfig(), training=training, seed=1)
    assert resumed["run"] == summary["run"] and resumed["steps"] == 6
    losses = [[line["loss"] for line in journal(one, resumed["run"])] for one in (workspace, unbroken)]
    assert losses[0] == losses[1]
    moved = [pq.read_table(one.runs / resumed["run"] / "influence.parquet") for one in (workspace, unbroken)]
    assert moved[0].equals(moved[1]) and sum(moved[0]["num_draws"].to_pylist()) > 0


def test_two_processes_share_the_draws_and_the_language_model_learns_at_its_own_rate(trained):
    workspace, _, _ = trained
    training = TrainingConfig(
        epochs=1, steps=2, micro_batch=2, accumulate=1, num_processes=2, uncertainty="corrected", tail_loop="corrected",
        language_learning_rate=1e-12,
    )  # fmt: skip
    folder = workspace.runs / train(workspace, model=ModelConfig(), training=training, seed=1)["run"]
    lines = journal(workspace, folder.name)
    assert [(line["draws"], line["learning_rate"]) for line in lines] == [(4, 1e-3), (8, 5e-4)]
    config = network_config(json.loads((folder / "run.json").read_text())["network"])
    before = starting_network(config, ModelConfig(), seed=1).state_dict()
    after = from_pretrained(folder / "checkpoints" / "final")[0].state_dict()
    moved = {name: float((after[name] - tensor).abs().max()) for name, tensor in before.items()}
    assert max(by for name, by in moved.items() if name.startswith("language_model.")) < 1e-9
    assert moved["text_prompt.query"] > 1e-5


def test_a_failing_worker_says_why(trained):
    workspace, _, _ = trained
    training = TrainingConfig(epochs=1, micro_batch=8, accumulate=50)
    with pytest.raises(BiasCareError, match="expected epochs x draws to fill one step"):
        train(workspace, model=ModelConfig(), training=training, seed=1)


def test_predictions_have_the_fixed_columns_and_cover_every_sample(trained):
    workspace, _, summary = trained
    predict(workspace, run=summary["run"], seed=1)
    table = pq.read_table(workspace.runs / summary["run"] / "predictions" / "validation.parquet")
    assert table.schema.names == SCHEMA.names
    assert json.loads(table.schema.metadata[b"classes"]) == ["green", "pale", "red"]
    rows = table.to_pylist()
    assert len(rows) == 8 and len({row["sample_id"] for row in rows}) == 6  # two slices of two targets
    for row in rows:
        assert row["patient_id"].startswith("shapes:")
        assert 0 <= row["confidence"] <= 1 and 0 <= row["uncertainty"] <= 1 and row["seconds"] > 0
        if row["task"] == "segmentation":
            assert decode_mask(row["predicted"]).shape == decode_mask(row["truth"]).shape == (32, 32)
            assert row["prompt"] in ("disc", "square")
        if row["task"] == "classification":
            assert sum(row["score"]) == pytest.approx(1) and row["confidence"] == pytest.approx(max(row["score"]))


def test_fresh_predictions_are_not_made_again(trained, monkeypatch):
    workspace, _, summary = trained
    first = predict(workspace, run=summary["run"], seed=1)
    monkeypatch.setattr("model.predict.from_pretrained", lambda folder: pytest.fail("predicted again"))
    assert predict(workspace, run=summary["run"], seed=1) == first
