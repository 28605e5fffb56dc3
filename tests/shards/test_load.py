import json
import tempfile
from collections import Counter

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from ingest.errors import BadInput, BiasCareError
from ingest.workspace import Workspace
from shards import block_cache
from shards.load import LoadConfig, open_shards
from shards.plan import draw_counts


def sample_id_and_chance(record, generator):
    return record.fields["sample_id"], float(generator.random())


def opened(refreshed, split="train", **changes):
    config = LoadConfig(**{"batch_size": 8, "num_epochs": 2, "seed": 3} | changes)
    return open_shards(refreshed.workspace, split=split, encode=sample_id_and_chance, collate=list, config=config)


def test_an_epoch_draws_exactly_what_the_plan_says(refreshed):
    drawn = Counter(sample_id for batch in opened(refreshed) for sample_id, _ in batch)
    weights = pq.read_table(refreshed.workspace.weights)
    counts = draw_counts(weights["weight"], epoch=0, num_epochs=2, num_draws=weights.num_rows, seed=3)
    planned = dict(zip(weights["sample_id"].to_pylist(), counts.tolist(), strict=True))
    assert drawn == Counter({key: count for key, count in planned.items() if count})


def test_validation_and_test_give_every_sample_once_in_order(refreshed):
    index = pq.read_table(refreshed.workspace.index).to_pylist()
    for split in ("validation", "test"):
        given = [sample_id for batch in opened(refreshed, split) for sample_id, _ in batch]
        assert given == [row["sample_id"] for row in index if row["split"] == split]


def test_workers_and_ranks_change_nothing_but_who_reads(refreshed):
    alone = [sorted(batch) for batch in opened(refreshed, batch_size=8)]
    with_workers = [sorted(batch) for batch in opened(refreshed, batch_size=8, num_workers=2)]
    ranks = [list(opened(refreshed, batch_size=4, rank=rank, world_size=2)) for rank in range(2)]
    together = [sorted(first + second) for first, second in zip(*ranks, strict=True)]
    assert with_workers == alone
    assert together == alone


def test_a_stopped_epoch_goes_on_where_it_was(refreshed):
    whole = [batch for _ in range(2) for batch in opened_epochs(opened(refreshed))]
    first = opened(refreshed)
    seen = []
    for batch in first:
        seen.append(batch)
        if len(seen) == 3:
            break
    state = first.state_dict()
    second = opened(refreshed)
    second.load_state_dict(state)
    seen += list(second)
    assert seen == whole[: len(seen)]
    assert second.epoch == 1


def opened_epochs(loader):
    yield from loader


def test_a_state_of_another_plan_is_refused(refreshed):
    state = opened(refreshed).state_dict()
    with pytest.raises(ValueError, match="another plan"):
        opened(refreshed, seed=4).load_state_dict(state)


def test_an_unknown_split_is_refused(refreshed):
    with pytest.raises(ValueError, match="no packed sample"):
        opened(refreshed, "holdout")


@pytest.mark.parametrize("changes", [{"batch_size": 0}, {"rank": 2, "world_size": 2}, {"num_workers": -1}])
def test_impossible_settings_are_refused(changes):
    with pytest.raises(ValueError, match="expected"):
        LoadConfig(**{"batch_size": 1} | changes)


def test_realised_margins_follow_the_weights(refreshed):
    weights = pq.read_table(refreshed.workspace.weights)["weight"].to_numpy()
    counts = draw_counts(weights, epoch=0, num_epochs=None, num_draws=100 * len(weights), seed=0)
    assert np.abs(counts / counts.sum() - weights / weights.sum()).max() <= 1 / counts.sum()


def test_a_changed_data_set_is_refused_by_its_name(corpus_copy):
    workspace = Workspace(corpus_copy / "work")
    state = opened_at(workspace).state_dict()
    assert len(json.dumps(state)) < 500  # whatever the number of rows, ranks and workers
    index = pq.read_table(workspace.index)
    column = index.column_names.index("xxh3_128")
    is_changed = pc.and_(pc.equal(index["dataset"], "isic2018"), pc.equal(index["split"], "train"))
    changed = pc.if_else(is_changed, "f" * 32, index["xxh3_128"])
    pq.write_table(index.set_column(column, index.schema.field(column), changed), workspace.index)
    with pytest.raises(ValueError, match="dataset isic2018") as refused:
        opened_at(workspace).load_state_dict(state)
    assert "vqa_rad" not in str(refused.value)


def opened_at(workspace, split="train", encode=sample_id_and_chance, collate=list, **changes):
    config = LoadConfig(**{"batch_size": 8, "num_epochs": 2, "seed": 3} | changes)
    return open_shards(workspace, split=split, encode=encode, collate=collate, config=config)


def test_four_ranks_of_three_workers_stop_and_two_of_one_go_on(refreshed):
    whole = sorted(sample for batch in opened(refreshed) for sample in batch)
    first = [opened(refreshed, batch_size=2, rank=rank, world_size=4, num_workers=3) for rank in range(4)]
    given, states = [], []
    for loader in first:
        for number, batch in enumerate(loader, 1):
            given += batch
            if number == 11:
                break
        states.append(loader.state_dict())
    assert all(state == states[0] for state in states)
    second = [opened(refreshed, batch_size=5, rank=rank, world_size=2, num_workers=1) for rank in range(2)]
    lengths = set()
    for loader in second:
        loader.load_state_dict(states[0])
        batches = list(loader)
        lengths.add(len(batches))
        given += [sample for batch in batches for sample in batch]
    assert sorted(given) == whole  # sample ids and their chances
    assert len(lengths) == 1


