"""Writing shards: our writer against webdataset's on the same samples; packing against a bare loop; one corpus.

    python -m benchmarks.pack [--samples 20000] [--pictures 400]

CPU time of this process (user + system) decides: the machine may be shared. The two writers, and the pack and
the loop, take turns in the same run; the best turn of each counts.
"""

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import webdataset
from deltalake import write_deltalake
from PIL import Image

from ingest.images import read_picture
from ingest.sample import Sample, sample_id_of, to_table
from ingest.workspace import Workspace
from shards.manifest import corpus_digest, sha256_of
from shards.members import encode_image
from shards.pack import pack
from shards.recipe import ShardsConfig
from shards.tar import ShardWriter, sample_bytes
from shards.verify import verify

RESULTS = Path(__file__).parent / "results" / "pack.json"
PICTURE_BYTES = 25_600
SAMPLES_PER_SHARD = 1000
TURNS = 3
ASKED = {
    "samples_per_second_and_core": 25_000, "overhead": 0.072, "share_of_bare_loop": 0.85,
}  # fmt: skip


def payload(num_samples: int, seed: int) -> list[tuple[str, bytes, bytes]]:
    """Key, picture bytes (incompressible, 25.6 KB on average) and record of each sample."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(PICTURE_BYTES - 4096, PICTURE_BYTES + 4096, num_samples)
    noise = rng.bytes(PICTURE_BYTES + 4096 + num_samples)
    return [
        (sample_id_of("made", str(number)), noise[number : number + int(size)], record(number))
        for number, size in enumerate(sizes)
    ]


def record(number: int) -> bytes:
    fields = {
        "sample_id": number,
        "question": "Which organ is shown in this slice?",
        "answer": "the liver",
        "sex": "female",
    }
    return json.dumps(fields).encode()


def write_ours(samples: list[tuple[str, bytes, bytes]], folder: Path) -> None:
    """As pack does without pixels: sha256 per shard, xxh3 per sample, index rows, flushed, renamed, manifest last."""
    lines: list[dict[str, Any]] = []
    columns: dict[str, list[Any]] = {"key": [], "shard": [], "offset": [], "size_bytes": [], "xxh3_128": []}
    for start in range(0, len(samples), SAMPLES_PER_SHARD):
        target = folder / f"{start // SAMPLES_PER_SHARD:06d}.tar"
        with target.with_suffix(".new").open("wb") as stream:
            writer = ShardWriter(stream)
            for key, picture, text in samples[start : start + SAMPLES_PER_SHARD]:
                extent = writer.add(sample_bytes(key, {"jpg": picture, "json": text}))
                row = (key, target.name, extent.offset, extent.size_bytes, extent.xxh3_128)
                for column, value in zip(columns.values(), row, strict=True):
                    column.append(value)
            lines.append({"path": target.name, "sha256": writer.finish(), "size_bytes": writer.size_bytes})
            stream.flush()
            os.fsync(stream.fileno())
        target.with_suffix(".new").replace(target)
    pq.write_table(pa.table(columns), folder / "index.parquet")
    (folder / "manifest.json").write_text(json.dumps({"corpus": corpus_digest(lines), "shards": lines}))


def write_webdataset(samples: list[tuple[str, bytes, bytes]], folder: Path) -> None:
    """webdataset's own ShardWriter as its documentation uses it: no digest, no index."""
    with webdataset.ShardWriter(str(folder / "%06d.tar"), maxcount=SAMPLES_PER_SHARD, verbose=0) as writer:
        for key, picture, text in samples:
            writer.write({"__key__": key, "jpg": picture, "json": text})


def in_turns(jobs: dict[str, Callable[[Path], None]], folder: Path) -> dict[str, dict[str, float]]:
    """Best CPU and wall seconds of each job over TURNS turns, and the bytes of the tars it left."""
    best: dict[str, dict[str, float]] = {}
    for turn in range(TURNS):
        for name, job in jobs.items():
            to = folder / f"{name}{turn}"  # another path each turn: nothing is remembered from the last
            to.mkdir(parents=True)
            cpu, wall = time.process_time(), time.perf_counter()
            job(to)
            seen = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - wall}
            size = sum(path.stat().st_size for path in to.rglob("*.tar"))
            shutil.rmtree(to)
            kept = best.setdefault(name, {**seen, "size_bytes": size})
            kept |= {key: min(kept[key], value) for key, value in seen.items()}
    return best


