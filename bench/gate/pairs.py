"""Live pairs: a process of each arm, alive together, that alternate bursts of one benchmark after another."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attnlab.bench import units
from attnlab.bench.gate import rerooting
from attnlab.bench.gate.arm_worker import BOOT
from attnlab.bench.gate.checkouts import Arm
from attnlab.bench.gate.environments import ArmEnvironment, own_packages
from attnlab.bench.gate.messages import ArmOrder, Method, Offer, Offers, Opened
from attnlab.bench.isolation import START_LIMIT_S, Process, WorkerEnded
from attnlab.bench.stats.decision import PairRatio
from attnlab.bench.stats.paired import log_ratio
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.records import Burst, Launch, Measurement, Outcome, TimingRecord
from attnlab.bench.timing import WarmUp

BURST_NS = 60 * units.NS_PER_MS
LONGEST_BURST_NS = 300 * units.NS_PER_MS
FEW_CALLS = 3
MAX_BURST_CALLS = 2000
PROFILE_ROUNDS = 5  # of each arm, to say which kernel moved
BURSTS = 16  # of each arm in a pair; even, so that each arm goes first in half of them


@dataclass(frozen=True)
class Side:
    """One arm's part in a pair: what its check said, and how it was timed, where it could be."""

    measurement: Measurement
    launch: Launch | None = None
    timing: TimingRecord | None = None


@dataclass(frozen=True)
class Taken:
    """One benchmark in one live pair. ratio is None where one side could not be timed; `why` says so.

    ended: the arm whose process ended, which may have been chance.
    """

    base: Side
    head: Side
    method: Method | None = None
    ratio: PairRatio | None = None
    why: str | None = None
    ended: str | None = None


class ArmProcess:
    """A process of one arm, at the gate's end. Every method raises WorkerEnded where it dies or is too slow."""

    def __init__(
        self,
        arm: Arm,
        repo: Path,
        harness: Path,
        order: ArmOrder,
        limit_s: float,
        environment: ArmEnvironment | None = None,
    ) -> None:
        self.arm, self._limit_s = arm, limit_s
        earlier = [str(root) for root in environment.checkouts if root != arm.root] if environment else []
        places = own_packages(repo, arm, harness) if environment else {}
        turning = json.dumps([str(repo), str(arm.root), str(harness), earlier, places])
        try:
            self._process = Process(
                order.device,
                BOOT,
                (rerooting.__file__, turning),
                _same_folder(repo, arm),
                environment.executable if environment else None,
                environment.variables(repo) if environment else None,
            )
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
        self._process.receive("ready", START_LIMIT_S, _ignore)

    def offers(self, wanted: Sequence[Offer] = ()) -> Offers:
        """What the arm has of its own suite and, besides, of what is wanted."""
        keys = [[offer.operator, offer.implementation, offer.case_id] for offer in wanted]
        return decode(Offers, self._ask("offers", ["offers", keys]))

    def begin_open(self, offer: Offer, check: bool) -> None:
        self._process.begin_case()
        self._process.send(["open", offer.operator, offer.implementation, offer.case_id, check])

    def opened(self) -> Opened:
        return decode(Opened, self._process.receive("opened", self._limit_s, _ignore))

    def warm(self, clock: str) -> WarmUp:
        return decode(WarmUp, self._ask("warm", ["warm", clock]))

    def burst(self, clock: str, count: int) -> Burst:
        return decode(Burst, self._ask("burst", ["burst", clock, count]))

    def close_case(self) -> Measurement:
        return decode(Measurement, self._ask("closed", ["close"]))

    def kernels(self) -> dict[str, float]:
        return {str(name): float(ns) for name, ns in self._ask("kernels", ["kernels"]).items()}

    def _ask(self, wanted: str, request: list[Any]) -> Any:
        self._process.send(request)
        return self._process.receive(wanted, self._limit_s, _ignore)

    def close(self) -> None:
        self._process.close()


def _same_folder(repo: Path, arm: Arm) -> Path:
    """The current folder as the arm has it, or the root of the arm's checkout."""
    here = Path.cwd().resolve()
    there = arm.root / here.relative_to(repo) if repo == here or repo in here.parents else here
    return there if there.is_dir() else arm.root


def _ignore(phase: str) -> None:
    return None


StartArm = Callable[[Arm], ArmProcess]


