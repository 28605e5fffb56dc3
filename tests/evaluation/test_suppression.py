"""Few persons of an identifiable data set, from the census over weights and scores to pages, tooltips and files."""

import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import plotly.utils
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from evaluation.app import weights_page
from evaluation.corpus import read_corpus
from evaluation.evaluate import evaluate
from evaluation.report import write_report
from flows.score import score_predictions
from ingest.census import CensusConfig, take_census
from ingest.errors import BadInput
from ingest.percent import percent
from ingest.sample import Sample, person_key_of, to_table
from ingest.workspace import Workspace
from model.influence import INFLUENCE_SCHEMA
from model.prediction import Prediction, write_predictions
from shards.targets import Target
from shards.weigh import WeightsConfig, weigh

PERSONS = {  # data set, sex, view: persons in training, validation, test
    ("hospital", "female", "frontal"): (131, 41, 47),
    ("hospital", "male", "frontal"): (89, 37, 44),
    ("hospital", "male", "lateral"): (33, 20, 19),
    ("hospital", "female", "oblique"): (23, 3, 6),
    ("hospital", "other", "frontal"): (17, 12, 7),
    ("open", "female", "frontal"): (301, 40, 61),
    ("open", "male", "lateral"): (203, 50, 67),
    ("open", "other", "oblique"): (5, 3, 4),
}
SMALL = {"sex": {"other"}, "view": {"oblique"}}
"""Of 1 to 10 persons of the hospital's in the test split; "oblique" of 9 outside training."""


def samples() -> Iterator[Sample]:
    for (dataset, sex, view), counts in PERSONS.items():
        for split, count in zip(("train", "validation", "test"), counts, strict=True):
            for number in range(count):
                key = f"{dataset}-{sex}-{view}-{split}-{number}"
                yield Sample(
                    sample_id=key, dataset=dataset, native_id=key, split=split, task="classification", sex=sex,
                    view=view, image_status="present", patient_id=key, labels=[f"class {number % 3}"], source_file="x",
                    modality="x_ray", label_space="three",
                )  # fmt: skip


def prediction(sample: Sample, place: int) -> Prediction:
    """Right in two of three cases, whoever it is."""
    truth = (sample.labels or [""])[0]
    predicted = truth if place % 3 else "class 0"
    score = [0.8 if name == predicted else 0.1 for name in ("class 0", "class 1", "class 2")]
    return Prediction(
        sample_id=sample.sample_id, patient_id=person_key_of(asdict(sample))[1], task="classification", truth=truth,
        predicted=predicted, score=score, confidence=0.8, uncertainty=0.2, prompt="", seconds=0.1,
    )  # fmt: skip


def ran(workspace: Workspace, identifiable: set[str]) -> Workspace:
    """Census, weights and scores of the corpus, by the stages' own functions, on predictions made here."""
    rows = list(samples())
    write_deltalake(workspace.samples, to_table(rows), partition_by=["dataset"])
    attributes = ["sex", "view"]
    census = CensusConfig(attributes=tuple(attributes), num_resamples=100)
    take_census(workspace, census, identifiable=identifiable)
    targets = {"sex": Target(toward="uniform", strength=0.5), "view": Target(toward="uniform", strength=0.5)}
    weigh(
        workspace, WeightsConfig(targets=targets), attributes=attributes, max_repeats={}, num_epochs=1,
        draws_per_epoch=0, identifiable=identifiable,
    )  # fmt: skip
    folder = workspace.runs / "r"
    for split in ("validation", "test"):
        found = [prediction(row, place) for place, row in enumerate(rows) if row.split == split]
        write_predictions(folder / "predictions" / f"{split}.parquet", found, classes=["class 0", "class 1", "class 2"])
    drawn = [
        {"sample_id": row.sample_id, "task": "classification", "num_draws": 1, "influence": 1.0 + place % 7}
        for place, row in enumerate(rows) if row.split == "train"
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(drawn, schema=INFLUENCE_SCHEMA), folder / "influence.parquet")
    pq.write_table(INFLUENCE_SCHEMA.empty_table(), folder / "review.parquet")
    evaluate(workspace, run="r", attributes=attributes, num_resamples=100, seed=1, identifiable=identifiable)
    write_report(workspace, run="r", out=workspace.report, title="T")
    return workspace


