"""What turns in fresh processes say of two results of one case, and of the time that is shown of one."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from attnlab.bench import units
from attnlab.bench.machine.throttling import contended
from attnlab.bench.measuring.common_clock import LATENCY
from attnlab.bench.measuring.stopping import STOPPED_BY_ROUNDS
from attnlab.bench.stats.paired import log_ratio
from attnlab.bench.stats.rounds import Ratio, RoundFigure, ratio, ratio_of
from attnlab.bench.store.records import Burst, Launch, Measurement

FAR_OFF = 0.1  # between fresh processes and the time that is shown, beyond which it is worth a word


def busy(m: Measurement) -> bool:
    """Whether other work kept it waiting while the time that is shown of it was taken."""
    return contended(_bursts(m.launches))


def busy_in_turns(m: Measurement) -> bool:
    """Whether other work kept it waiting during its turns in fresh processes."""
    return contended(_bursts(turn.launch for turn in m.turns))


def far_off(m: Measurement) -> tuple[str, ...]:
    """A warning where fresh processes came out far from the time that is shown; () where they did not."""
    times = [statistics.median(turn) for turn in _values(m).values()]
    if not times or not m.median_ns:
        return ()
    typical = statistics.median(times)
    if abs(typical / m.median_ns - 1) <= FAR_OFF:
        return ()
    return (
        "other processes came out otherwise than the one whose time is shown "
        f"({units.format_time(typical)} in {len(times)} fresh processes)",
    )


def turned_ratio(other: Measurement, best: Measurement) -> Ratio | None:
    """other's time over best's, from the rounds that both took part in; None where there is none."""
    logs = turned_logs(other, best)
    return ratio_of(logs) if logs else None


def turned_logs(other: Measurement, best: Measurement) -> list[float]:
    """The logarithm of that ratio in each round.

    A round's ratio is the median over its bursts, by the clock that both are shown by.
    """
    fast, slow = _values(best), _values(other)
    logs = []
    for number in sorted(fast.keys() & slow.keys()):
        bursts = min(len(fast[number]), len(slow[number]))
        logs.append(log_ratio(fast[number][:bursts], slow[number][:bursts]))
    return logs


def burst_ratio(other: Measurement, best: Measurement) -> Ratio | None:
    """other's time over best's, from the bursts of the last round that both took part in, each in one process.

    None where there is no such round, or they did not take turns in it.
    """
    rounds = {turn.round: turn for turn in best.turns}
    common = [(turn, rounds[turn.round]) for turn in other.turns if turn.round in rounds]
    if not common:
        return None
    slow, fast = (
        [RoundFigure(burst.started_s, median) for burst, median in _medians(m, turn.launch.bursts)]
        for m, turn in zip((other, best), common[-1], strict=True)
    )
    return ratio(slow, fast)


def in_one_process(other: Measurement, best: Measurement) -> Ratio | None:
    """other's time over best's, from bursts that they took in turn, each in one process; None where they did not."""
    if any(m.timing is None or m.timing.stopped != STOPPED_BY_ROUNDS for m in (other, best)):
        return None
    return ratio(_rounds(other), _rounds(best))


def _rounds(m: Measurement) -> list[RoundFigure]:
    return [RoundFigure(burst.started_s, median) for burst, median in _medians(m, _bursts(m.launches))]


def _values(m: Measurement) -> dict[int, list[float]]:
    """By round, the median of each burst in ns."""
    found = {turn.round: [median for _, median in _medians(m, turn.launch.bursts)] for turn in m.turns}
    return {number: medians for number, medians in found.items() if medians and min(medians) > 0}


def _medians(m: Measurement, bursts: Iterable[Burst]) -> list[tuple[Burst, float]]:
    """The bursts that have latencies by the clock that the measurement is shown by, with their medians in ns."""
    return [
        (burst, statistics.median(series.values))
        for burst in bursts
        for series in burst.series
        if m.timing is not None and (series.quantity, series.clock) == (LATENCY, m.timing.clock) and series.values
    ]


def _bursts(launches: Iterable[Launch]) -> list[Burst]:
    return [burst for launch in launches for burst in launch.bursts]
