"""What a gate can do with the noise that was seen: its decisions replayed on resampled pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from attnlab.bench.stats.bootstrap import block_indices
from attnlab.bench.stats.decision import Decisions, PairRatio, Subject, decide
from attnlab.bench.stats.verdict import TARGET, Rule, Verdict

DETECTED = 0.95  # share of decisions that must say `slower` for a slowdown to count as detectable
LARGEST_SLOWDOWN = 1.0  # beyond twice the time nothing is searched
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rate:
    """A share of decisions with its exact interval (Clopper and Pearson 1934)."""

    count: int
    trials: int

    @property
    def share(self) -> float:
        return self.count / self.trials if self.trials else math.nan

    def interval(self) -> tuple[float, float]:
        if not self.trials:
            return 0.0, 1.0
        found = stats.binomtest(self.count, self.trials).proportion_ci(CONFIDENCE, method="exact")
        return float(found.low), float(found.high)

    @property
    def bound(self) -> float:
        """The one-sided upper bound of the share at 95 %."""
        return float(stats.beta.ppf(CONFIDENCE, self.count + 1, self.trials - self.count)) if self.trials else 1.0


@dataclass(frozen=True)
class ReplayCounts:
    """How often each verdict came, by comparison, and how many decisions found anything slower.

    unseen: decisions that end in exit code 4 without a regression. suspects: comparisons that were measured again.
    mean_pairs: live pairs of any comparison; mean_taken: of each comparison. Both, and suspects, are means.
    """

    verdicts: dict[str, dict[Verdict, int]]
    alarms: Rate
    unseen: Rate
    mean_pairs: float
    mean_taken: float
    suspects: float


def replay(
    log_ratios: Mapping[str, Sequence[float]],
    rule: Rule,
    decisions: int,
    seed: int,
    slowdown: Mapping[str, float] | None = None,
    target: float | Mapping[str, float] | None = None,
    besides: int = 0,
) -> ReplayCounts:
    """Decide `decisions` times on pairs drawn anew, in blocks, from those recorded of two equal arms.

    log_ratios: one a pair and comparison, pairs in the order in which they were taken, as many for each.
    Pairs are drawn whole, so that what comparisons of one pair share is kept. slowdown: shares to add to
    the head of some comparisons. target: of all, or of each by name. besides: suspects to adjust for besides.
    """
    names = list(log_ratios)
    recorded = np.asarray([log_ratios[name] for name in names], dtype=np.float64).T  # [pairs, comparisons]
    shifts = np.asarray([math.log1p((slowdown or {}).get(name, 0.0)) for name in names])
    random = np.random.default_rng(seed)
    targets = target if isinstance(target, Mapping) else dict.fromkeys(names, TARGET if target is None else target)
    subjects = {name: Subject(targets[name]) for name in names}
    counts = {name: dict.fromkeys(Verdict, 0) for name in names}
    alarms, unseen, pairs, taken, suspects = 0, 0, 0, 0, 0
    for _ in range(decisions):
        source = _Redrawn(recorded + shifts, names, random)
        made: Decisions[str] = decide(subjects, source.take, rule, besides)
        for name, decided in made.verdicts.items():
            counts[name][decided.verdict] += 1
            suspects += decided.confirmation is not None
        alarms += made.slower
        unseen += not made.slower and any(decided.unseen for decided in made.verdicts.values())
        pairs += source.pairs
        taken += source.taken
    return ReplayCounts(
        counts,
        Rate(alarms, decisions),
        Rate(unseen, decisions),
        pairs / decisions,
        taken / decisions / len(names),
        suspects / decisions,
    )


class _Redrawn:
    """Pairs drawn in blocks from recorded ones."""

    def __init__(self, recorded: NDArray[np.float64], names: Sequence[str], random: np.random.Generator) -> None:
        self._recorded, self._names, self._random = recorded, names, random
        self.pairs = self.taken = 0

    def take(self, keys: Sequence[str], count: int) -> dict[str, list[PairRatio]]:
        rows = self._recorded[block_indices(len(self._recorded), count, self._random)]
        self.pairs += count
        self.taken += count * len(keys)
        wanted = set(keys)
        columns = [number for number, name in enumerate(self._names) if name in wanted]
        values: list[list[float]] = rows[:, columns].T.tolist()
        drawn = {self._names[number]: own for number, own in zip(columns, values, strict=True)}
        return {key: [PairRatio(x, 1.0) for x in drawn[key]] for key in keys}


def least_detectable(
    log_ratios: Sequence[float], rule: Rule, decisions: int, seed: int, target: float, besides: int = 0
) -> float | None:
    """The least slowdown, as a share, that a gate finds in 95 % of decisions; None above twice the time.

    besides: other suspects of its family, as many as equal code usually gives.

    The noise is centred first: what a pair of equal arms differs by is noise here, not a slowdown.
    """
    centred = [float(x) for x in np.asarray(log_ratios) - np.median(log_ratios)]

    def detected(slowdown: float) -> bool:
        missed = 0
        for part, trials in enumerate((decisions // 5, decisions - decisions // 5)):  # most are clear after a fifth
            found = replay({"it": centred}, rule, trials, seed + part, {"it": slowdown}, target, besides)
            missed += trials - found.verdicts["it"][Verdict.SLOWER]
            if missed > (1 - DETECTED) * decisions:
                return False
        return True

    if not detected(LARGEST_SLOWDOWN):
        return None
    low, high = 0.0, LARGEST_SLOWDOWN
    while high - low > 0.001 + 0.04 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if detected(middle) else (middle, high)
    return high
