"""Where the level of a short series of medians changes, one value a run, with a known false-alarm rate."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.01  # chance at which a series without change is split
MIN_VALUES = 10  # of 9 values no order has a chance of under 1 %: 2 of the 126 ways to part 4 from 5 are as clear
PERMUTATIONS = 1999  # a p-value of 1 % is then 20 of 2000
MANY_VALUES = 1000  # of longer series fewer orders are tried, so that their time grows with their length alone
FEWEST_PERMUTATIONS = 199  # a p-value of 1 % is then 2 of 200
SEED = 20_240_229
ROUNDS = 4  # in which changes may move because a neighbour did
_CHUNK = 64
_SHORTEST = 8  # of the stretches searched
_SHRINK = math.sqrt(0.5)  # from one layer of stretches to the next

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ChangePoint:
    """The level changes between value index - 1 and value index.

    ratio: the median after it over the median before it, each up to the next change or the series' end.
    p_value: of no change between its neighbours, the search for the place included.
    """

    index: int
    ratio: float
    p_value: float


def find_changes(values: Sequence[float], level: float = LEVEL) -> tuple[ChangePoint, ...]:
    """The change points of a series, in order; () where it is too short to tell.

    Guaranteed: where all orders of the values are equally likely (no change, no drift, independent
    runs), a change is reported with a chance of at most `level`, whatever the noise's distribution.
    Not guaranteed: a series that drifts, or whose neighbours resemble each other, is cut into steps;
    each part of a series that was split is searched again at `level`, so that a series with c changes
    shows about `level` · (c + 1) too many. Place and ratio are estimates.

    Logarithms are clipped at Tukey's fences (so that an outlier weighs little), and the largest
    difference of means over the splits of nested stretches of many lengths is compared with that of
    the same values in random orders; the stretches are those of seeded binary segmentation (Kovács,
    Bühlmann, Li and Munk, 2023), and show a bump that a split of the whole would not. Each part is then
    searched again. In the end every change has to hold between its neighbours, by the same test.

    Raises ValueError on a value that is not finite and above zero, or a level outside 0 to 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"got level {level:g}; expected a chance between 0 and 1")
    if bad := [value for value in values if not (math.isfinite(value) and value > 0)]:
        raise ValueError(f"got {bad[0]!r} in a series of medians; expected finite values above zero")
    logs = np.log(np.asarray(values, dtype=np.float64))
    places = _search(logs, 0, len(logs), level)
    if not places:
        return ()
    kept = _confirm(logs, places, level)
    bounds = [0, *(place for place, _ in kept), len(logs)]
    levels = [float(np.median(logs[start:end])) for start, end in itertools.pairwise(bounds)]
    return tuple(
        ChangePoint(place, math.exp(levels[number + 1] - levels[number]), p_value)
        for number, (place, p_value) in enumerate(kept)
    )


def _search(logs: Floats, start: int, end: int, level: float) -> list[int]:
    """Split where a permutation test says so, and go on with both parts."""
    if end - start < MIN_VALUES:
        return []
    place, p_value = _test(logs[start:end], _layers(end - start), level)
    if p_value > level:
        return []
    middle = start + place
    return [*_search(logs, start, middle, level), middle, *_search(logs, middle, end, level)]


def _confirm(logs: Floats, places: list[int], level: float) -> list[tuple[int, float]]:
    """Move each change to the best place between its neighbours; drop the weakest until all hold there."""
    rounds = ROUNDS
    while True:
        moved, p_values = list(places), list[float]()
        for number in range(len(moved)):
            start, end = ([0, *moved, len(logs)][number + side] for side in (0, 2))
            place, p_value = _test(logs[start:end], _whole(end - start), None)
            moved[number] = start + place  # at once, so that the next one cannot move to the same place
            p_values.append(p_value)
        if p_values and max(p_values) > level:
            del moved[p_values.index(max(p_values))]
        elif moved == places or rounds == 0:
            return list(zip(moved, p_values, strict=True))
        else:
            rounds -= 1
        places = moved


