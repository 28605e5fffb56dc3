"""Metrics on cases small enough to be worked out by hand."""

import math

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from evaluation.metrics import METRICS, Row
from evaluation.metrics.classification import ClassRows, balanced_accuracy, macro_auc
from evaluation.metrics.segmentation import dice, iou
from evaluation.metrics.vqa import (
    closed_accuracy,
    open_accuracy,
    token_f1,
    unparsed,
    words_of,
    yes_or_no,
)
from ingest.masks import encode_mask
from ingest.sample import Task


def mask(*rows: str) -> np.ndarray:
    return np.array([[cell == "#" for cell in row] for row in rows])


def test_overlap_of_one_shared_pixel_in_two_and_two() -> None:
    truth, predicted = mask("##", ".."), mask("#.", "#.")
    assert dice(truth, predicted) == 2 * 1 / 4
    assert iou(truth, predicted) == 1 / 3


@pytest.mark.parametrize("metric", [dice, iou])
def test_two_empty_masks_agree_and_one_empty_mask_misses(metric: object) -> None:
    empty, full = mask("..", ".."), mask("##", "##")
    assert callable(metric)
    assert metric(empty, empty) == 1.0
    assert metric(full, empty) == metric(empty, full) == 0.0


def test_masks_of_different_size_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        dice(mask("##"), mask("#", "#"))


def test_a_row_carries_masks_as_text() -> None:
    row = Row(encode_mask(mask("##", "..")), encode_mask(mask("#.", "#.")), task=Task.SEGMENTATION)
    assert METRICS["dice"].per_row is not None
    assert METRICS["dice"].per_row(row) == 0.5


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Yes.", True), ("No", False), ("no evidence of a fracture", False), ("There is NOT a mass", False),
        ("Yes, no effusion", True), ("normal", None), ("a nodule", None), ("", None), ("not sure", None),
        ("no doubt, yes", True), ("eyes", None), ("noyes", None),
    ],
)  # fmt: skip
def test_yes_and_no_are_found_by_word_and_with_negation(answer: str, said: bool | None) -> None:
    assert yes_or_no(answer) is said


def test_an_answer_that_says_neither_is_wrong_and_counted() -> None:
    row = Row("no", "pneumonia", closed=True)
    assert closed_accuracy(row) == 0.0
    assert unparsed(row) == 1.0
    assert unparsed(Row("no", "no evidence of it", closed=True)) == 0.0
    for other in (Row("left", "right", closed=True), Row("no", "pneumonia")):  # a choice, an open question
        assert math.isnan(unparsed(other))
    assert METRICS["unparsed"].per_row is unparsed and not METRICS["unparsed"].higher_is_better
    assert math.isnan(closed_accuracy(Row("liver", "liver")))


def test_a_closed_choice_is_compared_by_its_words() -> None:
    assert closed_accuracy(Row("left", "The left", closed=True)) == 1.0
    assert closed_accuracy(Row("left", "no", closed=True)) == 0.0


def test_open_answers_ignore_case_articles_and_punctuation_only() -> None:
    assert words_of("The T2-weighted MRI.") == ["t2-weighted", "mri"]
    assert open_accuracy(Row("the liver", "Liver.")) == 1.0
    assert open_accuracy(Row("left lung", "lung")) == 0.0
    assert math.isnan(open_accuracy(Row("yes", "yes", closed=True)))


def test_token_f1_of_one_word_in_two() -> None:
    assert token_f1(Row("left lung", "lung")) == pytest.approx(2 / 3)
    assert token_f1(Row("", "")) == 1.0
    assert token_f1(Row("lung", "")) == 0.0


def rows_of(truth: list[int], scores: np.ndarray) -> ClassRows:
    predicted, truth_NC = scores.argmax(1), np.eye(3, dtype=bool)[truth]
    return ClassRows(
        classes=("a", "b", "c"), truth_NC=truth_NC, asked_NC=np.ones_like(truth_NC),
        one_N=np.ones(len(truth), dtype=bool), correct_N=(predicted == truth).astype(float), scores_NC=scores,
    )  # fmt: skip


def test_auc_and_balanced_accuracy_agree_with_sklearn_under_weights() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, 80)
    scores = np.round(generator.dirichlet(np.ones(3), 80) + 0.4 * np.eye(3)[truth], 1)
    weights = generator.integers(0, 4, 80).astype(float)
    rows = rows_of(truth.tolist(), scores)
    expected = np.mean([roc_auc_score(truth == k, scores[:, k], sample_weight=weights) for k in range(3)])
    assert macro_auc(rows, weights[None]).theta_R[0] == pytest.approx(expected)
    recall = balanced_accuracy_score(truth, scores.argmax(1), sample_weight=weights)
    assert balanced_accuracy(rows, weights[None]).theta_R[0] == pytest.approx(recall)


@pytest.mark.parametrize("statistic", [macro_auc, balanced_accuracy])
def test_influence_is_the_derivative_by_a_rows_weight(statistic: object) -> None:
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 3, 40)
    rows = rows_of(truth.tolist(), np.round(generator.random((40, 3)), 1))
    weights = np.ones((1, 40))
    assert callable(statistic)
    influence = statistic(rows, weights).influence_RN[0]
    for place in range(3):
        moved = weights.copy()
        moved[0, place] += 1e-6
        slope = (statistic(rows, moved).theta_R[0] - statistic(rows, weights).theta_R[0]) / 1e-6
        assert influence[place] == pytest.approx(slope, abs=1e-5)


def test_auc_counts_only_rows_whose_label_space_knows_the_class() -> None:
    scores = np.array([[0.9, 0.2, 0.0], [0.4, 0.6, 0.0], [0.8, 0.1, 0.0], [0.0, 0.0, 0.7], [0.0, 0.0, 0.3]])
    truth_NC = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]], dtype=bool)  # several, or none
    asked_NC = np.array([[1, 1, 0]] * 3 + [[0, 0, 1]] * 2, dtype=bool)
    rows = ClassRows(
        classes=("a", "b", "c"), truth_NC=truth_NC, asked_NC=asked_NC, one_N=np.zeros(5, dtype=bool),
        correct_N=np.zeros(5), scores_NC=scores,
    )  # fmt: skip
    # a: .9 above .4 and .8; b: .2 and .6 above .1; c: .7 above .3. With every row a negative, b would lose nothing
    # but c would gain three easy ones.
    weights = np.ones((1, 5))
    assert macro_auc(rows, weights).theta_R[0] == 1.0
    assert macro_auc(rows, weights).influence_RN[0] == pytest.approx(np.zeros(5))
    assert np.isnan(balanced_accuracy(rows, weights).theta_R[0])  # no row is of exactly one class


def test_auc_without_scores_or_without_a_second_class_is_undefined() -> None:
    rows = rows_of([0, 0], np.array([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]]))
    assert np.isnan(macro_auc(rows, np.ones((1, 2))).theta_R[0])
