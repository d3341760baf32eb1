"""Live pairs as the decisions ask for them: by comparison, a benchmark measured once for all that are asked of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from attnlab.bench.stats.decision import PairRatio

MeasurePair = Callable[[Sequence[str]], Iterable[tuple[str, PairRatio]]]
"""Measures these benchmarks in one more live pair: what it says of each comparison."""


class Reserve:
    """Hands out pairs that were measured beforehand, then measures more.

    What a pair says of a comparison that was not asked for is not kept for later: a confirmation is of fresh pairs.
    """

    def __init__(self, measure_pair: MeasurePair) -> None:
        self._measure_pair = measure_pair
        self._left: dict[str, list[PairRatio]] = {}

    def measure(self, benchmarks: Sequence[str]) -> None:
        """One more pair of these benchmarks, put by."""
        for key, ratio in self._measure_pair(benchmarks):
            self._left.setdefault(key, []).append(ratio)

    def fill(self, keys: Sequence[str], count: int) -> None:
        """Put by so many pairs of each comparison."""
        for _ in range(count):
            short = [key for key in keys if len(self._left.get(key, ())) < count]
            if short:
                self.measure(_benchmarks(short))

    def take(self, keys: Sequence[str], count: int) -> Mapping[str, Sequence[PairRatio]]:
        """So many more pairs of these comparisons, fewer where one cannot be measured."""
        found: dict[str, list[PairRatio]] = {}
        for key in keys:
            left = self._left.get(key, [])
            found[key], self._left[key] = left[:count], left[count:]
        for _ in range(count):
            short = [key for key in keys if len(found[key]) < count]
            if not short:
                break
            for key, ratio in self._measure_pair(_benchmarks(short)):
                if key in found and len(found[key]) < count:
                    found[key].append(ratio)
        return found


def _benchmarks(keys: Iterable[str]) -> list[str]:
    """What has to be measured for these comparisons."""
    return list(dict.fromkeys(key.rpartition("#")[0] for key in keys))
