"""What each way of treating hard and rare samples does to the worst group, on the simulated corpus.

    python -m benchmarks.bias_control [--seeds 5] [--steps 200]

Preset tiny, CPU, one corpus; a seed decides initial weights, draws and clicks. Arms add up: plain, published
uncertainty, corrected uncertainty, + tail loop, + sampling weights. Per arm the lowest score over the groups of sex,
age band and modality with at least 5 persons in validation and test: mean over seeds, its 95 % t-interval, and the
paired difference to plain with its own. A difference is called shown where its interval leaves out 0; among many of
them some would by chance, so the results also say which hold at 0.05 / 8 (Bonferroni).
"""

import argparse
import dataclasses
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from scipy import stats

from benchmarks import write_result
from evaluation.evaluate import read_samples
from evaluation.slices import score
from flows.config import load_config
from flows.demo import SEED, prepare_demo, simulate_into
from flows.runner import run_stages
from flows.stages import refresh_stages
from ingest.sample import Split
from ingest.workspace import Workspace
from model.batch import Collate
from model.config import ModelConfig, TrainingConfig
from model.encode import Encoder
from model.network import build_network
from model.objective import Objective
from model.predict import predict_split
from model.prediction import write_predictions
from model.starting_point import network_and_tokenizer
from model.worker import rate_at
from shards.load import LoadConfig, open_shards

ATTRIBUTES = ["sex", "age_band", "modality"]
NUM_SAMPLES = 2400
FEWEST_PERSONS = 5
METRICS = {"segmentation": "dice", "classification": "accuracy", "vqa": "accuracy"}
BATCH_SIZE = 8


@dataclasses.dataclass(frozen=True)
class Arm:
    uncertainty: str = "off"
    tail_loop: str = "off"
    weighted: bool = False


ARMS = {
    "plain": Arm(),
    "reference uncertainty": Arm(uncertainty="reference"),
    "corrected uncertainty": Arm(uncertainty="corrected"),
    "+ tail loop": Arm(uncertainty="corrected", tail_loop="corrected"),
    "+ sampling weights": Arm(uncertainty="corrected", tail_loop="corrected", weighted=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="bias_control_") as folder:
        workspaces = corpora(Path(folder))
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in ARMS}
        for seed in range(settings.seeds):
            for name, arm in ARMS.items():
                started = time.process_time()
                rows[name].append(worst_groups(workspaces[arm.weighted], arm, seed=seed, steps=settings.steps))
                print(f"seed {seed} {name}: {rows[name][-1]} ({time.process_time() - started:.0f} s CPU)", flush=True)
    result = {name: summary(values, rows["plain"]) for name, values in rows.items()}
    for name, numbers in result.items():
        for metric, cell in numbers.items():
            print(f"{name:24s} {metric:32s} {told(cell)}")
    write_result(
        "bias_control",
        {"samples": NUM_SAMPLES, "seeds": settings.seeds, "steps": settings.steps, "arms": result, "runs": rows},
    )
    shown = [
        f"{metric} {cell['difference']:+.3f} by {name}"
        for name, numbers in result.items()
        for metric, cell in numbers.items()
        if cell.get("is_shown")
    ]
    print(f"bias_control: shown against plain over {settings.seeds} seeds: {'; '.join(shown) or 'nothing'}")


def corpora(folder: Path) -> dict[bool, Workspace]:
    """The simulated corpus packed once; False: every training row weighs the same."""
    simulate_into(folder / "raw", num_samples=NUM_SAMPLES, seed=SEED)
    config = load_config(prepare_demo(folder))
    run_stages(config, [stage for stage in refresh_stages(config) if stage.name != "census"])
    weighted, flat = config.workspace, Workspace(folder / "flat")
    flat.weights.parent.mkdir(parents=True)
    for path in (weighted.samples, weighted.shards):
        (flat.root / path.name).symlink_to(path)
    ids = pq.read_table(weighted.weights, columns=["sample_id"])["sample_id"]
    pq.write_table(pa.table({"sample_id": ids, "weight": [1.0] * len(ids)}), flat.weights)
    return {True: weighted, False: flat}


