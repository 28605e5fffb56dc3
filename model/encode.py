"""From a packed record to model inputs, and from a list of them to a batch.

Language side: one turn of text with image tokens, the answer (if any) behind it and alone in the labels.
Segmentation side: the picture at S x S, normalised as SAM does; in training one target's mask with a click and
its box. ``encode_for_prediction`` builds its inputs from a record whose truth was taken away.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from ingest.errors import BadInput
from ingest.masks import encode_mask
from ingest.sample import PERSON_COLUMNS, Task, person_key_of
from model.boxes import box_text
from model.heads import needs_class_token
from model.losses import IGNORED
from model.prediction import LABEL_SEPARATOR
from model.prompts import BACKGROUND, FOREGROUND, PROMPT_SETS, Prompt
from model.sizes import NetworkConfig
from model.tokenizer import CLASS_TOKEN, IMAGE_PAD, TURN_END, TURN_START, VISION_END, VISION_START
from shards.members import shrink_mask
from shards.record import Record

PIXEL_MEAN = np.array([123.675, 116.28, 103.53], dtype=np.float32)
PIXEL_STD = np.array([58.395, 57.12, 57.375], dtype=np.float32)
MAX_PIXELS_PER_SQUARE_SIDE = 3
MAX_ANSWER_TOKENS = 256
DEFAULT_REQUEST = "Describe this image."


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One sample as the model eats it; ``truth``, ``person_key`` and ``native_size`` only travel along.

    token_ids, labels: [L] (labels IGNORED outside the answer). patches, grids: the language branch's pictures.
    image_3SS: float32. mask_SS, point_xy, point_label, box_xyxy (px of the S x S image), prompt: training on masks.
    class_truth_C: the run's classes that hold, training only. competes_C: the classes of the sample's label space,
    of which several may hold where is_multi_label.
    """

    sample_id: str
    person_key: str
    task: str
    prompt_text: str
    token_ids: list[int]
    labels: list[int]
    patches: NDArray[np.float32]
    grids: NDArray[np.int64]
    image_3SS: NDArray[np.float32]
    class_truth_C: NDArray[np.bool_]
    competes_C: NDArray[np.bool_]
    is_multi_label: bool = False
    mask_SS: NDArray[np.bool_] | None = None
    point_xy: tuple[float, float] = (0.0, 0.0)
    point_label: int = FOREGROUND
    box_xyxy: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    prompt: Prompt = Prompt.TEXT
    truth: str = ""
    native_size: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Encoder:
    """Turns records into inputs of one network."""

    config: NetworkConfig
    tokenizer: PreTrainedTokenizerFast
    pictures: Qwen2VLImageProcessorPil = field(init=False)

    def __post_init__(self) -> None:
        vision = self.config.language["vision_config"]
        most = MAX_PIXELS_PER_SQUARE_SIDE * self.config.segmentation.image_side_px**2
        pictures = Qwen2VLImageProcessorPil(
            size={"shortest_edge": self.config.min_pixels, "longest_edge": most},
            patch_size=vision["patch_size"],
            temporal_patch_size=vision["temporal_patch_size"],
            merge_size=vision["spatial_merge_size"],
        )
        object.__setattr__(self, "pictures", pictures)

    def encode_for_training(self, record: Record, generator: np.random.Generator) -> Encoded:
        """The sample with its truth; of several targets one is drawn, and a click and a prompt set with it.

        Raises: ValueError for a task no part of the network serves.
        """
        task = Task(record.fields["task"])
        if task not in TRAINING_INPUTS:
            served = ", ".join(TRAINING_INPUTS)
            raise ValueError(f"sample {record.fields['sample_id']}: expected a task of {served}, got {task}")
        return TRAINING_INPUTS[task](self, record, generator)

    def encode_for_prediction(self, record: Record, generator: np.random.Generator) -> list[Encoded]:
        """One input per target for segmentation, else one. Inputs hold no truth and nothing is drawn."""
        task = Task(record.fields["task"])
        blind = record.without_truth()
        if task is Task.SEGMENTATION:
            return self._targets_for_prediction(record, blind)
        if task is Task.DETECTION:
            return [
                self.inputs(
                    blind, question=box_request(target_of(blind, number)), prompt_text=target_of(blind, number),
                    truth=self.box_answer(record, number),
                )
                for number in range(len(record.fields["boxes_xyxy_px"]))
            ]  # fmt: skip
        if task is Task.CLASSIFICATION:
            truth = LABEL_SEPARATOR.join(record.fields.get("labels") or [])
        else:
            truth = record.fields["answer"]
        return [self.inputs(blind, question=question_of(blind), truth=truth)]

    def _targets_for_prediction(self, record: Record, blind: Record) -> list[Encoded]:
        natives = record.read_native_masks()
        targets = blind.fields["mask_targets"]
        return [
            self.inputs(
                blind,
                question=segmentation_request(target),
                prompt_text=target,
                truth=encode_mask(native),
                native_size=native.shape,
            )
            for target, native in zip(targets, natives, strict=True)
        ]

    def train_on_answer(self, record: Record, generator: np.random.Generator) -> Encoded:
        answer = record.fields["answer"]
        return self.inputs(record, question=question_of(record), answer=answer, truth=answer)

    def train_on_box(self, record: Record, generator: np.random.Generator) -> Encoded:
        """One of the record's structures: where it is, as text."""
        boxes = record.fields["boxes_xyxy_px"]
        chosen = int(generator.integers(len(boxes)))
        answer = self.box_answer(record, chosen)
        return self.inputs(record, question=box_request(target_of(record, chosen)), answer=answer, truth=answer)

    def box_answer(self, record: Record, number: int) -> str:
        """A box of the record as text. Boxes are in px of the source, whose size the record holds."""
        rows, columns = record.images[0].shape[:2]
        width, height = record.fields.get("width_px") or columns, record.fields.get("height_px") or rows
        return box_text(tuple(record.fields["boxes_xyxy_px"][number]), width_px=width, height_px=height)

    def train_on_class(self, record: Record, generator: np.random.Generator) -> Encoded:
        labels = record.fields.get("labels") or []
        holds_C = np.array([name in labels for name in self.config.classes], dtype=bool)
        truth = LABEL_SEPARATOR.join(labels)
        return self.inputs(record, question=question_of(record), class_truth_C=holds_C, truth=truth)

    def train_on_mask(self, record: Record, generator: np.random.Generator) -> Encoded:
        assert record.masks is not None, "a packed segmentation sample has masks"
        chosen = int(generator.integers(len(record.masks)))
        side = self.config.segmentation.image_side_px
        mask_SS = shrink_mask(record.masks[chosen], size=(side, side))
        is_empty = not mask_SS.any()
        rows, columns = np.nonzero(mask_SS | is_empty)  # of an empty mask: a click anywhere off it, the whole picture
        pixel = int(generator.integers(len(rows)))
        target = record.fields["mask_targets"][chosen]
        return self.inputs(
            record,
            question=segmentation_request(target),
            prompt_text=target,
            mask_SS=mask_SS,
            point_xy=(float(columns[pixel]), float(rows[pixel])),
            point_label=BACKGROUND if is_empty else FOREGROUND,
            box_xyxy=(float(columns.min()), float(rows.min()), float(columns.max()), float(rows.max())),
            prompt=PROMPT_SETS[int(generator.integers(len(PROMPT_SETS)))],
        )

    def inputs(self, record: Record, *, question: str, answer: str | None = None, **more: Any) -> Encoded:
        """What every task shares: the pictures for both branches and the text.

        Raises: BadInput for more tokens than the language branch has positions.
        """
        pictures = self.pictures(images=record.images, return_tensors="np")
        merge = self.config.language["vision_config"]["spatial_merge_size"]
        num_tokens = [int(grid.prod()) // merge**2 for grid in pictures["image_grid_thw"]]
        marker = CLASS_TOKEN if self._asks_for_class_token(record) else ""
        token_ids, labels = tokenize_turn(
            self.tokenizer, question, answer=answer, num_image_tokens=num_tokens, marker=marker
        )
        most = self.config.language["text_config"]["max_position_embeddings"]
        if len(token_ids) > most:
            raise BadInput(
                f"sample {record.fields['sample_id']}: expected at most {most} tokens of text and pictures, "
                f"got {len(token_ids)}"
            )
        return Encoded(
            sample_id=record.fields["sample_id"],
            person_key=person_of(record),
            task=record.fields["task"],
            token_ids=token_ids,
            labels=labels,
            patches=pictures["pixel_values"].astype(np.float32),
            grids=pictures["image_grid_thw"],
            image_3SS=normalise(record.images[0], self.config.segmentation.image_side_px),
            competes_C=competing_classes(self.config, record.fields.get("label_space")),
            is_multi_label=record.fields.get("label_space") in self.config.multi_label_spaces,
            **{"prompt_text": question, "class_truth_C": np.zeros(len(self.config.classes), dtype=bool), **more},
        )

    def _asks_for_class_token(self, record: Record) -> bool:
        is_class = record.fields["task"] == Task.CLASSIFICATION
        return bool(is_class and self.config.head and needs_class_token(self.config.head))


TRAINING_INPUTS: Mapping[Task, Callable[[Encoder, Record, np.random.Generator], Encoded]] = {
    Task.VQA: Encoder.train_on_answer,
    Task.REPORT: Encoder.train_on_answer,
    Task.CLASSIFICATION: Encoder.train_on_class,
    Task.SEGMENTATION: Encoder.train_on_mask,
    Task.DETECTION: Encoder.train_on_box,
}


def person_of(record: Record) -> str:
    """The person key of a record: packed with it, or derived from what is (null fields are not packed)."""
    absent = dict.fromkeys((*PERSON_COLUMNS, "dataset"))
    key: str = record.fields.get("person_key") or person_key_of({**absent, **record.fields})[1]
    return key


def question_of(record: Record) -> str:
    """The record's own question with its options, or a plain request."""
    question = record.fields.get("question") or DEFAULT_REQUEST
    options = record.fields.get("options")
    return f"{question} Options: {', '.join(options)}." if options else str(question)


def segmentation_request(target: str) -> str:
    return f"Segment the {target}."


def box_request(target: str) -> str:
    return f"Where is the {target}?"


def target_of(record: Record, number: int) -> str:
    """What a detection record's box number ``number`` is around; "finding" where it has no name."""
    names = record.fields.get("mask_targets") or record.fields.get("labels") or []
    return str(names[number]) if number < len(names) else "finding"


def tokenize_turn(
    tokenizer: PreTrainedTokenizerFast,
    question: str,
    *,
    answer: str | None,
    num_image_tokens: list[int],
    marker: str = "",
) -> tuple[list[int], list[int]]:
    """Token ids of a turn in Qwen's chat format, and labels that are IGNORED outside the answer and its end.

    Special tokens inside a question or an answer are text: only the format's own are tokens, and the ``marker`` behind
    the question.
    """
    pictures = "".join(f"{VISION_START}{IMAGE_PAD * count}{VISION_END}" for count in num_image_tokens)
    opening = tokenizer.encode(f"{TURN_START}user\n{pictures}")
    asked = tokenizer.encode(question, split_special_tokens=True)
    closing = tokenizer.encode(f"{marker}{TURN_END}\n{TURN_START}assistant\n")
    prompt = [*opening, *asked, *closing]
    if answer is None:
        return prompt, [IGNORED] * len(prompt)
    answer_ids = tokenizer.encode(answer, split_special_tokens=True)[:MAX_ANSWER_TOKENS]
    answer_ids.append(tokenizer.convert_tokens_to_ids(TURN_END))
    return [*prompt, *answer_ids], [*[IGNORED] * len(prompt), *answer_ids]


def normalise(image_hw3: NDArray[np.uint8], side_px: int) -> NDArray[np.float32]:
    """A picture as [3, S, S] float32, bilinear, with SAM's mean and deviation.

    Channel by channel, and one channel only of a grey picture (whose three are one memory): several times as fast as
    the whole at once.
    """
    is_grey = image_hw3.strides[-1] == 0
    source = np.ascontiguousarray(image_hw3[..., 0]) if is_grey else image_hw3
    resized = np.asarray(Image.fromarray(source).resize((side_px, side_px), Image.Resampling.BILINEAR))
    channels = [resized] * 3 if is_grey else [resized[..., channel] for channel in range(3)]
    pixels = np.empty((3, side_px, side_px), np.float32)
    for channel, plane in enumerate(channels):
        np.subtract(plane, PIXEL_MEAN[channel], out=pixels[channel])
        pixels[channel] /= PIXEL_STD[channel]
    return pixels


def competing_classes(config: NetworkConfig, label_space: str | None) -> NDArray[np.bool_]:
    """[C]: the classes of a label space; all of them where the space is unknown to the run."""
    competing = config.label_spaces.get(label_space or "", config.classes)
    return np.array([name in competing for name in config.classes], dtype=bool)
