"""A network with its tokenizer, asked about pictures a person hands over: answer, classify, segment, refine, detect.

Pictures may differ in size; a sample may hold several (the first is the one segmented). Points and boxes are in px of
that picture. A refinement uses the image embedding of the first answer again.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from ingest.errors import BadInput
from ingest.sample import Task
from model.batch import Collate
from model.boxes import Box, boxes_in
from model.checkpoint import from_pretrained
from model.encode import DEFAULT_REQUEST, Encoded, Encoder, box_request, segmentation_request
from model.marks import Marks, check_marks, mask_as_logits, to_network_px
from model.network import BiasCareVL
from model.pictures import Picture, Pixels, as_samples
from model.predictive_uncertainty import mask_uncertainty
from model.prompts import BACKGROUND, FOREGROUND, MaskPrompts
from model.tail_loop import Look, first_look, second_look
from shards.record import Record

ASIDE = "Segment what is marked."
"""The text beside clicks or a box when no structure is named; it is then no prompt of its own."""
MAX_NEW_TOKENS = 256


@dataclass(frozen=True)
class Answer:
    """text, and in [0, 1] the mean probability and mean entropy of its tokens."""

    text: str
    confidence: float
    uncertainty: float


@dataclass(frozen=True)
class Segmentation:
    """mask_HW at the picture's own size. quality: predicted Dice; uncertainty in [0, 1]; look: for ``refine``."""

    mask_HW: NDArray[np.bool_]
    quality: float
    uncertainty: float
    look: Look

    @property
    def box_xyxy_px(self) -> Box | None:
        """The smallest box around the mask, None where it is empty."""
        rows, columns = np.nonzero(self.mask_HW)
        if not len(rows):
            return None
        return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)


