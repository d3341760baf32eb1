"""Runs steps: every implementation on every case, each in its worker, appended to the run as it comes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from attnlab.bench import units
from attnlab.bench.contract import needs
from attnlab.bench.contract.contents import new_secret
from attnlab.bench.contract.meddling import refusal
from attnlab.bench.contract.named_files import contents
from attnlab.bench.contract.registry import Implementation, Registry
from attnlab.bench.machine.cgroup import free_memory_bytes
from attnlab.bench.machine.clocks import clocks_for
from attnlab.bench.measuring.here import HereWorker
from attnlab.bench.measuring.interleaving import interleave
from attnlab.bench.measuring.isolation import Worker
from attnlab.bench.measuring.judging.client import Hearing, Judge, search_folders
from attnlab.bench.measuring.judging.process import JudgeOrder
from attnlab.bench.measuring.judging.verdicts import owed
from attnlab.bench.measuring.outcomes import blank_measurement
from attnlab.bench.measuring.profile_order import ProfileOrder
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.measuring.steps import Step
from attnlab.bench.measuring.temporary_folders import own_folder
from attnlab.bench.measuring.timing import Effort
from attnlab.bench.measuring.turn_ratios import far_off
from attnlab.bench.measuring.turns import Round, contenders, lacking, with_turn
from attnlab.bench.measuring.worker import WorkerOrder
from attnlab.bench.measuring.worker_process import Process
from attnlab.bench.store.codec import encode
from attnlab.bench.store.machine import Ceilings, Environment
from attnlab.bench.store.records import QUICK, Measurement, Outcome

MEMORY_SHARE = 0.8  # of what is available now, for one worker
TURN_WARMUP_S = 0.1  # for each case in each fresh process
LEAST_MEMORY_BYTES = units.GIB  # with less than this a worker could not even import torch


@dataclass(frozen=True)
class Limits:
    """What one worker may take: seconds for a case, bytes of memory (None: a share of what is free)."""

    time_s: float = 120.0
    memory_bytes: int | None = None


class Progress(Protocol):
    """Told what is running; a terminal shows a bar, a log a line."""

    def begin(self, step: Step) -> None: ...

    def phase(self, step: Step, phase: str) -> None: ...

    def end(self, step: Step, measurement: Measurement) -> None: ...

    def turn(self, number: int, rounds: int, measurement: Measurement) -> None:
        """A case is about to have its turns in a round of fresh processes."""
        ...


Measure = Callable[[Step, Callable[[str], None]], Measurement]


class Sink(Protocol):
    def append(self, measurement: Measurement) -> None: ...


AnyWorker = Worker | HereWorker


@dataclass(frozen=True)
class Hands:
    """The worker of a step, and what is stored where that does not survive it."""

    worker: AnyWorker
    blank: Measurement


@dataclass(frozen=True)
class Staff:
    """Workers for who decides meanwhile which of them go on.

    of_step gives the worker that checks and times a step, or why there can be none; for_turn one that takes turns with
    others, of what was measured.
    """

    of_step: Callable[[Step], Hands | Measurement]
    for_turn: Callable[[Measurement], Worker]


@dataclass
class _Pool:
    """The processes of a run: its judge, and a worker for each implementation that has one by now."""

    folder: Path
    judge: Judge
    workers: dict[tuple[str, str], AnyWorker] = field(default_factory=dict)
    _files: Iterator[int] = field(default_factory=itertools.count)

    def new_file(self) -> Path:
        """Where a worker is to hand its outputs over."""
        return self.folder / f"outputs-{next(self._files)}"


@dataclass
class Runner:
    """Takes steps to measurements.

    untimed says why results are only checked, where they are not to be timed; cache what the L2 of a GPU
    is to hold when a call starts; secret what contents hang on that all workers meet; keep_failures the folder of
    the run in which failed checks are kept; here the names of implementations that are measured in this process, as no
    other can import them: they are trusted. profile: tools that take calls apart once they were measured. begin: starts
    a worker's process on a device.
    """

    registry: Registry
    environment: Environment
    ceilings: Ceilings
    effort: Effort
    limits: Limits
    plugins: tuple[str, ...] = ()
    seed: int = 0
    untimed: str | None = None
    cache: str = "cold"
    secret: int = field(default_factory=new_secret)
    keep_failures: Path | None = None
    here: tuple[str, ...] = ()
    profile: ProfileOrder | None = None
    begin: Callable[[str], Process] = Process

    def run(
        self, steps: list[Step], sink: Sink, progress: Progress, before: Sequence[Measurement] = ()
    ) -> Iterator[Measurement]:
        """Measure each step, store it, yield it; the workers end with the generator.

        They are started together, before anything is measured: importing torch takes seconds, and would
        disturb what is timed meanwhile. Then those near the fastest of a case take turns in fresh processes, and
        are stored and yielded again, `before` being what was measured of the run before.
        """
        with self._judged() as pool:
            measured = list(before)
            with self._hired(steps, pool) as hands:
                for _, group in itertools.groupby(steps, key=lambda step: (step.rounds, step.rounds and step.table)):
                    members = list(group)
                    take = self._in_rounds if members[0].rounds else self._one_by_one
                    for step, taken in take(members, hands, progress):
                        found = self._marked(taken)
                        sink.append(found)
                        progress.end(step, found)
                        measured.append(found)
                        yield found
            yield from self._in_turns(measured, pool, sink, progress)

    @contextmanager
    def workers(self, ahead: Sequence[Step] = ()) -> Iterator[Measure]:
        """Gives what measures one step and tells of its phases; its workers live as long as the context.

        Those of the steps `ahead` are started first, all at once; others at their first step.
        """
        with self._judged() as pool, self._hired(ahead, pool) as hands:
            yield lambda step, on_phase: self._measure(step, hands, on_phase)

    @contextmanager
    def staff(self) -> Iterator[Staff]:
        """Gives workers one by one; those of steps end with the context at the latest."""
        with self._judged() as pool, self._hired((), pool) as hands:
            yield Staff(hands, lambda m: self._hire(m, pool))

    @contextmanager
    def _judged(self) -> Iterator[_Pool]:
        """A judge and a folder for as long as the context."""
        judge = Judge(JudgeOrder(self.environment.device.kind, search_folders(self.plugins)))
        with own_folder("run") as folder:
            try:
                yield _Pool(folder, judge)
            finally:
                judge.close()

    @contextmanager
    def _hired(self, ahead: Sequence[Step], pool: _Pool) -> Iterator[Callable[[Step], Hands | Measurement]]:
        try:
            self._start(ahead, pool)
            yield lambda step: self._hands(step, pool)
        finally:
            for worker in pool.workers.values():
                worker.close()

    def _one_by_one(
        self, steps: Sequence[Step], hands: Callable[[Step], Hands | Measurement], progress: Progress
    ) -> Iterator[tuple[Step, Measurement]]:
        for step in steps:
            progress.begin(step)
            yield step, self._measure(step, hands, partial(progress.phase, step))

    def _in_rounds(
        self, steps: Sequence[Step], hands: Callable[[Step], Hands | Measurement], progress: Progress
    ) -> Iterator[tuple[Step, Measurement]]:
        """Open every step, take one burst of each in every round, and finish them.

        What fails is out.
        """
        ready: list[tuple[Step, Hands]] = []
        for step in steps:
            progress.begin(step)
            found = hands(step)
            if isinstance(found, Measurement):
                yield step, found
                continue
            measured = found.worker.open(step.case.id, found.blank, partial(progress.phase, step))
            if measured.outcome is Outcome.PASSED and measured.untimed is None:
                ready.append((step, found))
            else:
                yield step, measured
        for number, (step, found) in interleave(ready, steps[0].rounds):
            progress.phase(step, f"round {number + 1} of {step.rounds}")
            measured = found.worker.burst(step.case.id, found.blank)
            if measured.outcome is not Outcome.PASSED:
                ready.remove((step, found))
                yield step, measured
        for step, found in ready:
            yield step, found.worker.finish(step.case.id, found.blank, partial(progress.phase, step))

    def _marked(self, measured: Measurement) -> Measurement:
        """The measurement, flagged where it is of a quick look."""
        if not self.effort.quick or measured.outcome is Outcome.UNAVAILABLE:
            return measured
        return replace(measured, flags=(QUICK, *measured.flags))

    def _in_turns(
        self, measured: Sequence[Measurement], pool: _Pool, sink: Sink, progress: Progress
    ) -> Iterator[Measurement]:
        """Those near the fastest of a case, with their turns; where an earlier run took only some, all are taken anew.

        However it ends, what was taken is stored.
        """
        rounds = int(self.effort.turns)
        cases = lacking(contenders(measured), rounds) if rounds else []
        taken = {m.key: replace(m, turns=()) for case in cases for m in case}
        try:
            for number in range(1, rounds + 1 if cases else 0):
                alive = [[m for m in case if taken[m.key].outcome is Outcome.PASSED] for case in cases]
                tell = partial(progress.turn, number, rounds)
                one = Round(number, lambda m: self._hire(m, pool), tell)
                found = one.take([case for case in alive if len(case) > 1])
                taken |= {key: with_turn(taken[key], number, turn) for key, turn in found.items()}
        finally:
            taken = {key: replace(m, flags=tuple(dict.fromkeys((*m.flags, *far_off(m))))) for key, m in taken.items()}
            for m in taken.values():
                sink.append(m)
        yield from taken.values()

    def _hire(self, m: Measurement, pool: _Pool) -> Worker:
        """A worker that takes turns, of what was measured."""
        implementation = self.registry.implementations(m.operator).get(m.implementation)
        outputs = pool.new_file()
        order = self._order(implementation, outputs)
        effort = {**order.effort, "warmup_limit_s": min(order.effort["warmup_limit_s"], TURN_WARMUP_S)}
        hearing = self._hearing(implementation, outputs, pool, check=False)
        return Worker(replace(order, turn=True, effort=effort), self.limits.time_s, hearing, self.begin)

    def _start(self, steps: Sequence[Step], pool: _Pool) -> None:
        for who in dict.fromkeys((step.operator, step.implementation) for step in steps):
            implementation = self.registry.implementations(who[0]).get(who[1])
            missing = needs.missing(implementation, self.environment.device)
            if missing is None and not implementation.meddles:
                self._worker(implementation, pool).start()
        if any(not isinstance(worker, HereWorker) for worker in pool.workers.values()):
            pool.judge.start()
        for worker in pool.workers.values():
            worker.wait()
        pool.judge.wait()

    def _measure(
        self, step: Step, hands: Callable[[Step], Hands | Measurement], on_phase: Callable[[str], None]
    ) -> Measurement:
        found = hands(step)
        if isinstance(found, Measurement):
            return found
        return found.worker.run(step.case.id, found.blank, on_phase)

    def _hands(self, step: Step, pool: _Pool) -> Hands | Measurement:
        """The worker of a step, started where there is none yet; or why there can be none."""
        operator = self.registry.operators.get(step.operator)
        implementation = self.registry.implementations(step.operator).get(step.implementation)
        blank = replace(blank_measurement(operator, step.case, implementation), files=contents(step.case))
        if blank.outcome is Outcome.FAILED:
            return blank
        reason = needs.missing(implementation, self.environment.device)
        if reason is not None:
            return replace(blank, reason=reason)
        if implementation.meddles:
            return blank.fail(refusal(implementation.meddles))
        return Hands(self._worker(implementation, pool), blank)

    def _worker(self, implementation: Implementation, pool: _Pool) -> AnyWorker:
        """The worker of an implementation, with a file of its own for outputs."""
        who = implementation.operator, implementation.name
        if who not in pool.workers and implementation.name in self.here:
            operator = self.registry.operators.get(implementation.operator)
            pool.workers[who] = HereWorker(operator, implementation, self._setup())
        if who not in pool.workers:
            outputs = pool.new_file()
            hearing = self._hearing(implementation, outputs, pool)
            pool.workers[who] = Worker(self._order(implementation, outputs), self.limits.time_s, hearing, self.begin)
        return pool.workers[who]

    def _hearing(self, implementation: Implementation, outputs: Path, pool: _Pool, check: bool = True) -> Hearing:
        operator, quick = self.registry.operators.get(implementation.operator), bool(self.effort.quick)
        sets = tuple(owed(operator, self.seed, quick)) if check else ()
        run = self.keep_failures
        keep = None if run is None else (str(run.resolve()), implementation.name, self.seed, self.plugins)
        return Hearing(pool.judge, self.registry, implementation, outputs, self.seed, sets, self.ceilings, keep)

    def _setup(self) -> Setup:
        """How this process measures."""
        device = torch.device(self.environment.device.kind)
        return Setup(
            device=device,
            clocks=clocks_for(device, self.cache),
            ceilings=self.ceilings,
            effort=self.effort,
            seed=self.seed,
            untimed=self.untimed,
            secret=self.secret,
        )

    def _order(self, implementation: Implementation, outputs: Path) -> WorkerOrder:
        limit = self.limits.memory_bytes
        if limit is None and self.environment.device.kind == "cpu":
            limit = max(LEAST_MEMORY_BYTES, int(MEMORY_SHARE * free_memory_bytes()))
        ceilings: Mapping[str, Any] = encode(self.ceilings)
        return WorkerOrder(
            operator=implementation.operator,
            implementation=implementation.variant_of or implementation.name,
            module=implementation.module,
            plugins=self.plugins,
            device=self.environment.device.kind,
            effort=asdict(self.effort),
            ceilings=dict(ceilings),
            seed=self.seed,
            memory_limit_bytes=limit,
            outputs=str(outputs),
            untimed=self.untimed,
            cache=self.cache,
            secret=self.secret,
            profile=self.profile,
            configuration=None if implementation.chosen is None else dict(implementation.chosen),
        )
