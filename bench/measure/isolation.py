"""Keeps an implementation in a process of its own, with a time and a memory limit, and says how it ended."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from attnlab.bench.contract.descendants import end_marked, new_mark
from attnlab.bench.contract.process_output import Output, Printed
from attnlab.bench.machine.cgroup import own_group
from attnlab.bench.machine.clocks import now
from attnlab.bench.measure.harness import OUT_OF_MEMORY_SIGNS
from attnlab.bench.measure.judged import Seen
from attnlab.bench.measure.worker import WorkerOrder
from attnlab.bench.store.bounded import bounded
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.records import Measurement, Outcome
from attnlab.bench.text import block, one_line
from attnlab.bench.units import format_bytes

START_LIMIT_S = 120.0  # importing torch and every adapter takes 2 to 10 s; a plugin may add to that
DYING_S = 5.0  # for a process to write its traceback and end
LOOK_S = 1.0  # how often a silent worker is looked at, lest a child of its own hold the pipe open
LONGEST_ANSWER_BYTES = 64 << 20  # samples of a long case take a megabyte
MUCH_PRINTED_BYTES = 64 << 10  # by a case: more takes a share of its time that a reader has to know of
STRETCH_NS = 10_000_000  # of calls between two marks, for the time of a call to be known from outside
STRETCHES, ALL_STRETCHES_NS, MOST_MARKS = 3, 100_000_000, 32
TIMED_PHASES = ("warm-up", "timing")

# What a worker runs gets three arguments: the descriptor of its answers, its parent's number, and the module
# search path as JSON. It finds modules where its parent does, and never first in the current folder,
# whose files may be named as torch's or the standard library's are.
BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); from attnlab.bench.measure.worker import main; "
    "main(int(sys.argv[1]), int(sys.argv[2]))"
)


Mark = tuple[int, int | None, int]
"""A worker's word that calls were made: when it came, processor time of its main thread by then (None: not known), in
nanoseconds, and calls since the mark before."""


class WorkerEnded(Exception):
    """The worker died, was killed for its time, or could not start."""

    def __init__(self, outcome: Outcome, reason: str, detail: str | None) -> None:
        super().__init__(reason)
        self.outcome, self.detail = outcome, detail


class Settles(Protocol):
    """Has outputs judged that a worker hands over, and says what comes of a case; it believes no worker."""

    def begin(self, case_id: str) -> None:
        """A case is opened in a fresh state."""
        ...

    def hear(self, value: Any) -> Any:
        """The answer to a worker that hands outputs over."""
        ...

    def settle(
        self, case_id: str, claim: Measurement, blank: Measurement, process: int, seen: Seen, final: bool
    ) -> Measurement:
        """The measurement that comes of a worker's claim; `final` where it says no more of the case."""
        ...


