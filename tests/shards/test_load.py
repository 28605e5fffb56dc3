from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

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
