"""What a gate can do with the noise that its A/A pairs showed: its own decisions, replayed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from attnlab.bench.gate.report import ErrorRates
from attnlab.bench.gate.thresholds import Thresholds
from attnlab.bench.stats.power import Rate, least_detectable, replay
from attnlab.bench.stats.scatter import deviation, deviation_interval
from attnlab.bench.stats.verdict import Verdict

DECISIONS, FEWEST_DECISIONS, JUDGEMENTS = 2000, 100, 40_000  # of a family, as many as its size leaves time for
DETECTION_DECISIONS = 100


def error_rates(log_ratios: Mapping[str, Sequence[float]], thresholds: Thresholds) -> tuple[ErrorRates, ...]:
    """Per comparison, from log-ratios of pairs of equal arms; those with fewer than two pairs are left out.

    The whole family is replayed, and its usual number of suspects is what each least slowdown is adjusted for.
    """
    known = {key: list(ratios) for key, ratios in log_ratios.items() if len(ratios) > 1}
    if not known:
        return ()
    shortest = min(map(len, known.values()))
    family = {key: ratios[:shortest] for key, ratios in known.items()}
    targets = {key: _target(key, thresholds) for key in family}
    decisions = max(FEWEST_DECISIONS, min(DECISIONS, JUDGEMENTS // len(family)))
    found = replay(family, thresholds.rule, decisions, seed=0, target=targets)
    besides = math.ceil(found.suspects * (1 - 1 / len(family)))
    return tuple(
        _of(key, ratios, thresholds, Rate(found.verdicts[key][Verdict.SLOWER], decisions), besides)
        for key, ratios in known.items()
    )


def _target(key: str, thresholds: Thresholds) -> float:
    benchmark, _, quantity = key.rpartition("#")
    return thresholds.target_of(benchmark, quantity).share


def _of(key: str, ratios: Sequence[float], thresholds: Thresholds, alarms: Rate, besides: int) -> ErrorRates:
    low, high = deviation_interval(ratios)
    least = least_detectable(ratios, thresholds.rule, DETECTION_DECISIONS, 0, _target(key, thresholds), besides)
    return ErrorRates(
        key=key,
        pairs=len(ratios),
        scatter=deviation(ratios),
        scatter_low=low,
        scatter_high=high,
        alarms=alarms.count,
        decisions=alarms.trials,
        alarm_bound=alarms.bound,
        least_detectable=least,
    )
