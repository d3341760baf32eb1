"""Measures an implementation in this process, by the calls that a worker takes: for what no other process can import.

What it raises is an outcome. A crash, an endless loop or exhausted memory is this process's own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from attnlab.bench.contract.registry import Implementation
from attnlab.bench.measuring.harness import CaseInTurn, TrustedCase, time_case
from attnlab.bench.measuring.judging.court import AnyOperator, Court
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.measuring.stopping import STOPPED_BY_ROUNDS
from attnlab.bench.measuring.worker_process import ignore_phase
from attnlab.bench.store.records import Measurement, Outcome

IN_THIS_PROCESS = "measured in the process that asked for it, whose state it shares, and without limits"


class HereWorker:
    """Does what `isolation.Worker` does, without a process, and measures no peak of memory, which others share."""

    def __init__(self, operator: AnyOperator, implementation: Implementation, setup: Setup) -> None:
        self._operator, self._implementation = operator, implementation
        self._setup = replace(setup, court=setup.court or Court(setup.device), memory=False)
        self._open: dict[str, tuple[TrustedCase, CaseInTurn, ExitStack]] = {}

    def start(self) -> None:
        """There is nothing to start."""

    def wait(self) -> None:
        """Nor to wait for."""

    def run(self, case_id: str, blank: Measurement, on_phase: Callable[[str], None] = ignore_phase) -> Measurement:
        """The measurement of a case."""
        trusted = self._trusted(case_id, on_phase)
        with trusted.prepared() as prepared:
            claim = time_case(prepared)
        return _marked(trusted.settled(claim, blank))

    def open(self, case_id: str, blank: Measurement, on_phase: Callable[[str], None] = ignore_phase) -> Measurement:
        """Check a case and make it ready for bursts; what is known of it so far."""
        trusted, stack = self._trusted(case_id, on_phase), ExitStack()
        turn = CaseInTurn(stack.enter_context(trusted.prepared()))
        self._open[case_id] = trusted, turn, stack
        return self._settled(case_id, turn.warm_up(), blank)

    def burst(self, case_id: str, blank: Measurement) -> Measurement:
        """Take one burst of an open case; what is known of it so far."""
        return self._settled(case_id, self._open[case_id][1].burst(), blank)

    def finish(self, case_id: str, blank: Measurement, on_phase: Callable[[str], None] = ignore_phase) -> Measurement:
        """The measurement of an open case, from the bursts that were taken."""
        trusted, turn, stack = self._open.pop(case_id)
        with stack:
            claim = turn.finish(STOPPED_BY_ROUNDS)
        return _marked(trusted.settled(claim, blank))

    def close(self) -> None:
        """Let go of what is open still."""
        while self._open:
            self._open.popitem()[1][2].close()

    def _trusted(self, case_id: str, on_phase: Callable[[str], None]) -> TrustedCase:
        case = self._operator.case_type.parse(case_id)
        return TrustedCase(self._operator, case, self._implementation, replace(self._setup, announce=on_phase))

    def _settled(self, case_id: str, claim: Measurement, blank: Measurement) -> Measurement:
        """Of a case that goes on, unless it failed or is not to be timed."""
        measured = self._open[case_id][0].settled(claim, blank, final=False)
        if measured.outcome is not Outcome.PASSED or measured.untimed is not None:
            self._open.pop(case_id)[2].close()
        return _marked(measured)


def _marked(measured: Measurement) -> Measurement:
    return replace(measured, flags=(*measured.flags, IN_THIS_PROCESS))
