"""The files the published system writes: cls_metrics.json, dir_metrics.json, results/*.json, visualization/."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from evaluation.baselines import resize_mask
from evaluation.metrics.segmentation import dice, iou
from evaluation.suppression import Guard
from ingest.masks import decode_mask
from ingest.sample import Task
from ingest.workspace import Workspace, publishing, write_json
from shards.record import decode_record, members_of, read_range

NUM_PICTURES = 12
TRUTH_COLOUR = (0, 158, 115)
PREDICTED_COLOUR = (230, 159, 0)


def write_metrics(folder: Path, predictions: pa.Table, samples: pa.Table, *, guard: Guard | None = None) -> None:
    """``cls_metrics.json`` per target and ``dir_metrics.json`` per source: Dice and IoU, mean, deviation, count.

    Every figure of a target or source with too few persons for ``guard`` is null.
    """
    spaces = dict(zip(samples["sample_id"].to_pylist(), samples["label_space"].to_pylist(), strict=True))
    overlaps: list[tuple[float, float]] = []
    targets: list[str] = []
    sources: list[str] = []
    sample_ids: list[str] = []
    for row in predictions.select(["sample_id", "task", "truth", "predicted", "prompt"]).to_pylist():
        if row["task"] == Task.SEGMENTATION:
            truth, predicted = decode_mask(row["truth"]), decode_mask(row["predicted"])
            overlap = dice(truth, predicted), iou(truth, predicted)
            overlaps.append(overlap)
            targets.append(row["prompt"])
            sources.append(str(spaces[row["sample_id"]]))
            sample_ids.append(row["sample_id"])
    for name, groups in (("cls_metrics", targets), ("dir_metrics", sources)):
        hidden = guard.hidden_groups(groups, sample_ids, exclusive=groups is sources) if guard else set()
        summaries = {group: _summary(overlaps, groups, group) for group in sorted(set(groups))}
        told = {group: dict.fromkeys(each) if group in hidden else each for group, each in summaries.items()}
        write_json(folder / f"{name}.json", told)


def _summary(overlaps: list[tuple[float, float]], groups: list[str], group: str) -> dict[str, float]:
    dice_N, iou_N = np.array([each for each, name in zip(overlaps, groups, strict=True) if name == group]).T
    return {
        "dice_mean": float(dice_N.mean()),
        "dice_std": float(dice_N.std()),
        "iou_mean": float(iou_N.mean()),
        "iou_std": float(iou_N.std()),
        "cnt": len(dice_N),
    }


def write_results(folder: Path, predictions: dict[Any, pa.Table], samples: pa.Table) -> None:
    """``results/<dataset>_<split>.json``: reference and prediction per row, probabilities for classes."""
    datasets = dict(zip(samples["sample_id"].to_pylist(), samples["dataset"].to_pylist(), strict=True))
    with publishing(folder / "results") as staged:
        staged.mkdir(parents=True)
        for split, table in predictions.items():
            classes = json.loads((table.schema.metadata or {}).get(b"classes", b"[]"))
            by_dataset: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for row in table.to_pylist():
                by_dataset[datasets[row["sample_id"]]].append(_result(row, classes))
            for dataset, rows in by_dataset.items():
                write_json(staged / f"{dataset}_{split}.json", rows)


def _result(row: dict[str, Any], classes: list[str]) -> dict[str, Any]:
    result = {key: row[key] for key in ("sample_id", "task", "prompt")}
    result |= {"ref": row["truth"], "pred": row["predicted"]}
    if row["task"] == Task.CLASSIFICATION:
        result |= {"probs": dict(zip(classes, row["score"], strict=False)), "cls_label": row["truth"]}
    return result


def write_visualization(target: Path, workspace: Workspace, predictions: pa.Table, *, seed: int) -> None:
    """Up to NUM_PICTURES test slices, picked by ``seed``: picture, truth and prediction side by side."""
    rows = [row for row in predictions.to_pylist() if row["task"] == Task.SEGMENTATION]
    index = {row["key"]: row for row in pq.read_table(workspace.index).to_pylist()} if rows else {}
    picked = np.random.default_rng([seed, 0x71C]).permutation(len(rows))[:NUM_PICTURES]
    with publishing(target) as staged:
        staged.mkdir(parents=True)
        for number in sorted(picked.tolist()):
            row = rows[number]
            place = index[row["sample_id"]]
            record = decode_record(members_of(read_range(workspace.shards / place["shard"], place)))
            image_HW3 = record.images[0]
            panels = [
                image_HW3,
                overlay(image_HW3, decode_mask(row["truth"]), TRUTH_COLOUR),
                overlay(image_HW3, decode_mask(row["predicted"]), PREDICTED_COLOUR),
            ]
            name = f"{row['sample_id']}_{row['prompt'].replace('/', '_')}.png"
            Image.fromarray(np.concatenate(panels, axis=1)).save(staged / name)


def overlay(
    image_HW3: NDArray[np.uint8], mask_hw: NDArray[np.bool_], colour: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """The picture with the mask, resized to it, tinted in ``colour``."""
    mask_HW = resize_mask(mask_hw, image_HW3.shape[:2])
    tinted = image_HW3.astype(np.float64)
    tinted[mask_HW] = 0.5 * tinted[mask_HW] + 0.5 * np.array(colour)
    return tinted.astype(np.uint8)
