"""Ask a finished run about every packed validation and test sample, and write what it says.

Only the text prompt is given to the segmentation branch, and no input is built from truth. What the network shows of
its doubt is calibrated on the validation split (``model.calibration``), which alone has its truth read for that.
"""

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from ingest.masks import encode_mask
from ingest.sample import Split, Task
from ingest.workspace import Workspace, digest_of, is_fresh, read_stamp, write_stamp
from model.batch import Batch, Collate
from model.calibration import calibrated, fit_calibration, read_calibration, write_calibration
from model.checkpoint import from_pretrained
from model.config import ModelConfig
from model.encode import Encoded, Encoder
from model.network import BiasCareVL
from model.prediction import Prediction, write_predictions
from model.predictive_uncertainty import mask_uncertainty
from model.tail_loop import first_look
from shards.load import LoadConfig, open_shards

logger = logging.getLogger(__name__)

RECORDS_PER_BATCH = 16
MAX_NEW_TOKENS = 24
DEFAULT_SPLITS = (Split.VALIDATION, Split.TEST)


def predict(workspace: Workspace, *, run: str, splits: Sequence[str] = DEFAULT_SPLITS, seed: int) -> dict[str, Any]:
    """Write ``predictions/<split>.parquet`` of every split, or find them fresh.

    The network is the run's own, or the folder its ``run.json`` names under ``weights``. One without a head leaves
    classification out.

    Returns: ``run`` and per split ``rows``, ``samples`` and ``seconds``.
    Raises: ValueError for a split without packed samples.
    """
    folder = workspace.runs / run
    stage = f"predict-{run}"
    description = json.loads((folder / "run.json").read_text())
    digest = digest_of([description["digest"], sorted(splits), seed])
    if is_fresh(workspace, stage, digest):
        logger.info("predictions of %s are fresh: nothing to do", run)
        stamp = read_stamp(workspace, stage)
        assert stamp is not None, "a fresh stage has a stamp"
        return dict(stamp["summary"])
    threads = ModelConfig(**description["model"]).sizes.threads if "model" in description else 0
    network, tokenizer = from_pretrained(Path(description.get("weights", folder / "checkpoints" / "final")))
    network = network.to("cuda" if torch.cuda.is_available() else "cpu")
    summary: dict[str, Any] = {"run": run}
    outputs = {split: folder / "predictions" / f"{split}.parquet" for split in splits}
    for split in sorted(splits, key=lambda split: split != Split.VALIDATION):  # the others need its calibration
        started = time.perf_counter()
        with at_most_threads(threads):
            predictions = list(predict_split(workspace, network, tokenizer, split=split, seed=seed))
        if split == Split.VALIDATION:
            write_calibration(folder, fit_calibration(predictions))
        predictions = calibrated(predictions, read_calibration(folder))
        write_predictions(outputs[split], predictions, classes=network.config.classes)
        seconds = time.perf_counter() - started
        num_samples = len({prediction.sample_id for prediction in predictions})
        summary[split] = {"rows": len(predictions), "samples": num_samples, "seconds": round(seconds, 1)}
        logger.info("predict %s: %d samples of %s in %.1f s", run, num_samples, split, seconds)
    write_stamp(workspace, stage, digest=digest, outputs=list(outputs.values()), summary=summary)
    return summary


