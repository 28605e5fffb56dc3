"""The published shape on a GPU with random weights: rates of training and of reading chest images.

    python -m benchmarks.model_cuda

FLOPs are counted by torch's own counter on one forward + backward, the matrix rate is measured on the same card.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from ingest.sample import Task
from ingest.workspace import write_json
from model.assistant import Assistant
from model.batch import Batch, Collate
from model.config import TrainingConfig
from model.encode import Encoder
from model.network import BiasCareVL
from model.objective import Objective
from model.presets import PRESETS
from model.sizes import NetworkConfig
from model.starting_point import preset_config
from model.tokenizer import train_tokenizer
from shards.record import Record

BATCH_SIZES = (1, 8, 32)
NUM_CLASSES, NUM_IMAGES, SIDE_PX = 26, 406, 256


def measure_cuda() -> dict[str, Any] | None:
    """Rates on the first GPU, None without one."""
    if not torch.cuda.is_available():
        return None
    started = time.perf_counter()
    network, tokenizer = random_network()
    built = time.perf_counter() - started
    assistant = Assistant(network, tokenizer)
    result: dict[str, Any] = {"card": torch.cuda.get_device_name(), "seconds_to_build": round(built, 1)}
    result |= classification_rate(assistant)  # first: its time counts from the start of the process
    rate = matrix_rate()
    result["matrix_tflops"] = round(rate / 1e12, 1)
    for batch_size in BATCH_SIZES:
        try:
            achieved = training_rate(network, assistant.encoder, assistant.collate, batch_size)
        except torch.cuda.OutOfMemoryError:
            network.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
            result[f"training_batch_{batch_size}"] = "out of memory"
            continue
        result[f"training_batch_{batch_size}_tflops"] = round(achieved / 1e12, 1)
        result[f"training_batch_{batch_size}_share_of_matrix_rate"] = round(achieved / rate, 3)
    return result


def matrix_rate(side: int = 8192, rounds: int = 30) -> float:
    """FLOP/s of a bfloat16 matrix product on this card."""
    a, b = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    return 2 * side**3 * rounds / timed(lambda: [a @ b for _ in range(rounds)])


def timed(run: Any) -> float:
    """Seconds until the card has finished."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def random_network() -> tuple[BiasCareVL, Any]:
    """biascarevl-7b in bfloat16, made on the card."""
    tokenizer = train_tokenizer(["Which findings are present?"], vocabulary_size=400)
    classes = tuple(f"finding_{number}" for number in range(NUM_CLASSES))
    plain = preset_config(PRESETS["biascarevl-7b"], tokenizer)
    fields = {name: getattr(plain, name) for name in plain.__dataclass_fields__}
    fields |= {
        "classes": classes, "class_weights": (1.0,) * NUM_CLASSES, "prevalence": (0.1,) * NUM_CLASSES,
        "label_spaces": {"chest": classes}, "multi_label_spaces": ("chest",),
    }  # fmt: skip
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda"):
            network = BiasCareVL(NetworkConfig(**fields))
    finally:
        torch.set_default_dtype(torch.float32)
    return network, tokenizer


def chest_image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (SIDE_PX, SIDE_PX, 3)).astype(np.uint8)


def classification_rate(assistant: Assistant, batch_size: int = 16) -> dict[str, float]:
    """Images per second of classify on as many chest images as the published figure had, encoding included."""
    images = [chest_image(number) for number in range(NUM_IMAGES)]
    parts = [images[start : start + batch_size] for start in range(0, NUM_IMAGES, batch_size)]
    rows: list[dict[str, float]] = []
    first = timed(lambda: rows.extend(assistant.classify(parts[0], label_space="chest")))
    seconds = timed(
        lambda: rows.extend(row for part in parts[1:] for row in assistant.classify(part, label_space="chest"))
    )
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / "results" / "chest.json", [{"probs": row} for row in rows])
    return {
        "classify_images_per_second": round((NUM_IMAGES - batch_size) / seconds, 1),
        "classify_406_seconds": round(first + seconds, 1),
        "process_start_to_results_seconds": round(time.time() - psutil.Process().create_time(), 1),
    }


def training_rate(network: BiasCareVL, encoder: Encoder, collate: Collate, batch_size: int) -> float:
    """FLOP/s of forward + backward, every parameter with a gradient and no activation computed twice, on a batch of
    classification and question samples."""
    batch = training_batch(encoder, collate, batch_size).to("cuda")
    network.train()
    objective = Objective(network, TrainingConfig())

    def step() -> None:
        objective(batch)["total"].backward()
        network.zero_grad(set_to_none=True)

    step()
    with FlopCounterMode(display=False) as counter:
        step()
    rounds = 3
    return float(counter.get_total_flops()) * rounds / timed(lambda: [step() for _ in range(rounds)])


def training_batch(encoder: Encoder, collate: Collate, batch_size: int) -> Batch:
    generator, samples = np.random.default_rng(0), []
    for number in range(batch_size):
        task = (Task.CLASSIFICATION, Task.VQA)[number % 2]
        fields = {
            "sample_id": str(number), "person_key": str(number), "task": task, "label_space": "chest",
            "labels": ["finding_1"], "question": "Which findings are present?", "answer": "An effusion. " * 8,
        }  # fmt: skip
        record = Record(fields, [chest_image(number)], None, lambda: np.zeros((0, 0, 0), dtype=bool))
        samples.append(encoder.encode_for_training(record, generator))
    return collate.batch(samples)


if __name__ == "__main__":
    print(measure_cuda() or "model_cuda: skipped, no CUDA device here")
