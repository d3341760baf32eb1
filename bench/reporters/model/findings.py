"""What was found, in plain words: a verdict, two sentences at most, and the rest by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.reporters.model.cases import CaseFamily, CaseRef, describe
from attnlab.bench.reporters.model.folds import Fold, FoldMember, folds
from attnlab.bench.reporters.model.outcomes import Reason
from attnlab.bench.reporters.model.picks import FAR, LEAST_GAIN, Pick, Placing
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.reporters.model.words import Sentence, TextRun, enumerated, from_to, name, names, sentence
from attnlab.bench.store.records import Outcome, RunRecord
from attnlab.bench.text import count

SHARE = "share_of_ceiling"
MOST_NAMED = 2  # clauses of the verdict that name their cases; more count them
MOST_WINNERS = 3  # in the verdict; the table of picks has them all
MOST_WRONG = 3  # names in the verdict


@dataclass(frozen=True)
class Findings:
    """What to know first.

    verdict: which to use, by how much, and which are right. sentences: two at most. wrong: one for each implementation
    with a wrong result, to be shown loudly. folds: the rest by reason, to be folded away.
    """

    verdict: Sentence
    sentences: tuple[Sentence, ...]
    wrong: tuple[Sentence, ...]
    folds: tuple[Fold, ...]


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


def findings(e: OperatorResults) -> Findings:
    return Findings(
        verdict=_verdict(e),
        sentences=(*_light(e), _measured(e)),
        wrong=tuple(_wrong(reason) for reason in e.reasons if reason.kind == "wrong"),
        folds=(*folds(e.reasons, e.results), *_how(e)),
    )


def _verdict(e: OperatorResults) -> Sentence:
    """One sentence: which to use, and which are right; of what was imported, that nobody knows."""
    if e.run.imported is not None:
        told = "nothing here checked whether these results are right, so that none is recommended."
        return sentence(f"Imported from {e.run.imported}: {told}")
    if not any(r.passed for r in e.results):
        return sentence("No implementation passed its check, so no time is shown.")
    clauses = _Use(e).clauses() or [_untimed(e)]
    right = _right(e)
    first, *rest = enumerated([*clauses, *([right] if right else [])], "; ", "; ")
    return sentence(first.text[:1].upper() + first.text[1:], rest, ".")


def _untimed(e: OperatorResults) -> Sentence:
    """Why nothing is recommended where something passed."""
    if all(r.row.measurement.paced is not None for r in e.results if r.passed):
        return sentence("loads of requests have first tokens, gaps and goodput, and no time of a call")
    return sentence("nothing that passed was timed")


class _Use:
    """Clauses of the verdict: which to use where, those of most cases first; what is level, and what stands alone.

    Cases are named where the clauses are few, else counted.
    """

    def __init__(self, e: OperatorResults) -> None:
        self.e = e
        self.winners = _grouped([p for p in e.picks if p.told_apart])
        self.unclear = [p for p in e.picks if p.unclear]
        self.level = _grouped([p for p in e.picks if p.level and not p.unclear])
        self.alone = _grouped([p for p in e.picks if p.alone])
        clauses = len(self.winners) + bool(self.unclear) + len(self.level) + len(self.alone)
        self.named = clauses <= MOST_NAMED

    def clauses(self) -> list[Sentence]:
        found = [self._use()] if self.winners else []
        if self.unclear:
            found.append(
                sentence("which is fastest is not known ", self._where(self.unclear), ", as the machine was busy")
            )
        if self.level:
            who = names(sorted(self.level[0][0].names)) if len(self.level) == 1 else [TextRun("the fastest")]
            found.append(sentence("not told apart: ", who, " ", self._where(_flat(self.level))))
        if self.alone:
            only = name(self.alone[0][0].best.implementation) if len(self.alone) == 1 else TextRun("one implementation")
            found.append(sentence("only ", only, " passed and was timed ", self._where(_flat(self.alone))))
        return found

    def _use(self) -> Sentence:
        if len(self.winners) == 1 and len(self.winners[0]) == len(self.e.picks):
            (group,) = self.winners
            return sentence("use ", self._best(group), ": the fastest ", self._where(group), _lead(group))
        parts = [
            [self._best(group), TextRun(" "), *self._where(group), TextRun(_lead(group))] for group in self.winners
        ]
        shown = parts[:MOST_WINNERS]
        if left := sum(map(len, self.winners[MOST_WINNERS:])):
            shown.append([TextRun(f"others in {left}")])
        return sentence("use ", enumerated(shown, "; ", "; "))

    def _best(self, group: Sequence[Pick]) -> TextRun:
        return name(group[0].best.implementation)

    def _where(self, group: Sequence[Pick]) -> list[TextRun]:
        cases = [p.case for p in group]
        if self.named or len(cases) == len(self.e.cases):
            return self.e.where(cases)
        return [TextRun(f"in {len(cases)} of {count(len(self.e.cases), 'case')}")]


def _flat(groups: Sequence[Sequence[Pick]]) -> list[Pick]:
    return [p for group in groups for p in group]


def _right(e: OperatorResults) -> Sentence | None:
    """Of those that ran, which gave no wrong result and at least one right one; None where none is right."""
    ran = [i for i in e.implementations if any(_ran(r) for r in e.results if r.implementation == i)]
    wrong = [i for i in ran if any(r.wrong for r in e.results if r.implementation == i)]
    right = [i for i in ran if i not in wrong and any(r.passed for r in e.results if r.implementation == i)]
    told = {1: "it is right", 2: "both are right"}.get(len(ran), f"all {len(ran)} that ran are right")
    if len(right) < len(ran):
        told = f"{len(right)} of the {len(ran)} that ran {'is' if len(right) == 1 else 'are'} right"
    if not wrong:
        return sentence(told) if right else None
    who = names(wrong) if len(wrong) <= MOST_WRONG else [TextRun(str(len(wrong)))]
    return sentence(told, ", ", who, f" {'is' if len(wrong) == 1 else 'are'} wrong")


def _ran(result: Result) -> bool:
    return result.outcome is not Outcome.UNAVAILABLE


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
    within = [p for p in known if SHARE not in p.best.remarks]
    if not within:
        if passing:
            where = f"{len(passing)} of {count(len(known), 'case')}"
            why = _beyond(passing)
            yield sentence(f"No share of the speed of light can be given in {where}, where {why}.")
        return
    shares = sorted(p.best.number(SHARE) or 0.0 for p in within)
    reached = from_to([units.format_share(shares[0]), units.format_share(shares[-1])])
    without = f"{len(passing)} of {count(len(known), 'case')}"
    none = f"; no share can be given in {without}, where {_beyond(passing)}" if passing else ""
    bound = _bound(within)
    yield sentence(
        f"The fastest reach {reached} of the speed of light, the least time at the rates measured here"
        f"{f', which is bound by {bound}' if bound else ''}{none}."
    )


def _bound(picks: Sequence[Pick]) -> str:
    bounds = Counter(str(bound) for p in picks if (bound := p.best.figures.get("bound")))
    kinds = sorted(bounds)
    return " and ".join(kind if len(kinds) == 1 else f"{kind} in {count(bounds[kind], 'case')}" for kind in kinds)


def _beyond(passed: Sequence[Pick]) -> str:
    """What is wrong with the ceilings that the fastest results pass; their shares say nothing of how good they are."""
    causes = Counter(p.best.remarks[SHARE].general for p in passed)
    return "; ".join(f"{cause} ({count(n, 'case')})" for cause, n in causes.most_common())


def _measured(e: OperatorResults) -> Sentence:
    environment = e.run.environment
    threads = ""
    if environment.device.kind == "cpu" and environment.threads is not None:
        threads = f" with {count(environment.threads, 'thread')}"
    methods = sorted({result.method for result in e.results if result.method})
    timed = " and ".join(f"the clock {clock} with {cache} caches" for clock, cache in methods)
    ran = {r.implementation for r in e.results if _ran(r)}
    return sentence(
        name(e.operator),
        f" was measured on {environment.device.told}{threads}: {len(ran)} of "
        f"{count(len(e.implementations), 'implementation')} ran, on {count(len(e.cases), 'case')}"
        f"{f', timed by {timed}' if timed else ''}{_missing(e)}"
        f"{', in a quick look: checked once, few samples' if e.run.quick else ''}.",
    )


def _missing(e: OperatorResults) -> str:
    planned = {
        (implementation, case_id)
        for bench in e.run.benches
        if bench.operator == e.operator
        for implementation in bench.implementations
        for case_id in bench.cases
    }
    missing = planned - {(r.implementation, r.case.case_id) for r in e.results}
    return (
        f"; it is not complete: {len(missing)} of {count(len(planned), 'measurement')} are missing" if missing else ""
    )


def _wrong(reason: Reason) -> Sentence:
    return sentence(
        name(reason.implementation),
        f" gave {reason.outcome} ",
        reason.where,
        f". Do not use it there; no time of a wrong result is shown. First reason: {reason.text}.",
    )


def _how(e: OperatorResults) -> Iterator[Fold]:
    """How the fastest are told apart, and what was not looked at."""
    told = []
    if most := max((p.rounds for p in e.picks if not p.alone), default=0):
        told.append(
            sentence(
                f"Those near the fastest took turns in {count(most, 'round')} of fresh processes; one is named where "
                f"the others took {units.format_share(LEAST_GAIN - 1)} longer or more, by a 95 % interval above 1."
            )
        )
    if untested := [p for p in e.picks if Placing.UNTESTED in p.why]:
        what = f": what is nearer than {FAR:g} times the fastest is not told apart there."
        told.append(sentence("No turns were taken in fresh processes ", e.where(_cases(untested)), what))
    if unclear := [p for p in e.picks if p.unclear]:
        what = ", as the machine was busy and its noise cannot be seen through. Measure again when nothing else runs."
        told.append(sentence("Which is fastest is not known ", e.where(_cases(unclear)), what))
    if uncompared := sum(p.uncompared for p in e.picks):
        told.append(sentence(f"Not compared, as they were timed by another method: {count(uncompared, 'result')}."))
    if told:
        yield Fold("how", sentence("How the fastest are told apart"), (), tuple(FoldMember(words) for words in told))
