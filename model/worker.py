"""One training process under torch's launcher: ``python -m torch.distributed.run ... --module model.worker RUN``.

Everything comes from the run's folder and the workspace around it. Rank 0 writes the journal. Checkpoints hold
the optimiser and the loader's position, so that a killed run goes on as if nothing had happened.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deepspeed
import torch
import torch.distributed as distributed
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.tensorboard import SummaryWriter

from ingest.sample import Split
from ingest.workspace import Workspace
from model.batch import Batch, Collate
from model.checkpoint import network_config, read_tokenizer, save_pretrained
from model.config import ModelConfig, TrainingConfig
from model.encode import Encoder
from model.influence import InfluenceLog
from model.network import BiasCareVL
from model.objective import Objective
from model.starting_point import starting_network
from shards.load import LoadConfig, Loader, open_shards

TASK_LOSSES = ("segmentation", "text", "classification")


def main(folder: Path) -> None:
    """Train the run described in ``folder`` and leave checkpoints/final."""
    description = json.loads((folder / "run.json").read_text())
    training = TrainingConfig(**{**description["training"], "betas": tuple(description["training"]["betas"])})
    start_processes()
    config, tokenizer = network_config(description["network"]), read_tokenizer(folder / "tokenizer")
    encoder = Encoder(config, tokenizer)
    collate = Collate(pad_id=tokenizer.pad_token_id, image_id=config.language["image_token_id"])
    loader = open_shards(
        Workspace(folder.parents[1]),
        split=Split.TRAIN,
        encode=encoder.encode_for_training,
        collate=collate.batch,
        config=LoadConfig(
            batch_size=training.micro_batch,
            rank=distributed.get_rank(),
            world_size=distributed.get_world_size(),
            num_epochs=training.epochs,
            draws_per_epoch=training.draws_per_epoch,
            seed=description["seed"],
            draw_log=folder / "draws",
        ),
    )
    num_steps = number_of_steps(training, len(loader))
    network = starting_network(config, ModelConfig(**description["model"]), seed=description["seed"])
    if training.lora:
        from model.adapter import add_adapter, merge_adapter, save_adapter  # peft takes seconds to import

        add_adapter(network)
    if training.gradient_checkpointing:
        network.checkpoint_activations()
    objective = Objective(network, training, seed=description["seed"], rank=distributed.get_rank())
    engine = start_engine(objective, training, num_steps)
    optimise(engine, loader, folder=folder, training=training, num_steps=num_steps)
    if distributed.get_rank() == 0:
        if training.lora:
            save_adapter(network, folder / "checkpoints" / "adapter")
            merge_adapter(network)
        save_pretrained(network, tokenizer, folder / "checkpoints" / "final")
    distributed.barrier()
    distributed.destroy_process_group()


def start_processes() -> None:
    """Join the other processes. DeepSpeed's shared-memory operator would compile for a minute first: off."""
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(verbose=False)


def number_of_steps(training: TrainingConfig, batches_per_epoch: int) -> int:
    """Optimiser steps of the whole training; draws that do not fill a last step are left out."""
    all_steps = training.epochs * batches_per_epoch // training.accumulate
    if all_steps == 0:
        raise ValueError(
            f"training: expected epochs x draws to fill one step of {training.accumulate} batches of "
            f"{training.micro_batch}, got {training.epochs * batches_per_epoch} batches"
        )
    return min(training.steps, all_steps) if training.steps else all_steps


