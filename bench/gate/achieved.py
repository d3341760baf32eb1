"""What a gate can do with the noise that its A/A pairs showed: its own decisions, replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from attnlab.bench.gate.records import Achieved
from attnlab.bench.gate.thresholds import Thresholds
from attnlab.bench.stats.bootstrap import bootstrap_interval
from attnlab.bench.stats.power import Rate, least_detectable, replay
from attnlab.bench.stats.verdict import Verdict

DECISIONS = 2000
DETECTION_DECISIONS = 200


def achieved(log_ratios: Mapping[str, Sequence[float]], thresholds: Thresholds) -> tuple[Achieved, ...]:
    """Per comparison, from log-ratios of pairs of equal arms; those with fewer than two pairs are left out."""
    return tuple(_of(key, ratios, thresholds) for key, ratios in log_ratios.items() if len(ratios) > 1)


def scatter(ratios: ArrayLike) -> float:
    """The standard deviation of log-ratios."""
    return float(np.std(np.asarray(ratios), ddof=1))


def _of(key: str, ratios: Sequence[float], thresholds: Thresholds) -> Achieved:
    benchmark, _, quantity = key.rpartition("#")
    target, rule = thresholds.target_of(benchmark, quantity).share, thresholds.rule
    found = replay({key: ratios}, rule, DECISIONS, seed=0, target=target)
    low, high = bootstrap_interval(ratios, scatter)
    alarms = Rate(found.verdicts[key][Verdict.SLOWER], DECISIONS)
    return Achieved(
        key=key,
        pairs=len(ratios),
        scatter=scatter(ratios),
        scatter_low=low,
        scatter_high=high,
        alarms=alarms.count,
        decisions=DECISIONS,
        alarm_bound=alarms.bound,
        least_detectable=least_detectable(ratios, rule, DETECTION_DECISIONS, seed=0, target=target),
    )
