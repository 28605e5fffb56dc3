"""Which classes hold for a prediction: exactly one of its label space, or as many as there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingest.sample import Task
from model.prediction import LABEL_SEPARATOR

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class ClassTruth:
    """N predictions of a classification task: the classes that hold, the label space, and whether it holds one."""

    labels_N: list[frozenset[str]]
    space_N: list[str]
    one_N: Bools

    def holds(self, classes: Sequence[str]) -> Bools:
        """[N, C]: whether the class holds."""
        return np.array([[name in labels for name in classes] for labels in self.labels_N]).reshape(-1, len(classes))

    def asked(self, classes: Sequence[str]) -> Bools:
        """[N, C]: whether the class occurs as truth in the row's label space."""
        known: dict[str, set[str]] = {}
        for labels, space in zip(self.labels_N, self.space_N, strict=True):
            known.setdefault(space, set()).update(labels)
        rows = [[name in known[space] for name in classes] for space in self.space_N]
        return np.array(rows, dtype=bool).reshape(-1, len(classes))


def class_truth(truths: Sequence[str], spaces: Sequence[str | None], *, several: set[str]) -> ClassTruth:
    """The truth column read back; ``several``: the label spaces in which more or fewer than one class may hold."""
    space_N = [space or "" for space in spaces]
    one_N = np.array([space not in several for space in space_N], dtype=bool)
    labels_N = [
        frozenset((text,)) if one else frozenset(filter(None, text.split(LABEL_SEPARATOR)))
        for text, one in zip(truths, one_N, strict=True)
    ]
    return ClassTruth(labels_N, space_N, one_N)


def spaces_of_several(samples: pa.Table) -> set[str]:
    """The label spaces of samples in which a row holds none or several classes; none where samples do not say."""
    if not {"task", "labels", "label_space"} <= set(samples.column_names):
        return set()
    rows = samples.filter(pc.equal(samples["task"], str(Task.CLASSIFICATION)))
    lengths = pc.fill_null(pc.list_value_length(rows["labels"]), 0)
    found: list[Any] = pc.unique(rows.filter(pc.not_equal(lengths, 1))["label_space"]).to_pylist()
    return {space or "" for space in found}
