"""Live pairs: a process of each arm, alive together, that alternate bursts of one benchmark after another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from attnlab.bench import units
from attnlab.bench.contract.operator_spec import Attested
from attnlab.bench.gate import rerooting
from attnlab.bench.gate.arm_worker import BOOT
from attnlab.bench.gate.checkouts import Arm
from attnlab.bench.gate.environments import ArmEnvironment, own_packages
from attnlab.bench.gate.messages import ArmOrder, Closed, Method, Offer, Offers, Opened, outputs_of
from attnlab.bench.machine.throttling import burst_notes
from attnlab.bench.measure.interleaving import interleave
from attnlab.bench.measure.judging.client import Judge, answer, asked_of
from attnlab.bench.measure.judging.court import Calls
from attnlab.bench.measure.judging.process import Contract
from attnlab.bench.measure.judging.refusals import NotJudged
from attnlab.bench.measure.judging.verdicts import Findings
from attnlab.bench.measure.plausibility import no_times
from attnlab.bench.measure.settlement import NO_TIMED_OUTPUT, Grounds, settle, testimony, with_times
from attnlab.bench.measure.timing import Timed, WarmUp
from attnlab.bench.measure.worker_process import Process, WorkerEnded
from attnlab.bench.stats.summary import summarise
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.plan import Plan
from attnlab.bench.store.records import Burst, Measurement, Outcome, Series

BURST_NS = 30 * units.NS_PER_MS
LONGEST_BURST_NS = 300 * units.NS_PER_MS
FEW_CALLS = 3
MAX_BURST_CALLS = 2000
PROFILE_ROUNDS = 5  # of each arm, to say which kernel moved
# Of each arm in a pair; even, so that each arm goes first in half of them. More pairs tell more than longer ones do.
BURSTS = 8
OTHER_CONTENTS = "one id and one seed, and the contracts of base and head fill the inputs otherwise"


@dataclass(frozen=True)
class Lost:
    """A process that ended, or was ended, while a benchmark was measured in it.

    bursts: what each arm had given until then, which no pair came of.
    """

    arm: str
    outcome: Outcome
    reason: str
    detail: str | None = None
    base: tuple[Burst, ...] = ()
    head: tuple[Burst, ...] = ()


@dataclass(frozen=True)
class Taken:
    """One benchmark in one live pair.

    base, head: each arm's measurement, with one launch where the pair was measured to its end. method is None where
    there is nothing to compare; `why` says so. checked: arms whose process held the whole check. lost: the process
    that ended, which may have been chance. redefined: whether the arms' contracts mean other work.
    """

    base: Measurement
    head: Measurement
    method: Method | None = None
    why: str | None = None
    checked: tuple[str, ...] = ()
    lost: Lost | None = None
    redefined: bool = False


@dataclass(frozen=True)
class Wanted:
    """What is to be measured: a benchmark, the arms whose check is still owed, and how it was timed before."""

    offer: Offer
    blank: Measurement
    check: frozenset[str] = frozenset()
    method: Method | None = None


class ArmProcess:
    """A process of one arm, at the gate's end. Every method raises WorkerEnded where it dies or is too slow.

    contracts: module and file of each operator as this arm has it.
    """

    def __init__(
        self,
        arm: Arm,
        repo: Path,
        harness: Path,
        order: ArmOrder,
        limit_s: float,
        judge: Judge,
        environment: ArmEnvironment | None = None,
        contracts: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.arm, self._limit_s, self._judge, self._order = arm, limit_s, judge, order
        self._contracts = contracts or {}
        self._own_environment = environment is not None
        self._findings = Findings()
        self._bursts: list[Burst] = []
        try:
            self._process = begin_process(BOOT, arm, repo, harness, order.device, environment)
            self._process.hear = self._hear
        except OSError as error:
            raise WorkerEnded(Outcome.FAILED, f"no process could be started: {error}", None) from error
        try:
            self._process.send(encode(order))
        except WorkerEnded:
            self._process.close()
            raise

    @property
    def number(self) -> int:
        return self._process.number

    def wait_until_ready(self) -> None:
        self._process.wait_until_ready()

    def offers(self, wanted: Sequence[Offer] = ()) -> Offers:
        """What the arm has of its own suite and, besides, of what is wanted."""
        keys = [[offer.operator, offer.implementation, offer.case_id] for offer in wanted]
        return decode(Offers, self._ask("offers", ["offers", keys]))

    def begin_open(self, offer: Offer, check: bool, plan: Plan | None = None) -> None:
        self._offer, self._check, self._findings, self._bursts = offer, check, Findings(), []
        self._process.begin_case()
        self._process.send(["open", offer.operator, offer.implementation, offer.case_id, check, encode(plan)])

    def opened(self) -> Opened:
        """What the arm says, with the judge's word on its check."""
        opened = decode(Opened, self._process.receive("opened", self._limit_s))
        measurement = self._believed(opened.measurement)
        if measurement.outcome is not Outcome.PASSED:
            return replace(opened, measurement=measurement, methods=(), contents=())
        return replace(opened, measurement=measurement, contents=self._contents())

    def warm(self, method: Method) -> WarmUp:
        return decode(WarmUp, self._ask("warm", ["warm", method.clock, encode(method.plan)]))

    def burst(self, count: int) -> Burst:
        self._bursts.append(decode(Burst, self._ask("burst", ["burst", count])))
        return self._bursts[-1]

    def paused(self) -> AbstractContextManager[None]:
        """Inside, the process stands still."""
        return self._process.paused()

    def close_case(self) -> Closed:
        """What is known at the end, with the judge's word on what timed calls returned, and the contract's facts."""
        closed = decode(Closed, self._ask("closed", ["close"]))
        measurement, facts = self._believed(closed.measurement), tuple[Series, ...]()
        if measurement.outcome is Outcome.PASSED and not self._findings.timed:
            measurement = measurement.fail(NO_TIMED_OUTPUT)
        if measurement.outcome is Outcome.PASSED:
            try:
                found = self._judge.facts(self._contract, self._offer.case_id, self._order.seed)
            except NotJudged as error:
                measurement = measurement.fail(str(error), error.detail)
            else:
                facts = tuple(Series(fact.quantity, fact.unit, None, fact.direction, (fact.value,)) for fact in found)
        measurement, notes = self._testified(measurement, closed)
        timing = closed.timing if measurement.outcome is Outcome.PASSED else None
        beside = (*closed.beside, *facts)
        return replace(closed, measurement=measurement, timing=timing, beside=beside, notes=(*closed.notes, *notes))

    def _testified(self, measurement: Measurement, closed: Closed) -> tuple[Measurement, tuple[str, ...]]:
        """The measurement, failed where what its calls say of themselves is refused, and notes on that."""
        if measurement.outcome is not Outcome.PASSED or closed.timing is None:
            return measurement, ()
        try:
            said = testimony(self._testify, closed.timing, self._bursts)
        except NotJudged as error:
            return measurement.fail(str(error), error.detail), ()
        if said.refusal is not None:
            return measurement.fail(said.refusal), ()
        return measurement, said.notes

    def _testify(self, copies: int, calls: Calls) -> Attested:
        """Asked of calls that say more than their time."""
        if not any(len(series) > 1 for series, _ in calls):
            return Attested()
        return self._judge.testimony(self._contract, self._offer.case_id, self._order.seed, copies, calls)

    def kernels(self) -> dict[str, float]:
        return {str(name): float(ns) for name, ns in self._ask("kernels", ["kernels"]).items()}

    def _hear(self, value: Any) -> Any:
        """The answer to outputs that are handed over."""
        question = asked_of(value, self._offer.case_id)
        file = outputs_of(self._order, self._process.number)
        return answer(self._judge, self._contract, self._offer.case_id, question, file, self._findings)

    def _contents(self) -> tuple[str, ...]:
        """Nothing where the arm has an environment of its own, whose torch may draw other numbers."""
        if self._own_environment:
            return ()
        try:
            return self._judge.digests(self._contract, self._offer.case_id, self._order.seed)
        except NotJudged as error:
            return (f"not known: {error}",)

    @property
    def _contract(self) -> Contract:
        return Contract(self._offer.operator, *self._contracts[self._offer.operator])

    def _believed(self, claim: Measurement) -> Measurement:
        """What comes of a claim: a worker decides about no outcome that has figures."""
        blank = replace(claim, check=None, launches=(), timing=None)
        try:
            owed = self._judge.owed(self._contract, self._order.seed) if self._check else ()
        except NotJudged as error:
            return blank.fail(str(error), error.detail)
        grounds = Grounds(self._findings, owed, not self._offer.compiled)
        return settle(claim, blank, grounds, decode(Ceilings, self._order.ceilings), final=False)

    def _ask(self, wanted: str, request: list[Any]) -> Any:
        return self._process.ask(request, wanted, self._limit_s)

    def close(self) -> None:
        self._process.close()