def worst_groups(workspace: Workspace, arm: Arm, *, seed: int, steps: int) -> dict[str, float]:
    """Train one network and give its lowest group score, and its score over everybody, by task."""
    control = {"uncertainty": arm.uncertainty, "tail_loop": arm.tail_loop}
    training = TrainingConfig(micro_batch=BATCH_SIZE, accumulate=1, **control).resolved(ModelConfig())
    config, tokenizer = network_and_tokenizer(workspace, ModelConfig())
    network = build_network(config, seed=seed)
    train(workspace, Objective(network, training, seed=seed), tokenizer, training, seed=seed, steps=steps)
    samples = read_samples(workspace, ATTRIBUTES)
    splits = (Split.VALIDATION, Split.TEST)
    asked = (predict_split(workspace, network.eval(), tokenizer, split=split, seed=seed) for split in splits)
    predictions = [prediction for split in asked for prediction in split]
    path = workspace.root / "predictions.parquet"
    write_predictions(path, predictions, classes=config.classes)
    predicted, found = pq.read_table(path), {}
    for task, metric in METRICS.items():
        table = score(predicted, samples, metric, ATTRIBUTES, num_resamples=100, seed=seed).to_pylist()
        whole = [row for row in table if row["task"] == task and row["dataset"] == "__all__"]
        groups = [row for row in whole if row["attribute"] != "__all__" and row["num_patients"] >= FEWEST_PERSONS]
        named = [row["estimate"] for row in groups if row["level"] != "__missing__" and row["estimate"] is not None]
        (everybody,) = (row["estimate"] for row in whole if row["attribute"] == "__all__")
        found[f"{task} {metric}, everybody"] = everybody
        if len(named) > 1:
            found[f"{task} {metric}, worst group"] = min(named)
    return found


def train(
    workspace: Workspace, objective: Objective, tokenizer: Any, training: TrainingConfig, *, seed: int, steps: int
) -> None:
    """Plain AdamW on one process: the settings of ``biascarevl train`` without DeepSpeed's start-up."""
    assert training.learning_rate is not None and training.warmup_steps is not None, "resolved"
    config = objective.network.config
    collate = Collate(pad_id=tokenizer.pad_token_id, image_id=config.language["image_token_id"])
    loader = open_shards(
        workspace, split=Split.TRAIN, encode=Encoder(config, tokenizer).encode_for_training, collate=collate.batch,
        config=LoadConfig(batch_size=BATCH_SIZE, num_epochs=1, draws_per_epoch=steps * BATCH_SIZE, seed=seed),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(
        objective.parameters(), lr=training.learning_rate, betas=training.betas, weight_decay=training.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate_at(step, training.warmup_steps or 0, steps)
    )
    objective.train()
    for batch in loader:
        objective(batch)["total"].backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), training.gradient_clip)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()


def summary(values: list[dict[str, float]], plain: list[dict[str, float]]) -> dict[str, dict[str, Any]]:
    """Mean and interval over seeds by metric; the paired difference to plain, pointwise and Bonferroni."""
    cells: dict[str, dict[str, Any]] = {}
    for metric in values[0]:
        mine, theirs = ([row[metric] for row in rows] for rows in (values, plain))
        mean, half = mean_and_half_width(mine, 0.05)
        cells[metric] = {"mean": mean, "low": mean - half, "high": mean + half}
        if values is not plain:
            paired = [a - b for a, b in zip(mine, theirs, strict=True)]
            difference, half = mean_and_half_width(paired, 0.05)
            _, wide = mean_and_half_width(paired, 0.05 / 8)
            cells[metric] |= {
                "difference": difference, "difference_low": difference - half, "difference_high": difference + half,
                "is_shown": abs(difference) > half, "is_shown_bonferroni": abs(difference) > wide,
            }  # fmt: skip
    return cells


def mean_and_half_width(values: list[float], alpha: float) -> tuple[float, float]:
    """Mean and half the width of its t-interval."""
    tensor = torch.tensor(values, dtype=torch.float64)
    if len(values) < 2:
        return float(tensor.mean()), math.inf
    half = stats.t.ppf(1 - alpha / 2, len(values) - 1) * float(tensor.std()) / math.sqrt(len(values))
    return float(tensor.mean()), float(half)


def told(cell: dict[str, Any]) -> str:
    text = f"{cell['mean']:.3f} [{cell['low']:.3f}, {cell['high']:.3f}]"
    if "difference" in cell:
        verdict = "shown" if cell["is_shown"] else "not shown"
        text += (
            f"  to plain {cell['difference']:+.3f} [{cell['difference_low']:+.3f}, {cell['difference_high']:+.3f}]"
            f" {verdict}"
        )
    return text


if __name__ == "__main__":
    main()
