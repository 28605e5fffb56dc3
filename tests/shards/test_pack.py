import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from ingest.attributes import connect_samples
from ingest.errors import BadInput, BiasCareError
from ingest.masks import read_masks
from ingest.workspace import Workspace
from shards.assignment import PACKABLE_SQL
from shards.load import LoadConfig, open_shards
from shards.members import encode_masks, shrink_mask
from shards.pack import pack
from shards.recipe import ShardsConfig
from shards.record import decode_record, iterate_records, members_of, read_range
from shards.verify import verify


def roots_of(config):
    return {dataset.name: dataset.root for dataset in config.datasets}


def keep(record, generator):
    return record


def test_every_packable_sample_is_packed_once_and_verified(refreshed):
    workspace = refreshed.workspace
    wanted = (
        connect_samples(workspace.samples).execute(f"SELECT sample_id FROM samples WHERE {PACKABLE_SQL}").fetchall()
    )
    packed = pq.read_table(workspace.index)["sample_id"].to_pylist()
    assert sorted(packed) == sorted(row[0] for row in wanted)
    assert verify(workspace) == []


def test_plain_webdataset_reads_the_shards(refreshed):
    workspace = refreshed.workspace
    manifest = json.loads(workspace.manifest.read_text())
    urls = [str(workspace.shards / line["path"]) for line in manifest["shards"]]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("pil"))
    assert len(samples) == sum(line["num_samples"] for line in manifest["shards"])
    assert all(sample["json"]["sample_id"] == sample["__key__"] for sample in samples)
    assert all("jpg" in sample or "png" in sample for sample in samples)
    assert max(max((s.get("jpg") or s["png"]).size) for s in samples) <= 64


def test_packing_twice_gives_the_same_bytes(refreshed, tmp_path):
    again = Workspace(tmp_path)
    again.samples.symlink_to(refreshed.workspace.samples)
    pack(again, roots_of(refreshed), refreshed.shards, samples_version=0)
    first, second = (json.loads(w.manifest.read_text())["shards"] for w in (refreshed.workspace, again))
    assert first == second


def test_masks_come_back_as_they_were(refreshed):
    root = roots_of(refreshed)["imed361m"]
    record = next(r for r in iterate_records(refreshed.workspace, "train") if r.masks is not None)
    source = read_masks(root / record.fields["mask_uri"], len(record.fields["mask_targets"]))
    assert np.array_equal(record.read_native_masks(), source)
    assert record.masks.shape[1:] == record.images[0].shape[:2]
    assert record.masks.any(axis=(1, 2)).all()


def test_a_record_without_truth_keeps_what_a_reader_would_see(refreshed):
    record = next(r for r in iterate_records(refreshed.workspace, "test") if r.fields["task"] == "vqa")
    blind = record.without_truth()
    assert "answer" not in blind.fields and blind.masks is None
    assert blind.fields["question"] == record.fields["question"]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(1, 12), st.integers(0, 999))
def test_a_lesion_never_vanishes_and_nothing_appears(height, width, h, w, seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), bool)
    assert not shrink_mask(mask, size=(h, w)).any()
    mask[rng.integers(height), rng.integers(width)] = True
    assert shrink_mask(mask, size=(h, w)).any()


def test_masks_of_odd_sizes_survive_bit_packing():
    masks = np.random.default_rng(0).random((3, 5, 7)) < 0.3
    members = {"json": b"{}", "masks.npz": encode_masks(masks, size=(5, 7))}
    assert np.array_equal(decode_record(members).read_native_masks(), masks)


def test_one_sample_is_one_ranged_read(refreshed):
    workspace = refreshed.workspace
    row = pq.read_table(workspace.index).to_pylist()[-1]
    members = members_of(read_range(workspace.shards / row["shard"], row))
    assert json.loads(members["json"])["sample_id"] == row["sample_id"]


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "stray"])
def test_verify_says_which_shard_is_damaged(corpus_copy, damage):
    workspace = Workspace(corpus_copy / "work")
    row = pq.read_table(workspace.index).to_pylist()[0]
    shard = workspace.shards / row["shard"]
    content = bytearray(shard.read_bytes())
    if damage == "flip":
        content[row["offset"] + 600] ^= 1
        shard.write_bytes(content)
    elif damage == "truncate":
        shard.write_bytes(content[: len(content) // 2])
    elif damage == "remove":
        shard.unlink()
    else:
        shard.with_name("stray.tar").write_bytes(b"")
    problems = verify(workspace)
    assert problems and (row["shard"] in problems[0] or "stray.tar" in problems[0])
    if damage == "flip":
        assert any(row["sample_id"] in problem for problem in problems)


def test_an_unreadable_sample_stops_the_loader_by_name(corpus_copy):
    workspace = Workspace(corpus_copy / "work")
    rows = [row for row in pq.read_table(workspace.index).to_pylist() if row["split"] == "test"]
    (workspace.shards / rows[-1]["shard"]).write_bytes(b"")
    loader = open_shards(workspace, split="test", encode=keep, collate=list, config=LoadConfig(batch_size=4))
    with pytest.raises(BiasCareError, match=rows[-1]["shard"]):
        list(loader)


def test_a_picture_that_changed_after_reading_stops_packing(corpus_copy):
    from flows.config import load_config

    config = load_config(corpus_copy / "demo.toml")
    for path in (corpus_copy / "raw" / "isic2018").rglob("*.jpg"):
        path.write_bytes(b"no picture any more")
    with pytest.raises(BiasCareError, match="run refresh again"):
        pack(config.workspace, roots_of(config), ShardsConfig(), samples_version=0)
    assert verify(config.workspace) == []


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="image_side_px"):
        ShardsConfig(image_side_px=4)
    with pytest.raises(ValueError, match="samples_per_shard"):
        ShardsConfig(samples_per_shard=0)


def test_verify_needs_shards(tmp_path):
    with pytest.raises(BadInput, match="packed shards"):
        verify(Workspace(tmp_path))
