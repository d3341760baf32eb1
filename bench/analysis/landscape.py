"""What a search of configurations found: each one's time over the built-in one's, and which is shown to be faster."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attnlab.bench.measuring.common_clock import LATENCY
from attnlab.bench.measuring.turn_ratios import turned_logs
from attnlab.bench.stats.paired import log_ratio
from attnlab.bench.stats.racing import best_of, shown_faster
from attnlab.bench.stats.rounds import Ratio, ratio_of
from attnlab.bench.store.records import Burst, Measurement, Outcome
from attnlab.bench.store.run_folder import StoredRun, latest
from attnlab.bench.store.tuning import REFERENCE, TunedCase, Tuning, tuning_of


@dataclass(frozen=True)
class Candidate:
    """One configuration. measured: None where it was not yet. is_default: whether it is the built-in one.

    over_default: its time over the built-in one's, from bursts that both took in turn, each in one process; fresh: the
    same from rounds of fresh processes. stopped: whether it was out before its last burst.
    """

    name: str
    configuration: dict[str, Any]
    measured: Measurement | None
    is_default: bool = False
    over_default: Ratio | None = None
    fresh: Ratio | None = None
    stopped: bool = False

    @property
    def ratio(self) -> float | None:
        """The best that is known of its time over the built-in one's; None where it has none."""
        if self.measured is None or self.measured.outcome is not Outcome.PASSED:
            return None
        if self.is_default:
            return 1.0
        known = self.fresh or self.over_default
        return None if known is None else known.median

    @property
    def faulty(self) -> bool:
        """Whether it is wrong, failed or could not be had."""
        return self.measured is not None and self.measured.outcome is not Outcome.PASSED


@dataclass(frozen=True)
class Landscape:
    """All configurations of one case. winner: the fastest of those that are shown faster than the built-in one."""

    tuning: Tuning
    case: TunedCase
    candidates: tuple[Candidate, ...]
    winner: Candidate | None

    @property
    def default(self) -> Candidate:
        return next(one for one in self.candidates if one.is_default)

    @property
    def ranked(self) -> list[Candidate]:
        """The fastest first; those without a time last."""
        return sorted(self.candidates, key=lambda one: (one.ratio is None, one.ratio or 0.0))

    @property
    def unfinished(self) -> int:
        """How many were not measured yet."""
        return sum(one.measured is None for one in self.candidates)

    @property
    def finalists(self) -> list[Candidate]:
        """Those that took turns with the built-in one in fresh processes."""
        return [one for one in self.ranked if one.fresh is not None]


def landscapes(stored: StoredRun) -> list[Landscape]:
    """Of each case of a search, in its order; [] of another run. Raises StoreError where it cannot be read."""
    tuning = tuning_of(stored.run)
    if tuning is None:
        return []
    known = {m.key: m for m in latest(stored.measurements)}
    return [_landscape(tuning, case, known) for case in tuning.cases]


def _landscape(tuning: Tuning, case: TunedCase, known: Mapping[tuple[str, str, str], Measurement]) -> Landscape:
    own = {name: known.get((tuning.operator, name, case.case_id)) for name in case.candidates}
    turned = fresh_logs(own, case.default)
    found = tuple(_candidate(name, case, m, turned) for name, m in own.items())
    winner = best_of(turned, shown_faster(turned, tuning.alpha))
    return Landscape(tuning, case, found, next((one for one in found if one.name == winner), None))


def _candidate(
    name: str, case: TunedCase, measured: Measurement | None, turned: Mapping[str, Sequence[float]]
) -> Candidate:
    configuration = case.candidates[name]
    if name == case.default:
        return Candidate(name, configuration, measured, is_default=True)
    logs = paired_logs(measured) if measured is not None else []
    return Candidate(
        name,
        configuration,
        measured,
        over_default=ratio_of(logs) if logs else None,
        fresh=ratio_of(turned[name]) if name in turned else None,
        stopped=bool(logs) and len(logs) < case.rounds,
    )


def fresh_logs(measured: Mapping[str, Measurement | None], default: str) -> dict[str, list[float]]:
    """Of each that took turns with the built-in one, the log-ratio of each round of fresh processes."""
    base = measured.get(default)
    if base is None or base.outcome is not Outcome.PASSED:
        return {}
    found: dict[str, list[float]] = {}
    for name, m in measured.items():
        if m is not None and name != default and m.outcome is Outcome.PASSED and (logs := turned_logs(m, base)):
            found[name] = logs
    return found


def paired_logs(m: Measurement) -> list[float]:
    """The log-ratio of each of its bursts to the built-in configuration's in the same round."""
    pairs = [burst_pair(burst) for launch in m.launches for burst in launch.bursts]
    return [log_ratio([base], [own]) for base, own in pairs if base is not None and own is not None]


def burst_pair(burst: Burst) -> tuple[float | None, float | None]:
    """Median times of the built-in configuration and of its own by one clock; None for what a burst has not."""
    base = next((series for series in burst.series if series.quantity == REFERENCE and series.values), None)
    if base is None:
        return None, None
    own = next((s for s in burst.series if (s.quantity, s.clock) == (LATENCY, base.clock) and s.values), None)
    return statistics.median(base.values), None if own is None else statistics.median(own.values)