def compare_writers(num_samples: int, folder: Path) -> dict[str, Any]:
    samples = payload(num_samples, seed=1)
    num_bytes = sum(len(picture) + len(text) for _, picture, text in samples)
    seen = in_turns(
        {"ours": lambda to: write_ours(samples, to), "webdataset": lambda to: write_webdataset(samples, to)}, folder
    )
    measured = {
        name: {
            "samples_per_second_and_core": round(num_samples / best["cpu_seconds"]),
            "cpu_us_per_sample": round(best["cpu_seconds"] / num_samples * 1e6, 1),
            "samples_per_second_wall": round(num_samples / best["wall_seconds"]),
            "overhead": round(best["size_bytes"] / num_bytes - 1, 4),
        }
        for name, best in seen.items()
    }
    return {
        "ratio_of_cpu": round(seen["webdataset"]["cpu_seconds"] / seen["ours"]["cpu_seconds"], 2),
        **measured,
        "rerun_identical": {"ours": same_twice(write_ours, samples[:500], folder),
                            "webdataset": same_twice(write_webdataset, samples[:500], folder)},
    }  # fmt: skip


def same_twice(write: Callable[[list[Any], Path], None], samples: list[Any], folder: Path) -> bool:
    digests = []
    for _ in range(2):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        write(samples, folder)
        digests.append([sha256_of(path) for path in sorted(folder.glob("*.tar"))])
        time.sleep(0.01)
    return digests[0] == digests[1]


def make_corpus(num_pictures: int, folder: Path) -> tuple[Workspace, dict[str, Path]]:
    """Pictures of 512 x 512 px with a spectrum like photographs', half JPEG in colour, half grey PNG like CT slices."""
    raw = folder / "raw"
    raw.mkdir(parents=True)
    fields = _fields(8)
    rows = []
    for number in range(num_pictures):
        pixels = np.roll(fields[number % len(fields)], (37 * number, 53 * number), (0, 1))
        name = f"{number}.jpg" if number % 2 else f"{number}.png"
        picture = Image.fromarray(pixels if number % 2 else pixels[..., 0])
        picture.save(raw / name, quality=90)
        sample = Sample(
            sample_id=sample_id_of("made", name), dataset="made", native_id=name, split="train", task="vqa",
            image_uris=[name], image_status="present", image_sha256=[sha256_of(raw / name)], modality="x_ray",
            question="Which organ is shown in this slice?", answer="the liver", answer_type="open", sex="female",
        )  # fmt: skip
        rows.append(sample)
    workspace = Workspace(folder / "work")
    write_deltalake(workspace.samples, to_table(rows), partition_by=["dataset"])
    return workspace, {"made": raw}


def _fields(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(512), np.fft.rfftfreq(512), indexing="ij"))
    decay = 1 / np.maximum(frequency, 1 / 512) ** 1.2
    noises = [np.fft.irfft2(np.fft.rfft2(rng.standard_normal((3, 512, 512))) * decay) for _ in range(count)]
    return [np.clip(128 + 48 * noise / noise.std(), 0, 255).astype(np.uint8).transpose(1, 2, 0) for noise in noises]


def compare_with_bare_loop(num_pictures: int, folder: Path) -> dict[str, Any]:
    workspace, roots = make_corpus(num_pictures, folder)
    config = ShardsConfig(samples_per_shard=200)
    paths = sorted(roots["made"].iterdir())

    def bare(to: Path) -> None:
        for path in paths:
            encode_image(read_picture(path, side_px=config.image_side_px), config)

    def packed(to: Path) -> None:
        fresh = Workspace(to)
        fresh.samples.symlink_to(workspace.samples)
        (to / "raw").symlink_to(roots["made"])
        pack(fresh, {"made": to / "raw"}, config, samples_version=0, num_processes=1)

    seen = in_turns({"bare": bare, "pack": packed}, folder / "turn")
    corpora = {}
    for num_processes in (1, 2, 3, 5):
        target = Workspace(folder / f"processes{num_processes}")
        target.root.mkdir()
        target.samples.symlink_to(workspace.samples)
        summary = pack(target, roots, config, samples_version=0, num_processes=num_processes)
        corpora[num_processes] = summary["corpus"]
    cpu = time.process_time()
    again = pack(target, roots, config, samples_version=0, num_processes=1)
    again_seconds = time.process_time() - cpu
    return {
        "share_of_bare_loop": round(seen["bare"]["cpu_seconds"] / seen["pack"]["cpu_seconds"], 3),
        "pictures": num_pictures,
        "cpu_ms_per_sample": {name: round(best["cpu_seconds"] / num_pictures * 1e3, 3) for name, best in seen.items()},
        "identical_for_processes": {"processes": list(corpora), "identical": len(set(corpora.values())) == 1},
        "unchanged_again": {"cpu_ms_per_sample": round(again_seconds / num_pictures * 1e3, 3), **again},
        "problems_found_by_verify": len(verify(target)),
    }


def main() -> None:
    """Measure, compare with what is asked, write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--pictures", type=int, default=800)
    sizes = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench_pack_"))
    try:
        writers = compare_writers(sizes.samples, folder / "writers")
        packing = compare_with_bare_loop(sizes.pictures, folder / "packing")
    finally:
        shutil.rmtree(folder)
    results = {
        "asked": ASKED,
        "writers": writers,
        "packing": packing,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {"cpus": psutil.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "samples": sizes.samples,
    }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