def test_a_state_at_the_end_of_an_epoch_goes_on_with_the_next(refreshed):
    loader = opened(refreshed)
    iterator = iter(loader)
    for _ in range(len(loader)):
        next(iterator)
    other = opened(refreshed, rank=1, world_size=2)
    other.load_state_dict(loader.state_dict())
    assert list(other) == [] and (other.epoch, other.position) == (1, 0)
    assert len(list(other)) == len(other)


def test_more_ranks_than_draws_left_are_refused(refreshed):
    loader = opened(refreshed)
    state = loader.state_dict() | {"position": loader.plan.num_draws - 2}
    with pytest.raises(BiasCareError, match="at most 2 ranks"):
        opened(refreshed, rank=0, world_size=3).load_state_dict(state)


def damaged(corpus_copy, *, num_samples):
    """The corpus with so many training samples of one shard changed by one bit; their ids."""
    workspace = Workspace(corpus_copy / "work")
    rows = [row for row in pq.read_table(workspace.index).to_pylist() if row["split"] == "train"][:num_samples]
    content = bytearray((workspace.shards / rows[0]["shard"]).read_bytes())
    for row in rows:
        content[row["offset"] + 700] ^= 4
    (workspace.shards / rows[0]["shard"]).write_bytes(content)
    return workspace, {row["sample_id"] for row in rows}


def test_one_flipped_bit_stops_the_run_by_name(corpus_copy):
    workspace, (sample_id,) = damaged(corpus_copy, num_samples=1)
    with pytest.raises(BiasCareError, match=rf"imed361m, shard .*tar, key and sample id {sample_id}: its bytes"):
        list(opened_at(workspace, draws_per_epoch=2000, num_workers=1))


def test_a_budget_lets_samples_be_left_out_and_logs_each(corpus_copy, caplog):
    workspace, ids = damaged(corpus_copy, num_samples=3)
    weights = pq.read_table(workspace.weights)
    counts = draw_counts(weights["weight"], epoch=0, num_epochs=2, num_draws=2000, seed=3)
    bad = sum(c for i, c in zip(weights["sample_id"].to_pylist(), counts.tolist(), strict=True) if i in ids)
    loader = opened_at(workspace, draws_per_epoch=2000, max_unreadable=bad)
    given = [sample_id for batch in loader for sample_id, _ in batch]
    assert len(given) == 2000 - bad and not ids & set(given)
    assert sum("unreadable sample" in record.message for record in caplog.records) == bad
    with pytest.raises(BiasCareError, match=f"max_unreadable = {bad - 1}"):
        list(opened_at(workspace, draws_per_epoch=2000, max_unreadable=bad - 1))


def test_an_error_of_encode_is_no_unreadable_sample(refreshed):
    def broken(record, generator):
        raise KeyError("a mistake")

    with pytest.raises(KeyError, match="a mistake"):
        next(iter(opened_at(refreshed.workspace, encode=broken, max_unreadable=100)))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_arrays_are_handed_over_as_tensors(refreshed, num_workers):
    def encode(record, generator):
        return np.full(3, len(record.images[0])), record.fields["sample_id"]

    def stack(samples):
        return {"sides": np.stack([side for side, _ in samples]), "ids": [sample_id for _, sample_id in samples]}

    batch = next(iter(opened_at(refreshed.workspace, encode=encode, collate=stack, num_workers=num_workers)))
    assert batch["sides"].shape == (8, 3) and isinstance(batch["sides"], torch.Tensor)
    (side, sample_id), *_ = next(iter(opened_at(refreshed.workspace, encode=encode, num_workers=num_workers)))
    assert isinstance(side, torch.Tensor) and sample_id == batch["ids"][0]


def test_iterating_leaves_the_trainers_random_state_alone(refreshed):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(opened(refreshed))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_shards_of_a_store_give_the_same_batches_from_a_bounded_cache(refreshed, tmp_path, monkeypatch, num_workers):
    monkeypatch.setattr(block_cache, "BLOCK_BYTES", 40_000)
    workspace = Workspace(tmp_path)
    for name in ("weights", "samples"):
        (tmp_path / name).symlink_to(refreshed.workspace.root / name)
    workspace.shards.mkdir()
    (workspace.index).symlink_to(refreshed.workspace.index)
    store = f"file://{refreshed.workspace.shards}"
    there = list(opened_at(workspace, store=store, cache_bytes=200_000, num_workers=num_workers))
    assert there == list(opened(refreshed))
    blocks = [path for path in (tmp_path / "plans" / "blocks").rglob("*") if path.is_file() and path.stat().st_size]
    assert 0 < sum(path.stat().st_size for path in blocks) <= 200_000
    with pytest.raises(BadInput, match=r"nothing/.*tar: expected a file, got none"):
        opened_at(workspace, store=f"file://{tmp_path}/nothing")


def test_a_workspace_that_cannot_be_written_to_is_read_all_the_same(refreshed, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    for name in ("weights", "shards"):
        (tmp_path / name).symlink_to(refreshed.workspace.root / name)
    (tmp_path / "plans").write_text("a file stands where the folder would be")
    assert list(opened_at(Workspace(tmp_path))) == list(opened(refreshed))
    assert list((tmp_path / "scratch").rglob("rows.json"))
