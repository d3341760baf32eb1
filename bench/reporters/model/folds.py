"""What has no time, and warnings: one line a reason, with its implementations and cases to be folded away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attnlab.bench.contract.axes import unique
from attnlab.bench.reporters.model.cases import CaseRef
from attnlab.bench.reporters.model.outcomes import Reason
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.reporters.model.words import Sentence, names, sentence
from attnlab.bench.text import count, one_line

MOST_FLAGS = 4
LEADS = {"unavailable": "Could not run", "untimed": "Right, but not timed", "unchecked": "Without a latency"}
BROKE = {"out of memory": "Ran out of memory"}
ORDER = ("broken", "untimed", "unchecked", "unavailable")


@dataclass(frozen=True)
class FoldMember:
    """A line that is folded away; detail: a traceback, and what the process printed."""

    words: Sentence
    detail: str | None = None


@dataclass(frozen=True)
class Fold:
    """One line, and what is folded away beneath it.

    kind: `broken`, `untimed`, `unchecked`, `unavailable` (a reason why there is no time), `moving` (not the same bit
    for bit), `flag` (a warning) or `how` (how the fastest are told apart). implementations: that it is about.
    """

    kind: str
    words: Sentence
    implementations: tuple[str, ...]
    members: tuple[FoldMember, ...]


def folds(reasons: Sequence[Reason], results: Sequence[Result]) -> Iterator[Fold]:
    """Reasons why there is no time, those of most implementations first; then warnings."""
    groups: dict[tuple[str, str, str], list[Reason]] = {}
    for reason in reasons:
        if reason.kind in ORDER:
            groups.setdefault((reason.kind, reason.outcome, reason.general), []).append(reason)
    found = [_of_reason(members) for members in groups.values()]
    yield from sorted(found, key=lambda fold: (ORDER.index(fold.kind), -len(fold.implementations)))
    yield from _moving(results)
    yield from _flagged(results)


def _of_reason(members: Sequence[Reason]) -> Fold:
    """What it keeps from most cases comes first; implementations that it keeps from the same cases share a line."""
    first = members[0]
    lead = LEADS.get(first.kind) or BROKE.get(first.outcome) or first.outcome.capitalize()
    text = first.text if len({member.text for member in members}) == 1 else first.general
    by_cases: dict[tuple[CaseRef, ...], list[Reason]] = {}
    for member in sorted(members, key=lambda member: -len(member.cases)):
        by_cases.setdefault(member.cases, []).append(member)
    lines = []
    for own in by_cases.values():
        detail = "\n\n".join(unique(member.detail for member in own if member.detail)) or None
        lines.append(FoldMember(sentence(names(unique(m.implementation for m in own)), " ", own[0].where), detail))
    implementations = tuple(unique(member.implementation for member in members))
    return Fold(first.kind, sentence(f"{lead}: {text}"), implementations, tuple(lines))


def _moving(results: Sequence[Result]) -> Iterator[Fold]:
    moving = unique(r.implementation for r in results if r.passed and _moves(r))
    if moving:
        yield Fold("moving", sentence("Not the same bit for bit from call to call"), tuple(moving), ())


def _moves(result: Result) -> bool:
    check = result.row.measurement.check
    return check is not None and check.deterministic is False


def _flagged(results: Sequence[Result]) -> Iterator[Fold]:
    """Warnings without the figures of one result, the most frequent first."""
    kinds = [(flag.partition(" (")[0], r.implementation) for r in results for flag in r.row.measurement.flags]
    counted = Counter(kind for kind, _ in kinds).most_common()
    for flag, number in counted[:MOST_FLAGS]:
        own = tuple(unique(implementation for kind, implementation in kinds if kind == flag))
        yield Fold("flag", sentence(f"Warning: {one_line(flag)} ({count(number, 'result')})"), own, ())
    if len(counted) > MOST_FLAGS:
        others = count(len(counted) - MOST_FLAGS, "other warning")
        own = tuple(unique(i for kind, i in kinds if kind in dict(counted[MOST_FLAGS:])))
        yield Fold("flag", sentence(f"{others}, told in the column flags"), own, ())