@contextlib.contextmanager
def at_most_threads(number: int) -> Iterator[None]:
    """Let torch use ``number`` threads for a while (0: as many as it likes): small networks wait for their threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def predict_split(
    workspace: Workspace, network: BiasCareVL, tokenizer: PreTrainedTokenizerFast, *, split: str, seed: int
) -> Iterator[Prediction]:
    """Predictions for every packed sample of ``split``."""
    collate = Collate(pad_id=tokenizer.pad_token_id, image_id=network.config.language["image_token_id"])
    loader = open_shards(
        workspace,
        split=split,
        encode=Encoder(network.config, tokenizer).encode_for_prediction,
        collate=collate.batches_by_task,
        config=LoadConfig(batch_size=RECORDS_PER_BATCH, seed=seed),
    )
    for batches in loader:
        for task, batch in batches.items():
            if task == Task.CLASSIFICATION and not network.config.head:
                continue
            yield from predict_batch(network, tokenizer, task=task, batch=batch)


@dataclass(frozen=True)
class Said:
    """What the network says about one sample; fields as in Prediction, uncertainty not yet calibrated."""

    predicted: str
    score: list[float]
    confidence: float
    uncertainty: float


def predict_batch(
    network: BiasCareVL, tokenizer: PreTrainedTokenizerFast, *, task: str, batch: Batch
) -> list[Prediction]:
    """Predictions for a batch of one task, in its order."""
    device = network.device
    started = time.perf_counter()
    said = ASKED[Task(task)](network, tokenizer, batch.to(device))
    seconds = (time.perf_counter() - started) / len(said)
    return [
        Prediction(
            sample_id=sample.sample_id, patient_id=sample.person_key, task=sample.task, truth=sample.truth,
            predicted=one.predicted, score=one.score, confidence=one.confidence, uncertainty=one.uncertainty,
            prompt=sample.prompt_text, seconds=seconds,
        )
        for sample, one in zip(batch.samples, said, strict=True)
    ]  # fmt: skip


def ask_answers(network: BiasCareVL, tokenizer: PreTrainedTokenizerFast, batch: Batch) -> list[Said]:
    """Greedy answers; uncertainty is the mean token entropy."""
    answers = network.answer(batch, max_new_tokens=MAX_NEW_TOKENS)
    texts = tokenizer.batch_decode(answers.token_ids, skip_special_tokens=True)
    sure, unsure = answers.probability_B.tolist(), answers.entropy_B.tolist()
    return [
        Said(text.strip(), [probability], probability, clip(entropy))
        for text, probability, entropy in zip(texts, sure, unsure, strict=True)
    ]


def ask_classes(network: BiasCareVL, tokenizer: PreTrainedTokenizerFast, batch: Batch) -> list[Said]:
    """Class probabilities; uncertainty is their entropy over its maximum among the competing classes."""
    probabilities_BC = network.classify(batch)
    entropy_B = torch.special.entr(probabilities_BC).sum(-1)
    most_B = batch.competes_BC.sum(-1).clamp(min=2).float().log()
    best_B = probabilities_BC.argmax(-1).tolist()
    return [
        Said(network.config.classes[best], row, row[best], clip(entropy))
        for row, best, entropy in zip(probabilities_BC.tolist(), best_B, (entropy_B / most_B).tolist(), strict=True)
    ]


def ask_masks(network: BiasCareVL, tokenizer: PreTrainedTokenizerFast, batch: Batch) -> list[Said]:
    """Masks on the source's own grid; uncertainty is the mean of the signs of ``model.predictive_uncertainty``."""
    look = first_look(network, batch, batch.mask_prompts)
    unsure_B = mask_uncertainty(look, side_px=network.config.segmentation.image_side_px).tolist()
    quality_B = look.masks.quality_B.float().clamp(0, 1).tolist()
    return [
        Said(native_mask(logits, sample), [quality], quality, unsure)
        for logits, sample, quality, unsure in zip(
            look.masks.logits_Bhw, batch.samples, quality_B, unsure_B, strict=True
        )
    ]


ASKED: Mapping[Task, Callable[[BiasCareVL, PreTrainedTokenizerFast, Batch], list[Said]]] = {
    Task.VQA: ask_answers,
    Task.REPORT: ask_answers,
    Task.CLASSIFICATION: ask_classes,
    Task.SEGMENTATION: ask_masks,
    Task.DETECTION: ask_answers,
}


def native_mask(logits_hw: Tensor, sample: Encoded) -> str:
    """Mask logits at the source's size (bilinear), above 0, as run lengths."""
    native = F.interpolate(logits_hw[None, None].float(), size=sample.native_size, mode="bilinear")[0, 0]
    return encode_mask((native > 0).cpu().numpy())


def clip(share: float) -> float:
    """A share that rounding may have pushed outside [0, 1]."""
    return min(max(share, 0.0), 1.0)
