"""What was found, in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.reporters.model.cases import CaseFamily, CaseRef, describe
from attnlab.bench.reporters.model.outcomes import Reason
from attnlab.bench.reporters.model.picks import FAR, LEAST_GAIN, Pick, Placing
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.reporters.model.words import (
    Sentence,
    TextRun,
    enumerated,
    from_to,
    name,
    names,
    sentence,
)
from attnlab.bench.store.records import Outcome, RunRecord
from attnlab.bench.text import count, one_line

SHARE = "share_of_ceiling"
MOST_FLAGS, MOST_TIES = 4, 2
BROKE = {"out of memory": "ran out of memory"}


@dataclass(frozen=True)
class ReportFinding:
    """One thing to know; kind is `found`, `wrong` (to be shown loudly) or `not shown` (what has no time)."""

    kind: str
    words: Sentence


@dataclass(frozen=True)
class OperatorResults:
    """What findings are made from: one operator in one run."""

    run: RunRecord
    operator: str
    length_axis: str | None
    families: tuple[CaseFamily, ...]
    cases: tuple[CaseRef, ...]
    implementations: tuple[str, ...]
    results: tuple[Result, ...]
    picks: tuple[Pick, ...]
    reasons: tuple[Reason, ...]

    def where(self, cases: Sequence[CaseRef]) -> list[TextRun]:
        return describe(cases, self.families, self.length_axis)


def findings(e: OperatorResults) -> list[ReportFinding]:
    found = [_measured(e), _right(e), *_use(e), *_light(e)]
    wrong = [_wrong(reason) for reason in e.reasons if reason.kind == "wrong"]
    silent = [*_unavailable(e), *_broken(e), *_untimed(e), *_nondeterministic(e), *_flagged(e), *_missing(e)]
    return (
        [ReportFinding("found", words) for words in found]
        + [ReportFinding("wrong", words) for words in wrong]
        + [ReportFinding("not shown", words) for words in silent]
    )


def _measured(e: OperatorResults) -> Sentence:
    environment = e.run.environment
    threads = f" with {count(environment.threads, 'thread')}" if environment.device.kind == "cpu" else ""
    methods = sorted({result.method for result in e.results if result.method})
    timed = " and ".join(f"the clock {clock} with {cache} caches" for clock, cache in methods)
    ran = {r.implementation for r in e.results if r.outcome is not Outcome.UNAVAILABLE}
    return sentence(
        name(e.operator),
        f" was measured on {environment.device.name}{threads}: {len(ran)} of "
        f"{count(len(e.implementations), 'implementation')} ran, on {count(len(e.cases), 'case')}"
        f"{f', timed by {timed}' if timed else ''}.",
    )


def _right(e: OperatorResults) -> Sentence:
    wrong = {r.implementation for r in e.results if r.wrong}
    right = [
        i for i in e.implementations if i not in wrong and any(r.passed for r in e.results if r.implementation == i)
    ]
    if not right:
        return sentence("No implementation passed its check, so no time is shown.")
    return sentence("Right wherever they ran: ", names(right), ".")


def _use(e: OperatorResults) -> Iterator[Sentence]:
    told_apart = [p for p in e.picks if p.told_apart]
    if told_apart == list(e.picks) and len({p.names for p in e.picks}) == 1:
        only = name(told_apart[0].best.implementation)
        yield sentence("Use ", only, ": the fastest ", e.where(_cases(e.picks)), _lead(e.picks), ".")
    else:
        for group in _grouped(told_apart):
            best = name(group[0].best.implementation)
            yield sentence("Use ", best, " ", e.where(_cases(group)), _lead(group), ".")
    yield from _ties(e, [p for p in e.picks if p.level and not p.unclear])
    if unclear := [p for p in e.picks if p.unclear]:
        told = ", as the machine was busy and its noise cannot be seen through. Measure again when nothing else runs."
        yield sentence("Which is fastest is not known ", e.where(_cases(unclear)), told)
    yield from _how(e)
    for group in _grouped([p for p in e.picks if p.alone]):
        alone = name(group[0].best.implementation)
        yield sentence("Only ", alone, " passed and was timed ", e.where(_cases(group)), ".")
    if uncompared := sum(p.uncompared for p in e.picks):
        yield sentence(f"Not compared, as they were timed by another method: {count(uncompared, 'result')}.")


def _how(e: OperatorResults) -> Iterator[Sentence]:
    """What tells two apart, and what was not looked at."""
    if most := max((p.rounds for p in e.picks), default=0):
        yield sentence(
            f"Those near the fastest took turns in {count(most, 'round')} of fresh processes; one is named where the "
            f"others took {units.format_share(LEAST_GAIN - 1)} longer or more, by a 95 % interval above 1."
        )
    if untested := [p for p in e.picks if Placing.UNTESTED in p.why]:
        told = f": what is nearer than {FAR:g} times the fastest is not told apart there."
        yield sentence("No turns were taken in fresh processes ", e.where(_cases(untested)), told)


def _ties(e: OperatorResults, ties: Sequence[Pick]) -> Iterator[Sentence]:
    groups = _grouped(ties)
    if len(groups) > MOST_TIES:
        yield sentence("The fastest are not told apart ", e.where(_cases(ties)), ".")
    elif groups:
        parts = [[*names(sorted(g[0].names)), TextRun(" "), *e.where(_cases(g))] for g in groups]
        yield sentence("Not told apart: ", enumerated(parts, "; ", "; "), ".")


def _grouped(picks: Sequence[Pick]) -> list[list[Pick]]:
    """Picks of the same implementations, the most frequent first."""
    groups: dict[frozenset[str], list[Pick]] = {}
    for pick in picks:
        groups.setdefault(frozenset(pick.names), []).append(pick)
    return sorted(groups.values(), key=len, reverse=True)


def _cases(picks: Sequence[Pick]) -> list[CaseRef]:
    return [p.case for p in picks]


def _lead(picks: Sequence[Pick]) -> str:
    leads = sorted(p.lead for p in picks if p.lead is not None)
    if not leads:
        return ""
    return f", {from_to([units.format_ratio(leads[0]), units.format_ratio(leads[-1])])} as fast as the next"


def _light(e: OperatorResults) -> Iterator[Sentence]:
    """How far the fastest results are from the least time that the device allows."""
    known = [p for p in e.picks if p.best.number(SHARE) is not None]
    passing = [p for p in known if SHARE in p.best.remarks]
    yield from _beyond(passing, len(known))
    known = [p for p in known if SHARE not in p.best.remarks]
    if not known:
        return
    shares = sorted(p.best.number(SHARE) or 0.0 for p in known)
    reached = from_to([units.format_share(shares[0]), units.format_share(shares[-1])])
    bounds = [p.best.figures.get("bound") for p in known]
    kinds = sorted({str(bound) for bound in bounds if bound})
    bound_by = " and ".join(
        kind if len(kinds) == 1 else f"{kind} in {count(bounds.count(kind), 'case')}" for kind in kinds
    )
    yield sentence(
        f"{'In the others the' if passing else 'The'} fastest reach {reached} of the speed of light, the least time at "
        "the rates measured here, "
        f"which is bound by {bound_by}."
    )


def _beyond(passed: Sequence[Pick], cases: int) -> Iterator[Sentence]:
    """What is wrong with the ceilings that the fastest results pass; their shares say nothing of how good they are."""
    causes = Counter(p.best.remarks[SHARE].general for p in passed)
    if causes:
        told = "; ".join(f"{cause} ({count(n, 'case')})" for cause, n in causes.most_common())
        yield sentence(
            f"No share of the speed of light can be given in {len(passed)} of {count(cases, 'case')}, where {told}."
        )


def _wrong(reason: Reason) -> Sentence:
    return sentence(
        name(reason.implementation),
        f" gave {reason.outcome} ",
        reason.where,
        f". Do not use it there; no time of a wrong result is shown. First reason: {reason.text}.",
    )


def _unavailable(e: OperatorResults) -> Iterator[Sentence]:
    """Grouped by reason, for one missing package or GPU often stops several; what never ran comes first."""
    groups: dict[tuple[str, tuple[CaseRef, ...]], list[str]] = {}
    for reason in e.reasons:
        if reason.kind == "unavailable":
            groups.setdefault((reason.text, reason.cases), []).append(reason.implementation)
    parts: list[list[TextRun]] = []
    for (text, cases), members in sorted(groups.items(), key=lambda group: -len(group[0][1])):
        where = [] if len(cases) == len(e.cases) else [TextRun(" "), *e.where(cases)]
        parts.append([*names(members), *where, TextRun(f" ({text})")])
    if parts:
        yield sentence("Could not run: ", enumerated(parts, "; ", "; "), ".")


def _broken(e: OperatorResults) -> Iterator[Sentence]:
    for reason in e.reasons:
        if reason.kind == "broken":
            verb = BROKE.get(reason.outcome, reason.outcome)
            yield sentence(name(reason.implementation), f" {verb} ", reason.where, f" ({reason.text}).")


def _untimed(e: OperatorResults) -> Iterator[Sentence]:
    groups: dict[str, list[Reason]] = {}
    for reason in e.reasons:
        if reason.kind == "untimed":
            groups.setdefault(reason.text, []).append(reason)
    for text, members in groups.items():
        yield sentence(
            "Checked and right, but not timed: ",
            names(dict.fromkeys(r.implementation for r in members)),
            f" ({text}).",
        )


def _nondeterministic(e: OperatorResults) -> Iterator[Sentence]:
    moving = [
        i
        for i in e.implementations
        if any(
            r.passed and (c := r.row.measurement.check) and c.deterministic is False
            for r in e.results
            if r.implementation == i
        )
    ]
    if moving:
        yield sentence("Not the same bit for bit from call to call: ", names(moving), ".")


def _flagged(e: OperatorResults) -> Iterator[Sentence]:
    kinds = (flag.partition(" (")[0] for r in e.results for flag in r.row.measurement.flags)  # without its own figures
    flags = Counter(kinds)
    if flags:
        listed = "; ".join(f"{one_line(flag)} ({count(n, 'result')})" for flag, n in flags.most_common(MOST_FLAGS))
        more = f"; and {count(len(flags) - MOST_FLAGS, 'other')}" if len(flags) > MOST_FLAGS else ""
        yield sentence(f"Warnings, told in the column flags: {listed}{more}.")


def _missing(e: OperatorResults) -> Iterator[Sentence]:
    planned = {
        (implementation, case_id)
        for bench in e.run.benches
        if bench.operator == e.operator
        for implementation in bench.implementations
        for case_id in bench.cases
    }
    missing = planned - {(r.implementation, r.case.case_id) for r in e.results}
    if missing:
        yield sentence(f"The run is not complete: {len(missing)} of {count(len(planned), 'measurement')} are missing.")
