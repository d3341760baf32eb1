"""One implementation on one case, made ready to be timed: inputs, set-up, check, and copies to rotate through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import torch

from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.contents import Content
from attnlab.bench.contract.meddling import refusal
from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.contract.ranks import RankFailed
from attnlab.bench.contract.registry import Implementation
from attnlab.bench.errors import MeasurementError, Unavailable
from attnlab.bench.machine.clocks import Timers, copies_wanted, host_clocks, now, start_all
from attnlab.bench.machine.clocks.clock import Clock
from attnlab.bench.measuring.correctness import Checker
from attnlab.bench.measuring.judging.court import AnyOperator, Court
from attnlab.bench.measuring.judging.handing import HereJudge
from attnlab.bench.measuring.judging.refusals import Rejected
from attnlab.bench.measuring.judging.verdicts import owed
from attnlab.bench.measuring.outcomes import blank_measurement, failure_of
from attnlab.bench.measuring.output_reader import OutputReader
from attnlab.bench.measuring.renewal import Copy, Renewal
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.ranks.clock import ranks_clocks
from attnlab.bench.ranks.of_ranks import inspect_ranks
from attnlab.bench.store.records import Measurement, Outcome
from attnlab.bench.text import LONGEST_REASON, message_of, one_line

ONE_BUFFER = "all calls return one buffer, as declared, and so one set of inputs is timed over and over"


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


class PreparedCase:
    """One implementation on one case in this process: what is known of it so far, and the calls to time.

    measurement: what is known; it says why where there is nothing to time. copies: the calls to time, each with inputs
    of its own. phases_ns: elapsed time by phase. notes: what is to be told of how it is timed.
    """

    def __init__(
        self, operator: AnyOperator, case: Case, implementation: Implementation, setup: Setup, check: bool
    ) -> None:
        self.operator, self.case, self.implementation, self.setup = operator, case, implementation, setup
        self.phases_ns: dict[str, float] = {}
        self.notes: tuple[str, ...] = ()
        self.copies: list[Copy] = []
        self.first_call = FirstCall(implementation.run, self._synchronise)
        judge = setup.judging(operator, case) if setup.judging else HereJudge(operator, case, Court(setup.device))
        watched = replace(implementation, run=self.first_call)
        self.reader = OutputReader(operator, case, setup.device)
        self.checker = Checker(operator, case, watched, judge, setup.device, self.foreign)
        self._renewal: Renewal | None = None
        self.measurement = blank_measurement(operator, case, implementation)
        if self.measurement.outcome is not Outcome.FAILED:
            self._guard(lambda: self._prepare(check))

    @property
    def ready(self) -> bool:
        """Whether there is something to time."""
        return bool(self.copies)

    @property
    def call(self) -> Copy:
        """One of the calls to time."""
        return self.copies[0]

    @property
    def renewal(self) -> Renewal:
        """What renews the calls' inputs; there is one where it is ready."""
        assert self._renewal is not None
        return self._renewal

    @property
    def clocks(self) -> tuple[Clock, ...]:
        """Those that it may be timed by, the preferred one first."""
        if self.operator.ranks is not None:
            return ranks_clocks(self.setup.device.type)
        return self.setup.clocks if self.operator.observe is None else host_clocks(self.setup.device)

    @property
    def bytes_a_call(self) -> int:
        return self.measurement.bytes_moved or 0

    def methods(self) -> Timers:
        """How the calls can be timed, best first; to be asked before any is timed."""
        with self.foreign():
            return start_all(self.clocks, self.copies, self.bytes_a_call, self.setup.plan)

    def foreign(self) -> AbstractContextManager[None]:
        """Code of the implementation runs inside."""
        return self.setup.apart.foreign()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What is done inside is a phase, which is announced and whose time is kept."""
        self.setup.announce(name)
        start = now.perf_counter_ns()
        try:
            yield
        finally:
            self.phases_ns[name] = self.phases_ns.get(name, 0.0) + now.perf_counter_ns() - start

    def attempt(self, work: Callable[[], Measurement]) -> Measurement:
        """What is known after some work, which is done where there is something to time, and gives what is known then.

        Whatever it raises becomes the outcome, and nothing is timed any more.
        """
        if self.ready:
            self._guard(work)
        return self.measurement

    def refuse_meddling(self) -> None:
        """Raise Rejected, or RankFailed, where the implementation changed what measures it: then nothing counts."""
        names = self.setup.meddled()
        if names:
            raise Rejected(Outcome.FAILED, refusal(names))
        if self.operator.over_ranks(self.case):
            inspect_ranks()

    def check_timed(self) -> None:
        """Check what timed calls returned; raises Rejected."""
        with self.phase("check timed"):
            with self.foreign():
                finished = self.renewal.finished()
            for kept in finished:
                self.checker.check_timed(kept)

    def settings_changed(self) -> tuple[str, ...]:
        """A flag where its code sets something that is its whole process's; () where it does not."""
        names = self.setup.apart.changed()
        return (f"its code sets, for its whole process: {', '.join(names)}",) if names else ()

    def free(self) -> None:
        """Let go of what it holds, so that the next case starts with an empty cache."""
        del self.checker
        self.copies = []
        self._renewal = None
        if self.setup.device.type == "cuda":
            torch.cuda.empty_cache()

    def _guard(self, work: Callable[[], Measurement]) -> None:
        try:
            self.measurement = work()
            return
        except Unavailable as error:
            failed = self.measurement.fail(message_of(error, LONGEST_REASON), outcome=Outcome.UNAVAILABLE)
        except Rejected as error:
            failed = self.measurement.fail(str(error), outcome=error.outcome)
        except RankFailed as error:
            failed = self.measurement.fail(str(error), error.detail, error.outcome)
        except Exception as error:  # noqa: BLE001 - the isolation boundary: foreign code, traceback kept
            failed = failure_of(self.measurement, error)
        self.measurement = replace(failed, phases_ns=dict(self.phases_ns), flags=self.settings_changed())
        self.copies = []

    def _prepare(self, check: bool) -> Measurement:
        if self.implementation.meddles:
            raise Rejected(Outcome.FAILED, refusal(self.implementation.meddles))
        reason = self._text_of("supports(case)", lambda: self.implementation.supports(self.case))
        if reason is not None:
            raise Unavailable(reason)
        if self.implementation.compiled:
            torch.compiler.reset()  # each case compiles for itself: no recompilation limit is ever near
        first = self._inputs(self.setup.seed)
        with self.phase("set-up"), self.foreign():
            state = self.implementation.prepare(self.case, first)
            self._synchronise()
        content = self._check(first, state) if check else self._call_once(first, state)
        configuration = self._text_of("configuration(case)", lambda: self.implementation.configuration(self.case))
        device = self.setup.device.type
        untimed = self._text_of("untimed(device_kind)", lambda: self.implementation.untimed(device))
        self.measurement = replace(
            self.measurement,
            outcome=Outcome.PASSED,
            configuration=configuration,
            untimed=untimed or self.setup.untimed,
            phases_ns=dict(self.phases_ns),
        )
        if self.measurement.untimed is None:
            self._copy(Copy(self.implementation, first, state, content))
        return self.measurement

    def _check(self, inputs: Any, state: Any) -> Content:
        """On `inputs`, where data is checked before it is timed, and on needles; what `inputs` hold afterwards."""
        sets = tuple(owed(self.operator, self.setup.seed, bool(self.setup.effort.quick)))
        with self.phase("check"):
            self.checker.check(inputs, state, sets)
        self.refuse_meddling()
        drawn = [content for _, draw, content in sets if draw == NORMAL_DRAW]
        return drawn[-1] if drawn else Content(self.setup.seed, self.setup.seed)

    def _call_once(self, inputs: Any, state: Any) -> Content:
        """The first call, where another process has checked it; what `inputs` hold."""
        with self.phase("first call"), self.foreign():
            self.first_call(inputs, state)
        return Content(self.setup.seed, self.setup.seed)

    def _copy(self, first: Copy) -> None:
        """Make copies with inputs of their own, as many as the clock asks for, and what renews them."""
        self.copies = [first]
        wanted = copies_wanted(self.clocks, first, self.bytes_a_call, self.setup.plan)
        if self.implementation.static_output:  # what a call returned is looked at before the next one writes over it
            wanted = 1
            self.notes = (ONE_BUFFER,)
        for seed in range(self.setup.seed + 1, self.setup.seed + wanted):
            inputs = self._inputs(seed)
            with self.foreign():
                state = self.implementation.prepare(self.case, inputs)
            self.copies.append(Copy(self.implementation, inputs, state, Content(seed, seed)))
        outputs, intact, secret = self.reader.outputs, self.reader.refuse_stray_writes, self.setup.secret
        own = self.setup.apart.own
        self._renewal = Renewal(self.operator, self.case, self.copies, outputs, intact, secret, own=own)

    def _inputs(self, seed: int) -> Any:
        with self.phase("inputs"):
            return self.operator.make_inputs(self.case, NORMAL_DRAW, seed, self.setup.device)

    def _text_of(self, method: str, ask: Callable[[], object]) -> str | None:
        with self.foreign():
            return _text(ask(), method)

    def _synchronise(self) -> None:
        if self.setup.device.type == "cuda":
            torch.cuda.synchronize(self.setup.device)


def _text(answer: object, method: str) -> str | None:
    """What a method of an implementation may return: a text or None."""
    if answer is None:
        return None
    if isinstance(answer, str):
        return one_line(str.__str__(answer))  # whatever class of texts it is of
    raise MeasurementError(f"{method} returned {one_line(repr(answer), 80)}; expected None, or a text that says why")