class Assistant:
    def __init__(self, network: BiasCareVL, tokenizer: PreTrainedTokenizerFast) -> None:
        self.network, self.tokenizer = network.eval(), tokenizer
        self.encoder = Encoder(network.config, tokenizer)
        self.collate = Collate(pad_id=tokenizer.pad_token_id, image_id=network.config.language["image_token_id"])
        self.side_px = network.config.segmentation.image_side_px

    @classmethod
    def load(cls, folder: Path) -> "Assistant":
        """From a folder of ours, on the GPU where there is one. Raises: BadInput."""
        network, tokenizer = from_pretrained(folder)
        return cls(network.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer)

    def generate(
        self,
        pictures: Sequence[Picture | Sequence[Picture]],
        questions: Sequence[str],
        *,
        max_new_tokens: int = MAX_NEW_TOKENS,
    ) -> list[Answer]:
        """Answers in order. An empty question asks for a description.

        Raises: BadInput for a picture that is none or a text longer than the network can read.
        """
        inputs = [
            self._inputs(images, question=question or DEFAULT_REQUEST, task=Task.VQA)
            for images, question in zip(as_samples(pictures), questions, strict=True)
        ]
        if not inputs:
            return []
        batch = self.collate.batch(inputs).to(self.network.device)
        positions = self.network.config.language["text_config"]["max_position_embeddings"]
        room = max(1, min(max_new_tokens, positions - batch.input_ids_BL.shape[1]))
        said = self.network.answer(batch, max_new_tokens=room)
        texts = self.tokenizer.batch_decode(said.token_ids, skip_special_tokens=True)
        sure, unsure = said.probability_B.tolist(), said.entropy_B.tolist()
        return [
            Answer(text.strip(), probability, entropy)
            for text, probability, entropy in zip(texts, sure, unsure, strict=True)
        ]

    def classify(
        self, pictures: Sequence[Picture | Sequence[Picture]], *, label_space: str | None = None, question: str = ""
    ) -> list[dict[str, float]]:
        """Probability by class of a label space (of all classes without one). Raises: BadInput without a head."""
        config = self.network.config
        if not config.head or not config.classes:
            raise BadInput("classify: expected a network with a classification head, got one without")
        if label_space is not None and label_space not in config.label_spaces:
            raise BadInput(f"label_space: expected one of {', '.join(config.label_spaces)}, got {label_space!r}")
        inputs = [
            self._inputs(
                images, question=question or DEFAULT_REQUEST, task=Task.CLASSIFICATION, label_space=label_space
            )
            for images in as_samples(pictures)
        ]
        if not inputs:
            return []
        batch = self.collate.batch(inputs).to(self.network.device)
        rows = self.network.classify(batch).tolist()
        return [
            {
                name: chance
                for name, chance, competes in zip(config.classes, row, one.competes_C, strict=True)
                if competes
            }
            for row, one in zip(rows, inputs, strict=True)
        ]

    def segment(
        self,
        pictures: Sequence[Picture | Sequence[Picture]],
        targets: Sequence[str],
        marks: Sequence[Marks] | None = None,
    ) -> list[Segmentation]:
        """One structure per picture, named by ``targets`` ("" for none), marked by ``marks``, or both.

        Raises: BadInput for a click or box outside its picture, a box without area, a mask of another size, or a
        picture with neither a name nor a mark.
        """
        samples = as_samples(pictures)
        marked = list(marks) if marks is not None else [Marks()] * len(samples)
        for images, target, mark in zip(samples, targets, marked, strict=True):
            check_marks(mark, target, images[0])
        kinds: dict[tuple[object, ...], list[int]] = {}
        for number, (target, mark) in enumerate(zip(targets, marked, strict=True)):
            kinds.setdefault((*mark.kind, bool(target)), []).append(number)
        done: dict[int, Segmentation] = {}
        for numbers in kinds.values():
            picked = [(samples[n], targets[n], marked[n]) for n in numbers]
            done |= zip(numbers, self._segment_alike(picked), strict=True)
        return [done[number] for number in range(len(samples))]

    @torch.no_grad()
    def refine(self, earlier: Segmentation, *, x: float, y: float, is_foreground: bool) -> Segmentation:
        """The same structure after one click more: the decoder alone runs. Raises: BadInput for a click outside."""
        height, width = earlier.mask_HW.shape
        check_marks(Marks(clicks=[(x, y, is_foreground)]), "", earlier.mask_HW)
        device = self.network.device
        point = torch.tensor([[to_network_px((x, y), (width, height), self.side_px)]], device=device)
        label = torch.tensor([[FOREGROUND if is_foreground else BACKGROUND]], device=device)
        look = second_look(self.network, earlier.look, point, label)
        (refined,) = self._segmentations(look, [(height, width)])
        return refined

    def detect(self, pictures: Sequence[Picture | Sequence[Picture]], targets: Sequence[str]) -> list[list[Box]]:
        """Boxes in px as the language branch says them; see ``Segmentation.box_xyxy_px`` for the one of the mask."""
        samples = as_samples(pictures)
        answers = self.generate(samples, [box_request(target) for target in targets], max_new_tokens=64)
        return [
            boxes_in(answer.text, width_px=images[0].shape[1], height_px=images[0].shape[0])
            for answer, images in zip(answers, samples, strict=True)
        ]

    @torch.no_grad()
    def _segment_alike(self, picked: Sequence[tuple[list[Pixels], str, Marks]]) -> list[Segmentation]:
        """Pictures whose prompts are of the same kinds, in one batch."""
        inputs = [
            self._inputs(images, question=segmentation_request(target) if target else ASIDE, task=Task.SEGMENTATION)
            for images, target, _ in picked
        ]
        batch = self.collate.batch(inputs).to(self.network.device)
        sizes_hw = [images[0].shape[:2] for images, _, _ in picked]
        prompts = self._prompts([mark for _, _, mark in picked], sizes_hw, with_text=bool(picked[0][1]))
        return self._segmentations(first_look(self.network, batch, prompts), sizes_hw)

    def _prompts(self, marks: list[Marks], sizes_hw: list[tuple[int, ...]], *, with_text: bool) -> MaskPrompts:
        """Marks of one kind in px of the network's picture."""
        num_clicks, has_box, has_mask = marks[0].kind
        points, labels, boxes, logits = [], [], [], []
        for mark, (height, width) in zip(marks, sizes_hw, strict=True):
            size = (width, height)
            points.append([to_network_px((x, y), size, self.side_px) for x, y, _ in mark.clicks])
            labels.append([FOREGROUND if inside else BACKGROUND for _, _, inside in mark.clicks])
            if mark.box_xyxy_px is not None:
                x0, y0, x1, y1 = mark.box_xyxy_px
                corners = (to_network_px(corner, size, self.side_px) for corner in ((x0, y0), (x1, y1)))
                boxes.append([number for corner in corners for number in corner])
            if mark.mask_HW is not None:
                logits.append(mask_as_logits(mark.mask_HW, 4 * self.network.config.segmentation.grid_side))
        device = self.network.device
        return MaskPrompts(
            points_BP2=torch.tensor(points, device=device) if num_clicks else None,
            labels_BP=torch.tensor(labels, device=device) if num_clicks else None,
            boxes_B4=torch.tensor(boxes, device=device) if has_box else None,
            logits_B1hw=torch.stack(logits).to(device) if has_mask else None,
            with_text=with_text,
        )

    def _segmentations(self, look: Look, sizes_hw: Sequence[tuple[int, ...]]) -> list[Segmentation]:
        masks = look.masks
        unsure_B = mask_uncertainty(look, side_px=self.side_px).tolist()
        quality_B = masks.quality_B.float().clamp(0, 1).tolist()
        done = []
        for row, (height, width) in enumerate(sizes_hw):
            mask_HW = at_size(masks.logits_Bhw[row], (height, width)) > 0
            alone = look.rows(torch.tensor([row], device=masks.logits_Bhw.device))
            done.append(Segmentation(mask_HW.cpu().numpy(), quality_B[row], unsure_B[row], alone))
        return done

    def _inputs(self, images: list[Pixels], *, question: str, task: Task, label_space: str | None = None) -> Encoded:
        fields = {"sample_id": "asked", "person_key": "asked", "task": task, "label_space": label_space}
        record = Record(fields, list(images), None, lambda: np.zeros((0, 0, 0), dtype=bool))
        encoded = self.encoder.inputs(record, question=question)
        return dataclasses.replace(encoded, prompt_text=question)


def at_size(logits_hw: Tensor, size: tuple[int, int]) -> Tensor:
    """Mask logits at [H, W], bilinear, in float32."""
    return F.interpolate(logits_hw[None, None].float(), size=size, mode="bilinear", align_corners=False)[0, 0]