@dataclass(frozen=True)
class _Layer:
    """Stretches of one length, and every split of each."""

    starts: NDArray[np.intp]
    length: int

    def heights(self, sums: Floats) -> Floats:
        """Running sums [orders, values + 1] to [orders, stretches, splits].

        A height is the difference of the means over its standard error, in one unit for all lengths.
        """
        left = np.arange(1, self.length)
        before = sums[:, self.starts, None]
        whole = sums[:, self.starts + self.length, None] - before
        found: Floats = sums[:, self.starts[:, None] + left]
        found -= before
        found -= left / self.length * whole
        np.abs(found, out=found)
        found *= np.sqrt(self.length / (left * (self.length - left)))
        return found


Layers = tuple[_Layer, ...]


def _whole(size: int) -> Layers:
    return (_Layer(np.zeros(1, dtype=np.intp), size),)


def _layers(size: int) -> Layers:
    """Stretches from the whole down to the shortest, in layers of equal lengths that overlap by half."""
    found = [*_whole(size)]
    length = size * _SHRINK
    while length >= _SHORTEST:
        count = 2 * math.ceil(size / length) - 1
        width = math.ceil(length)
        found.append(_Layer(np.unique(np.linspace(0, size - width, count).astype(np.intp)), width))
        length *= _SHRINK
    return tuple(found)


def _sums(scores: Floats) -> Floats:
    """[orders, values] to [orders, values + 1]."""
    return np.concatenate([np.zeros((len(scores), 1)), np.cumsum(scores, axis=1)], axis=1)


def _highest(layers: Layers, scores: Floats) -> tuple[int, float]:
    """The split of the greatest height, and that height."""
    best, reached = 0, -1.0
    sums = _sums(scores[None])
    for layer in layers:
        heights = layer.heights(sums)[0]
        stretch, split = np.unravel_index(int(np.argmax(heights)), heights.shape)
        if heights[stretch, split] > reached:
            best, reached = int(layer.starts[stretch] + split) + 1, float(heights[stretch, split])
    return best, reached


def _permutations(size: int) -> int:
    """Fixed by the length alone, so that the chance of a false alarm stays; in long series fewer find as much."""
    return max(FEWEST_PERMUTATIONS, PERMUTATIONS * MANY_VALUES // max(size, MANY_VALUES))


def _test(logs: Floats, layers: Layers, level: float | None) -> tuple[int, float]:
    """The best split and its permutation p-value; tries stop once it is certain to be above `level`."""
    scores = _scores(logs)
    best, height = _highest(layers, scores)
    reached = height * (1 - 1e-9)  # the same parts in another order differ by rounding
    source = np.random.default_rng(SEED)
    permutations = _permutations(len(scores))
    most = math.inf if level is None else level * (permutations + 1) - 1
    tried = as_high = 0
    while tried < permutations and as_high <= most:
        orders = np.tile(scores, (min(_CHUNK, permutations - tried), 1))
        sums = _sums(source.permuted(orders, axis=1))
        highest = np.max([layer.heights(sums).max(axis=(1, 2)) for layer in layers], axis=0)
        as_high += int((highest >= reached).sum())
        tried += len(orders)
    return best, (as_high + 1) / (tried + 1)


def _ranks(logs: Floats) -> Floats:
    from scipy import stats  # takes most of a second, and few need ranks

    return np.asarray(stats.rankdata(logs), dtype=np.float64)


def _scores(logs: Floats) -> Floats:
    """What is compared: values within Tukey's fences, or ranks where most values are equal."""
    low, high = np.quantile(logs, [0.25, 0.75])
    reach = 1.5 * (high - low)
    scores = np.clip(logs, low - reach, high + reach) if reach > 0 else _ranks(logs)
    return np.asarray(scores - scores.mean(), dtype=np.float64)
