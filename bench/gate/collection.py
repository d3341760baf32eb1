"""What live pairs gave of one benchmark, and what it comes to."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from attnlab.bench.gate.arm_results import ArmResults
from attnlab.bench.gate.messages import Offer, TimingMethod
from attnlab.bench.gate.pair_records import PairRequest, PairResult, ProcessLoss
from attnlab.bench.gate.quantities import CONFIGURATION, LATENCY, Quantity, Sample, quantities
from attnlab.bench.gate.rows import GateRatio, GateRow, LostProcess, QuantityRow, Standing
from attnlab.bench.gate.thresholds import Target
from attnlab.bench.measuring.judging.verdicts import TIMED
from attnlab.bench.stats.decision import Decision, PairRatio
from attnlab.bench.stats.verdict import Judgement, Verdict
from attnlab.bench.store.records import CheckRecord, Measurement, Outcome

LOOSER = 1.25  # budget of an error on head over base's, from which it is another contract
TRIES = 2  # processes of one arm that may end on a benchmark before it counts as failing there


@dataclass(frozen=True)
class Values:
    """One quantity in one pair, in its unit; ratio is None where a side lacks it."""

    base: float | None
    head: float | None
    ratio: PairRatio | None


@dataclass
class BenchmarkResults:
    """One benchmark: what both arms gave, what its pairs say of each quantity, and why it is measured no further."""

    offer: Offer
    targets: Mapping[str, Target]
    base: ArmResults = field(default_factory=ArmResults)
    head: ArmResults = field(default_factory=ArmResults)
    values: dict[str, list[Values]] = field(default_factory=dict)
    method: TimingMethod | None = None
    standing: Standing = Standing.COMPARED
    reason: str | None = None
    paced: str | None = None
    lost: list[LostProcess] = field(default_factory=list)

    def wanted(self) -> PairRequest:
        """What the next pair is to measure."""
        owed = frozenset(name for name, arm in (("base", self.base), ("head", self.head)) if not arm.checked)
        return PairRequest(self.offer, _blank(self.offer), owed, self.method)

    def add(self, number: int, taken: PairResult) -> dict[str, PairRatio]:
        """Take one pair in; what it says of each quantity, nothing where there is nothing to compare."""
        if taken.lost is not None:
            self._lose(number, taken, taken.lost)
            return {}
        for name, arm, measurement in (("base", self.base, taken.base), ("head", self.head, taken.head)):
            arm.add(measurement, name in taken.checked)
        if taken.method is None:
            self._refuse(taken)
            return {}
        looser = _looser(self.base.measurement, self.head.measurement)
        if looser:
            self.standing, self.reason = Standing.REDEFINED, looser
            return {}
        self.method = taken.method
        self._report_no_length(taken)
        for name, values in self._valued(taken).items():
            self.values.setdefault(name, []).append(values)
        return {name: own[-1].ratio for name, own in self.values.items() if own[-1].ratio is not None}

    def _report_no_length(self, taken: PairResult) -> None:
        """The length of calls that are paced by their arrivals is no latency, and never decides."""
        self.paced = taken.base.paced
        if self.paced is not None and self.targets[LATENCY].gated:
            self.targets = {**self.targets, LATENCY: replace(self.targets[LATENCY], gated=False)}

    def _valued(self, taken: PairResult) -> dict[str, Values]:
        """Each quantity that either side has."""
        usual = self.base.measurement.configuration if self.base.measurement else None
        base, head = (
            Sample(measurement, arm.measurement.check if arm.measurement else None, usual)
            for arm, measurement in ((self.base, taken.base), (self.head, taken.head))
        )
        found = {}
        for name, quantity in quantities().items():
            before, after = quantity.value(base), quantity.value(head)
            if before is not None or after is not None:
                found[name] = Values(before, after, quantity.ratio(base, head, self.targets[name].share))
        return found

    def _lose(self, number: int, taken: PairResult, lost: ProcessLoss) -> None:
        """A process that ended may be chance, and is tried once more; what it had given stays with the pairs."""
        for name, arm, measurement in (("base", self.base, taken.base), ("head", self.head, taken.head)):
            if name in taken.checked:
                arm.add(measurement, checked=True)
        self.lost.append(LostProcess(self.offer.key, number, lost.arm, lost.outcome, lost.reason, lost.detail))
        self.reason = lost.reason
        if sum(one.arm == lost.arm for one in self.lost) >= TRIES:
            self.standing = Standing.WRONG if lost.arm == "head" else Standing.NEW

    def _refuse(self, taken: PairResult) -> None:
        """Say what a pair means in which there was nothing to compare."""
        self.reason = taken.why
        base, head = taken.base, taken.head
        if head.outcome not in (Outcome.PASSED, Outcome.UNAVAILABLE):
            self.standing = Standing.WRONG
        elif not _timed(head):  # what was measured before was available, and is no longer on either side
            self.standing = Standing.MISSING if _timed(base) or self.values else Standing.UNAVAILABLE
        elif not _timed(base):
            self.standing = Standing.NEW
        elif taken.redefined:
            self.standing = Standing.REDEFINED
        else:
            self.standing = Standing.INCOMPARABLE

    @property
    def open(self) -> bool:
        """Whether more pairs may be measured."""
        return self.standing is Standing.COMPARED

    @property
    def gated(self) -> list[str]:
        """The quantities that a verdict is wanted of: those that the first pair has, and are not only reported."""
        return [
            name
            for name, values in self.values.items()
            if self.targets[name].gated and values[0].ratio is not None and len(values) == len(self.values[LATENCY])
        ]

    def stored(self, arm: ArmResults) -> Measurement | None:
        """As a run keeps it: failing where processes of the arm were lost too often, with what others measured."""
        name = "base" if arm is self.base else "head"
        lost = [one for one in self.lost if one.arm == name]
        known = arm.stored()
        if not lost or (known is not None and len(lost) < TRIES):
            return known
        return (known or _blank(self.offer)).fail(lost[-1].reason, lost[-1].detail, lost[-1].outcome)

    def row(self, decided: Mapping[str, Decision]) -> GateRow:
        """The row of this benchmark, by verdicts of its quantities; measured too little where it was never decided."""
        standing, reason = self.standing, self.reason
        latency = decided.get(LATENCY)
        if standing is Standing.COMPARED and latency is None and self.targets[LATENCY].gated:
            few = f"{len(self.values.get(LATENCY, ()))} pairs, too few for any verdict"
            standing, reason = Standing.TOO_LITTLE, f"{few}; {reason}" if reason else few
        told = latency if standing is Standing.COMPARED else None
        compared = standing is Standing.COMPARED
        return GateRow(
            operator=self.offer.operator,
            implementation=self.offer.implementation,
            case_id=self.offer.case_id,
            standing=standing,
            target=self.targets[LATENCY].share,
            reason=self.paced if compared else reason,
            unseen=told.unseen if told else False,
            verdict=told.verdict if told else Verdict.INCOMPARABLE if standing is Standing.INCOMPARABLE else None,
            first=as_ratio(told.first) if told else None,
            confirmation=as_ratio(told.confirmation) if told and told.confirmation else None,
            base_ns=None if self.paced else self.base.median_ns,
            head_ns=None if self.paced else self.head.median_ns,
            clock=self.method.clock if self.method else None,
            cache=self.method.cache if self.method else None,
            base_configuration=self.base.measurement.configuration if self.base.measurement else None,
            head_configuration=self.head.measurement.configuration if self.head.measurement else None,
            quantities=tuple(self._quantity_rows(decided)) if compared else (),
            source=self.offer.source,
            line=self.offer.line,
            flags=tuple(dict.fromkeys(self._remarks(compared))),
        )

    def _remarks(self, compared: bool) -> Iterator[str]:
        yield from self._modes()
        for name, arm in (("base", self.base), ("head", self.head)):
            yield from arm.remarks(name)
        yield from self._retried(compared)

    def _modes(self) -> Iterator[str]:
        """Where the times of all processes of an arm fall into two modes; that decides nothing."""
        for name, arm in (("base", self.base), ("head", self.head)):
            told = None if self.paced else arm.modes
            if told is not None:
                yield f"{name}: {told}"

    def _retried(self, compared: bool) -> list[str]:
        return [f"pair {one.pair} is left out: {one.reason}" for one in self.lost] if compared else []

    def _quantity_rows(self, decided: Mapping[str, Decision]) -> Iterator[QuantityRow]:
        for name, values in self.values.items():
            if name != LATENCY:
                yield self._quantity_row(quantities()[name], values, decided.get(name))

    def _quantity_row(self, quantity: Quantity, values: Sequence[Values], decided: Decision | None) -> QuantityRow:
        target = self.targets[quantity.name]
        sides = [[v for v in side if v is not None] for side in zip(*((v.base, v.head) for v in values), strict=True)]
        base, head = (statistics.median(side) if side else None for side in sides)
        standing, reason = self._quantity_standing(quantity, values, decided, target)
        return QuantityRow(
            benchmark=self.offer.key,
            quantity=quantity.name,
            label=quantity.label,
            unit=quantity.unit,
            direction=quantity.direction,
            standing=standing,
            target=target.share,
            gated=target.gated,
            floor=quantity.floor,
            added=quantity.added(target.share),
            base=base,
            head=head,
            unseen=decided.unseen if decided and standing is Standing.COMPARED else False,
            verdict=decided.verdict if decided and standing is Standing.COMPARED else None,
            first=as_ratio(decided.first) if decided else None,
            confirmation=as_ratio(decided.confirmation) if decided and decided.confirmation else None,
            reason=reason,
        )

    def _quantity_standing(
        self, quantity: Quantity, values: Sequence[Values], decided: Decision | None, target: Target
    ) -> tuple[Standing, str | None]:
        """Whether a quantity could be compared; of one that is only reported nothing is asked."""
        pairs = len(self.values[LATENCY])
        lacking = sum(v.head is None for v in values)
        if quantity.name == CONFIGURATION:
            told = [_most_common(arm.configurations) for arm in (self.base, self.head)]
            return Standing.COMPARED, None if told[0] == told[1] else " → ".join(told)
        if not target.gated:
            return Standing.COMPARED, None
        if lacking:
            return Standing.MISSING, f"{quantity.label} was had of base, and not of head, in {lacking} of {pairs} pairs"
        if values[0].base is None:
            return Standing.NEW, f"base has no {quantity.label}"
        if decided is None and quantity.name in self.gated:
            return Standing.TOO_LITTLE, f"{len(values)} pairs, too few for any verdict"
        if decided is None or len(values) < pairs:
            return Standing.COMPARED, f"{quantity.label} was had in {len(values)} of {pairs} pairs"
        return Standing.COMPARED, None


def _timed(measurement: Measurement) -> bool:
    return measurement.outcome is Outcome.PASSED and measurement.untimed is None


def _looser(base: Measurement | None, head: Measurement | None) -> str | None:
    """Where head's contract allows a larger error than base's does of the same outputs; None where it does not."""
    allowed = [_allowed(one.check) if one and one.check else {} for one in (base, head)]
    for (inputs, output, name), was in allowed[0].items():
        now = allowed[1].get((inputs, output, name), was)
        if now > LOOSER * was:
            of = f"{output} on" if output else "on"
            return f"{of} {inputs} inputs: {name} of {now:.2e} is allowed on head, {was:.2e} on base"
    return None


def _allowed(check: CheckRecord) -> dict[tuple[str, str | None, str], float]:
    """How far outputs may be off, by inputs, output and measure, on inputs that are the same on both arms."""
    sets = [found for found in check.sets if not found.inputs.startswith(TIMED)]
    return {(s.inputs, d.output, d.name): d.allowed for s in sets for d in s.deviations}


def as_ratio(judged: Judgement) -> GateRatio:
    low = judged.low if judged.low > 0 else None
    high = judged.high if judged.high != float("inf") else None
    return GateRatio(judged.ratio, low, high, judged.pairs)


def _most_common(configurations: Counter[str]) -> str:
    """The usual one, with how many there were where it was not the only one."""
    ((usual, times),) = configurations.most_common(1)
    return usual if len(configurations) == 1 else f"{usual} ({times} of {configurations.total()} processes)"


def _blank(offer: Offer) -> Measurement:
    return Measurement(
        operator=offer.operator,
        implementation=offer.implementation,
        case={},
        case_id=offer.case_id,
        outcome=Outcome.UNAVAILABLE,
        fingerprint=offer.fingerprint,
    )
