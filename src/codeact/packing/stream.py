"""Packing samples that come one after the other: a bounded window instead of the whole epoch. Pure numpy.

A window of samples is packed by best-fit decreasing; the fullest rows leave, the samples of the others stay and are packed
again with the next ones. So training starts after one window, whatever the size of the data, and memory is that of the window.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NotRequired, TypedDict

import numpy as np

from codeact.amounts import check_whole
from codeact.errors import InputError
from codeact.packing.plan import pack_tightly

REMEMBERED = 4096  # rows given out last
AGAIN = "give the same samples in the same order each time: a list, a data set or an object with __iter__, not a generator"
OLDEST = 4  # rounds after which a sample leaves with the next rows, however full its row is


class StreamState(TypedDict):
    """Where a stream stands: positions of samples in their source, counted from 0.

    `read`: how many were taken from the source. `round`: windows planned so far. `held`: position -> rounds waited.
    `rows`: planned rows that were not given out yet. `capacity`, `window` and `seed`: of the stream; `lengths`: CRC-32 of the
    lengths of the samples read, in order (states that were saved by earlier releases lack these four, which are not compared then).
    """

    read: int
    round: int
    held: dict[int, int]
    rows: list[list[int]]
    capacity: NotRequired[int]
    window: NotRequired[int]
    seed: NotRequired[int]
    lengths: NotRequired[int]


class PackedStream:
    """Rows of samples from an iterable, each of at most `capacity` tokens. Every sample is in exactly one row.

    Iterating gives lists of samples; `collate_rows` makes a batch of some. `state()` between two rows says where the stream
    stands, and a new stream over the same samples goes on from it: `PackedStream(samples, ..., state=saved)` gives the rows
    that were left, the same ones in the same order. A stream that was iterated to its end begins anew: the next epoch, with its
    rows in another order.

    Args:
        samples: an iterable that begins at the first sample each time it is iterated. After a `state` it is read again from
            there: what was given out is skipped, not kept.
        capacity: most tokens of a row.
        window: most samples held at once. More make fuller rows (docs/packing.md has the rates).
        seed: of the order in which the rows of a window come.
        length: tokens of a sample; by default of its `input_ids`.
        state: of an earlier stream of the same capacity, window and seed.

    Raises:
        InputError: `capacity` or `window` below 1, `seed` below 0; a state that is not whole, or of other settings; while iterating, a sample that is
            empty or longer than `capacity`, samples that cannot be read a second time (a generator) where they must be, samples
            of other lengths than those of the state, and a second iteration that was begun before this one ended.
    """

    def __init__(
        self,
        samples: Iterable[Any],
        capacity: int,
        window: int = 4096,
        seed: int = 0,
        length: Callable[[Any], int] = lambda sample: len(sample["input_ids"]),
        state: StreamState | None = None,
    ) -> None:
        check_whole("capacity", capacity)
        check_whole("window", window)
        check_whole("seed", seed, 0)
        self._samples, self._capacity, self._window, self._seed, self._length = samples, capacity, window, seed, length
        self._state = self._begin(0) if state is None else self._checked_state(state)
        self._iteration = 0
        self._given: deque[list[int]] = deque(maxlen=REMEMBERED)
        self._ended = False

    def state(self, unused: int = 0) -> StreamState:
        """Where the stream stands, as plain numbers that JSON or a checkpoint can hold.

        Args:
            unused: rows that were given out last and not trained on yet, since loaders fetch ahead; they come again.

        Raises:
            InputError: more of them than were given out, or than are remembered (4,096).
        """
        now = self._state
        if not 0 <= unused <= len(self._given):
            raise InputError(f"unused is {unused} rows; {len(self._given)} that were given out last are remembered")
        again = list(self._given)[len(self._given) - unused :]
        return {**now, "held": dict(now["held"]), "rows": [list(row) for row in (*again, *now["rows"])]}

    def __iter__(self) -> Iterator[list[Any]]:
        if self._ended:  # not reset when it ended: a loader that fetched ahead may still ask for the state of its last rows
            self._state = self._begin(self._state["round"])
            self._given.clear()
            self._ended = False
        self._iteration = mine = self._iteration + 1
        source = enumerate(self._samples)
        held = self._recall(source)
        while True:
            rows = self._state["rows"]
            while rows:
                row = rows.pop(0)
                self._given.append(row)
                yield [held.pop(position)[0] for position in row]
                if self._iteration != mine:
                    raise InputError("another iteration of this stream was begun before this one ended; make a stream for each")
            if not self._fill(source, held):
                self._ended = True
                if self._state["round"] and not self._state["read"]:
                    raise InputError(f"the samples gave nothing in the second epoch; {AGAIN}")
                return

    def _begin(self, round_: int) -> StreamState:
        return {
            "read": 0, "round": round_, "held": {}, "rows": [],
            "capacity": int(self._capacity), "window": int(self._window), "seed": int(self._seed), "lengths": 0,
        }  # fmt: skip

    def _checked_state(self, given: StreamState) -> StreamState:
        """A copy of a state of this stream, its positions as numbers: JSON makes text of them."""
        if not isinstance(given, Mapping):
            raise InputError(f"the state of a stream is {type(given).__name__}; give what state() returned, or None to begin")
        lacking = [key for key in ("read", "round", "held", "rows") if key not in given]
        if lacking:
            raise InputError(f"the state of a stream lacks {', '.join(lacking)}; give what state() returned, or None to begin")
        own = self._begin(0)
        for key, mine in (("capacity", own["capacity"]), ("window", own["window"]), ("seed", own["seed"])):
            if (theirs := given.get(key, mine)) != mine:
                raise InputError(f"the state is of a stream with {key} {theirs}, and this one's is {mine}; give the stream the same {key}")
        held = {int(position): rounds for position, rounds in given["held"].items()}
        rows = [list(row) for row in given["rows"]]
        positions = [*held, *(position for row in rows for position in row)]
        if len({*positions}) < len(positions) or not all(0 <= position < given["read"] for position in positions):
            raise InputError("the state of a stream holds a sample twice, or one that was not read; give what state() returned")
        found: StreamState = {**own, "read": given["read"], "round": given["round"], "held": held, "rows": rows}
        if "lengths" in given:
            found["lengths"] = given["lengths"]
        else:
            del found["lengths"]
        return found

    def _recall(self, source: Iterator[tuple[int, object]]) -> dict[int, tuple[object, int]]:
        """Read up to where the state stands and keep what it holds: position -> (sample, tokens)."""
        wanted = {*self._state["held"], *(position for row in self._state["rows"] for position in row)}
        held: dict[int, tuple[object, int]] = {}
        lengths = 0
        for _ in range(self._state["read"]):
            position, sample = next(source, (-1, None))
            if position < 0:
                raise InputError(
                    f"the samples end before the {self._state['read']} that were read already; {AGAIN}"
                )
            size = self._checked(position, sample)
            lengths = _add(lengths, size)
            if position in wanted:
                held[position] = (sample, size)
        full = all(sum(held[position][1] for position in row) <= self._capacity for row in self._state["rows"])
        if not full or self._state.get("lengths", lengths) != lengths:
            raise InputError(f"the samples are not of the lengths that the state was made with; {AGAIN}")
        self._state["lengths"] = lengths
        return held

    def _fill(self, source: Iterator[tuple[int, object]], held: dict[int, tuple[object, int]]) -> bool:
        """Take samples until the window is full, and plan rows of it. False: nothing is left."""
        ages = self._state["held"]
        ended = False
        while len(ages) < self._window and not ended:
            position, sample = next(source, (-1, None))
            if position < 0:
                ended = True
            else:
                size = self._checked(position, sample)
                held[position] = (sample, size)
                ages[position] = 0
                self._state["lengths"] = _add(self._state["lengths"], size)
                self._state["read"] = position + 1
        if not ages:
            return False
        positions = sorted(ages)
        sizes = np.array([held[position][1] for position in positions], dtype=np.int64)
        rows = pack_tightly(sizes, self._capacity)
        plan = [[positions[i] for i in row.tolist()] for row in rows]
        loads = rows.totals(sizes)
        leaving = self._leaving(plan, loads.tolist(), ended)
        generator = np.random.default_rng([self._seed, self._state["round"]])
        self._state["rows"] = [plan[leaving[i]] for i in generator.permutation(len(leaving)).tolist()]
        self._state["round"] += 1
        for row in self._state["rows"]:
            for position in row:
                del ages[position]
        for position in ages:
            ages[position] += 1
        return True

    def _leaving(self, plan: list[list[int]], loads: list[int], ended: bool) -> list[int]:
        """The rows that are given out: all at the end; else the fullest half, and those with a sample that has waited long."""
        if ended:
            return list(range(len(plan)))
        ages = self._state["held"]
        fullest = sorted(range(len(plan)), key=lambda row: -loads[row])[: -(-len(plan) // 2)]
        waited = [row for row, samples in enumerate(plan) if max(ages[p] for p in samples) >= OLDEST]
        full = [row for row, load in enumerate(loads) if load == self._capacity]
        return sorted({*fullest, *waited, *full})

    def _checked(self, position: int, sample: object) -> int:
        size = self._length(sample)
        if not 1 <= size <= self._capacity:
            raise InputError(
                f"sample {position} of the stream has {size} tokens; packing takes 1 to {self._capacity}: "
                "leave it out, or cut it with apply_overlong"
            )
        return size


def _add(lengths: int, size: int) -> int:
    """The checksum of lengths, with one more."""
    return zlib.crc32(int(size).to_bytes(8, "little"), lengths)
