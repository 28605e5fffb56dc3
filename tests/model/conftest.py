"""A small packed corpus of geometric shapes in all three tasks, written as shards.pack would."""

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("DS_ACCELERATOR", "cpu")
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from deltalake import write_deltalake
from PIL import Image, ImageDraw

from ingest.sample import Sample, sample_id_of, to_table
from ingest.workspace import Workspace, write_json
from shards.members import encode_masks
from shards.record import Record

SHAPES = ("disc", "square")
CLASSES = ("pale", "red", "green")
COLOURS = {"pale": (200, 200, 200), "red": (220, 60, 60), "green": (60, 200, 60)}


def draw(rng: np.random.Generator, *, shapes: list[str], colour: tuple[int, int, int], side: int) -> Any:
    """A dark noisy picture with one figure per shape, left and right, and their masks [T, side, side]."""
    image = Image.fromarray(rng.integers(0, 40, (side, side, 3)).astype(np.uint8))
    masks = []
    for half, shape in zip(rng.permutation(2), shapes, strict=False):
        radius = int(rng.integers(side // 8, side // 5))
        x = int(side * (0.25 + 0.5 * half) + rng.integers(-side // 20, side // 20 + 1))
        y = int(rng.integers(radius + 1, side - radius - 1))
        mask = Image.new("1", (side, side))
        for canvas, fill in ((image, colour), (mask, 1)):
            pen = ImageDraw.Draw(canvas)
            figure = pen.ellipse if shape == "disc" else pen.rectangle
            figure((x - radius, y - radius, x + radius, y + radius), fill=fill)
        masks.append(np.asarray(mask))
    return np.asarray(image), np.stack(masks)


def make_sample(number: int, split: str, rng: np.random.Generator, side: int) -> tuple[Sample, Any, Any]:
    """Sample, picture and masks (None but for segmentation); tasks take turns."""
    task = ("segmentation", "vqa", "classification")[number % 3]
    native_id = f"{split}/{number}"
    base: dict[str, Any] = {
        "dataset": "shapes", "native_id": native_id, "split": split, "task": task, "image_uris": ["x.png"],
        "sample_id": sample_id_of("shapes", native_id), "patient_id": f"p-{split}-{number}",
        "width_px": side, "height_px": side,
    }  # fmt: skip
    if task == "segmentation":
        image, masks = draw(rng, shapes=list(SHAPES), colour=COLOURS["pale"], side=side)
        return Sample(**base, labels=list(SHAPES), label_space="SHAPES", mask_targets=list(SHAPES)), image, masks
    if task == "vqa":
        shape = SHAPES[int(rng.integers(2))]
        asked = SHAPES[int(rng.integers(2))]
        image, _ = draw(rng, shapes=[shape], colour=COLOURS["pale"], side=side)
        answer = "Yes" if asked == shape else "No"
        return Sample(**base, question=f"Is there a {asked}?", answer=answer, answer_type="closed"), image, None
    label = CLASSES[int(rng.integers(len(CLASSES)))]
    image, _ = draw(rng, shapes=["disc"], colour=COLOURS[label], side=side)
    return Sample(**base, labels=[label], label_space="colours"), image, None


def record_of(sample: Sample, image: Any, masks: Any) -> Record:
    """The sample as the loader would hand it to encode."""
    fields = {name: getattr(sample, name) for name in sample.__dataclass_fields__}
    present = {name: value for name, value in fields.items() if value is not None}
    return Record({**present, "person_key": f"shapes:{sample.patient_id}"}, [image], masks, lambda: masks)


def write_corpus(root: Path, counts: dict[str, int], *, seed: int = 0, side: int = 32) -> Workspace:
    """A workspace with samples/, weights and one shard per split."""
    workspace, rng = Workspace(root), np.random.default_rng(seed)
    samples: list[Sample] = []
    index: list[dict[str, Any]] = []
    workspace.shards.mkdir(parents=True)
    for split, count in counts.items():
        with tarfile.open(workspace.shards / f"{split}.tar", "w") as archive:
            for number in range(count):
                sample, image, masks = make_sample(number, split, rng, side)
                start = archive.offset
                for suffix, content in members(record_of(sample, image, masks)).items():
                    member = tarfile.TarInfo(f"{sample.sample_id}.{suffix}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
                samples.append(sample)
                index.append(
                    {"sample_id": sample.sample_id, "dataset": "shapes", "task": sample.task, "split": split,
                     "shard": f"{split}.tar", "key": sample.sample_id, "offset": start,
                     "size_bytes": archive.offset - start}
                )  # fmt: skip
        content = (workspace.shards / f"{split}.tar").read_bytes()
        for row in index[-count:] if count else []:
            row["xxh3_128"] = xxhash.xxh3_128_hexdigest(content[row["offset"] : row["offset"] + row["size_bytes"]])
    pq.write_table(pa.Table.from_pylist(index), workspace.index)
    write_json(workspace.manifest, {"shards": sorted(counts), "seed": seed})
    write_deltalake(str(workspace.samples), to_table(samples), partition_by=["dataset"])
    workspace.weights.parent.mkdir()
    train = [row["sample_id"] for row in index if row["split"] == "train"]
    pq.write_table(pa.table({"sample_id": train, "weight": [1.0] * len(train)}), workspace.weights)
    return workspace


def members(record: Record) -> dict[str, bytes]:
    buffer = io.BytesIO()
    Image.fromarray(record.images[0]).save(buffer, "PNG")
    packed = {"png": buffer.getvalue(), "json": json.dumps(record.fields).encode()}
    if record.masks is not None:
        packed["masks.npz"] = encode_masks(record.masks, size=record.masks.shape[1:])
    return packed


@pytest.fixture(scope="session")
def write_shapes() -> Callable[..., Workspace]:
    return write_corpus


@pytest.fixture
def make_records() -> Callable[..., list[Record]]:
    def build(count: int, *, seed: int = 0, side: int = 32) -> list[Record]:
        rng = np.random.default_rng(seed)
        return [record_of(*make_sample(number, "train", rng, side)) for number in range(count)]

    return build


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on a busy machine are slower than one, and sum in another order."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Setup:
    """A fresh tiny network with its tokenizer, encoder and collate."""

    network: Any
    tokenizer: Any
    encoder: Any
    collate: Any


@pytest.fixture(scope="session")
def setup() -> Setup:
    from model.batch import Collate
    from model.config import ModelConfig
    from model.encode import Encoder
    from model.language_model import language_config
    from model.network import build_network
    from model.sizes import NetworkConfig
    from model.tokenizer import train_tokenizer

    sizes = ModelConfig().sizes
    tokenizer = train_tokenizer(["Is there a disc?", "Is there a square?", "Yes", "No"], vocabulary_size=300)
    config = NetworkConfig(
        segmentation=sizes.segmentation,
        language=language_config(sizes, tokenizer),
        min_pixels=sizes.min_pixels,
        classes=CLASSES,
        class_weights=(1.0, 1.0, 1.0),
        label_spaces={"colours": CLASSES},
    )
    network = build_network(config, seed=0).eval()
    collate = Collate(pad_id=tokenizer.pad_token_id, image_id=config.language["image_token_id"])
    return Setup(network, tokenizer, Encoder(config, tokenizer), collate)
