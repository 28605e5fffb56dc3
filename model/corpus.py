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

from ingest.errors import BadInput
from ingest.sample import Split, Task
from ingest.workspace import Workspace

COLUMNS = ["sample_id", "task", "question", "answer", "options", "mask_targets", "labels", "label_space"]


@dataclass(frozen=True)
class TrainingFacts:
    """texts: every distinct text of the training rows. classes, class_weights, label_spaces: as in NetworkConfig."""

    texts: list[str]
    classes: tuple[str, ...]
    class_weights: tuple[float, ...]
    label_spaces: Mapping[str, tuple[str, ...]]


def read_training_facts(workspace: Workspace) -> TrainingFacts:
    """Facts of the packed training rows. Raises: BadInput for a classification row without exactly one label."""
    weight_of = training_weights(workspace)
    rows = DeltaTable(str(workspace.samples)).to_pyarrow_table(columns=COLUMNS)
    rows = rows.filter(pc.is_in(rows["sample_id"], value_set=pa.array(list(weight_of), pa.string())))
    texts: set[str] = set()
    mass_of: dict[str, float] = {}
    spaces: dict[str, set[str]] = {}
    for row in rows.to_pylist():
        texts.update(texts_of(row))
        if row["task"] == Task.CLASSIFICATION:
            label = only_label(row)
            mass_of[label] = mass_of.get(label, 0.0) + weight_of[row["sample_id"]]
            spaces.setdefault(row["label_space"] or "", set()).add(label)
    classes = tuple(sorted(mass_of))
    return TrainingFacts(
        texts=sorted(texts),
        classes=classes,
        class_weights=class_weights([mass_of[name] for name in classes]),
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


def only_label(row: Mapping[str, Any]) -> str:
    labels = row["labels"] or []
    if len(labels) != 1:
        raise BadInput(f"sample {row['sample_id']}: expected one label for classification, got {len(labels)}")
    return str(labels[0])


def class_weights(masses: list[float]) -> tuple[float, ...]:
    """Loss weight per class: one over the root of its drawn mass, so that an average draw weighs 1.

    The root is the reference's ``sqrt`` smoothing; the mass already holds the sampling weights, which would
    otherwise be paid twice.
    """
    total = sum(masses)
    raw = [mass**-0.5 for mass in masses]
    mean = sum(mass * weight for mass, weight in zip(masses, raw, strict=True)) / total if total else 1.0
    return tuple(weight / mean for weight in raw)
