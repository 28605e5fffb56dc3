"""The model half of the report: training, scores by group, gaps with their verdicts, baselines."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.fairness import Verdict
from evaluation.figures import group_scores, is_suppressed, loss_curve
from evaluation.page import (
    SUPPRESSED,
    Markup,
    Section,
    folded,
    name_of,
    note,
    plural,
    sentence_case,
    table,
    text,
    whole,
)
from evaluation.rows import EVERYTHING
from ingest.percent import percent

Row = dict[str, Any]
_METRIC_WORDS = {
    "dice": "Dice overlap", "iou": "intersection over union", "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy", "auc": "area under the ROC curve",
    "closed_accuracy": "accuracy on yes/no questions", "open_accuracy": "exact accuracy on open questions",
    "token_f1": "word overlap (token F1)",
    "unparsed": "yes/no questions answered with neither (less is better)",
}  # fmt: skip
_GUESSES = {
    "dice": ("Segmentation", "Dice overlap", "the best mask that is the same for everybody"),
    "answer_accuracy": ("Questions", "exact accuracy", "the commonest answer"),
    "class_accuracy": ("Classification", "accuracy", "the commonest class"),
}
"""What is compared, by what, and with which guess, per entry of baselines.json."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run left, as rows; empty where a stage has not run.

    pictures: PNG bytes of image, truth and prediction side by side. num_review: draws the noise guard set aside,
    None where the run kept no log.
    """

    name: str
    losses: list[Row]
    scores: list[Row]
    gaps: list[Row]
    baselines: Row
    delta: float
    pictures: list[bytes]
    influence: list[Row]
    num_review: int | None


def run_sections(run: Run) -> list[Section]:
    """Every chapter the run allows, in reading order."""
    chapters = []
    if run.losses:
        chapters.append(Section("training", "Training", "Training", _training(run)))
    if run.scores:
        chapters.append(Section("scores", "Scores", "Scores by group", _scores(run)))
    if run.gaps:
        chapters.append(Section("gaps", "Gaps", "Gaps between groups", _gaps(run)))
    if run.baselines:
        chapters.append(Section("baselines", "Baselines", "Is it better than a guess?", _baselines(run.baselines)))
    if run.pictures:
        chapters.append(Section("pictures", "Pictures", "Test pictures", _pictures(run.pictures)))
    return chapters


def run_findings(run: Run) -> list[tuple[str, str]]:
    """The run in sentences: how good, against a guess, and for whom."""
    sentences = []
    for name, entry in run.baselines.items():
        task, metric, guess = _GUESSES[name]
        if entry["num_patients"] is None:
            sentences.append((task, f"{sentence_case(metric)} suppressed: too few validation persons."))
            continue
        words = (
            f"{sentence_case(metric)} {entry['model']:.2f} on {plural(entry['num_patients'], 'validation person')}; "
            f"{guess} gets {entry['baseline']:.2f}. The model is {_comparison(entry)}."
        )
        sentences.append((task, words))
    if run.gaps:
        counts = {verdict: sum(row["verdict"] == verdict for row in run.gaps) for verdict in Verdict}
        words = (
            f"Of {plural(len(run.gaps), 'comparison')} between groups, {counts[Verdict.DISPARITY]} "
            f"{'shows' if counts[Verdict.DISPARITY] == 1 else 'show'} a disparity, {counts[Verdict.WITHIN]} "
            f"{'stays' if counts[Verdict.WITHIN] == 1 else 'stay'} within {percent(run.delta, digits=0)}, and "
            f"{counts[Verdict.CANNOT_CONCLUDE]} cannot be decided on so few persons."
        )
        sentences.append(("Fairness", words))
    return sentences


def metric_words(metric: str) -> str:
    """``accuracy (vqa)`` keeps its task; an unknown name stays itself."""
    plain, _, task = metric.partition(" (")
    return _METRIC_WORDS.get(plain, name_of(plain)) + (f" ({task}" if task else "")


def _scores(run: Run) -> Markup:
    body = note(
        "Test split. Number of persons in brackets. The thick line is the 95 % interval of that group alone; the thin "
        "one holds for all groups of the attribute together, so groups may be compared by it. Groups of fewer than 30 "
        "persons have no thin line and are never called best or worst. A suppressed group is one so small, or whose "
        "complement is, that it could point to a person."
    )
    keys = dict.fromkeys((row["task"], row["metric"]) for row in run.scores)
    for number, (task, metric) in enumerate(keys):
        rows = [row for row in run.scores if (row["task"], row["metric"]) == (task, metric)]
        everything = [row for row in rows if row["dataset"] == EVERYTHING]
        title = f"{sentence_case(name_of(task))}: {metric_words(metric)}"
        body += f"<h3>{text(title)}</h3>"
        if any(row["estimate"] is not None or is_suppressed(row) for row in everything):
            body += group_scores(everything, anchor=f"figure-scores-{number}")
        else:
            body += note("Not defined on these predictions.")
        body += folded("Every number, by data set", _score_table(rows, caption=title))
    return body


def _score_table(rows: Sequence[Row], *, caption: str) -> Markup:
    columns = ["Data set", "Attribute", "Level", "Persons", "Samples", "Score", "95 %", "95 % jointly"]
    cells = [
        [
            *(text(name_of(row[key])) for key in ("dataset", "attribute", "level")),
            *([SUPPRESSED] * 5 if is_suppressed(row) else [
                whole(row["num_patients"]), whole(row["num_samples"]), _number(row["estimate"]),
                _limits(row["low"], row["high"]), _limits(row["simultaneous_low"], row["simultaneous_high"]),
            ]),
        ]
        for row in rows
    ]  # fmt: skip
    return table(columns, cells, caption=caption, words=3)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _limits(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _gaps(run: Run) -> Markup:
    size = percent(run.delta, digits=0)
    body = note(
        "The difference between the best and the worst group of at least 30 persons. Chance alone makes gaps: the "
        "column “by chance” says how large they get, 19 times of 20, when group membership means nothing. The "
        f"verdict says whether the true difference is known to be below {size} (within) or above it (disparity). "
        f"Persons needed is per group, to see a difference of {size}."
    )
    compared = [row for row in run.gaps if row["gap"] is not None]
    if compared:
        body += _gap_table(compared, run.delta)
    rest = [
        [text(metric_words(row["metric"])), text(name_of(row["attribute"]))] for row in run.gaps if row["gap"] is None
    ]
    if rest:
        title = f"{plural(len(rest), 'comparison')} without two groups of 30 persons that may be shown: cannot conclude"
        body += folded(title, table(["Metric", "Attribute"], rest, caption="Too few persons to compare", words=2))
    return body


def _gap_table(gaps: list[Row], delta: float) -> Markup:
    columns = ["Metric", "Attribute", "Verdict", "Gap", "By chance", "p", "Worst group (shrunk)", "Persons needed"]
    rows = [
        [
            text(metric_words(row["metric"])), text(name_of(row["attribute"])), _verdict(row, delta),
            _number(row["gap"]), _number(row["null_95"]), _number(row["p_value"]), _worst(row),
            whole(row["num_needed"]),
        ]
        for row in gaps
    ]  # fmt: skip
    return table(columns, rows, caption="Gaps per metric and attribute", words=3)


def _verdict(row: Row, delta: float) -> Markup:
    size = percent(delta, digits=0)
    words = {
        Verdict.WITHIN: f"within {size}",
        Verdict.DISPARITY: "disparity",
        Verdict.CANNOT_CONCLUDE: "cannot conclude",
    }[Verdict(row["verdict"])]
    return f'<span class="verdict {text(row["verdict"])}">{text(words)}</span>'


def _worst(row: Row) -> Markup:
    if row["worst_level"] is None:
        return "–"
    probable = row.get("worst_probability")  # not in the gaps of earlier versions
    sure = "" if probable is None else f", {percent(probable, digits=0)} sure"
    return text(f"{name_of(row['worst_level'])} {_number(row['worst_shrunk'])}{sure}")


def _baselines(baselines: Row) -> Markup:
    rows = [
        [
            *(text(words) for words in (_GUESSES[name][0], _GUESSES[name][2], _comparison(entry), _GUESSES[name][1])),
            *([SUPPRESSED] * 4 if entry["num_patients"] is None else [
                _number(entry["model"]), _number(entry["baseline"]),
                _limits(entry["difference_low"], entry["difference_high"]), whole(entry["num_patients"]),
            ]),
        ]
        for name, entry in baselines.items()
    ]  # fmt: skip
    explained = (
        "The opponent is learnt from the training set and never looks at the picture. A model that does not beat it "
        "shows no sight. Validation split; the interval of the difference is over persons, on the same rows."
    )
    columns = ["Task", "Opponent", "The model is", "Metric", "Model", "Opponent", "Difference (95 %)", "Persons"]
    return note(explained) + table(columns, rows, caption="Model against constant guesses", words=4)


def _comparison(entry: Row) -> str:
    """Where the interval of the difference lies: above 0, below, or around."""
    low, high = entry["difference_low"], entry["difference_high"]
    if low is None or high is None:
        return "not comparable with the guess"
    if low > 0:
        return "better than the guess"
    return "worse than the guess" if high < 0 else "not told apart from the guess"


def _pictures(pictures: list[bytes]) -> Markup:
    words = "Test picture, its true mask and the predicted mask, side by side"
    tags = "".join(
        f'<img alt="{words}" src="data:image/png;base64,{base64.b64encode(png).decode()}">' for png in pictures
    )
    return note(words + ". Picked by seed, not by eye.") + f'<div class="pictures">{tags}</div>'


def _training(run: Run) -> Markup:
    losses = run.losses
    tenth = max(1, len(losses) // 10)
    first = sum(line["loss"] for line in losses[:tenth]) / tenth
    last = sum(line["loss"] for line in losses[-tenth:]) / tenth
    words = (
        f"{plural(losses[-1]['step'], 'step')}; mean loss of the first tenth {first:.3f}, of the last tenth {last:.3f}."
    )
    return note(words) + loss_curve(losses, anchor="figure-loss") + _influence(run)


def _influence(run: Run) -> Markup:
    if run.num_review is None:
        return ""
    listed = "is" if run.num_review == 1 else "are"
    body = note(
        "The sampling weights decide how often a group is drawn, the losses how much each draw counts. "
        f"{plural(run.num_review, 'draw')} of training {listed} listed for review (review.parquet): harder than "
        "nearly all others, and more likely mislabelled than worth learning."
    )
    rows = [
        [text(name_of(row["attribute"])), text(name_of(row["level"])),
         *(SUPPRESSED if row[key] is None else percent(row[key]) for key in ("draws", "influence"))]
        for row in run.influence
    ]  # fmt: skip
    columns = ["Attribute", "Level", "Share of draws", "Share of influence"]
    return "<h3>Who moved the weights</h3>" + body + table(columns, rows, caption="Influence by group", words=2)
