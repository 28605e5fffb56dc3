"""Packing on: what did not change is kept, what changed is written, and the bytes are those of packing anew."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from PIL import Image

from ingest.errors import BiasCareError
from ingest.sample import Sample, sample_id_of, to_table
from ingest.workspace import Workspace, locked_file
from shards.pack import pack
from shards.recipe import Format, Shape, ShardsConfig
from shards.record import iterate_records
from shards.verify import verify

CONFIG = ShardsConfig(image_side_px=32, samples_per_shard=8)


@pytest.fixture
def corpus(tmp_path):
    """40 questions on 40 pictures of 48 x 24 px; ``pack_again`` packs what the table holds now."""
    return Corpus(tmp_path)


class Corpus:
    def __init__(self, folder):
        self.root, self.workspace = folder / "raw", Workspace(folder / "work")
        self.root.mkdir()
        self.rows = [self.sample(number) for number in range(40)]
        self.publish()

    def sample(self, number, answer="yes"):
        name = f"{number}.png"
        pixels = np.random.default_rng(number).integers(0, 256, (24, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(self.root / name)
        return Sample(
            sample_id=sample_id_of("made", str(number)), dataset="made", native_id=str(number), split="train",
            task="vqa", image_uris=[name], image_status="present", question=f"question {number}?", answer=answer,
        )  # fmt: skip

    def publish(self):
        write_deltalake(self.workspace.samples, to_table(self.rows), mode="overwrite", partition_by=["dataset"])

    def pack_again(self, config=CONFIG, **changes):
        self.publish()
        return pack(self.workspace, {"made": self.root}, config, samples_version=0, **changes)

    def pack_anew(self, folder, config=CONFIG, **changes):
        fresh = Workspace(folder)
        fresh.samples.parent.mkdir()
        fresh.samples.symlink_to(self.workspace.samples)
        return pack(fresh, {"made": self.root}, config, samples_version=0, **changes)

    def inodes(self):
        return {path.name: path.stat().st_ino for path in self.workspace.shards.rglob("*.tar")}


def test_nothing_changed_keeps_every_file(corpus):
    first, before = corpus.pack_again(), corpus.inodes()
    second = corpus.pack_again()
    assert first["num_shards"] > 4 and first["num_samples_encoded"] == 40
    assert second["num_shards_kept"] == second["num_shards"] and second["num_samples_encoded"] == 0
    assert corpus.inodes() == before
    assert second["corpus"] == first["corpus"]


def test_one_changed_answer_rewrites_one_shard(corpus):
    first, before = corpus.pack_again(), corpus.inodes()
    corpus.rows[7] = corpus.sample(7, answer="no")
    second, after = corpus.pack_again(), corpus.inodes()
    assert second["num_samples_encoded"] == 1
    assert second["num_shards_kept"] == second["num_shards"] - 1
    assert sum(before[name] != after[name] for name in before) == 1
    assert second["corpus"] != first["corpus"]
    assert verify(corpus.workspace) == []


@pytest.mark.parametrize("change", ["grow", "shrink", "replace"])
def test_packing_on_gives_the_bytes_of_packing_anew(corpus, tmp_path, change):
    corpus.pack_again()
    if change != "grow":
        del corpus.rows[3:17]
    if change != "shrink":
        corpus.rows += [corpus.sample(number) for number in range(100, 130)]
    on = corpus.pack_again()
    anew = corpus.pack_anew(tmp_path / "anew")
    assert on["corpus"] == anew["corpus"]
    assert on["num_samples_encoded"] == (0 if change == "shrink" else 30)
    assert (tmp_path / "anew/shards/index.parquet").read_bytes() == corpus.workspace.index.read_bytes()
    assert verify(corpus.workspace) == []


def test_the_bytes_do_not_depend_on_the_number_of_processes(corpus, tmp_path):
    alone = corpus.pack_again(num_processes=1)
    together = corpus.pack_anew(tmp_path / "anew", num_processes=2)
    assert together["corpus"] == alone["corpus"]


def test_another_recipe_packs_everything_again(corpus):
    corpus.pack_again()
    summary = corpus.pack_again(ShardsConfig(image_side_px=16, samples_per_shard=8))
    assert summary["num_samples_encoded"] == 40
    assert next(iterate_records(corpus.workspace, "train")).images[0].shape == (8, 16, 3)


def test_another_shard_size_only_moves_bytes(corpus):
    corpus.pack_again()
    summary = corpus.pack_again(ShardsConfig(image_side_px=32, samples_per_shard=100))
    assert (summary["num_shards"], summary["num_samples_encoded"]) == (1, 0)


def test_a_refresh_notices_a_deleted_shard_and_restores_it(corpus_copy):
    from flows.config import load_config
    from flows.runner import PIPELINES, is_up_to_date, run_pipeline

    config = load_config(corpus_copy / "demo.toml")
    shard = sorted(config.workspace.shards.rglob("*.tar"))[0]
    content = shard.read_bytes()
    assert is_up_to_date(config, "refresh")
    shard.unlink()
    assert not is_up_to_date(config, "refresh")
    run_pipeline(config, PIPELINES["refresh"])
    assert shard.read_bytes() == content


def test_a_mask_that_changed_is_packed_again(corpus_copy):
    from flows.config import load_config

    config = load_config(corpus_copy / "demo.toml")
    roots = {dataset.name: dataset.root for dataset in config.datasets}
    row = next(r.fields for r in iterate_records(config.workspace, "train") if r.masks is not None)
    mask = roots["imed361m"] / row["mask_uri"]
    with np.load(mask) as arrays:
        changed = dict(arrays)
    changed["data"][0] = 0
    np.savez_compressed(mask, **changed)
    summary = pack(config.workspace, roots, config.shards, samples_version=0)
    assert summary["num_samples_encoded"] == 1


def test_a_square_png_holds_every_pixel_of_the_resized_picture(corpus):
    corpus.pack_again(ShardsConfig(image_side_px=32, shape=Shape.SQUARE, format=Format.PNG))
    record = next(r for r in iterate_records(corpus.workspace, "train") if r.fields["native_id"] == "5")
    source = Image.open(corpus.root / "5.png")
    assert np.array_equal(record.images[0], source.resize((32, 32), Image.Resampling.BICUBIC, reducing_gap=3.0))


def test_an_enlarged_square_and_a_small_picture_left_alone(corpus):
    corpus.pack_again(ShardsConfig(image_side_px=64, shape=Shape.SQUARE))
    assert next(iterate_records(corpus.workspace, "train")).images[0].shape == (64, 64, 3)
    corpus.pack_again(ShardsConfig(image_side_px=64))
    assert next(iterate_records(corpus.workspace, "train")).images[0].shape == (24, 48, 3)


def test_jpeg_quality_costs_bytes(corpus):
    sizes = [corpus.pack_again(ShardsConfig(jpeg_quality=quality))["size_bytes"] for quality in (95, 30)]
    assert sizes[1] < 0.7 * sizes[0]


def test_a_dataset_without_a_folder_is_refused(corpus):
    with pytest.raises(BiasCareError, match="none for made"):
        pack(corpus.workspace, {}, CONFIG, samples_version=0)


def test_a_second_packer_is_told_so(corpus):
    with locked_file(corpus.workspace.root / ".shards.lock"), pytest.raises(BiasCareError, match="another process"):
        corpus.pack_again()


def test_progress_ends_at_the_number_of_samples(corpus):
    told = []
    corpus.pack_again(progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (40, 40) and len(told) > 4


def test_a_row_that_changed_after_packing_is_named_by_verify(corpus):
    corpus.pack_again()
    corpus.rows[7] = corpus.sample(7, answer="no")
    corpus.publish()
    (problem,) = verify(corpus.workspace)
    assert corpus.rows[7].sample_id in problem and "run `biascarevl pack`" in problem


def test_rows_that_came_or_went_after_packing_are_counted_by_verify(corpus):
    corpus.pack_again()
    corpus.rows = [*corpus.rows[2:], corpus.sample(99)]
    corpus.publish()
    problems = verify(corpus.workspace)
    assert any("1 samples of the table are not packed" in problem for problem in problems)
    assert any("2 packed samples are not in the table" in problem for problem in problems)


def test_a_stale_index_is_named(corpus):
    corpus.pack_again()
    index = pq.read_table(corpus.workspace.index)
    pq.write_table(index.slice(1), corpus.workspace.index)
    problems = verify(corpus.workspace)
    dropped = index.slice(0, 1).to_pylist()[0]
    assert "changed or stale" in problems[0]
    assert any(dropped["shard"] in problem and dropped["key"] in problem for problem in problems)


def test_an_index_that_is_no_parquet_is_named(corpus):
    corpus.pack_again()
    corpus.workspace.index.write_bytes(b"PAR1 and nothing else")
    assert any("expected a whole Parquet file" in problem for problem in verify(corpus.workspace))
    assert corpus.pack_again()["num_samples_encoded"] == 40
    assert verify(corpus.workspace) == []


def test_an_index_whose_text_is_no_utf8_any_more_is_told_and_healed(corpus):
    first = corpus.pack_again()
    content = corpus.workspace.index.read_bytes()
    name = b"made/vqa-train-000000.tar"
    corpus.workspace.index.write_bytes(content.replace(name, b"\xe3" + name[1:]))
    assert any("changed or stale" in problem for problem in verify(corpus.workspace))
    assert corpus.pack_again()["corpus"] == first["corpus"]
    assert verify(corpus.workspace) == []


def test_a_size_that_is_not_octal_any_more_is_told(corpus):
    corpus.pack_again()
    row = pq.read_table(corpus.workspace.index).to_pylist()[0]
    shard = corpus.workspace.shards / row["shard"]
    content = bytearray(shard.read_bytes())
    content[row["offset"] + 124] = ord("8")
    shard.write_bytes(content)
    assert any("expected a tar member at byte 0, got none" in problem for problem in verify(corpus.workspace))


def test_a_changed_manifest_is_named_and_packing_heals_it(corpus):
    first = corpus.pack_again()
    manifest = json.loads(corpus.workspace.manifest.read_text())
    manifest["samples_version"] = 7
    corpus.workspace.manifest.write_text(json.dumps(manifest))
    (problem,) = verify(corpus.workspace)
    assert "manifest as it was written" in problem
    assert corpus.pack_again()["corpus"] == first["corpus"]
    assert verify(corpus.workspace) == []
