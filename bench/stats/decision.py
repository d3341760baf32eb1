"""From live pairs to a decision: looks, early stopping, and fresh pairs for whatever is suspicious.

The regression gate and the replay that finds its error rates (`power`) run this same code; they differ
only in where pairs come from.

All comparisons are screened at the planned looks, each on its own, so that one slow case is not averaged away. What
looks slower or faster there is measured again at once, and only these fresh pairs decide. They know nothing of how
their comparisons were chosen, so that adjusting for the number of suspects keeps the error of the whole family,
however large it is: n pairs give no p-value under 2⁻ⁿ, and n grows with the logarithm of the suspects, not of the
family. What is dropped in screening is never called slower, which can only lessen false alarms.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from attnlab.bench.stats.sequential import fresh_looks
from attnlab.bench.stats.verdict import TARGET, Judgement, LogRatios, Rule, Verdict, geometric_mean, judge, judge_at

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
class Decision:
    """What came of one comparison. first: of all its pairs at its last look. confirmation: of fresh pairs alone.

    unseen: inconclusive, with intervals that reach past what may go unseen, after all pairs that may be taken.
    """

    verdict: Verdict
    first: Judgement
    confirmation: Judgement | None = None
    unseen: bool = False


@dataclass(frozen=True)
class Decisions(Generic[Key]):
    """Verdicts of comparisons, and of groups' means where the family is large."""

    verdicts: dict[Key, Decision] = field(default_factory=dict)
    groups: dict[str, Decision] = field(default_factory=dict)

    @property
    def slower(self) -> bool:
        """Whether anything is slower."""
        return any(d.verdict is Verdict.SLOWER for d in (*self.verdicts.values(), *self.groups.values()))


def decide(subjects: Mapping[Key, Subject], take: Take[Key], rule: Rule, besides: int = 0) -> Decisions[Key]:
    """Measure by looks until each comparison is decided, its interval is short enough, or the last look is over.

    Where the planned pairs could not decide one comparison of the whole family alone, geometric means of groups
    are members of the family too. besides: suspects to adjust for that are not among the subjects.
    """
    family = _Family(subjects, take, rule, besides)
    for look in (*rule.looks.pairs, *rule.looks_beyond):
        if not family.look(look):
            break
    return family.decisions()


@dataclass(frozen=True)
class _Item(Generic[Key]):
    """A member of the family: one comparison, or the mean of a group."""

    members: tuple[Key, ...]
    group: str | None = None


