"""Classification: right or wrong per row, and two statistics of a whole group computed under weights.

A statistic comes with each row's influence (its derivative by the row's weight), summed per person
for the linearised standard error: DeLong's placements for AUC, recall residuals for balanced accuracy.
Every weight array is [R, N]: R resamples of the same N rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.row import Row

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class ClassRows:
    """N rows of a classification task as numbers.

    truth_NC: the classes that hold. asked_NC: the classes the row's label space knows; outside it a row is no
    negative. one_N: whether exactly one class holds by the label space's own rule; only these can be right or wrong.
    correct_N: 1 where the predicted class is the true one.
    scores_NC: a score per class, larger is likelier; None where predictions carry none.
    """

    classes: tuple[str, ...]
    truth_NC: Bools
    asked_NC: Bools
    one_N: Bools
    correct_N: Floats
    scores_NC: Floats | None

    def take(self, keep_N: Bools) -> "ClassRows":
        """The rows where ``keep_N`` holds."""
        scores = None if self.scores_NC is None else self.scores_NC[keep_N]
        return ClassRows(
            classes=self.classes, truth_NC=self.truth_NC[keep_N], asked_NC=self.asked_NC[keep_N],
            one_N=self.one_N[keep_N], correct_N=self.correct_N[keep_N], scores_NC=scores,
        )  # fmt: skip

    def sides(self, place: int, *, both_sides: bool) -> tuple[Bools, Bools]:
        """[N] positives and negatives of a class among the rows that count: those asked, or those of one class."""
        counted_N = self.asked_NC[:, place] if both_sides else self.one_N
        return counted_N & self.truth_NC[:, place], counted_N & ~self.truth_NC[:, place]


@dataclass(frozen=True)
class Statistic:
    """A statistic under R weightings.

    theta_R: in [0, 1], NaN where undefined. influence_RN: change of theta per unit of a row's weight.
    extra_R: variance that small classes hide: one person of a class, found, shows no variation at all.
    """

    theta_R: Floats
    influence_RN: Floats
    extra_R: Floats


def accuracy(row: Row) -> float:
    """1 where the predicted class is the true one, after trimming and ignoring case."""
    return float(row.truth.strip().casefold() == row.predicted.strip().casefold())


def usable_classes(rows: ClassRows, *, both_sides: bool) -> list[int]:
    """The classes with a positive row, and with ``both_sides`` also a negative one; the rest are skipped."""
    sides = [rows.sides(place, both_sides=both_sides) for place in range(len(rows.classes))]
    return [
        place for place, (positive, negative) in enumerate(sides)
        if positive.any() and (negative.any() or not both_sides)
    ]  # fmt: skip


def balanced_accuracy(rows: ClassRows, weights_RN: Floats) -> Statistic:
    """Mean recall over the classes that occur (ISIC 2018 task 3), where exactly one class holds."""
    parts = [_recall(rows, weights_RN, place) for place in usable_classes(rows, both_sides=False)]
    return _mean_over_classes(parts, weights_RN.shape)


def macro_auc(rows: ClassRows, weights_RN: Floats) -> Statistic:
    """Mean one-versus-rest area under the ROC curve from scores; ties count half (Mann-Whitney).

    Of a class only rows whose label space knows it count, whether one class holds there or several.
    NaN where rows carry no scores: decisions are no substitute (METHODS: a true .852 becomes .551).
    """
    if rows.scores_NC is None:
        return _mean_over_classes([], weights_RN.shape)
    parts = [
        _auc(rows.scores_NC[:, place], rows.truth_NC[:, place], weights_RN, asked_N=rows.asked_NC[:, place])
        for place in usable_classes(rows, both_sides=True)
    ]
    return _mean_over_classes(parts, weights_RN.shape)


def _recall(rows: ClassRows, weights_RN: Floats, place: int) -> Statistic:
    positive_N, _ = rows.sides(place, both_sides=False)
    of_class_RN = weights_RN * positive_N
    total_R = of_class_RN.sum(axis=1)
    theta_R = _divide(of_class_RN @ rows.correct_N, total_R)
    residual_RN = (rows.correct_N[None, :] - theta_R[:, None]) * positive_N
    influence_RN = _divide(residual_RN, total_R[:, None])
    return Statistic(theta_R, influence_RN, _hidden_variance(theta_R, total_R))


def _auc(scores_N: Floats, positive_N: Bools, weights_RN: Floats, *, asked_N: Bools) -> Statistic:
    """Weighted AUC of one class: rows sorted by score once, placements by cumulative weights."""
    weights_RN = weights_RN * asked_N
    order = np.argsort(scores_N, kind="stable")
    ordered = scores_N[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    tie_of_N = np.cumsum(np.r_[False, ordered[1:] != ordered[:-1]])
    positive = positive_N[order]
    weights = weights_RN[:, order]
    positives_RK = np.add.reduceat(weights * positive, starts, axis=1)
    negatives_RK = np.add.reduceat(weights * ~positive, starts, axis=1)
    total_pos_R1 = positives_RK.sum(axis=1, keepdims=True)
    total_neg_R1 = negatives_RK.sum(axis=1, keepdims=True)
    below_RK = _divide(np.cumsum(negatives_RK, axis=1) - negatives_RK / 2, total_neg_R1)
    above_RK = _divide(total_pos_R1 - np.cumsum(positives_RK, axis=1) + positives_RK / 2, total_pos_R1)
    theta_R = _divide((positives_RK * below_RK).sum(axis=1), total_pos_R1[:, 0])
    placement_RN = np.where(positive, below_RK[:, tie_of_N], above_RK[:, tie_of_N])
    scale_RN = np.where(positive, total_pos_R1, total_neg_R1)
    influence = np.empty_like(placement_RN)
    influence[:, order] = _divide(placement_RN - theta_R[:, None], scale_RN)
    influence[:, ~asked_N] = 0.0
    positive_R, negative_R = total_pos_R1[:, 0], total_neg_R1[:, 0]
    hidden_R = _hidden_variance(theta_R, positive_R) + _hidden_variance(theta_R, negative_R)
    return Statistic(theta_R, influence, hidden_R)


def _hidden_variance(theta_R: Floats, total_R: Floats) -> Floats:
    """What half a row of value 0 and half a row of value 1 add to the variance of a mean of ``total_R`` rows."""
    centre_R = (theta_R * total_R + 0.5) / (total_R + 1)
    return 0.5 * (centre_R**2 + (1 - centre_R) ** 2) / (total_R + 1) ** 2


def _mean_over_classes(parts: list[Statistic], shape: tuple[int, ...]) -> Statistic:
    """Mean over classes; NaN where a resample lost one of them or where none is usable."""
    if not parts:
        nothing_R = np.full(shape[0], np.nan)
        return Statistic(nothing_R, np.full(shape, np.nan), nothing_R)
    return Statistic(
        theta_R=np.mean([part.theta_R for part in parts], axis=0),
        influence_RN=np.mean([part.influence_RN for part in parts], axis=0),
        extra_R=np.sum([part.extra_R for part in parts], axis=0) / len(parts) ** 2,
    )


def _divide(top: Floats, bottom: Floats) -> Floats:
    """top / bottom, NaN where bottom is 0."""
    shape = np.broadcast_shapes(top.shape, bottom.shape)
    bottom = np.broadcast_to(bottom, shape)
    return np.divide(top, bottom, out=np.full(shape, np.nan), where=bottom > 0)