def begin_process(
    boot: str, arm: Arm, repo: Path, harness: Path, device: str, environment: ArmEnvironment | None
) -> Process:
    """A process that finds an arm's modules, and in `environment` where it has its own. Raises OSError."""
    earlier = [str(root) for root in environment.checkouts if root != arm.root] if environment else []
    places = own_packages(repo, arm, harness) if environment else {}
    return Process(
        device,
        boot,
        (rerooting.__file__, json.dumps([str(repo), str(arm.root), str(harness), earlier, places])),
        _same_folder(repo, arm),
        environment.executable if environment else None,
        environment.variables(repo) if environment else None,
    )


def _same_folder(repo: Path, arm: Arm) -> Path:
    """The current folder as the arm has it, or the root of the arm's checkout."""
    here = Path.cwd().resolve()
    there = arm.root / here.relative_to(repo) if repo == here or repo in here.parents else here
    return there if there.is_dir() else arm.root


StartArm = Callable[[Arm], ArmProcess]


class LivePair:
    """One unit of inference: fresh processes of base and head, which measure any number of benchmarks."""

    def __init__(self, base: Arm, head: Arm, start: StartArm, number: int, ceilings: Ceilings) -> None:
        self._arms, self._start, self._number, self._ceilings = (base, head), start, number, ceilings
        self._processes: list[ArmProcess] = []

    def measure(self, wanted: Wanted) -> Taken:
        """Alternate bursts of one benchmark. A process that dies costs this benchmark, not the pair."""
        so_far = _SoFar([wanted.blank, wanted.blank])
        try:
            return self._measured(self._alive(), wanted, so_far)
        except _ArmEnded as ended:
            dead = self._arms[ended.number]
            self.close()
            base, head = (tuple(bursts) for bursts in so_far.bursts)
            lost = Lost(dead.name, ended.end.outcome, f"{dead.name}: {ended.end}", ended.end.detail, base, head)
            so_far.checked = tuple(name for name in so_far.checked if name != dead.name)
            return so_far.taken(why=lost.reason, lost=lost)

    def kernels(self, offer: Offer) -> tuple[list[dict[str, float]], list[dict[str, float]]] | None:
        """Where a call's time goes by name, on base and on head, in some rounds in which they take turns.

        None where a process does not survive being asked.
        """
        rounds: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
        try:
            processes = self._alive()
            for number, process in enumerate(processes):
                with _naming(number):
                    process.begin_open(offer, check=False)
                    process.opened()
            for _ in range(PROFILE_ROUNDS):
                for number, process in enumerate(processes):
                    with _naming(number):
                        rounds[number].append(process.kernels())
        except _ArmEnded:
            self.close()
            return None
        return rounds

    def close(self) -> None:
        for process in self._processes:
            process.close()
        self._processes = []

    def _alive(self) -> tuple[ArmProcess, ArmProcess]:
        """Both processes, started together where they are not there."""
        if not self._processes:
            for number, arm in enumerate(self._arms):
                with _naming(number):
                    self._processes.append(self._start(arm))
            for number, process in enumerate(self._processes):
                with _naming(number):
                    process.wait_until_ready()
        return self._processes[0], self._processes[1]

    def _measured(self, both: tuple[ArmProcess, ArmProcess], wanted: Wanted, so_far: _SoFar) -> Taken:
        opened = self._opened(both, wanted)
        so_far.measurements = [one.measurement for one in opened]
        so_far.checked = tuple(
            arm.name
            for arm, one in zip(self._arms, opened, strict=True)
            if arm.name in wanted.check and one.measurement.outcome is Outcome.PASSED
        )
        untimed = [
            f"{arm.name}: {o.measurement.outcome.value}: {o.measurement.reason or o.measurement.untimed}"
            for arm, o in zip(self._arms, opened, strict=True)
            if not o.methods
        ]
        method = _common_method(opened[0], opened[1], wanted.method)
        if not untimed and opened[0].contents != opened[1].contents:
            return replace(so_far.taken(why=OTHER_CONTENTS), redefined=True)
        why = "; ".join(untimed) or other_inputs(opened[0].inputs, opened[1].inputs)
        if why or method is None:
            return so_far.taken(why=why or _no_common_method(opened[0], opened[1], wanted.method))
        return self._alternated(both, opened, method, so_far)

    def _opened(self, both: tuple[ArmProcess, ArmProcess], wanted: Wanted) -> list[Opened]:
        """Both arms at once, or, where nothing was timed yet, base first, whose plan head is given."""
        plan, opened = (wanted.method.plan if wanted.method else None), list[Opened]()
        waves = ((0, 1),) if wanted.method else ((0,), (1,))
        for wave in waves:
            for number in wave:
                with _naming(number):
                    both[number].begin_open(wanted.offer, self._arms[number].name in wanted.check, plan)
            for number in wave:
                with _naming(number):
                    opened.append(both[number].opened())
                if opened[-1].strays:
                    raise StrayModules(self._arms[number], opened[-1].strays)
            plan = plan or next((method.plan for method in opened[0].methods if method.plan is not None), None)
        return opened

    def _alternated(
        self, both: tuple[ArmProcess, ArmProcess], opened: Sequence[Opened], method: Method, so_far: _SoFar
    ) -> Taken:
        """Who waits stands still, lest work in the background of one arm slow the other."""
        warm = []
        for number, process in enumerate(both):
            with _naming(number), both[1 - number].paused():
                warm.append(process.warm(method))
        count = calls_a_burst(max(one.call_ns for one in warm))
        for _, number in interleave((0, 1), BURSTS, self._number):  # each arm follows itself as often as the other
            with _naming(number), both[1 - number].paused():
                so_far.bursts[number].append(both[number].burst(count))
        for number, process in enumerate(both):
            with _naming(number), both[1 - number].paused():
                closed = process.close_case()
            so_far.measurements[number] = self._judged(closed, so_far.bursts[number], opened[number], process.number)
        wrong = [
            f"{arm.name}: {measurement.outcome.value}: {measurement.reason}"
            for arm, measurement in zip(self._arms, so_far.measurements, strict=True)
            if measurement.outcome is not Outcome.PASSED
        ]
        if wrong:
            return so_far.taken(why="; ".join(wrong))
        return so_far.taken(method=method)

    def _judged(self, closed: Closed, bursts: Sequence[Burst], opened: Opened, process: int) -> Measurement:
        """As a run judges: with its launch, flagged, refused where it is faster than light."""
        if closed.timing is None:
            return closed.measurement
        why = no_times(closed.timing, bursts, None)
        if why is not None:
            return closed.measurement.fail(why)
        samples = [value for burst in bursts for value in burst.series[0].values]
        notes = (*opened.notes, *closed.notes, *burst_notes(bursts))
        timed = Timed(tuple(bursts), closed.timing, summarise(samples), tuple(dict.fromkeys(notes)))
        made = with_times(closed.measurement, timed, self._ceilings, closed.beside)
        return replace(made, launches=tuple(replace(launch, process=process) for launch in made.launches))


