"""Live pairs: a process of each arm, alive together, that alternate bursts of one benchmark after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from attnlab.bench.gate.arm_process import ArmProcess
from attnlab.bench.gate.checkouts import Arm
from attnlab.bench.gate.messages import Offer, Opening, TimingMethod
from attnlab.bench.gate.pair_records import PairRequest, PairResult, ProcessLoss
from attnlab.bench.measuring.interleaving import interleave
from attnlab.bench.measuring.timing import calls_a_burst
from attnlab.bench.measuring.worker_process import WorkerEnded
from attnlab.bench.store.records import Burst, Measurement, Outcome

FEW_CALLS = 3  # of a slow benchmark in a burst, which has a median then
MAX_BURST_CALLS = 2000
PROFILE_ROUNDS = 5  # of each arm, to say which kernel moved
# Of each arm in a pair; even, so that each arm goes first in half of them. More pairs tell more than longer ones do.
BURSTS = 8
OTHER_CONTENTS = "one id and one seed, and the contracts of base and head fill the inputs otherwise"

StartArm = Callable[[Arm], ArmProcess]


class LivePair:
    """One unit of inference: fresh processes of base and head, which measure any number of benchmarks."""

    def __init__(self, base: Arm, head: Arm, start: StartArm, number: int) -> None:
        self._arms, self._start, self._number = (base, head), start, number
        self._processes: list[ArmProcess] = []

    def measure(self, wanted: PairRequest) -> PairResult:
        """Alternate bursts of one benchmark. A process that dies costs this benchmark, not the pair."""
        so_far = _SoFar([wanted.blank, wanted.blank])
        try:
            return self._measure(self._alive(), wanted, so_far)
        except _ArmEnded as ended:
            dead = self._arms[ended.number]
            self.close()
            base, head = (tuple(bursts) for bursts in so_far.bursts)
            lost = ProcessLoss(dead.name, ended.end.outcome, f"{dead.name}: {ended.end}", ended.end.detail, base, head)
            so_far.checked = tuple(name for name in so_far.checked if name != dead.name)
            return so_far.result(why=lost.reason, lost=lost)

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
                    process.opening()
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

    def _measure(self, both: tuple[ArmProcess, ArmProcess], wanted: PairRequest, so_far: _SoFar) -> PairResult:
        opened = self._open(both, wanted)
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
            return replace(so_far.result(why=OTHER_CONTENTS), redefined=True)
        why = "; ".join(untimed) or other_inputs(opened[0].inputs, opened[1].inputs)
        if why or method is None:
            return so_far.result(why=why or _no_common_method(opened[0], opened[1], wanted.method))
        return self._alternate(both, method, so_far)

    def _open(self, both: tuple[ArmProcess, ArmProcess], wanted: PairRequest) -> list[Opening]:
        """Both arms at once, or, where nothing was timed yet, base first, whose plan head is given."""
        plan, opened = (wanted.method.plan if wanted.method else None), list[Opening]()
        waves = ((0, 1),) if wanted.method else ((0,), (1,))
        for wave in waves:
            for number in wave:
                with _naming(number):
                    check = self._arms[number].name in wanted.check
                    both[number].begin_open(wanted.offer, check, plan, wanted.following)
            for number in wave:
                with _naming(number):
                    opened.append(both[number].opening())
                if opened[-1].strays:
                    raise StrayModules(self._arms[number], opened[-1].strays)
            plan = plan or next((method.plan for method in opened[0].methods if method.plan is not None), None)
        return opened

    def _alternate(self, both: tuple[ArmProcess, ArmProcess], method: TimingMethod, so_far: _SoFar) -> PairResult:
        """Who waits stands still, lest work in the background of one arm slow the other."""
        warm = []
        for number, process in enumerate(both):
            with _naming(number), both[1 - number].paused():
                warm.append(process.warm(method))
        count = calls_a_burst(max(one.call_ns for one in warm), MAX_BURST_CALLS, FEW_CALLS)
        for _, number in interleave((0, 1), BURSTS, self._number):  # each arm follows itself as often as the other
            with _naming(number), both[1 - number].paused():
                so_far.bursts[number].append(both[number].burst(count))
        for number, process in enumerate(both):
            with _naming(number), both[1 - number].paused():
                so_far.measurements[number] = process.close_case()
        wrong = [
            f"{arm.name}: {measurement.outcome.value}: {measurement.reason}"
            for arm, measurement in zip(self._arms, so_far.measurements, strict=True)
            if measurement.outcome is not Outcome.PASSED
        ]
        if wrong:
            return so_far.result(why="; ".join(wrong))
        return so_far.result(method=method)


@dataclass
class _SoFar:
    """What a pair has given, for the case that it comes to no end."""

    measurements: list[Measurement]
    checked: tuple[str, ...] = ()
    bursts: tuple[list[Burst], list[Burst]] = field(default_factory=lambda: ([], []))

    def result(
        self, method: TimingMethod | None = None, why: str | None = None, lost: ProcessLoss | None = None
    ) -> PairResult:
        base, head = self.measurements
        return PairResult(base, head, method, why, self.checked, lost)


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


def other_inputs(base: Sequence[str], head: Sequence[str]) -> str | None:
    """How the inputs of one id differ between the arms, whose contracts may be their own; None where they do not."""
    if list(base) == list(head):
        return None
    alone = [", ".join(x for x in own if x not in other) or "fewer" for own, other in ((base, head), (head, base))]
    return f"one id, and other inputs: base {alone[0]}; head {alone[1]}"


def _common_method(base: Opening, head: Opening, before: TimingMethod | None) -> TimingMethod | None:
    """The method that was taken before, or else the best one, if both arms can be timed by it."""
    return next((m for m in base.methods if m in head.methods and before in (None, m)), None)


def _no_common_method(base: Opening, head: Opening, before: TimingMethod | None) -> str:
    told = [", ".join(map(str, opened.methods)) for opened in (base, head)]
    wanted = f", as was {before} in earlier pairs" if before else ""
    return f"no clock that both can be timed by{wanted}: base {told[0]}; head {told[1]}"
