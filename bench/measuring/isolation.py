"""Keeps an implementation in a process of its own, with a time and a memory limit, and says how each case ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from attnlab.bench.contract.process_output import PrintedOutput
from attnlab.bench.measuring.observation import Observation
from attnlab.bench.measuring.worker import WorkerOrder
from attnlab.bench.measuring.worker_process import Process, WorkerEnded, ignore_phase
from attnlab.bench.store.bounded import bounded
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.records import Measurement, Outcome
from attnlab.bench.text import one_line
from attnlab.bench.units import format_bytes

MUCH_PRINTED_BYTES = 64 << 10  # by a case: more takes a share of its time that a reader has to know of


class Settles(Protocol):
    """Has outputs judged that a worker hands over, and says what comes of a case; it believes no worker."""

    def begin(self, case_id: str) -> None:
        """A case is opened in a fresh state."""
        ...

    def hear(self, value: Any) -> Any:
        """The answer to a worker that hands outputs over."""
        ...

    def settle(
        self, case_id: str, claim: Measurement, blank: Measurement, process: int, seen: Observation, final: bool
    ) -> Measurement:
        """The measurement that comes of a worker's claim; `final` where it says no more of the case."""
        ...


class Worker:
    """One worker process, started at the first case, or ahead of it, and kept until a failure or `close`.

    begin(device): starts the process, as `Process` does.
    """

    def __init__(
        self, order: WorkerOrder, time_limit_s: float, settles: Settles, begin: Callable[[str], Process] = Process
    ) -> None:
        self._order, self._begin = replace(order, time_limit_s=time_limit_s), begin
        self._time_limit_s = time_limit_s
        self._settles = settles
        self._running: Process | None = None
        self._ready = False
        self._open: set[str] = set()
        self._printed: dict[str, PrintedOutput] = {}

    def start(self) -> None:
        """Begin to start the process ahead of its first case, which tells where that fails."""
        try:
            self._begun()
        except WorkerEnded:
            self.close()

    def wait(self) -> None:
        """Wait until a process that was started ahead is ready."""
        if self._running is not None:
            try:
                self._started()
            except WorkerEnded:
                self.close()

    def run(self, case_id: str, blank: Measurement, on_phase: Callable[[str], None] = ignore_phase) -> Measurement:
        """The measurement of a case; `blank` is what to fill in where the worker does not survive it."""
        return self._ask("measure", case_id, blank, on_phase)

    def open(self, case_id: str, blank: Measurement, on_phase: Callable[[str], None] = ignore_phase) -> Measurement:
        """Check a case and make it ready for bursts, beside others that are; what is known of it so far."""
        measured = self._ask("open", case_id, blank, on_phase)
        if measured.outcome is Outcome.PASSED:
            self._open.add(case_id)
        return measured

    def burst(self, case_id: str, blank: Measurement) -> Measurement:
        """Take one burst of an open case; what is known of it so far."""
        return self._ask_open("burst", case_id, blank)

    def finish(self, case_id: str, blank: Measurement, on_phase: Callable[[str], None] = ignore_phase) -> Measurement:
        """The measurement of an open case, from the bursts that were taken."""
        measured = self._ask_open("finish", case_id, blank, on_phase)
        self._open.discard(case_id)
        return measured

    def _ask_open(
        self, verb: str, case_id: str, blank: Measurement, on_phase: Callable[[str], None] = ignore_phase
    ) -> Measurement:
        if case_id not in self._open:
            reason = "its process ended while another case was measured in turn with it"
            return blank.fail(reason)
        return self._ask(verb, case_id, blank, on_phase)

    def _ask(self, verb: str, case_id: str, blank: Measurement, on_phase: Callable[[str], None]) -> Measurement:
        try:
            process = self._started()
            if verb in ("measure", "open"):
                self._settles.begin(case_id)
                process.observer.forget()
                self._printed[case_id] = PrintedOutput()
            process.begin_case(self._printed[case_id])
            claim = _read(process.ask([verb, case_id], "measurement", self._time_limit_s, on_phase))
            final = verb in ("measure", "finish")
            measured = self._settles.settle(case_id, claim, blank, process.number, process.observer.observation, final)
            measured = _with_printed(measured, process.printed)
        except WorkerEnded as end:
            self.close()
            return blank.fail(str(end), end.detail, end.outcome)
        if measured.outcome in (Outcome.FAILED, Outcome.OUT_OF_MEMORY):
            self.close()  # a failed call may leave a broken CUDA context or heap behind
        return measured

    def _begun(self) -> Process:
        if self._running is None:
            try:
                self._running = self._begin(self._order.device)
                self._running.hear = self._settles.hear
            except OSError as error:
                raise WorkerEnded(Outcome.FAILED, f"no process could be started: {error}", None) from error
            self._running.send(encode(self._order))
        return self._running

    def _started(self) -> Process:
        process = self._begun()
        if not self._ready:
            process.wait_until_ready()
            self._ready = True
        return process

    def close(self) -> None:
        """End the process and all that it started."""
        if self._running is not None:
            self._running.close()
            self._running = None
            self._ready = False
            self._open.clear()


def _read(value: Any) -> Measurement:
    """What a worker says of a case; its words are bounded, and can be printed."""
    try:
        return bounded(decode(Measurement, value))
    except ValueError as error:
        reason = f"gave a measurement that cannot be stored: {one_line(str(error))}"
        raise WorkerEnded(Outcome.FAILED, reason, None) from error


def _with_printed(measured: Measurement, printed: PrintedOutput) -> Measurement:
    """The measurement with what its process printed meanwhile, and a flag where that was much."""
    flags = measured.flags
    if printed.size_bytes > MUCH_PRINTED_BYTES:
        flags = (*flags, f"its process prints, which takes time ({format_bytes(printed.size_bytes)} meanwhile)")
    return replace(measured, printed=printed.text(), printed_bytes=printed.size_bytes, flags=flags)
