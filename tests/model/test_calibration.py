"""Uncertainty becomes the error to expect: learnt on validation, applied without truth."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest

from ingest.masks import encode_mask
from ingest.workspace import write_json
from model.calibration import calibrated, error_of, fit_calibration, read_calibration, write_calibration
from model.checkpoint import save_pretrained
from model.encode import Encoder
from model.predict import predict
from model.prediction import Prediction


def prediction(task="vqa", *, truth="Yes", predicted="yes.", uncertainty=0.5):
    return Prediction(
        sample_id="s", patient_id="p", task=task, truth=truth, predicted=predicted, score=[0.5], confidence=0.5,
        uncertainty=uncertainty, prompt="", seconds=0.1,
    )  # fmt: skip


def simulated(rng, count, *, sense):
    """Answers that are wrong the more often, the surer (sense -1) or the less sure (+1) they are; 0: either way."""
    rows = []
    for raw in rng.random(count):
        is_wrong = rng.random() < 0.5 + sense * (raw - 0.5) * 0.8
        rows.append(prediction(predicted="no" if is_wrong else "yes", uncertainty=float(raw)))
    return rows


def ranking(rows):
    """Chance that a wrong answer is less sure than a right one, ties counting a half."""
    wrong, right = ([row.uncertainty for row in rows if error_of(row) == side] for side in (1, 0))
    less, equal = np.greater.outer(wrong, right), np.equal.outer(wrong, right)
    return float((less + 0.5 * equal).mean())


def test_errors_by_hand():
    left, right = np.array([[1, 1, 0, 0]], bool), np.array([[0, 1, 1, 0]], bool)
    overlap = prediction("segmentation", truth=encode_mask(left), predicted=encode_mask(right))
    assert error_of(overlap) == pytest.approx(0.5)
    nothing = encode_mask(np.zeros((1, 4), bool))
    assert error_of(prediction("segmentation", truth=nothing, predicted=nothing)) == 0
    assert error_of(prediction(truth="Yes", predicted="yes.")) == 0
    assert error_of(prediction("classification", truth="edema; effusion", predicted="effusion")) == 0
    assert error_of(prediction("classification", truth="edema; effusion", predicted="normal")) == 1


def test_signs_that_tell_rank_errors_and_become_their_rate():
    rng = np.random.default_rng(3)
    curves = fit_calibration(simulated(rng, 2000, sense=1))
    test = simulated(rng, 2000, sense=1)
    found = calibrated(test, curves)
    assert ranking(found) == pytest.approx(ranking(test), abs=0.02) and ranking(found) > 0.65
    rate, expected = (np.mean(values) for values in zip(*((error_of(r), r.uncertainty) for r in found), strict=True))
    assert expected == pytest.approx(rate, abs=0.04)
    low = [error_of(row) for row in found if row.uncertainty < 0.3]
    assert np.mean(low) == pytest.approx(np.mean([r.uncertainty for r in found if r.uncertainty < 0.3]), abs=0.06)


@pytest.mark.parametrize("sense", [0, -1])
def test_signs_that_tell_nothing_or_the_opposite_do_no_harm(sense):
    rng = np.random.default_rng(4)
    curves = fit_calibration(simulated(rng, 2000, sense=sense))
    assert ranking(calibrated(simulated(rng, 2000, sense=sense), curves)) > 0.45


def test_truth_is_not_read_when_a_curve_is_applied(tmp_path):
    rng = np.random.default_rng(5)
    write_calibration(tmp_path, fit_calibration(simulated(rng, 200, sense=1)))
    curves = read_calibration(tmp_path)
    test = [*simulated(rng, 50, sense=1), prediction("report", uncertainty=0.3)]
    blind = [dataclasses.replace(row, truth="withheld") for row in test]
    found = [row.uncertainty for row in calibrated(test, curves)]
    assert found == [row.uncertainty for row in calibrated(blind, curves)] and found[-1] == 0.3


def test_few_rows_and_no_file_leave_the_signs_alone(tmp_path):
    few = simulated(np.random.default_rng(6), 19, sense=1)
    assert fit_calibration(few) == {} == read_calibration(tmp_path)
    assert calibrated(few, {}) == few


def test_a_test_split_without_truth_is_predicted_the_same(write_shapes, setup, tmp_path, monkeypatch):
    workspace = write_shapes(tmp_path / "work", {"train": 3, "validation": 60, "test": 9})
    save_pretrained(setup.network, setup.tokenizer, tmp_path / "ours")
    found = []
    for run in ("seen", "blind"):
        write_json(workspace.runs / run / "run.json", {"digest": run, "weights": str(tmp_path / "ours")})
        predict(workspace, run=run, seed=1)
        assert set(read_calibration(workspace.runs / run)) == {"segmentation", "vqa", "classification"}
        found.append(pq.read_table(workspace.runs / run / "predictions" / "test.parquet"))
        monkeypatch.setattr(Encoder, "encode_for_prediction", without_truth(Encoder.encode_for_prediction))
    assert set(found[1]["truth"].to_pylist()) == {"withheld"} and len(found[0]) == 12
    for column in ("predicted", "score", "confidence", "uncertainty"):
        assert found[0][column].equals(found[1][column])


def without_truth(encode):
    """The same inputs, with the truth of test persons taken away."""

    def blinded(self, record, generator):
        inputs = encode(self, record, generator)
        is_test = record.fields["patient_id"].startswith("p-test")
        return [dataclasses.replace(one, truth="withheld") for one in inputs] if is_test else inputs

    return blinded