@pytest.fixture(scope="module")
def open_(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return ran(Workspace(tmp_path_factory.mktemp("open")), set())


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return ran(Workspace(tmp_path_factory.mktemp("guarded")), {"hospital"})


def table(workspace: Workspace, path: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(workspace.root / path).to_pylist()
    return rows


def test_small_groups_are_suppressed_in_scores_with_another_and_shown_in_the_open_set(guarded: Workspace) -> None:
    rows = [row for row in table(guarded, "runs/r/scores.parquet") if row["metric"] == "accuracy"]
    hidden = {(row["dataset"], row["level"]) for row in rows if row["num_patients"] is None}
    for place in ("hospital", "__all__"):
        # One hidden level is given back by the total: the next smallest is hidden beside it.
        assert {level for dataset, level in hidden if dataset == place} == {"other", "oblique", "female", "lateral"}
    assert not any(dataset == "open" for dataset, _ in hidden)
    figures = ("num_samples", "estimate", "low", "high", "simultaneous_low", "simultaneous_high")
    assert all(row[name] is None for row in rows if row["num_patients"] is None for name in figures)


def test_hidden_groups_are_not_compared(open_: Workspace, guarded: Workspace) -> None:
    gaps = {row["attribute"]: row for row in table(guarded, "runs/r/gaps.parquet") if row["metric"] == "accuracy"}
    assert gaps["sex"]["gap"] is None  # men alone may be shown
    assert any(row["gap"] is not None for row in table(open_, "runs/r/gaps.parquet"))


def figures_of(rows: list[dict[str, Any]], names: tuple[str, ...]) -> set[float]:
    return {row[name] for row in rows for name in names if isinstance(row[name], float)}


def numbers(value: Any) -> Iterator[Any]:
    """Every number anywhere in what a file holds."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from numbers(each)
    elif isinstance(value, float):
        yield value


def written(workspace: Workspace) -> set[float]:
    """Every number in the files that others read; not what is row by row."""
    found: set[float] = set()
    for path in itertools.chain(workspace.root.rglob("*.parquet"), workspace.root.rglob("*.json")):
        inside = str(path.relative_to(workspace.root))
        if inside.startswith(("census/", "weights/margins", "weights/solution", "runs/")) and not inside.startswith(
            ("runs/r/predictions", "runs/r/results", "runs/r/influence.parquet")
        ):
            rows = pq.read_table(path).to_pylist() if path.suffix == ".parquet" else json.loads(path.read_text())
            found |= set(numbers(rows))
    return found


def hidden_figures(open_: Workspace, guarded: Workspace) -> set[float]:
    """The numbers that the open run tells of what the guarded one hides, and that nothing shown has in common."""
    told = {
        ("scores", row["metric"], row["dataset"], row["attribute"], row["level"]): row
        for row in table(open_, "runs/r/scores.parquet")
    } | {("margins", row["attribute"], row["level"]): row for row in table(open_, "weights/margins.parquet")}
    keys = [
        ("scores", row["metric"], row["dataset"], row["attribute"], row["level"])
        for row in table(guarded, "runs/r/scores.parquet")
        if row["num_patients"] is None
    ] + [("margins", r["attribute"], r["level"]) for r in table(guarded, "weights/margins.parquet") if r["suppressed"]]
    names = {"scores": ("estimate", "low", "high"), "margins": ("before", "after")}
    hidden = set().union(*(figures_of([told[key]], names[key[0]]) for key in keys if key in told))
    shown = set().union(*(figures_of([row], names[key[0]]) for key, row in told.items() if key not in keys))
    return hidden - shown


def test_no_file_holds_a_hidden_figure(open_: Workspace, guarded: Workspace) -> None:
    hidden = hidden_figures(open_, guarded)
    assert len(hidden) > 20 and hidden <= written(open_)
    assert hidden & written(guarded) == set()


def test_neither_the_page_nor_a_tooltip_tells_a_hidden_number(open_: Workspace, guarded: Workspace) -> None:
    pages = [workspace.report.read_text() for workspace in (open_, guarded)]
    rows = [row for row in table(guarded, "runs/r/scores.parquet") if row["num_patients"] is None]
    told = {
        (row["metric"], row["dataset"], row["level"]): row["num_patients"]
        for row in table(open_, "runs/r/scores.parquet")
    }
    labels = {
        f"{r['level']} ({told[r['metric'], r['dataset'], r['level']]:,})" for r in rows if r["dataset"] == "__all__"
    }
    assert {"other (11)", "oblique (10)"} <= labels
    before = {row["level"]: row for row in table(open_, "weights/margins.parquet")}
    hidden = [row["level"] for row in table(guarded, "weights/margins.parquet") if row["suppressed"]]
    assert "oblique" in hidden
    labels |= {percent(before[level][key], digits=2) for level in hidden for key in ("before", "after")}
    for label in sorted(labels):
        assert label in pages[0], label
        assert label not in pages[1], label
    assert "other (suppressed)" in pages[1]


def test_the_dashboard_tells_no_hidden_margin(open_: Workspace, guarded: Workspace) -> None:
    told = []
    for workspace in (open_, guarded):
        parts = [weights_page.layout(read_corpus(workspace), attribute=name) for name in SMALL]
        told.append(json.dumps(parts, cls=plotly.utils.PlotlyJSONEncoder, ensure_ascii=False))
    rows = {row["level"]: row for row in table(open_, "weights/margins.parquet")}
    hidden = [row["level"] for row in table(guarded, "weights/margins.parquet") if row["suppressed"]]
    assert hidden
    for level in hidden:
        for words in (f"{percent(rows[level]['before'])} before", f'n {rows[level]["num_persons"]:,}"'):
            assert words in told[0] and words not in told[1], words
    assert "suppressed, too few persons" in told[1] and "n suppressed" in told[1]


def test_scoring_any_predictions_hides_the_groups_of_named_data_sets(guarded: Workspace, tmp_path: Path) -> None:
    predictions = guarded.runs / "r" / "predictions" / "test.parquet"
    options: dict[str, Any] = {"out": tmp_path, "seed": 1}
    path, _ = score_predictions(predictions, guarded.samples, ["sex"], **options, identifiable=["hospital"])
    hidden = {row["level"] for row in pq.read_table(path).to_pylist() if row["num_patients"] is None}
    assert hidden == {"other", "female"}
    with pytest.raises(BadInput, match=r"--identifiable: expected data sets .* got hospitl"):
        score_predictions(predictions, guarded.samples, ["sex"], **options, identifiable=["hospitl"])


def test_a_split_of_few_persons_is_hidden_with_the_next_smallest(guarded: Workspace, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    few = [row for row in samples() if row.split != "test" or row.dataset == "open" or row.view == "oblique"]
    write_deltalake(workspace.samples, to_table(few), partition_by=["dataset"])
    census = CensusConfig(attributes=("sex",), num_resamples=100, intersections=0)
    for identifiable, hidden in (({"hospital"}, {"test", "validation"}), (set(), set())):
        take_census(workspace, census, identifiable=identifiable)
        splits = {row["dataset"]: row["splits"] for row in read_corpus(workspace).datasets}
        assert {name for name, number in splits["hospital"].items() if number is None} == hidden
        assert None not in splits["open"].values()
        page = write_report(workspace, run=None, out=tmp_path / "r.html", title="T").read_text()
        assert (">6<" in page) == (not hidden)
        assert ">293<" in page  # of training


def test_influence_of_hidden_groups_and_baselines_of_few_persons_are_hidden(guarded: Workspace, tmp_path: Path) -> None:
    shares = {row["level"]: row["draws"] for row in table(guarded, "runs/r/influence_groups.parquet")}
    assert shares["oblique"] is None and shares["frontal"] is not None
    workspace = Workspace(Path(shutil.copytree(guarded.root, tmp_path / "w")))
    few = [
        asdict(prediction(row, n)) for n, row in enumerate(samples())
        if row.split == "validation" and (row.dataset == "open" or row.view == "oblique") and n % 2
    ]  # fmt: skip
    path = workspace.runs / "r" / "predictions" / "validation.parquet"
    write_predictions(path, [Prediction(**row) for row in few], classes=["class 0", "class 1", "class 2"])
    evaluate(workspace, run="r", attributes=["sex"], num_resamples=100, seed=1, identifiable={"hospital"})
    (entry,) = json.loads((workspace.runs / "r" / "baselines.json").read_text()).values()
    assert set(entry.values()) == {None}
    page = write_report(workspace, run="r", out=tmp_path / "r.html", title="T").read_text()
    assert "suppressed: too few validation persons" in page
