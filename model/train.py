"""Train one run: name it by what goes in, prepare its folder, start the workers, watch them, publish the result.

A run's folder holds run.json, tokenizer/, train.jsonl, train.log, tensorboard/, checkpoints/{last,final} and,
last of all, summary.json. Torch is only imported by the workers (``model.worker``).
"""

import dataclasses
import hashlib
import json
import logging
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ingest.errors import BiasCareError
from ingest.workspace import Workspace, digest_of, tree_digest, write_json
from model.config import ModelConfig, TrainingConfig
from model.influence import publish_influence
from model.progress import watch

logger = logging.getLogger(__name__)

LIBRARIES = ("torch", "transformers", "deepspeed", "tokenizers", "numpy")


def train(workspace: Workspace, *, model: ModelConfig, training: TrainingConfig, seed: int) -> dict[str, Any]:
    """Train, or find the finished run of these very inputs; either way it becomes ``runs/current.json``.

    Returns: run, steps, loss_first_tenth, loss_last_tenth, fall (1 - last / first), seconds.
    Raises: BiasCareError with the end of the log when a worker fails.
    An unfinished run of the same inputs goes on from its last checkpoint.
    """
    digest = inputs_digest(workspace, model=model, training=training, seed=seed)
    folder = workspace.runs / f"{model.preset}-{digest[:8]}"
    if (folder / "summary.json").exists():
        logger.info("run %s is finished: nothing to do", folder.name)
    else:
        prepare(workspace, folder, model=model, training=training, seed=seed, digest=digest)
        start_workers(folder, model, training)
        publish_influence(folder)
        write_json(folder / "summary.json", summary_of(folder))
    write_json(workspace.runs / "current.json", {"run": folder.name})
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def inputs_digest(workspace: Workspace, *, model: ModelConfig, training: TrainingConfig, seed: int) -> str:
    """Digest of everything that decides a run's numbers: packed bytes, weights, settings, seed, sizes."""
    files = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (workspace.weights, workspace.manifest)]
    files += [tree_digest(Path(place)) for place in (model.weights, model.language, model.segmentation) if place]
    settings = [dataclasses.asdict(part) for part in (model, model.sizes, training)]
    return digest_of([files, settings, seed])


def prepare(
    workspace: Workspace,
    folder: Path,
    *,
    model: ModelConfig,
    training: TrainingConfig,
    seed: int,
    digest: str,
) -> None:
    """Write run.json and the tokenizer; both are the same when a killed run is started again."""
    from model.starting_point import network_and_tokenizer

    network, tokenizer = network_and_tokenizer(workspace, model)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder / "tokenizer")
    description = {
        "run": folder.name,
        "digest": digest,
        "seed": seed,
        "model": dataclasses.asdict(model),
        "training": dataclasses.asdict(training.resolved(model)),
        "classes": network.classes,
        "tokenizer_size": len(tokenizer),
        "network": dataclasses.asdict(network),
        "versions": {name: version(name) for name in LIBRARIES},
    }
    write_json(folder / "run.json", description)


def start_workers(folder: Path, model: ModelConfig, training: TrainingConfig) -> None:
    """Run ``model.worker`` under torch's launcher until it ends; what it prints goes to train.log."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes=1", f"--nproc-per-node={training.num_processes}",
        "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1",
        "--module", "model.worker", str(folder.resolve()),
    ]  # fmt: skip
    log_path = folder / "train.log"
    with log_path.open("w") as log:
        worker = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=worker_environment(model, training)
        )
        try:
            code = watch(worker, folder / "train.jsonl", name=folder.name)
        finally:
            stop(worker)
    if code != 0:
        last_lines = "\n".join(last_words(log_path.read_text(errors="replace").splitlines()))
        raise BiasCareError(f"training of {folder.name} failed with exit code {code}, log {log_path}:\n{last_lines}")


def last_words(lines: list[str], *, most: int = 20) -> list[str]:
    """The end of what the workers wrote: the launcher's own traceback behind it says nothing."""
    ends = [number for number, line in enumerate(lines) if "torch/distributed/elastic" in line and "failed (" in line]
    return (lines[: ends[0]] if ends and ends[0] else lines)[-most:]


def stop(worker: "subprocess.Popen[bytes]") -> None:
    """End a worker that still runs (Ctrl-C, an error while watching), gently first."""
    if worker.poll() is not None:
        return
    worker.terminate()
    try:
        worker.wait(timeout=20)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def worker_environment(model: ModelConfig, training: TrainingConfig) -> dict[str, str]:
    """The environment of the workers: our package found from any folder, no network, cores shared."""
    source = str(Path(__file__).resolve().parents[1])
    inherited = os.environ.get("PYTHONPATH")
    threads = model.sizes.threads or max(1, (os.cpu_count() or 1) // training.num_processes)
    environment = {
        **os.environ,
        "PYTHONPATH": source if not inherited else f"{source}{os.pathsep}{inherited}",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if not has_gpu():
        environment["DS_ACCELERATOR"] = "cpu"
    return environment


def has_gpu() -> bool:
    """Whether torch sees a CUDA device."""
    import torch

    return torch.cuda.is_available()


def summary_of(folder: Path) -> dict[str, Any]:
    """What train.jsonl shows: the fall of the mean loss from the first to the last tenth of the steps."""
    lines = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines]
    tenth = max(1, len(losses) // 10)
    first, last = sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth
    return {
        "run": folder.name,
        "steps": len(lines),
        "loss_first_tenth": first,
        "loss_last_tenth": last,
        "fall": 1 - last / first,
        "seconds": lines[-1]["seconds"],
    }
