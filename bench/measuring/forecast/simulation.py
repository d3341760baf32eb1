"""A suite on a cluster, played through: nodes come late, some are slow, some fail, and bundles are begun again.

Nothing here is measured: it is what the estimates of bundles come to under the assumptions of a `Cluster`.
"""

from __future__ import annotations

import heapq
import math
import random
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.measuring.forecast.cluster import Cluster, NodeKind

MOST_DRAWS, LEAST_DRAWS, MOST_PLAYED = 200, 20, 100_000
COUNTS_STEP = 4  # from one number of nodes to the next


@dataclass(frozen=True)
class Played:
    """One way that it may go.

    seconds: until the last bundle is through. held_s: of all nodes together, from when each is there to the end;
    measured_s: of them, what went into bundles that were finished. again: times that a bundle was begun anew. missing:
    bundles that nobody finished. price: of the nodes; None where one has none.
    """

    seconds: float
    held_s: float
    measured_s: float
    again: int
    missing: int
    price: float | None


@dataclass(frozen=True)
class Range:
    """The median of all draws, and between which values 95 % of them lie."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Range:
        cuts = statistics.quantiles(values, n=40, method="inclusive")
        return cls(statistics.median(values), cuts[0], cuts[-1])


@dataclass(frozen=True)
class ClusterForecast:
    """What so many nodes come to, over many draws.

    busy: share of the time for which nodes are held that goes into bundles which are finished. again, missing: on
    average. price: None where a node has none.
    """

    nodes: int
    seconds: Range
    node_hours: Range
    busy: float
    again: float
    missing: float
    price: Range | None
    draws: int


def forecast_nodes(seconds: Sequence[float], cluster: Cluster, draws: int | None = None) -> ClusterForecast:
    """Many draws; seeds are the same for every cluster, so that two may be compared."""
    number = draws or max(LEAST_DRAWS, min(MOST_DRAWS, MOST_PLAYED // max(1, len(seconds), cluster.count)))
    played = [play(seconds, cluster, seed) for seed in range(number)]
    prices = [one.price for one in played if one.price is not None]
    held_s = sum(one.held_s for one in played)
    return ClusterForecast(
        cluster.count,
        Range.of([one.seconds for one in played]),
        Range.of([one.held_s / units.SECONDS_PER_HOUR for one in played]),
        sum(one.measured_s for one in played) / held_s if held_s else 0.0,
        statistics.fmean(one.again for one in played),
        statistics.fmean(one.missing for one in played),
        Range.of(prices) if len(prices) == number else None,
        number,
    )


def counts_upto(most: int) -> list[int]:
    """Numbers of nodes to set side by side: 1, 4, 16 … and the one that is asked for."""
    counts, number = [], 1
    while number < most:
        counts.append(number)
        number *= COUNTS_STEP
    return [*counts, most]


def play(seconds: Sequence[float], cluster: Cluster, seed: int) -> Played:
    """One draw: bundles of these estimated seconds, the longest first, each to the next node that is free."""
    return _Play(seconds, cluster, random.Random(seed)).to_the_end()


@dataclass
class _Node:
    """came_s: from when on it is held; fails_s: when it does next; gone_s: when it failed for good."""

    kind: NodeKind
    factor: float
    came_s: float
    fails_s: float
    gone_s: float | None = None


class _Play:
    """One draw; `_events` are what happens next: a node is free, or a bundle's loss is noticed."""

    def __init__(self, seconds: Sequence[float], cluster: Cluster, chance: random.Random) -> None:
        self._chance, self._attempts = chance, cluster.attempts
        spread = cluster.spread
        self._takes = [s * math.exp(chance.gauss(-spread * spread / 2, spread)) for s in seconds]  # right on average
        self._estimates = seconds
        self._waiting = [(-s, bundle) for bundle, s in enumerate(seconds)]
        heapq.heapify(self._waiting)
        self._begun = [0] * len(seconds)
        self._measured_s, self._end_s, self._left = 0.0, 0.0, len(seconds)
        self._missing = 0
        self._events: list[tuple[float, int, int]] = []  # time, node or -1, bundle or -1
        self._idle: deque[int] = deque()
        self._nodes = [self._node(kind) for kind in cluster.nodes for _ in range(kind.count)]
        for number, node in enumerate(self._nodes):
            heapq.heappush(self._events, (node.came_s + node.kind.start_s, number, -1))

    def _node(self, kind: NodeKind) -> _Node:
        came_s = self._chance.expovariate(1 / kind.queue_s) if kind.queue_s else 0.0
        slow = self._chance.random() < kind.slow_share
        return _Node(kind, (kind.slow_factor if slow else 1.0) / kind.speed, came_s, came_s + self._lives_s(kind))

    def _lives_s(self, kind: NodeKind) -> float:
        mean_s = kind.hours_between_failures * units.SECONDS_PER_HOUR
        return self._chance.expovariate(1 / mean_s) if math.isfinite(mean_s) else math.inf

    def to_the_end(self) -> Played:
        while self._left and self._events:
            now_s, node, bundle = heapq.heappop(self._events)
            if bundle >= 0:
                self._noticed(bundle, now_s)
            if node >= 0:
                self._idle.append(node)
            while self._idle and self._waiting:
                self._begin(self._idle.popleft(), now_s)
        return self._played()

    def _begin(self, number: int, now_s: float) -> None:
        """Give the longest bundle that waits to a node, unless that has failed meanwhile."""
        node = self._nodes[number]
        if node.fails_s < now_s:
            self._fail(number, now_s)
            return
        bundle = heapq.heappop(self._waiting)[1]
        self._begun[bundle] += 1
        took_s = self._takes[bundle] * node.factor
        if node.fails_s < now_s + took_s:
            heapq.heappush(self._events, (node.fails_s + node.kind.notice_s, -1, bundle))
            self._fail(number, now_s)
            return
        self._left -= 1
        self._measured_s += took_s
        self._end_s = max(self._end_s, now_s + took_s)
        heapq.heappush(self._events, (now_s + took_s, number, -1))

    def _fail(self, number: int, now_s: float) -> None:
        """It fails at its time, which may have passed, and another stands in for it, where one does.

        One that stood in unused has no age: what fails then and is replaced is not played, so that a draw ends.
        """
        node = self._nodes[number]
        if not math.isfinite(node.kind.repair_s):
            node.gone_s = node.fails_s
            return
        back_s = max(node.fails_s + node.kind.repair_s, now_s)
        node.fails_s = back_s + self._lives_s(node.kind)
        heapq.heappush(self._events, (back_s, number, -1))

    def _noticed(self, bundle: int, now_s: float) -> None:
        if self._begun[bundle] < self._attempts:
            heapq.heappush(self._waiting, (-self._estimates[bundle], bundle))
            return
        self._left -= 1
        self._missing += 1
        self._end_s = max(self._end_s, now_s)

    def _played(self) -> Played:
        ends = [(node, self._end_s if node.gone_s is None else min(node.gone_s, self._end_s)) for node in self._nodes]
        held = [(node, max(0.0, end_s - node.came_s)) for node, end_s in ends]
        costs = [None if n.kind.price is None else n.kind.price * s / units.SECONDS_PER_HOUR for n, s in held]
        known = [cost for cost in costs if cost is not None]
        return Played(
            self._end_s,
            sum(s for _, s in held),
            self._measured_s,
            sum(max(0, begun - 1) for begun in self._begun),
            self._missing + self._left,
            sum(known) if len(known) == len(costs) else None,
        )