class _Family(Generic[Key]):
    """All comparisons, with what was measured of them and what is known."""

    def __init__(self, subjects: Mapping[Key, Subject], take: Take[Key], rule: Rule, besides: int) -> None:
        self._subjects, self._take, self._rule, self._besides = subjects, take, rule, besides
        self._pairs: dict[Key, list[PairRatio]] = {key: [] for key in subjects}
        self._items = [*(_Item((key,)) for key in subjects), *self._groups()]
        self._first: dict[_Item[Key], Judgement] = {}
        self._fresh: dict[_Item[Key], Judgement] = {}
        self._known: dict[_Item[Key], int] = {}  # pairs when a suspicion was last looked into

    def _groups(self) -> list[_Item[Key]]:
        if self._rule.looks.decidable(self._rule.planned / max(1, len(self._subjects))):
            return []
        groups: dict[str, list[Key]] = {}
        for key, subject in self._subjects.items():
            groups.setdefault(subject.group, []).append(key)
        return [_Item(tuple(keys), group) for group, keys in groups.items() if len(keys) > 1]

    def look(self, look: int) -> bool:
        """Measure what is open up to so many pairs, and judge it; False where nothing is open."""
        planned = look in self._rule.looks.pairs
        open_items = [item for item in self._items if not self._clear(item) and (planned or self._unseen(item))]
        singles = [item.members[0] for item in open_items if item.group is None]
        if not singles:
            return False
        for missing in sorted({look - len(self._pairs[key]) for key in singles}):
            if missing > 0:
                keys = [key for key in singles if look - len(self._pairs[key]) == missing]
                self._add(self._take(keys, missing))
        compared = self._compared(open_items, self._pairs, look)
        found = sum(j.verdict in (Verdict.SLOWER, Verdict.FASTER) for j in self._first.values())
        unlike = sum(self._verdict(item) is not Verdict.SAME for item in self._items if item not in compared)
        self._first |= judge(compared, look, self._rule, len(self._items) + self._besides - found, unlike)
        suspects = [item for item in compared if self._suspicious(item) and look > self._known.get(item, 0)]
        if suspects:
            self._look_into(suspects, self._rule.fresh * self._rule.share(look))
        return True

    def _suspicious(self, item: _Item[Key]) -> bool:
        """Whether fresh pairs are to decide; of a group only where it is more than its own suspects."""
        suspect = self._first[item].suspect
        if suspect is None or self._clear(item) or item.group is None:
            return suspect is not None and not self._clear(item)
        members = [self._first[one] for key in item.members if (one := _Item((key,))) in self._first]
        rest = [math.log(member.ratio) for member in members if member.suspect is None]
        half = math.log1p(min(self._subjects[key].target for key in item.members)) / 2
        return bool(rest) and abs(statistics.fmean(rest)) > half

    def _look_into(self, suspects: Sequence[_Item[Key]], alpha: float) -> None:
        """Decide suspects on fresh pairs, with a chance of `alpha` for any false verdict; stop what is hopeless."""
        members = len(suspects) + self._besides
        looks = fresh_looks(alpha / members)
        pairs: dict[Key, list[PairRatio]] = {key: [] for item in suspects for key in item.members}
        open_items, seen, proved = list(suspects), 0, 0
        for look in looks.pairs:
            for key, taken in self._take(_keys(open_items), look - seen).items():
                pairs[key] += taken
            seen = look
            judged = judge_at(self._compared(open_items, pairs, look), looks.level(look, alpha), members - proved)
            self._fresh |= judged
            proved += sum(j.verdict in (Verdict.SLOWER, Verdict.FASTER) for j in judged.values())
            open_items = [item for item, found in judged.items() if self._hopeful(item, found)]
            if not open_items:
                break
        self._add(pairs)
        for item in suspects:
            self._known[item] = min(len(self._pairs[key]) for key in item.members)

    def _hopeful(self, item: _Item[Key], found: Judgement) -> bool:
        """Whether more fresh pairs may still show what was suspected."""
        half = (1 + min(self._subjects[key].target for key in item.members)) ** 0.5
        slower = self._first[item].suspect is Verdict.SLOWER
        return found.verdict is Verdict.INCONCLUSIVE and (found.ratio > half if slower else found.ratio < 1 / half)

    def _add(self, taken: Mapping[Key, Sequence[PairRatio]]) -> None:
        for key, pairs in taken.items():
            self._pairs[key] += pairs

    def _compared(
        self, items: Iterable[_Item[Key]], pairs: Mapping[Key, Sequence[PairRatio]], look: int
    ) -> dict[_Item[Key], LogRatios]:
        """Of the first so many pairs; a group is left out where a member has fewer, a comparison where it has none."""
        found = {}
        for item in items:
            members = [self._of(key, pairs[key][:look]) for key in item.members if pairs[key]]
            if item.group is None and members:
                found[item] = members[0]
            elif item.group is not None and members and all(len(c.log_ratios) == look for c in members):
                found[item] = geometric_mean(members)
        return found

    def _of(self, key: Key, taken: Sequence[PairRatio]) -> LogRatios:
        subject = self._subjects[key]
        base = statistics.median(pair.base for pair in taken)
        return LogRatios(tuple(pair.log_ratio for pair in taken), base, subject.target, subject.floor)

    def _verdict(self, item: _Item[Key]) -> Verdict | None:
        """What is known; `slower` only where fresh pairs said so, and the others too."""
        first, fresh = self._first.get(item), self._fresh.get(item)
        if first is None:
            return None
        if fresh is not None and fresh.verdict in (first.suspect, Verdict.SAME):
            return fresh.verdict
        return first.verdict if first.verdict in (Verdict.SAME, Verdict.FASTER) else Verdict.INCONCLUSIVE

    def _clear(self, item: _Item[Key]) -> bool:
        return self._verdict(item) not in (None, Verdict.INCONCLUSIVE)

    def _unseen(self, item: _Item[Key]) -> bool:
        """Whether an inconclusive's intervals all reach past what may go unseen."""
        judged = [known[item] for known in (self._first, self._fresh) if item in known]
        if self._clear(item) or not judged or item.group is not None:
            return False
        size = 1 + self._rule.unseen * self._subjects[item.members[0]].target
        return min(j.high for j in judged) > size

    def decisions(self) -> Decisions[Key]:
        verdicts: dict[Key, Decision] = {}
        groups: dict[str, Decision] = {}
        for item, first in self._first.items():
            verdict = self._verdict(item) or Verdict.INCONCLUSIVE
            decided = Decision(verdict, first, self._fresh.get(item), self._unseen(item))
            if item.group is None:
                verdicts[item.members[0]] = decided
            else:
                groups[item.group] = decided
        return Decisions({key: verdicts[key] for key in self._subjects if key in verdicts}, groups)


def _keys(items: Iterable[_Item[Key]]) -> list[Key]:
    return list(dict.fromkeys(key for item in items for key in item.members))
