"""The same CT slices with masks, as IMed-361M publishes them and as we pack them: CPU time per sample.

The published layout is a 512 px RGB PNG and a scipy CSR matrix of 13 organs per slice. Its reference loader reads
both whole, makes the matrix dense, turns picture and all channels into tensors, normalises the picture, resizes
everything to 256 px with MONAI, and takes some of the masks. Both sides give float32 image [3, 256, 256] and two
float32 masks [2, 1, 256, 256].

Left out on both sides, so the reference as a whole gives fewer samples a second than what stands here: clicks and
boxes for each mask (2.7 ms for two), random brightness, and the training mode's third file, 2 MB of automatic segments
that it reads, resizes, and cleans by opening, closing and labelling each of them (about 90 ms).
"""

import ast
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse
import torch
from PIL import Image

from benchmarks._ours import loader_of
from ingest.workspace import Workspace, write_json
from shards.heap import keep_freed_memory
from shards.manifest import INDEX_SCHEMA
from shards.members import encode_image, encode_masks, shaped_picture
from shards.recipe import ShardsConfig
from shards.record import Record
from shards.tar import ShardWriter, sample_bytes

DRAWS_PER_SLICE = 25
SIDE_PX, TRAINING_SIDE_PX, NUM_ORGANS = 512, 256, 13
MEAN = torch.tensor([123.675, 116.28, 103.53]).view(-1, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(-1, 1, 1)
SCALE = (1 / STD).flatten().numpy()
SHIFT = (MEAN / STD).flatten().numpy()
PIXELS = np.empty((TRAINING_SIDE_PX, TRAINING_SIDE_PX), dtype=np.float32)
"""One channel on its way from uint8 to normalised: one process encodes one sample at a time."""

Slice = tuple[Path, Path]


def write_slices(folder: Path, number: int) -> list[Slice]:
    """Simulated CT slices: an elliptic body with noise, and 9 of 13 organs as ellipses of other grey values."""
    (folder / "image").mkdir(parents=True, exist_ok=True)
    (folder / "label").mkdir(exist_ok=True)
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    made = []
    for index in range(number):
        rng = np.random.default_rng([11, index])
        pixels = 12 + 60 * (((rows - 256) / 170) ** 2 + ((columns - 256) / 220) ** 2 < 1)
        masks = np.zeros((NUM_ORGANS, SIDE_PX, SIDE_PX), np.int32)
        for organ in rng.choice(NUM_ORGANS, 9, replace=False):
            centre, radii = rng.integers(150, 360, 2), rng.integers(12, 60, 2)
            masks[organ] = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 < 1
            pixels = np.where(masks[organ], 90 + 10 * organ, pixels)
        grey = (pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8)
        image = folder / "image" / f"{index:05d}.png"
        Image.fromarray(np.repeat(grey[..., None], 3, axis=2)).save(image)
        label = folder / "label" / f"x___{index:05d}.({NUM_ORGANS}, {SIDE_PX}, {SIDE_PX}, 1).npz"
        scipy.sparse.save_npz(label, scipy.sparse.csr_matrix(masks.reshape(NUM_ORGANS, -1)))
        made.append((image, label))
    return made


def listed_slices(folder: Path) -> list[Slice]:
    """The slices of a published source data set whose files are all there and hold at least two organs."""
    if not (folder / "dataset.json").exists():
        return []
    described = json.loads((folder / "dataset.json").read_text())
    entries = [*described["training"], *described["test"]]
    pairs = [(folder / entry["image"], folder / entry["label"]) for entry in entries]
    return [(image, label) for image, label in pairs if image.exists() and label.exists()]


def dense_masks(label: Path) -> np.ndarray:
    """[T, H, W]; the true shape stands only in the file's name."""
    shape = ast.literal_eval(label.name.split(".")[-2])
    return np.squeeze(scipy.sparse.load_npz(label).toarray().reshape(shape), axis=-1)


def published_reader() -> Callable[[Slice], tuple[torch.Tensor, torch.Tensor]]:
    """One sample file by file, with the reference's own transforms."""
    from monai.transforms import Compose, NormalizeIntensityd, Resized, ToTensord

    keys = ["image", "label"]
    transform = Compose(
        [
            ToTensord(keys=keys),
            NormalizeIntensityd(keys=["image"], subtrahend=MEAN, divisor=STD),
            Resized(keys=keys, spatial_size=(TRAINING_SIDE_PX, TRAINING_SIDE_PX), mode="nearest"),
        ]
    )
    rng = np.random.default_rng(0)

    def read(pair: Slice) -> tuple[torch.Tensor, torch.Tensor]:
        image, label = pair
        item = transform({"image": np.transpose(np.array(Image.open(image)), (2, 0, 1)), "label": dense_masks(label)})
        present = torch.nonzero(item["label"].sum(dim=(1, 2)))[:, 0].numpy()
        chosen = rng.choice(present, 2, replace=len(present) < 2)
        return item["image"], torch.stack([item["label"][int(organ)][None].float() for organ in chosen])

    return read


def pack_slices(root: Path, slices: list[Slice]) -> Workspace:
    """The same slices as one shard of ours, every weight 1."""
    workspace, config = Workspace(root), ShardsConfig(image_side_px=TRAINING_SIDE_PX)
    workspace.shards.mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    with (workspace.shards / "slices.tar").open("wb") as stream:
        writer = ShardWriter(stream)
        for index, (image, label) in enumerate(slices):
            key = f"{index:032x}"
            picture = shaped_picture(image, config)
            masks = encode_masks(dense_masks(label) > 0, size=(picture.height, picture.width))
            areas = (dense_masks(label) > 0).mean(axis=(1, 2)).tolist()
            fields = json.dumps({"sample_id": key, "task": "segmentation", "mask_area_fraction": areas}).encode()
            members = {"jpg": encode_image(picture, config), "masks.npz": masks, "json": fields}
            extent = writer.add(sample_bytes(key, members))
            place = {"offset": extent.offset, "size_bytes": extent.size_bytes, "xxh3_128": extent.xxh3_128}
            names = {"sample_id": key, "dataset": "slices", "task": "segmentation", "split": "train", "key": key}
            rows.append({**names, "shard": "slices.tar", **place})
        writer.finish()
    pq.write_table(pa.Table.from_pylist(rows, schema=INDEX_SCHEMA), workspace.index)
    workspace.weights.parent.mkdir()
    ids = [row["sample_id"] for row in rows]
    pq.write_table(pa.table({"sample_id": ids, "weight": np.ones(len(ids))}), workspace.weights)
    write_json(workspace.manifest, {"shards": 1})
    return workspace


def encode(record: Record, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Normalised float32 image [3, 256, 256] and two drawn masks [2, 1, 256, 256]."""
    present = np.flatnonzero(record.fields["mask_area_fraction"])
    chosen = generator.choice(present, 2, replace=len(present) < 2)
    image_hw3, image = record.images[0], np.empty((3, TRAINING_SIDE_PX, TRAINING_SIDE_PX), dtype=np.float32)
    is_grey = image_hw3.strides[2] == 0  # three channels of one memory: one conversion serves all
    for channel in range(3):
        if channel == 0 or not is_grey:
            PIXELS[:] = image_hw3[..., channel]
        np.multiply(PIXELS, SCALE[channel], out=image[channel])
        image[channel] -= SHIFT[channel]
    return image, record.read_masks(chosen)[:, None].astype(np.float32)


def compare(sets: dict[str, list[Slice]], folder: Path, *, passes: int) -> dict[str, dict[str, float]]:
    """Milliseconds of CPU per sample on both sides, best of ``passes`` over the same slices, and their ratio.

    Our loader lets its process keep freed memory (``shards.heap``); the published layout is measured before that, as
    its users run it, and once more after it.
    """
    torch.set_num_threads(1)
    published = {name: _published_ms(slices, passes) for name, slices in sets.items()}
    keep_freed_memory()
    helped = {name: _published_ms(slices, passes) for name, slices in sets.items()}
    found = {}
    for name, slices in sets.items():
        ours = _our_ms(slices, folder / name, passes)
        found[name] = {
            "ratio": round(published[name] / ours, 1), "ratio_if_both_keep_memory": round(helped[name] / ours, 1),
            "slices": len(slices), "published_ms": round(published[name], 3), "ours_ms": round(ours, 3),
            "published_per_second": round(1e3 / published[name], 1), "ours_per_second": round(1e3 / ours, 1),
        }  # fmt: skip
    return found


def _published_ms(slices: list[Slice], passes: int) -> float:
    read = published_reader()
    read(slices[0])  # MONAI's first call imports
    return min(_cpu_ms(read(pair) for pair in slices) for _ in range(passes)) / len(slices)


def _our_ms(slices: list[Slice], folder: Path, passes: int) -> float:
    num_draws = DRAWS_PER_SLICE * len(slices)  # an epoch as long as a real one; nothing is kept for a repeat
    settings = {"num_epochs": passes, "batch_size": 8, "draws_per_epoch": num_draws, "repeat_bytes": 0}
    loader = loader_of(pack_slices(folder, slices), encode, list, **settings)
    return min(_cpu_ms(sample for batch in loader for sample in batch) for _ in range(passes)) / num_draws


def _cpu_ms(samples: Iterator[tuple[torch.Tensor, torch.Tensor]]) -> float:
    start = time.process_time()
    for image, masks in samples:
        assert tuple(image.shape) == (3, 256, 256) and tuple(masks.shape) == (2, 1, 256, 256)
    return (time.process_time() - start) * 1e3
