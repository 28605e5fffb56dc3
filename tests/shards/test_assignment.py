import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.attributes import connect_table
from ingest.errors import BadInput
from ingest.sample import Sample, to_table
from shards.assignment import plan_shards, rows_of_shards, shard_sizes

IDS = st.sets(st.integers(0, 2**64 - 1), max_size=200)


def shards_of(ids, most):
    bits = np.array(sorted(ids), dtype=np.uint64)
    sizes = list(shard_sizes(bits, most))
    cuts = np.cumsum([0, *sizes])
    return [tuple(bits[a:b].tolist()) for a, b in itertools.pairwise(cuts)]


@given(IDS, st.integers(1, 20))
def test_every_sample_is_in_one_shard_and_no_shard_is_too_large(ids, most):
    shards = shards_of(ids, most)
    assert [value for shard in shards for value in shard] == sorted(ids)
    assert all(1 <= len(shard) <= most for shard in shards)


@given(IDS, st.integers(1, 20), st.integers(0, 2**64 - 1))
def test_a_new_sample_touches_one_shard_or_splits_it(ids, most, new):
    before, after = set(shards_of(ids, most)), set(shards_of(ids | {new}, most))
    gone = before - after
    assert len(gone) <= 1
    assert {value for shard in after - before for value in shard} == {value for shard in gone for value in shard} | (
        {new} - ids
    )


def test_ids_that_share_their_leading_bits_are_told_apart_deep_down():
    assert shards_of({4, 5, 2**63}, 1) == [(4,), (5,), (2**63,)]


def samples_of(*sample_ids):
    rows = [
        Sample(sample_id=sample_id, dataset="made", native_id="1", split="train", task="vqa", image_status="present")
        for sample_id in sample_ids
    ]
    return connect_table(to_table(rows))


def test_planned_shards_hold_ranges_of_ids_in_the_order_of_the_rows():
    ids = ["f" * 32, "0" * 32, "8" + "0" * 31, "7" + "f" * 31]
    connection = samples_of(*ids)
    planned = plan_shards(connection, 2)
    assert [(shard.path, shard.num_samples) for shard in planned] == [
        ("made/vqa-train-000000.tar", 2),
        ("made/vqa-train-000001.tar", 2),
    ]
    found = [rows["sample_id"].to_pylist() for _, rows in rows_of_shards(connection, planned)]
    assert found == [["0" * 32, "7" + "f" * 31], ["8" + "0" * 31, "f" * 32]]


@pytest.mark.parametrize("sample_id", ["not-a-digest-at-all", "abc", "0123456789ABCDEF", "0123456789abcde "])
def test_ids_that_are_no_digests_are_refused(sample_id):
    with pytest.raises(BadInput, match="hex digests, got 1 others in made"):
        plan_shards(samples_of("0" * 32, sample_id), 10)
