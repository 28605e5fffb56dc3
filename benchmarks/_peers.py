"""The same payload through webdataset, mosaicml-streaming and litdata; run by a Python that has them.

    python -m benchmarks._peers READER FOLDER NUM_SAMPLES bytes|decode

Writes READER's own format under FOLDER when it is missing, reads it shuffled three times in this process, without
workers, and prints {"us_per_sample": best CPU microseconds}.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks._payload import decode, samples

Sample = tuple[bytes, dict[str, Any]]


def webdataset_samples(folder: Path, number: int) -> Callable[[], Iterator[Sample]]:
    """Its ShardWriter, 1,000 samples per tar; shards shuffled, and samples in its usual buffer of 1,000."""
    import webdataset

    if not (folder / "done").exists():
        with webdataset.ShardWriter(str(folder / "%06d.tar"), maxcount=1000, verbose=0) as writer:
            for key, jpeg, fields in samples(number):
                writer.write({"__key__": key, "jpg": jpeg, "json": json.dumps(fields).encode()})
    urls = sorted(str(path) for path in folder.glob("*.tar"))

    def read() -> Iterator[Sample]:
        dataset = webdataset.WebDataset(urls, shardshuffle=len(urls), seed=1).shuffle(1000)
        for sample in dataset:
            yield sample["jpg"], json.loads(sample["json"])

    return read


def streaming_samples(folder: Path, number: int) -> Callable[[], Iterator[Sample]]:
    """MDS with bytes and JSON columns, its default shuffle."""
    import torch

    # Its vision datasets import torchvision, whose CUDA build does not register these beside a CPU torch.
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from streaming import MDSWriter, StreamingDataset

    if not (folder / "done").exists():
        with MDSWriter(out=str(folder / "mds"), columns={"jpg": "bytes", "json": "json"}) as writer:
            for _, jpeg, fields in samples(number):
                writer.write({"jpg": jpeg, "json": fields})
    dataset = StreamingDataset(local=str(folder / "mds"), shuffle=True, batch_size=64)

    def read() -> Iterator[Sample]:
        for sample in dataset:
            yield sample["jpg"], sample["json"]

    return read


def litdata_samples(folder: Path, number: int) -> Callable[[], Iterator[Sample]]:
    """Chunks of 64 MB with a bytes and a text field, its own shuffle."""
    from litdata import StreamingDataset
    from litdata.streaming.writer import BinaryWriter

    if not (folder / "done").exists():
        (folder / "lit").mkdir()
        writer = BinaryWriter(str(folder / "lit"), chunk_bytes="64MB")
        for index, (_, jpeg, fields) in enumerate(samples(number)):
            writer.add_item(index, {"jpg": jpeg, "json": json.dumps(fields)})
        writer.done()
        writer.merge()
    dataset = StreamingDataset(str(folder / "lit"), shuffle=True)

    def read() -> Iterator[Sample]:
        for sample in dataset:
            yield sample["jpg"], json.loads(sample["json"])

    return read


READERS = {"webdataset": webdataset_samples, "streaming": streaming_samples, "litdata": litdata_samples}


def consumed(read: Iterable[Sample], is_decoding: bool) -> int:
    """Read all; the number of samples."""
    number = 0
    for jpeg, fields in read:
        number += 1
        if is_decoding:
            decode(jpeg)
        assert fields["task"] == "vqa"
    return number


def main(reader: str, folder: Path, number: int, is_decoding: bool) -> None:
    place = folder / reader
    place.mkdir(parents=True, exist_ok=True)
    read = READERS[reader](place, number)
    (place / "done").touch()
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        given = consumed(read(), is_decoding)
        if given != number:
            raise SystemExit(f"{reader}: expected {number} samples, got {given}")
        best = min(best, time.process_time() - start)
    print(json.dumps({"us_per_sample": best / number * 1e6}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "decode")