def start_engine(objective: Objective, training: TrainingConfig, num_steps: int) -> deepspeed.DeepSpeedEngine:
    """The objective under ZeRO with torch's AdamW and a warm-up followed by a linear decay to 0."""
    assert training.warmup_steps is not None, "run.json is resolved"
    optimizer = torch.optim.AdamW(
        parts_with_rates(objective.network, training),
        betas=training.betas,
        weight_decay=training.weight_decay,
    )
    warmup = min(training.warmup_steps, num_steps // 5)
    engine, _, _, _ = deepspeed.initialize(
        model=objective,
        optimizer=optimizer,
        lr_scheduler=lambda wrapped: LambdaLR(wrapped, lambda step: rate_at(step, warmup, num_steps)),
        config={
            "train_micro_batch_size_per_gpu": training.micro_batch,
            "gradient_accumulation_steps": training.accumulate,
            "gradient_clipping": training.gradient_clip,
            "zero_optimization": {"stage": training.zero_stage},
            "bf16": {"enabled": torch.cuda.is_available()},
            "steps_per_print": 10**9,
        },
    )
    return engine


def parts_with_rates(network: BiasCareVL, training: TrainingConfig) -> list[dict[str, Any]]:
    """Parameter groups of the optimiser; first what goes by ``learning_rate``, the rate that the journal shows."""
    language: list[torch.nn.Parameter] = []
    rest: list[torch.nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            (language if name.startswith("language_model.") else rest).append(parameter)
    return [
        {"params": rest, "lr": training.learning_rate},
        {"params": language, "lr": training.language_learning_rate},
    ]


def rate_at(step: int, warmup: int, num_steps: int) -> float:
    """Share of the full learning rate at ``step``, counted from 0; no step is taken at rate 0."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(num_steps - step, 0) / max(num_steps - warmup, 1)


@dataclass
class Meter:
    """Sums of the task losses over the micro-batches of one step."""

    sums: dict[str, torch.Tensor]
    counts: dict[str, int]

    def add(self, losses: dict[str, torch.Tensor]) -> None:
        for name in TASK_LOSSES:
            if name in losses:
                self.sums[name] = self.sums.get(name, torch.zeros(())) + losses[name].detach().float().cpu()
                self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float | None]:
        """Mean per task over all processes, None where no batch held it; ``loss`` is the mean of the tasks."""
        table = torch.tensor([[float(self.sums.get(n, 0.0)), self.counts.get(n, 0)] for n in TASK_LOSSES])
        if distributed.get_world_size() > 1:
            table = table.to(deepspeed.accelerator.get_accelerator().current_device_name())
            distributed.all_reduce(table)
        means = {n: float(s / c) if c else None for n, (s, c) in zip(TASK_LOSSES, table.cpu(), strict=True)}
        present = [mean for mean in means.values() if mean is not None]
        return {"loss": sum(present) / len(present), **{f"loss_{name}": mean for name, mean in means.items()}}


def optimise(
    engine: deepspeed.DeepSpeedEngine,
    loader: Loader,
    *,
    folder: Path,
    training: TrainingConfig,
    num_steps: int,
) -> None:
    """All optimiser steps, from the last checkpoint where there is one."""
    journal = Journal(folder, is_writer=distributed.get_rank() == 0)
    influence = InfluenceLog(folder, distributed.get_rank())
    step = resume(engine, loader, folder)
    journal.begin(step)
    influence.begin(step)
    batches, meter, epoch = endless(loader), Meter({}, {}), loader.epoch
    engine.train()
    while step < num_steps:
        rate = engine.get_lr()[0]
        for _ in range(training.accumulate):
            losses = engine(next(batches).to(engine.device))
            engine.backward(losses["total"])
            engine.step()
            meter.add(losses)
            influence.write(step + 1, engine.module.influences)
        step, means, meter = step + 1, meter.means(), Meter({}, {})
        draws = step * training.accumulate * training.micro_batch * distributed.get_world_size()
        journal.write({"step": step, "num_steps": num_steps, **means, "learning_rate": rate, "draws": draws})
        if loader.epoch != epoch or step == num_steps:
            epoch = loader.epoch
            save_last(engine, folder, {"step": step, "loader": loader.state_dict(), "seconds": journal.seconds})
    journal.close()


def endless(loader: Loader) -> Iterator[Batch]:
    """The batches of one epoch after the other."""
    while True:
        yield from loader


def save_last(engine: deepspeed.DeepSpeedEngine, folder: Path, state: dict[str, Any]) -> None:
    """Replace checkpoints/last; the new one is complete before the old one goes."""
    last, fresh, old = (folder / "checkpoints" / name for name in ("last", "last.new", "last.old"))
    engine.save_checkpoint(str(fresh), tag="state", client_state=state)
    distributed.barrier()
    if distributed.get_rank() == 0:
        if last.exists():
            last.rename(old)
        fresh.rename(last)
        shutil.rmtree(old, ignore_errors=True)
    distributed.barrier()


def resume(engine: deepspeed.DeepSpeedEngine, loader: Loader, folder: Path) -> int:
    """Load checkpoints/last into engine and loader; returns the steps taken so far."""
    last, old = folder / "checkpoints" / "last", folder / "checkpoints" / "last.old"
    source = last if last.exists() else old
    if not source.exists():
        return 0
    _, state = engine.load_checkpoint(str(source), tag="state")
    loader.load_state_dict(state["loader"])
    return int(state["step"])


class Journal:
    """train.jsonl and TensorBoard events, written by one process; elsewhere it does nothing."""

    def __init__(self, folder: Path, *, is_writer: bool) -> None:
        self.folder, self.is_writer = folder, is_writer
        self.started, self.seconds = time.perf_counter(), 0.0

    def begin(self, step: int) -> None:
        """Drop what a killed run wrote after the checkpoint at ``step``."""
        if not self.is_writer:
            return
        path = self.folder / "train.jsonl"
        kept = path.read_text().splitlines(keepends=True)[:step] if path.exists() else []
        path.write_text("".join(kept))
        self.started -= json.loads(kept[-1])["seconds"] if kept else 0.0
        self.lines = path.open("a")
        self.events = SummaryWriter(str(self.folder / "tensorboard"), purge_step=step + 1)

    def write(self, line: dict[str, Any]) -> None:
        self.seconds = time.perf_counter() - self.started
        if not self.is_writer:
            return
        self.lines.write(json.dumps({**line, "seconds": round(self.seconds, 3)}) + "\n")
        self.lines.flush()
        for name, value in line.items():
            if name.startswith("l") and value is not None:
                self.events.add_scalar(name, value, line["step"])

    def close(self) -> None:
        if self.is_writer:
            self.lines.close()
            self.events.close()


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main(Path(sys.argv[1]))
