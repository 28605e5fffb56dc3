"""What is read for a draw: its own chance, its bytes checked, its repeats decoded once."""

import pickle

import numpy as np

from shards.drawn import Chance, DrawReader
from shards.epoch import RunPlan
from shards.order import WINDOW_DRAWS
from shards.reader import LocalReader, Stretch
from shards.rows import packed_rows


def test_the_chance_of_a_draw_does_not_depend_on_what_was_drawn_before():
    alone = Chance(3).at(1, 5).random(4).tolist()
    after_others = Chance(3)
    after_others.at(0, 5).integers(7, size=3)
    assert after_others.at(1, 5).random(4).tolist() == alone
    others = [Chance(3).at(1, 6), Chance(3).at(2, 5), Chance(4).at(1, 5)]
    assert all(other.random(4).tolist() != alone for other in others)


class CountingReader:
    """A local reader that counts reads and remembers what it was told to expect."""

    def __init__(self, folder):
        self.local, self.num_reads, self.expected = LocalReader(folder), 0, []

    def read(self, shard, offset, size):
        self.num_reads += 1
        return self.local.read(shard, offset, size)

    def expect(self, stretches):
        self.expected.extend(stretches)


def opened(refreshed, tmp_path, *, num_draws, repeat_bytes):
    workspace = refreshed.workspace
    rows = packed_rows(index=workspace.index, weights=workspace.weights, split="train", plans=tmp_path)
    reader = CountingReader(workspace.shards)
    plan = RunPlan(rows, num_draws, 1, 0)
    pixels = lambda record, generator: int(record.images[0].sum())  # noqa: E731
    return DrawReader(plan, reader, pixels, seed=0, repeat_bytes=repeat_bytes), reader


def test_repeats_in_a_window_are_read_once_and_give_the_same(refreshed, tmp_path):
    draws, reader = opened(refreshed, tmp_path, num_draws=1000, repeat_bytes=2**30)
    samples, unreadable = draws.encoded(0, 0, 1000)
    assert len(samples) == 1000 and not unreadable
    assert reader.num_reads == len(np.unique(draws.plan.draws(0)))
    assert draws.window.kept == {} and draws.window.kept_bytes == 0
    again, every_time = opened(refreshed, tmp_path, num_draws=1000, repeat_bytes=0)
    assert again.encoded(0, 0, 1000)[0] == samples
    assert every_time.num_reads == 1000


def test_the_reader_is_told_what_the_window_lies_in(refreshed, tmp_path):
    draws, reader = opened(refreshed, tmp_path, num_draws=300, repeat_bytes=0)
    draws.encoded(0, 0, 10)
    rows = draws.plan.rows
    assert sorted(stretch.shard for stretch in reader.expected) == sorted(
        {rows.shards[rows.shard_of(row)] for row in draws.plan.draws(0).tolist()}
    )
    assert all(isinstance(stretch, Stretch) and stretch.start < stretch.stop for stretch in reader.expected)


def test_windows_may_change_inside_a_batch(refreshed, tmp_path):
    draws, _ = opened(refreshed, tmp_path, num_draws=WINDOW_DRAWS + 20, repeat_bytes=2**20)
    whole, _ = draws.encoded(0, WINDOW_DRAWS - 5, WINDOW_DRAWS + 5)
    assert (
        whole
        == draws.encoded(0, WINDOW_DRAWS - 5, WINDOW_DRAWS)[0] + draws.encoded(0, WINDOW_DRAWS, WINDOW_DRAWS + 5)[0]
    )


def test_rows_travel_to_another_process_as_the_name_of_their_files(refreshed, tmp_path):
    draws, _ = opened(refreshed, tmp_path, num_draws=30, repeat_bytes=0)
    content = pickle.dumps(draws.plan)
    assert len(content) < 1000
    assert np.array_equal(pickle.loads(content).draws(0), draws.plan.draws(0))