class LivePair:
    """One unit of inference: fresh processes of base and head, which measure any number of benchmarks."""

    def __init__(self, base: Arm, head: Arm, start: StartArm, number: int) -> None:
        self._arms, self._start, self._number = (base, head), start, number
        self._processes: list[ArmProcess] = []

    def measure(self, offer: Offer, blank: Measurement, check: bool) -> Taken:
        """Alternate bursts of one benchmark. A process that dies costs this benchmark, not the pair."""
        sides = [Side(blank), Side(blank)]
        try:
            base, head = self._alive()
            return self._measured(base, head, offer, check)
        except _ArmEnded as ended:
            end = ended.end
            dead = self._arms[ended.number]
            reason = f"{dead.name}: {end}"
            sides[ended.number] = Side(_failed(blank, end))
            self.close()
            return Taken(sides[0], sides[1], why=reason, ended=dead.name)

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

    def _measured(self, base: ArmProcess, head: ArmProcess, offer: Offer, check: bool) -> Taken:
        both = (base, head)
        opened: list[Opened] = []
        for number, process in enumerate(both):
            with _naming(number):
                process.begin_open(offer, check)
        for number, process in enumerate(both):
            with _naming(number):
                opened.append(process.opened())
        for arm, side in zip(self._arms, opened, strict=True):
            if side.strays:
                raise StrayModules(arm, side.strays)
        untimed = [
            f"{arm.name}: {o.measurement.outcome.value}: {o.measurement.reason or o.measurement.untimed}"
            for arm, o in zip(self._arms, opened, strict=True)
            if not o.methods
        ]
        method = _common_method(opened[0], opened[1])
        if untimed or method is None:
            why = "; ".join(untimed) or _no_common_method(opened[0], opened[1])
            return Taken(Side(opened[0].measurement), Side(opened[1].measurement), why=why)
        return self._alternated(both, opened, method)

    def _alternated(self, both: tuple[ArmProcess, ArmProcess], opened: Sequence[Opened], method: Method) -> Taken:
        warm = []
        for number, process in enumerate(both):
            with _naming(number):
                warm.append(process.warm(method.clock))
        count = calls_a_burst(max(one.call_ns for one in warm))
        bursts: tuple[list[Burst], list[Burst]] = ([], [])
        for turn in range(BURSTS):
            first = (turn + self._number) % 2  # each arm follows itself as often as the other
            for number in (first, 1 - first):
                with _naming(number):
                    bursts[number].append(both[number].burst(method.clock, count))
        sides = []
        for number, process in enumerate(both):
            with _naming(number):
                launch = Launch(process.number, tuple(bursts[number]))
                timing = _timing(method, opened[number].copies, warm[number], count * BURSTS)
                sides.append(Side(process.close_case(), launch, timing))
        base_ns, head_ns = ([_burst_median(burst) for burst in arm] for arm in bursts)
        ratio = PairRatio(log_ratio(base_ns, head_ns), statistics.median(base_ns))
        wrong = [
            f"{arm.name}: {side.measurement.outcome.value}: {side.measurement.reason}"
            for arm, side in zip(self._arms, sides, strict=True)
            if side.measurement.outcome is not Outcome.PASSED
        ]
        if wrong:
            return Taken(Side(sides[0].measurement), Side(sides[1].measurement), why="; ".join(wrong))
        return Taken(sides[0], sides[1], method, ratio)


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
    """So many calls take about 60 ms; of slow ones three where they fit into 300 ms, so that a burst has a median."""
    usual, few = BURST_NS // max(call_ns, 1.0), min(FEW_CALLS, LONGEST_BURST_NS // max(call_ns, 1.0))
    return int(min(MAX_BURST_CALLS, max(usual, few, 1)))


def _timing(method: Method, copies: int, warm: WarmUp, samples: int) -> TimingRecord:
    return TimingRecord(
        clock=method.clock,
        cache=method.cache,
        copies=copies,
        warmup_calls=warm.calls,
        warmup_ns=warm.elapsed_ns,
        warmup_stable=warm.stable,
        samples=samples,
        stopped=f"after {BURSTS} bursts",
        calls_a_sample=method.calls_a_sample,
    )


def _burst_median(burst: Burst) -> float:
    return statistics.median(burst.series[0].values)


def _common_method(base: Opened, head: Opened) -> Method | None:
    """The best method that both arms can be timed by."""
    return next((method for method in base.methods if method in head.methods), None)


def _no_common_method(base: Opened, head: Opened) -> str:
    told = [", ".join(map(str, opened.methods)) for opened in (base, head)]
    return f"no clock that both can be timed by: base {told[0]}; head {told[1]}"


def _failed(blank: Measurement, end: WorkerEnded) -> Measurement:
    return replace(blank, outcome=end.outcome, reason=str(end), detail=end.detail)