@dataclass
class _SoFar:
    """What a pair has given, for the case that it comes to no end."""

    measurements: list[Measurement]
    checked: tuple[str, ...] = ()
    bursts: tuple[list[Burst], list[Burst]] = field(default_factory=lambda: ([], []))

    def taken(self, method: Method | None = None, why: str | None = None, lost: Lost | None = None) -> Taken:
        base, head = self.measurements
        return Taken(base, head, method, why, self.checked, lost)


class StrayModules(Exception):
    """A module of the repository was loaded from outside the arm's checkout."""

    def __init__(self, arm: Arm, modules: tuple[str, ...]) -> None:
        super().__init__(f"{arm.name} loaded modules from outside its checkout: {', '.join(modules)}")
        self.arm, self.modules = arm, modules


class _ArmEnded(Exception):
    def __init__(self, number: int, end: WorkerEnded) -> None:
        self.number, self.end = number, end


@contextmanager
def _naming(number: int) -> Iterator[None]:
    """Says which arm's process it was that ended inside."""
    try:
        yield
    except WorkerEnded as end:
        raise _ArmEnded(number, end) from end


def calls_a_burst(call_ns: float) -> int:
    """So many calls take about 30 ms; of slow ones three where they fit into 300 ms, so that a burst has a median."""
    usual, few = BURST_NS // max(call_ns, 1.0), min(FEW_CALLS, LONGEST_BURST_NS // max(call_ns, 1.0))
    return int(min(MAX_BURST_CALLS, max(usual, few, 1)))


def other_inputs(base: Sequence[str], head: Sequence[str]) -> str | None:
    """How the inputs of one id differ between the arms, whose contracts may be their own; None where they do not."""
    if list(base) == list(head):
        return None
    alone = [", ".join(x for x in own if x not in other) or "fewer" for own, other in ((base, head), (head, base))]
    return f"one id, and other inputs: base {alone[0]}; head {alone[1]}"


def _common_method(base: Opened, head: Opened, before: Method | None) -> Method | None:
    """The method that was taken before, or else the best one, if both arms can be timed by it."""
    return next((m for m in base.methods if m in head.methods and before in (None, m)), None)


def _no_common_method(base: Opened, head: Opened, before: Method | None) -> str:
    told = [", ".join(map(str, opened.methods)) for opened in (base, head)]
    wanted = f", as was {before} in earlier pairs" if before else ""
    return f"no clock that both can be timed by{wanted}: base {told[0]}; head {told[1]}"
