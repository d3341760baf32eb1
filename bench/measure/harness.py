"""One implementation on one case: check, time, measure memory -> a measurement."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.contents import Content, new_secret
from attnlab.bench.contract.meddling import refusal
from attnlab.bench.contract.operator_spec import NORMAL_DRAW, Operator
from attnlab.bench.contract.registry import Implementation
from attnlab.bench.errors import MeasurementError, Unavailable
from attnlab.bench.machine import peak_memory
from attnlab.bench.machine.clocks import Started, copies_wanted, host_clocks, now, start_all
from attnlab.bench.machine.clocks.clock import Clock
from attnlab.bench.measure.correctness import Checker
from attnlab.bench.measure.judging.court import AnyOperator, Court
from attnlab.bench.measure.judging.handing import HereJudge, Judges
from attnlab.bench.measure.judging.refusals import Rejected
from attnlab.bench.measure.judging.verdicts import owed
from attnlab.bench.measure.outcomes import blank_measurement, failure_of
from attnlab.bench.measure.plausibility import HOST_CLOCKS
from attnlab.bench.measure.renewal import Copy, Renewal
from attnlab.bench.measure.settings import Apart
from attnlab.bench.measure.settlement import Grounds, settle
from attnlab.bench.measure.timing import Effort, Sampling, Timed
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.plan import Plan
from attnlab.bench.store.records import Burst, Launch, Measurement, Outcome, Series
from attnlab.bench.text import LONGEST_REASON, message_of, one_line

ONE_BUFFER = "all calls return one buffer, as declared, and so one set of inputs is timed over and over"
MOST_SHOWN = 4096  # calls in a stretch that a parent times


@dataclass(frozen=True)
class Setup:
    """Where and how an implementation is measured; `announce` is told each phase as it begins.

    secret: what contents hang on that all processes of a run meet; no implementation knows it beforehand.
    untimed says why no times are taken in this run, where that is so: results are only checked. plan is how calls were
    laid out elsewhere for what is compared with this. meddled names what was changed of the harness in this process.
    memory: whether a call's peak is measured. mark tells a parent, which has a clock of its own, how many calls were
    made since the last mark, and is told whether that is enough; None where there is none. judging gives what outputs
    are handed over to; where it is None they are judged in this process, by `court` where several share one. apart: the
    settings of this process as the harness has them, taken before any foreign code ran, and as foreign code does.
    """

    device: torch.device
    clocks: tuple[Clock, ...]
    ceilings: Ceilings
    effort: Effort = field(default_factory=Effort)
    seed: int = 0
    announce: Callable[[str], None] = lambda phase: None
    untimed: str | None = None
    plan: Plan | None = None
    meddled: Callable[[], tuple[str, ...]] = tuple
    mark: Callable[[int], bool] | None = None
    judging: Callable[[AnyOperator, Case], Judges] | None = None
    court: Court | None = None
    secret: int = field(default_factory=new_secret)
    memory: bool = True
    apart: Apart = field(default_factory=Apart)


def measure(operator: Operator[Any, Any], case: Case, implementation: Implementation, setup: Setup) -> Measurement:
    """Measure and judge in this process, for code that is trusted; a run has processes for both (see `isolation`).

    Whatever the implementation raises ends as an outcome with its reason and traceback.
    """
    here = HereJudge(operator, case, setup.court or Court(setup.device))
    with open_case(operator, case, implementation, replace(setup, judging=lambda *_: here)) as opened:
        claim = opened.measured()
    sets, poisoned = tuple(owed(operator, setup.seed)), not implementation.compiled
    grounds = Grounds(here.findings, sets, poisoned, testify=partial(here.testify, setup.seed))
    blank = blank_measurement(operator, case, implementation)
    return settle(claim, blank, grounds, setup.ceilings, lambda: here.facts(setup.seed))


@contextmanager
def open_case(
    operator: Operator[Any, Any], case: Case, implementation: Implementation, setup: Setup, check: bool = True
) -> Iterator[OpenCase]:
    """An implementation on one case, set up and, where `check`, proved right; what it held is freed at the end."""
    opened = OpenCase(operator, case, implementation, setup, check)
    try:
        yield opened
    finally:
        opened.forget()


def shows_calls(operator: Operator[Any, Any], device: str) -> bool:
    """Whether a parent can time calls too: on a GPU they go on when they have returned, and observed ones take long."""
    return device == "cpu" and operator.observe is None


def _text(answer: object, method: str) -> str | None:
    """What a method of an implementation may return: a text or None."""
    if answer is None:
        return None
    if isinstance(answer, str):
        return one_line(str.__str__(answer))  # whatever class of texts it is of
    raise MeasurementError(f"{method} returned {one_line(repr(answer), 80)}; expected None, or a text that says why")


class FirstCall:
    """A `run` whose first call is timed, until the device is done with it; the others go through."""

    def __init__(self, run: Callable[[Any, Any], Any], synchronise: Callable[[], None]) -> None:
        self._run, self._synchronise = run, synchronise
        self.elapsed_ns: float | None = None

    def __call__(self, inputs: Any, state: Any) -> Any:
        if self.elapsed_ns is not None:
            return self._run(inputs, state)
        self._synchronise()
        start = now.perf_counter_ns()
        returned = self._run(inputs, state)
        self._synchronise()
        self.elapsed_ns = float(now.perf_counter_ns() - start)
        return returned


class OpenCase:
    """One implementation on one case in this process: what is known of it so far, and the calls to time.

    `copies` is empty where it did not get so far as to be timed; `measurement` says why.
    """

    def __init__(
        self,
        operator: Operator[Any, Any],
        case: Case,
        implementation: Implementation,
        setup: Setup,
        check: bool,
    ) -> None:
        self.operator, self.case, self.implementation, self.setup = operator, case, implementation, setup
        self.phases: dict[str, float] = {}
        self._foreign = setup.apart.foreign
        self.first_call = FirstCall(implementation.run, self._synchronise)
        judge = setup.judging(operator, case) if setup.judging else HereJudge(operator, case, Court(setup.device))
        self.checker = Checker(
            operator, case, replace(implementation, run=self.first_call), judge, setup.device, self._foreign
        )
        self.copies: list[Copy] = []
        self._sampling: Sampling | None = None
        self._refused: Rejected | None = None
        self._notes: dict[str, None] = {}
        self._renewal: Renewal | None = None
        self.measurement = blank_measurement(operator, case, implementation)
        if self.measurement.outcome is not Outcome.FAILED:
            self._guard(lambda: self._make_ready(check))

    def measured(self) -> Measurement:
        """Time, check the timed outputs and measure memory, where there is something to time."""
        self._guard_timing(self._time)
        return self.finished()

    def warm_up(self) -> Measurement:
        """Get ready for bursts, where there is something to time; the measurement so far."""
        self._guard_timing(self._warm_up)
        return self.measurement

    def burst(self) -> Measurement:
        """Take one burst, so that others can have their turn before the next; the measurement so far."""
        self._guard_timing(self._burst)
        return self.measurement

    def pass_over(self) -> None:
        """Make a call that is not timed."""
        self._guard_timing(self._pass_over)

    def finished(self, stopped: str | None = None) -> Measurement:
        """The measurement with times, their check and memory; `stopped` as `Sampling.timed` says."""
        self._guard_timing(lambda: self._measure(stopped))
        return self.measurement

    def _guard_timing(self, work: Callable[[], None]) -> None:
        if self.copies:
            self._guard(work)

    def methods(self) -> Started:
        """How the calls can be timed, best first; to be asked before any clock is begun."""
        with self._foreign():
            return start_all(self._clocks, self.copies, self.measurement.bytes_moved or 0, self.setup.plan)

    def begin(self, clock: str, plan: Plan | None) -> Sampling:
        """Warm up for bursts by that clock alone, laid out by `plan`."""
        with self._phase("warm-up"), self._foreign():
            return self._begun(tuple(one for one in self._clocks if one.name == clock), plan)

    def closed(self) -> tuple[Measurement, tuple[Series, ...]]:
        """The measurement so far, what the last calls returned checked, and what stands beside its times."""
        beside: list[Series] = []

        def work() -> None:
            self._refuse_meddling()
            self._refuse_what_was_said()
            self._check_timed()
            self.measurement = replace(self.measurement, phases_ns=dict(self.phases))
            beside.extend(self._beside(resident=True))

        self._guard(work)
        return self.measurement, tuple(beside)

    def _guard(self, work: Callable[[], None]) -> None:
        """Whatever foreign code raises becomes the measurement's outcome."""
        try:
            work()
            return
        except Unavailable as error:
            found = self.measurement.fail(message_of(error, LONGEST_REASON), outcome=Outcome.UNAVAILABLE)
        except Rejected as error:
            found = self.measurement.fail(str(error), outcome=error.outcome)
        except Exception as error:  # noqa: BLE001 - the isolation boundary: foreign code, traceback kept
            found = failure_of(self.measurement, error)
        flags = tuple(self._settings_changed())
        self.measurement, self.copies = replace(found, phases_ns=dict(self.phases), flags=flags), []

    def _make_ready(self, check: bool) -> None:
        if self.implementation.meddles:
            raise Rejected(Outcome.FAILED, refusal(self.implementation.meddles))
        reason = self._said("supports(case)", lambda: self.implementation.supports(self.case))
        if reason is not None:
            raise Unavailable(reason)
        self._reset_compiler()
        seed = self.setup.seed
        first = self._inputs(seed)
        state = self._prepare(first)
        content = Content(seed, seed)
        if check:
            content = self._check(first, state)
        else:
            with self._phase("first call"), self._foreign():
                self.first_call(first, state)
        configuration = self._said("configuration(case)", lambda: self.implementation.configuration(self.case))
        passed = replace(self.measurement, outcome=Outcome.PASSED, configuration=configuration)
        untimed = self._said("untimed(device_kind)", lambda: self.implementation.untimed(self.setup.device.type))
        untimed = untimed or self.setup.untimed
        self.measurement = replace(passed, untimed=untimed, phases_ns=dict(self.phases))
        if untimed is not None:
            return
        self.copies = [Copy(self.implementation, first, state, content)]
        wanted = copies_wanted(self._clocks, self.copies[0], self.measurement.bytes_moved or 0, self.setup.plan)
        if self.implementation.static_output:  # what a call returned is looked at before the next one writes over it
            wanted = 1
            self._notes[ONE_BUFFER] = None
        for seed in range(self.setup.seed + 1, self.setup.seed + wanted):
            inputs = self._inputs(seed)
            with self._foreign():
                state = self.implementation.prepare(self.case, inputs)
            self.copies.append(Copy(self.implementation, inputs, state, Content(seed, seed)))
        checker = self.checker
        self._renewal = Renewal(
            self.operator, self.case, self.copies, checker.results, checker.judge_intact, self.setup.secret,
            own=self.setup.apart.own,
        )  # fmt: skip

    def _check(self, inputs: Any, state: Any) -> Content:
        """On `inputs`, and on needles; what `inputs` hold afterwards."""
        sets = tuple(owed(self.operator, self.setup.seed))
        with self._phase("check"):
            self.checker.check(inputs, state, sets)
        self._refuse_meddling()
        return [content for _, draw, content in sets if draw == NORMAL_DRAW][-1]

    def _refuse_meddling(self) -> None:
        """Where the implementation changed what measures it, nothing that was measured is worth a word."""
        names = self.setup.meddled()
        if names:
            raise Rejected(Outcome.FAILED, refusal(names))

    def _measure(self, stopped: str | None) -> None:
        timed = self._in_turn().timed(stopped)
        with self._foreign():
            self._show()
        self._refuse_meddling()
        self._refuse_still_inputs(timed)
        self._check_timed()
        self.measurement = self._finish(timed)

    def _refuse_still_inputs(self, timed: Timed) -> None:
        """A host's clock has new content before each call."""
        assert self._renewal is not None
        if timed.record.clock in HOST_CLOCKS and self._renewal.calls < timed.record.samples:
            reason = f"had new inputs for {self._renewal.calls} of {timed.record.samples} timed calls"
            raise Rejected(Outcome.FAILED, f"{reason}; expected it to leave what renews them as it is")

    def _show(self) -> None:
        """Calls between marks, which the parent times by its own clock, without a word of this process on times."""
        if self.setup.mark is None or not shows_calls(self.operator, self.setup.device.type):
            return
        with self._phase("seen from outside"):
            count, enough = 1, self.setup.mark(0)
            while not enough:
                for number in range(count):
                    self.copies[number % len(self.copies)]()
                enough = self.setup.mark(count)
                count = min(4 * count, MOST_SHOWN)

    def _check_timed(self) -> None:
        with self._phase("check timed"):
            assert self._renewal is not None
            with self._foreign():
                finished = self._renewal.finished()
            for kept in finished:
                self.checker.check_timed(kept)

    def forget(self) -> None:
        """Free what the case held, so that the next one starts with an empty cache."""
        del self.checker
        self.copies = []
        self._sampling = self._renewal = None
        if self.setup.device.type == "cuda":
            torch.cuda.empty_cache()

    def _reset_compiler(self) -> None:
        """Each case compiles for itself: no recompilation limit is ever near."""
        if self.implementation.compiled:
            torch.compiler.reset()

    def _inputs(self, seed: int) -> Any:
        with self._phase("inputs"):
            return self.operator.make_inputs(self.case, NORMAL_DRAW, seed, self.setup.device)

    def _prepare(self, inputs: Any) -> Any:
        with self._phase("set-up"), self._foreign():
            state = self.implementation.prepare(self.case, inputs)
            self._synchronise()
        return state

    def _said(self, method: str, ask: Callable[[], object]) -> str | None:
        with self._foreign():
            return _text(ask(), method)

    @property
    def _clocks(self) -> tuple[Clock, ...]:
        return self.setup.clocks if self.operator.observe is None else host_clocks(self.setup.device)

    def _time(self) -> None:
        with self._phase("timing"), self._foreign():
            sampling = self._begun()
            while not sampling.done:
                sampling.burst()
                self._refuse_what_was_said()

    def _warm_up(self) -> None:
        with self._phase("warm-up"), self._foreign():
            self._begun()

    def _burst(self) -> None:
        with self._phase("timing"), self._foreign():
            self._in_turn().burst()
            self._refuse_what_was_said()

    def _pass_over(self) -> None:
        with self._foreign():
            self._in_turn().pass_over()

    def _begun(self, clocks: tuple[Clock, ...] | None = None, plan: Plan | None = None) -> Sampling:
        bytes_a_call = self.measurement.bytes_moved or 0
        observe = None if self.operator.observe is None else self._observed
        self._sampling = Sampling(
            self.copies,
            clocks or self._clocks,
            self.setup.effort,
            bytes_a_call=bytes_a_call,
            observe=observe,
            plan=plan or self.setup.plan,
        )
        assert self._renewal is not None
        self._renewal.begin()  # it is warm: calls from here on are timed
        return self._sampling

    def _observed(self, call: Callable[[], object], begun_ns: int, elapsed_ns: float) -> tuple[Series, ...]:
        """What a call says of itself; where that is refused nothing, and the refusal comes when the burst is over."""
        assert isinstance(call, Copy)
        assert self.operator.observe is not None
        if self._refused is not None:
            return ()
        try:
            returned, notes = self.checker.attest(call.inputs, call.outputs, begun_ns, elapsed_ns)
            self._notes |= dict.fromkeys(notes)
            return self.operator.observe(call.inputs, returned)
        except Rejected as error:
            self._refused = error
            return ()

    def _refuse_what_was_said(self) -> None:
        if self._refused is not None:
            raise self._refused

    def _in_turn(self) -> Sampling:
        assert self._sampling is not None
        return self._sampling

    def _memory(self, copy: Copy, resident: bool) -> tuple[Series, ...]:
        """The allocator's peak in a call, on a CPU with the process's where that can be seen, or is asked for."""

        def call() -> Any:
            with self._foreign():
                copy()
            outputs = copy.outputs
            copy.outputs = None
            if isinstance(outputs, (tuple, list)):
                return outputs
            return (outputs,) if isinstance(outputs, torch.Tensor) else ()

        copy.outputs = None
        found: list[Series] = []
        if not self.setup.memory:
            return ()
        with self._phase("memory"):
            peak = peak_memory.peak_bytes(call, self.setup.device) if self.implementation.memory_seen else None
            if peak is not None:
                found.append(Series("peak_memory", "B", None, "lower", (float(peak),)))
            if self.setup.device.type == "cpu" and (resident or (peak or 0) >= peak_memory.VISIBLE_BYTES):
                grown = peak_memory.process_peak_bytes(call)
                if grown is not None:
                    found.append(Series("peak_resident_memory", "B", None, "lower", (float(grown),)))
        return tuple(found)

    def _finish(self, timed: Timed) -> Measurement:
        """All that was taken, as raw as it is: who judges works out what it means (see `judged.settle`)."""
        bursts = (*timed.bursts, Burst(now.time_s(), self._beside()))
        return replace(
            self.measurement,
            timing=timed.record,
            launches=(Launch(os.getpid(), bursts),),
            flags=(*timed.notes, *self._notes, *self._settings_changed()),
            phases_ns=dict(self.phases),
        )

    def _settings_changed(self) -> Iterator[str]:
        names = self.setup.apart.changed()
        if names:
            yield f"its code sets, for its whole process: {', '.join(names)}"

    def _beside(self, resident: bool = False) -> tuple[Series, ...]:
        """What stands beside the times: set-up, the first call, memory."""
        once = [("setup", self.phases["set-up"]), ("first_call", self.first_call.elapsed_ns)]
        times = [Series(name, "ns", "wall", "lower", (value,)) for name, value in once if value is not None]
        return (*times, *self._memory(self.copies[0], resident))

    def _synchronise(self) -> None:
        if self.setup.device.type == "cuda":
            torch.cuda.synchronize(self.setup.device)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self.setup.announce(name)
        start = now.perf_counter_ns()
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + now.perf_counter_ns() - start
