"""Samples of mixed tasks as one batch of tensors. Shapes: legend in ``model.config``."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ingest.sample import Task
from model.encode import Encoded
from model.losses import IGNORED
from model.prompts import MaskPrompts, Prompt


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Inputs of one forward pass, padded on the left.

    image_type_BL: 1 at image tokens, 0 elsewhere (Qwen's ``mm_token_type_ids``).
    is_mask_B, is_class_B: which samples the segmentation branch and the head serve.
    points_B12, boxes_B4: px of the S x S image; point_labels_B1: 1 on the structure, 0 off it.
    class_truth_BC: the classes that hold; is_multi_label_B: whether several may. prompt: one set for the whole batch.
    """

    samples: list[Encoded]
    input_ids_BL: Tensor
    attention_mask_BL: Tensor
    image_type_BL: Tensor
    labels_BL: Tensor
    patches: Tensor
    grids: Tensor
    images_B3SS: Tensor
    masks_BSS: Tensor
    points_B12: Tensor
    point_labels_B1: Tensor
    boxes_B4: Tensor
    class_truth_BC: Tensor
    competes_BC: Tensor
    is_multi_label_B: Tensor
    is_mask_B: Tensor
    is_class_B: Tensor
    prompt: Prompt

    def to(self, device: torch.device | str) -> "Batch":
        moved: dict[str, Any] = {
            f.name: value.to(device)
            for f in dataclasses.fields(self)
            if isinstance(value := getattr(self, f.name), Tensor)
        }
        return dataclasses.replace(self, **moved)

    def rows(self, chosen: Tensor) -> "Batch":
        """Some of the samples (indices), for what comes after the language model: its pictures are left out."""
        shared: dict[str, Any] = {"patches": self.patches[:0], "grids": self.grids[:0]}
        picked: dict[str, Any] = {
            f.name: value[chosen]
            for f in dataclasses.fields(self)
            if isinstance(value := getattr(self, f.name), Tensor) and f.name not in shared
        }
        samples = [self.samples[row] for row in chosen.tolist()] if self.samples else []
        return dataclasses.replace(self, **picked, **shared, samples=samples)

    @property
    def language_inputs(self) -> dict[str, Tensor]:
        """Arguments of Qwen2.5-VL; without ``mm_token_type_ids`` it falls back to other positions in silence."""
        return {
            "input_ids": self.input_ids_BL,
            "attention_mask": self.attention_mask_BL,
            "mm_token_type_ids": self.image_type_BL,
            "pixel_values": self.patches,
            "image_grid_thw": self.grids,
        }

    @property
    def mask_prompts(self) -> MaskPrompts:
        """What the mask decoder is told about every sample, whatever its task."""
        has_point = Prompt.POINT in self.prompt
        return MaskPrompts(
            points_BP2=self.points_B12 if has_point else None,
            labels_BP=self.point_labels_B1 if has_point else None,
            boxes_B4=self.boxes_B4 if Prompt.BOX in self.prompt else None,
            with_text=Prompt.TEXT in self.prompt,
        )


@dataclass(frozen=True)
class Collate:
    """Makes batches; holds the two token ids it must know."""

    pad_id: int
    image_id: int

    def batch(self, samples: list[Encoded]) -> Batch:
        """One batch. Its prompt set is the one drawn with the first segmentation sample."""
        tasks = [sample.task for sample in samples]
        drawn = [sample.prompt for sample in samples if sample.task == Task.SEGMENTATION]
        input_ids = self._pad([sample.token_ids for sample in samples], self.pad_id)
        return Batch(
            samples=samples,
            input_ids_BL=input_ids,
            attention_mask_BL=self._pad([[1] * len(sample.token_ids) for sample in samples], 0),
            image_type_BL=(input_ids == self.image_id).long(),
            labels_BL=self._pad([sample.labels for sample in samples], IGNORED),
            patches=torch.from_numpy(np.concatenate([sample.patches for sample in samples])),
            grids=torch.from_numpy(np.concatenate([sample.grids for sample in samples])),
            images_B3SS=torch.from_numpy(np.stack([sample.image_3SS for sample in samples])),
            masks_BSS=torch.from_numpy(np.stack([mask_or_zeros(sample) for sample in samples])),
            points_B12=torch.tensor([[sample.point_xy] for sample in samples]),
            point_labels_B1=torch.tensor([[sample.point_label] for sample in samples]),
            boxes_B4=torch.tensor([sample.box_xyxy for sample in samples]),
            class_truth_BC=torch.from_numpy(np.stack([sample.class_truth_C for sample in samples])),
            competes_BC=torch.from_numpy(np.stack([sample.competes_C for sample in samples])),
            is_multi_label_B=torch.tensor([sample.is_multi_label for sample in samples]),
            is_mask_B=torch.tensor([task == Task.SEGMENTATION for task in tasks]),
            is_class_B=torch.tensor([task == Task.CLASSIFICATION for task in tasks]),
            prompt=drawn[0] if drawn else Prompt.TEXT,
        )

    def batches_by_task(self, per_record: list[list[Encoded]]) -> dict[str, Batch]:
        """One batch per task from the inputs of several records: prediction asks each task its own way."""
        samples = [sample for inputs in per_record for sample in inputs]
        tasks = sorted({sample.task for sample in samples})
        return {task: self.batch([sample for sample in samples if sample.task == task]) for task in tasks}

    def _pad(self, rows: list[list[int]], value: int) -> Tensor:
        longest = max(len(row) for row in rows)
        return torch.tensor([[value] * (longest - len(row)) + row for row in rows])


def mask_or_zeros(sample: Encoded) -> np.ndarray:
    """The truth mask, or an empty one where the sample has none (it is never read there)."""
    if sample.mask_SS is not None:
        return sample.mask_SS
    return np.zeros(sample.image_3SS.shape[1:], dtype=bool)
