"""What a run learns from the packed training rows before the first step: texts, classes and class weights.

Only the columns needed are read, from ``samples/``; validation and test rows are never looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from ingest.sample import Split, Task
from ingest.workspace import Workspace

COLUMNS = ["sample_id", "task", "question", "answer", "options", "mask_targets", "labels", "label_space"]


@dataclass(frozen=True)
class TrainingFacts:
    """texts: every distinct text of the training rows. The rest as in NetworkConfig."""

    texts: list[str]
    classes: tuple[str, ...]
    class_weights: tuple[float, ...]
    prevalence: tuple[float, ...]
    label_spaces: Mapping[str, tuple[str, ...]]
    multi_label_spaces: tuple[str, ...]


def read_training_facts(workspace: Workspace) -> TrainingFacts:
    """Facts of the packed training rows. A label space is multi-label when a row of it holds none or several."""
    weight_of = training_weights(workspace)
    rows = DeltaTable(str(workspace.samples)).to_pyarrow_table(columns=COLUMNS)
    rows = rows.filter(pc.is_in(rows["sample_id"], value_set=pa.array(list(weight_of), pa.string())))
    texts: set[str] = set()
    mass_of: dict[str, float] = {}
    spaces: dict[str, set[str]] = {}
    several: set[str] = set()
    total_mass = 0.0
    for row in rows.to_pylist():
        texts.update(texts_of(row))
        if row["task"] == Task.CLASSIFICATION:
            labels, space = row["labels"] or [], row["label_space"] or ""
            total_mass += weight_of[row["sample_id"]]
            for label in labels:
                mass_of[label] = mass_of.get(label, 0.0) + weight_of[row["sample_id"]]
            spaces.setdefault(space, set()).update(labels)
            if len(labels) != 1:
                several.add(space)
    classes = tuple(sorted(mass_of))
    return TrainingFacts(
        texts=sorted(texts),
        classes=classes,
        class_weights=class_weights([mass_of[name] for name in classes]),
        prevalence=tuple(mass_of[name] / total_mass for name in classes),
        multi_label_spaces=tuple(sorted(several)),
        label_spaces={space: tuple(sorted(names)) for space, names in sorted(spaces.items())},
    )


def training_weights(workspace: Workspace) -> dict[str, float]:
    """Sampling weight of every packed training row."""
    index = pq.read_table(workspace.index, columns=["sample_id", "split"])
    packed = set(index.filter(pc.equal(index["split"], Split.TRAIN))["sample_id"].to_pylist())
    weights = pq.read_table(workspace.weights, columns=["sample_id", "weight"])
    pairs = zip(weights["sample_id"].to_pylist(), weights["weight"].to_pylist(), strict=True)
    return {sample_id: weight for sample_id, weight in pairs if sample_id in packed}


def texts_of(row: Mapping[str, Any]) -> list[str]:
    """The texts of a row that the tokenizer should know."""
    single = [row[name] for name in ("question", "answer") if row[name]]
    return [*single, *(row["options"] or []), *(row["mask_targets"] or [])]


def class_weights(masses: list[float]) -> tuple[float, ...]:
    """Loss weight per class: one over the root of its drawn mass, so that an average draw weighs 1.

    The root is the reference's ``sqrt`` smoothing; the mass already holds the sampling weights, which would
    otherwise be paid twice.
    """
    total = sum(masses)
    raw = [mass**-0.5 for mass in masses]
    mean = sum(mass * weight for mass, weight in zip(masses, raw, strict=True)) / total if total else 1.0
    return tuple(weight / mean for weight in raw)