class Worker:
    """One worker process, started at the first case, or ahead of it, and kept until a failure or `close`."""

    def __init__(self, order: WorkerOrder, time_limit_s: float, settles: Settles) -> None:
        self._order = order
        self._time_limit_s = time_limit_s
        self._settles = settles
        self._running: Process | None = None
        self._ready = False
        self._open: set[str] = set()
        self._printed: dict[str, Printed] = {}

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

    def run(
        self, case_id: str, blank: Measurement, on_phase: Callable[[str], None] = lambda phase: None
    ) -> Measurement:
        """The measurement of a case; `blank` is what to fill in where the worker does not survive it."""
        return self._ask("measure", case_id, blank, on_phase)

    def open(
        self, case_id: str, blank: Measurement, on_phase: Callable[[str], None] = lambda phase: None
    ) -> Measurement:
        """Check a case and make it ready for bursts, beside others that are; what is known of it so far."""
        measured = self._ask("open", case_id, blank, on_phase)
        if measured.outcome is Outcome.PASSED:
            self._open.add(case_id)
        return measured

    def burst(self, case_id: str, blank: Measurement) -> Measurement:
        """Take one burst of an open case; what is known of it so far."""
        return self._ask_open("burst", case_id, blank)

    def finish(
        self, case_id: str, blank: Measurement, on_phase: Callable[[str], None] = lambda phase: None
    ) -> Measurement:
        """The measurement of an open case, from the bursts that were taken."""
        measured = self._ask_open("finish", case_id, blank, on_phase)
        self._open.discard(case_id)
        return measured

    def _ask_open(
        self, verb: str, case_id: str, blank: Measurement, on_phase: Callable[[str], None] = lambda phase: None
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
                process.forget_what_was_seen()
                self._printed[case_id] = Printed()
            process.begin_case(self._printed[case_id])
            process.send([verb, case_id])
            claim = _read(process.receive("measurement", self._time_limit_s, on_phase))
            final = verb in ("measure", "finish")
            measured = self._settles.settle(case_id, claim, blank, process.number, process.seen(), final)
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
                self._running = Process(self._order.device)
                self._running.hear = self._settles.hear
            except OSError as error:
                raise WorkerEnded(Outcome.FAILED, f"no process could be started: {error}", None) from error
            self._running.send(encode(self._order))
        return self._running

    def _started(self) -> Process:
        process = self._begun()
        if not self._ready:
            process.receive("ready", START_LIMIT_S, ignore_phase)
            self._ready = True
        return process

    def close(self) -> None:
        """End the process and all that it started."""
        if self._running is not None:
            self._running.close()
            self._running = None
            self._ready = False
            self._open.clear()


def ignore_phase(phase: str) -> None:
    """For those who do not care where a process is."""


def _read(value: Any) -> Measurement:
    """What a worker says of a case; its words are bounded, and can be printed."""
    try:
        return bounded(decode(Measurement, value))
    except ValueError as error:
        reason = f"gave a measurement that cannot be stored: {one_line(str(error))}"
        raise WorkerEnded(Outcome.FAILED, reason, None) from error


def _with_printed(measured: Measurement, printed: Printed) -> Measurement:
    """The measurement with what its process printed meanwhile, and a flag where that was much."""
    flags = measured.flags
    if printed.size_bytes > MUCH_PRINTED_BYTES:
        flags = (*flags, f"its process prints, which takes time ({format_bytes(printed.size_bytes)} meanwhile)")
    return replace(measured, printed=printed.text(), printed_bytes=printed.size_bytes, flags=flags)


class Process:
    """The process behind a worker: its requests, its answers and its log.

    hear answers a process that hands outputs over (see `worker.handing_over`), in time that is not the process's.
    boot is the code it runs (`BOOT`, where not given), more arguments follow those that it gets, and folder is
    where it runs (here, where not given). executable is the Python of another environment, which has a search path of
    its own; variables are told to it besides. Raises OSError where none can be started.
    """

    def __init__(
        self,
        device: str,
        boot: str | None = None,
        arguments: Sequence[str] = (),
        folder: Path | None = None,
        executable: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._pending = b""
        self._kills_before = own_group().kernel_kills()
        self._output = Output()
        self._mark = new_mark()
        self._answers, far_end = os.pipe()
        path = json.dumps(None if executable else [entry or os.getcwd() for entry in sys.path])
        self._process = subprocess.Popen(
            [executable or sys.executable, "-P", "-c", boot or BOOT, str(far_end), str(os.getpid()), path, *arguments],
            stdin=subprocess.PIPE,
            stdout=self._output.far_end,
            stderr=subprocess.STDOUT,
            pass_fds=(far_end,),
            start_new_session=True,
            cwd=folder,
            env={**worker_environment(device), **(variables or {}), **self._mark},
        )
        os.close(far_end)
        self._output.hand_over()
        self.hear: Callable[[Any], Any] | None = None
        self._phases_ns: dict[str, int] = {}
        self._phase_begun_ns: int | None = None
        self._marks: list[Mark] = []
        self._phase = "start"

    @property
    def number(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def printed(self) -> Printed:
        """What it printed since the case began."""
        self._output.empty()
        return self._output.printed

    def begin_case(self, printed: Printed | None = None) -> None:
        """What was printed before does not explain a death from here on; what follows goes to `printed`."""
        self._output.empty()
        self._output.printed = printed or Printed()
        self._phase = "supports"

    def send(self, value: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(value).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None

    def receive(self, wanted: str, limit_s: float, on_phase: Callable[[str], None]) -> Any:
        """The next answer of that kind; raises WorkerEnded at the limit, or where the process ends."""
        return self.receive_one_of((wanted,), limit_s, on_phase)[1]

    def receive_one_of(self, wanted: Sequence[str], limit_s: float, on_phase: Callable[[str], None]) -> tuple[str, Any]:
        """The next answer of one of those kinds; raises as `receive`."""
        deadline = time.monotonic() + limit_s
        while True:
            for kind, value in self._complete_answers():
                self._see_phase_end()
                if kind in wanted:
                    return kind, value
                if kind == "broken":
                    reason, detail = value
                    reason, detail = one_line(str(reason)), block(str(detail))
                    raise WorkerEnded(Outcome.FAILED, f"the worker could not start: {reason}", detail)
                if kind == "judge" and self.hear is not None:
                    begun = time.monotonic()
                    self.send(self.hear(value))
                    deadline += time.monotonic() - begun
                elif kind == "mark":
                    self._marks.append((now.perf_counter_ns(), _main_thread_ns(self.number), int(value)))
                    self.send(enough(self._marks))
                else:
                    self._phase = one_line(str(value))
                    self._phase_begun_ns = now.perf_counter_ns()
                    on_phase(self._phase)
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._out_of_time(limit_s)
            if self._answered(min(left, LOOK_S)):
                self._read_some()
            elif self._process.poll() is not None and not self._answered(0):
                raise self._death()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, neither it nor what it started runs, such as a thread that works between requests."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGCONT)

    def forget_what_was_seen(self) -> None:
        """Another case begins."""
        self._phases_ns = {}
        self._phase_begun_ns = None
        self._marks = []

    def seen(self) -> Seen:
        """How long the process took samples, and what a call took between two of its marks, by this process's clock."""
        return Seen(sum(self._phases_ns.get(phase, 0) for phase in TIMED_PHASES), call_ns(self._marks))

    def _see_phase_end(self) -> None:
        if self._phase_begun_ns is not None:
            spent = now.perf_counter_ns() - self._phase_begun_ns
            self._phases_ns[self._phase] = self._phases_ns.get(self._phase, 0) + spent
            self._phase_begun_ns = None

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        end_marked(self._mark)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        os.close(self._answers)
        self._output.close()

    def _complete_answers(self) -> Iterator[tuple[str, Any]]:
        while b"\n" in self._pending:
            line, self._pending = self._pending.split(b"\n", 1)
            try:
                kind, value = json.loads(line)
            except (ValueError, TypeError, RecursionError) as error:
                reason = f"said what is no answer in phase {self._phase!r}: {one_line(str(error))}"
                raise WorkerEnded(Outcome.FAILED, reason, self.printed.text()) from None
            yield str(kind), value

    def _answered(self, wait_s: float) -> bool:
        """Whether there is an answer to read; what the process prints is taken as it comes, or it would stand still."""
        deadline = time.monotonic() + wait_s
        while True:
            sources: list[Any] = [self._answers, *([self._output] if self._output.open else [])]
            ready = select.select(sources, [], [], max(0.0, deadline - time.monotonic()))[0]
            if self._output in ready:
                self._output.read()
            if self._answers in ready:
                return True
            if not ready or time.monotonic() >= deadline:
                return False

    def _read_some(self) -> None:
        chunk = os.read(self._answers, 1 << 16)
        if not chunk:
            raise self._death()
        self._pending += chunk
        if len(self._pending) > LONGEST_ANSWER_BYTES:
            reason = f"said more than {LONGEST_ANSWER_BYTES >> 20} MiB in one answer in phase {self._phase!r}"
            raise WorkerEnded(Outcome.FAILED, reason, None)

    def _out_of_time(self, limit_s: float) -> WorkerEnded:
        """End it with SIGABRT first, upon which it writes where each of its threads was."""
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGABRT)
        self._output.wait(self._process, DYING_S)
        reason = f"took longer than {limit_s:g} s, and was ended in phase {self._phase!r}"
        return WorkerEnded(Outcome.TIMED_OUT, reason, self.printed.text())

    def _death(self) -> WorkerEnded:
        """What a process that is gone died of; out of memory only where there is evidence of it."""
        code = self._output.wait(self._process, DYING_S)
        tail = self.printed.text()
        if code is None:
            reason = f"the process closed the channel for its answers in phase {self._phase!r}"
            return WorkerEnded(Outcome.FAILED, reason, tail)
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        reason = f"the process {how} in phase {self._phase!r}"
        said = next((sign for sign in OUT_OF_MEMORY_SIGNS if sign in (tail or "")), None)
        if said is not None:
            return WorkerEnded(Outcome.OUT_OF_MEMORY, f"{reason}, after it printed {said!r}", tail)
        if code == -signal.SIGKILL and own_group().kernel_kills() > self._kills_before:
            return WorkerEnded(Outcome.OUT_OF_MEMORY, f"{reason} when the kernel ran out of memory", tail)
        return WorkerEnded(Outcome.FAILED, reason, tail)


def enough(marks: Sequence[Mark]) -> bool:
    """Whether calls between marks took long enough for their time to be known: three stretches, or all of them."""
    took = [after[0] - before[0] for before, after in itertools.pairwise(marks)]
    long = sum(ns >= STRETCH_NS for ns in took)
    return long >= STRETCHES or sum(took) >= ALL_STRETCHES_NS or len(marks) > MOST_MARKS


def call_ns(marks: Sequence[Mark]) -> float | None:
    """What a call takes at least, from marks.

    The least of all stretches, of elapsed and processor time each: what disturbs makes calls longer, never shorter, and
    a thread that waits for others spends none. None where there are no marks.
    """
    found = []
    for (before_ns, spent_before, _), (after_ns, spent_after, calls) in itertools.pairwise(marks):
        if calls > 0:
            took = float(after_ns - before_ns)
            if spent_before is not None and spent_after is not None:
                took = min(took, float(spent_after - spent_before))
            found.append(took / calls)
    return min(found, default=None)


def _main_thread_ns(process: int) -> int | None:
    """Processor time of a process's main thread; None where the kernel does not count it."""
    try:
        return int(Path(f"/proc/{process}/task/{process}/schedstat").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"  # real-time signals have no name


def worker_environment(device: str) -> dict[str, str]:
    """A worker's variables: on the CPU, Triton must know when imported that it is to interpret kernels."""
    variables = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if device == "cpu":
        variables["TRITON_INTERPRET"] = "1"
    return variables
