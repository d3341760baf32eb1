"""From live pairs to a decision: looks, early stopping, and one confirmation of each failure.

The regression gate and the replay that finds its error rates (`power`) run this same code; they differ
only in where pairs come from.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from attnlab.bench.stats.verdict import TARGET, Compared, Judged, Rule, Verdict, geometric_means, judge

Key = TypeVar("Key", bound=str)


@dataclass(frozen=True)
class PairRatio:
    """What one live pair says of one comparison: log(head / base), positive where head is worse, and base's value.

    base: in the quantity's unit.
    """

    log_ratio: float
    base: float


Take = Callable[[Sequence[Key], int], Mapping[Key, Sequence[PairRatio]]]
"""Measures so many more pairs for these comparisons; one that cannot be measured is left out of the answer."""


@dataclass(frozen=True)
class Subject:
    """A comparison to decide: one quantity of one benchmark, under a key such as `<benchmark>#<quantity>`.

    target: the least worsening to stop, as a share. floor: changes below it, in the quantity's unit, are nothing.
    group: what its mean is taken with. benchmark: what has to be measured for it, which serves all its comparisons.
    """

    target: float = TARGET
    floor: float = 0.0
    group: str = ""
    benchmark: str = ""


@dataclass(frozen=True)
class Decided:
    """What came of one comparison. confirmation is of a second set of pairs, where the first said `slower`."""

    verdict: Verdict
    first: Judged
    confirmation: Judged | None = None


@dataclass(frozen=True)
class Decisions(Generic[Key]):
    """Verdicts of comparisons, and of groups where the family was too large to be decided one by one."""

    verdicts: dict[Key, Decided] = field(default_factory=dict)
    groups: dict[str, Decided] = field(default_factory=dict)

    @property
    def slower(self) -> bool:
        """Whether anything is slower."""
        return any(d.verdict is Verdict.SLOWER for d in (*self.verdicts.values(), *self.groups.values()))


def decide(subjects: Mapping[Key, Subject], take: Take[Key], rule: Rule) -> Decisions[Key]:
    """Measure by looks until each comparison is decided or the last look is over; confirm each `slower` once.

    Where the family is so large that no number of planned pairs could decide one comparison alone, the
    geometric mean of each group is decided first, and members of a slower group are judged within it.
    """
    first = _Looking(subjects, take, rule)
    first.run()
    suspects = first.suspects()
    if not suspects:
        return first.decisions(None)
    second = _Looking(suspects, take, rule)
    second.run()
    return first.decisions(second)


class _Looking(Generic[Key]):
    """One sequence of looks over one family."""

    def __init__(self, subjects: Mapping[Key, Subject], take: Take[Key], rule: Rule) -> None:
        self.subjects, self.take, self.rule = subjects, take, rule
        self.pairs: dict[Key, list[PairRatio]] = {key: [] for key in subjects}
        self.judged: dict[Key, Judged] = {}
        self.grouped: dict[str, Judged] = {}
        self.by_group = not rule.looks.decidable(rule.one_sided / max(1, len(subjects)))

    def run(self) -> None:
        seen = 0
        for look in self.rule.looks.pairs:
            undecided = self._undecided()
            if not undecided:
                return
            for key, taken in self.take(undecided, look - seen).items():
                self.pairs[key] += taken
            seen = look
            if self.by_group:
                self._judge_groups(undecided, look)
            else:
                found = self._rejected_before()
                self.judged |= judge(self._compared(undecided), look, self.rule, len(self.subjects) - found)

    def _judge_groups(self, keys: Sequence[Key], look: int) -> None:
        compared = self._compared(keys)
        whole = {key: c for key, c in compared.items() if len(c.log_ratios) == look}
        means = geometric_means(whole, {key: self.subjects[key].group for key in whole})
        open_groups = {name: c for name, c in means.items() if not _clear(self.grouped.get(name))}
        found = sum(j.verdict in (Verdict.SLOWER, Verdict.FASTER) for j in self.grouped.values())
        groups = len({subject.group for subject in self.subjects.values()})
        self.grouped |= judge(open_groups, look, self.rule, groups - found)
        for name in dict.fromkeys(self.subjects[key].group for key in keys):
            members = {key: c for key, c in compared.items() if self.subjects[key].group == name}
            judged = judge(members, look, self.rule)
            told = self.grouped[name].verdict if name in self.grouped else Verdict.INCONCLUSIVE
            for key, own in judged.items():
                alone = own.verdict in (Verdict.SAME, Verdict.INCONCLUSIVE) or own.verdict is told
                self.judged[key] = own if alone else _unsure(own)

    def _undecided(self) -> list[Key]:
        if not self.by_group:
            return [key for key in self.subjects if not _clear(self.judged.get(key))]
        open_groups = {
            subject.group
            for key, subject in self.subjects.items()
            if not _clear(self.judged.get(key)) or not _clear(self.grouped.get(subject.group))
        }
        return [key for key, subject in self.subjects.items() if subject.group in open_groups]

    def _rejected_before(self) -> int:
        return sum(j.verdict in (Verdict.SLOWER, Verdict.FASTER) for j in self.judged.values())

    def _compared(self, keys: Sequence[Key]) -> dict[Key, Compared]:
        return {key: self._of(key) for key in keys if self.pairs[key]}

    def _of(self, key: Key) -> Compared:
        taken, subject = self.pairs[key], self.subjects[key]
        base = statistics.median(pair.base for pair in taken)
        return Compared(tuple(pair.log_ratio for pair in taken), base, subject.target, subject.floor)

    def suspects(self) -> dict[Key, Subject]:
        """What is to be confirmed: the slower ones, and all members of slower groups."""
        groups = {name for name, judged in self.grouped.items() if judged.verdict is Verdict.SLOWER}
        return {
            key: subject
            for key, subject in self.subjects.items()
            if subject.group in groups or (key in self.judged and self.judged[key].verdict is Verdict.SLOWER)
        }

    def decisions(self, second: _Looking[Key] | None) -> Decisions[Key]:
        again = second.judged if second else {}
        groups_again = (second.grouped or _one_group(second)) if second else {}
        return Decisions(
            {key: _settled(judged, again.get(key)) for key, judged in self.judged.items()},
            {name: _settled(judged, groups_again.get(name)) for name, judged in self.grouped.items()},
        )


def _one_group(second: _Looking[Key]) -> dict[str, Judged]:
    """Geometric means of a confirmation whose family was small enough to be judged one by one."""
    compared = second._compared(list(second.subjects))
    fewest = min((len(c.log_ratios) for c in compared.values()), default=0)
    look = max((look for look in second.rule.looks.pairs if look <= fewest), default=None)
    if look is None:
        return {}
    cut = {key: Compared(c.log_ratios[:look], c.base, c.target, c.floor) for key, c in compared.items()}
    means = geometric_means(cut, {key: second.subjects[key].group for key in cut})
    return judge(means, look, second.rule)


def _clear(judged: Judged | None) -> bool:
    return judged is not None and judged.verdict is not Verdict.INCONCLUSIVE


def _unsure(judged: Judged) -> Judged:
    return Judged(Verdict.INCONCLUSIVE, judged.ratio, judged.low, judged.high, judged.pairs)


def _settled(first: Judged, second: Judged | None) -> Decided:
    """`slower` only where a second set of pairs said so too."""
    if first.verdict is not Verdict.SLOWER:
        return Decided(first.verdict, first)
    confirmed = second is not None and second.verdict is Verdict.SLOWER
    return Decided(Verdict.SLOWER if confirmed else Verdict.INCONCLUSIVE, first, second)
