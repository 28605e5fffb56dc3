"""The draws of an epoch as encoded samples: read, checked, decoded once per window, each with its own chance."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from shards.epoch import Plan
from shards.order import WINDOW_DRAWS
from shards.reader import Reader, Stretch
from shards.record import TAR_BLOCK, Record, UnreadableSample, members_of

Encode = Callable[[Record, np.random.Generator], Any]


@dataclass(frozen=True)
class Unreadable:
    """A draw that gave nothing: the row, and what was wrong with its bytes."""

    row: int
    reason: str


class Place(NamedTuple):
    """Where a drawn row lies, and the check of its bytes."""

    row: int
    start_block: int
    num_blocks: int
    check: int


class Chance:
    """The generator of each draw: a function of (seed, epoch, position), whoever reads it.

    Philox is counter-based: moving one generator to a draw's own counter takes 1 us, making a new one 10.
    """

    def __init__(self, seed: int) -> None:
        key = np.random.SeedSequence(seed).generate_state(2, np.uint64)
        self._philox = np.random.Philox(key=key)
        self._generator = np.random.Generator(self._philox)
        self._state = self._philox.state
        self._counter = self._state["state"]["counter"]

    def at(self, epoch: int, position: int) -> np.random.Generator:
        """The generator of one draw, good until the next call."""
        self._counter[1] = position
        self._counter[2] = epoch
        self._philox.state = self._state
        return self._generator


@dataclass
class Window:
    """The draws shuffled together, and the records among them that are drawn again."""

    epoch: int = -1
    number: int = -1
    draws_left: dict[int, int] = field(default_factory=dict)
    kept: dict[int, Record] = field(default_factory=dict)
    kept_bytes: int = 0


class DrawReader:
    """Gives the encoded samples of any stretch of an epoch. One per process.

    A record that its window draws again is kept decoded, up to ``repeat_bytes`` in all.
    """

    def __init__(self, plan: Plan, reader: Reader, encode: Encode, *, seed: int, repeat_bytes: int) -> None:
        self.plan, self.reader, self.encode = plan, reader, encode
        self.seed, self.repeat_bytes = seed, repeat_bytes
        self.chance, self.window = Chance(seed), Window()
        self._epoch, self._draws = -1, np.empty(0, dtype=np.uint32)

    def encoded(self, epoch: int, start: int, stop: int) -> tuple[list[Any], list[Unreadable]]:
        """The samples drawn from ``start`` to ``stop``, in order, without those that cannot be read."""
        samples: list[Any] = []
        unreadable: list[Unreadable] = []
        if self._epoch != epoch:
            self._epoch, self._draws = epoch, self.plan.draws(epoch)
        draws = self._draws
        for first in _cut(start, stop):
            last = min(stop, (first // WINDOW_DRAWS + 1) * WINDOW_DRAWS)
            self._enter(draws, epoch, first // WINDOW_DRAWS)
            for position, place in enumerate(self._places(draws[first:last]), first):
                try:
                    kept = self.window.kept.get(place.row)
                    record = self._record(place) if kept is None else kept.again()
                    samples.append(self.encode(record, self.chance.at(epoch, position)))
                    self._keep(place.row, record)
                except UnreadableSample as error:
                    unreadable.append(Unreadable(place.row, str(error)))
        return samples, unreadable

    def _places(self, draws: NDArray[np.uint32]) -> Iterator[Place]:
        rows = self.plan.rows
        columns = (draws, rows.starts[draws], rows.sizes[draws], rows.checks[draws])
        return itertools.starmap(Place, zip(*(column.tolist() for column in columns), strict=True))

    def _record(self, place: Place) -> Record:
        rows, size = self.plan.rows, place.num_blocks * TAR_BLOCK
        try:
            chunk = self.reader.read(rows.shards[rows.shard_of(place.row)], place.start_block * TAR_BLOCK, size)
        except OSError as error:
            raise UnreadableSample(f"{type(error).__name__}: {error.strerror or error}") from error
        if len(chunk) != size:
            raise UnreadableSample(f"expected {size} bytes, got {len(chunk)}: the shard is truncated")
        if xxhash.xxh3_128_intdigest(chunk) >> 64 != place.check:
            raise UnreadableSample("its bytes are not those that were packed (xxh3_128)")
        return Record.of_members(members_of(chunk))

    def _keep(self, row: int, record: Record) -> None:
        """Keep what is drawn again in this window; let go of what is not."""
        window = self.window
        left = window.draws_left.get(row)
        if left is None:
            return
        window.draws_left[row] = left - 1
        if left == 1:
            kept = window.kept.pop(row, None)
            window.kept_bytes -= kept.decoded_bytes if kept else 0
        elif row not in window.kept:
            num_bytes = record.decoded_bytes
            if window.kept_bytes + num_bytes <= self.repeat_bytes:
                window.kept[row] = record
                window.kept_bytes += num_bytes

    def _enter(self, draws: NDArray[np.uint32], epoch: int, number: int) -> None:
        """Turn to a window, if it is another one: forget the last one's records, and say what is read next."""
        if (self.window.epoch, self.window.number) == (epoch, number):
            return
        follows = (self.window.epoch, self.window.number) == (epoch, number - 1)
        rows, counts = np.unique(_window(draws, number), return_counts=True)
        again = counts > 1
        self.window = Window(epoch, number, dict(zip(rows[again].tolist(), counts[again].tolist(), strict=True)))
        if not follows:
            self.reader.expect(self._stretches(rows))
        self.reader.expect(self._stretches(np.unique(_window(draws, number + 1))))

    def _stretches(self, rows: NDArray[np.uint32]) -> list[Stretch]:
        """From the first to the last of sorted ``rows`` in each shard."""
        if len(rows) == 0:
            return []
        packed = self.plan.rows
        shards = np.searchsorted(packed.first_rows, rows, side="right") - 1
        firsts = np.flatnonzero(np.diff(shards, prepend=-1))
        lasts = np.append(firsts[1:], len(rows)) - 1
        return [
            Stretch(
                packed.shards[shards[first]],
                int(packed.starts[rows[first]]) * TAR_BLOCK,
                (int(packed.starts[rows[last]]) + int(packed.sizes[rows[last]])) * TAR_BLOCK,
            )
            for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)
        ]


def _window(draws: NDArray[np.uint32], number: int) -> NDArray[np.uint32]:
    return draws[number * WINDOW_DRAWS : (number + 1) * WINDOW_DRAWS]


def _cut(start: int, stop: int) -> Iterator[int]:
    """``start``, and every border between windows before ``stop``."""
    yield start
    yield from range((start // WINDOW_DRAWS + 1) * WINDOW_DRAWS, stop, WINDOW_DRAWS)
