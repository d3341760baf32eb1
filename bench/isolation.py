"""Keeps an implementation in a process of its own, with a time and a memory limit, and says how it ended."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from attnlab.bench.cgroup import own_group
from attnlab.bench.harness import OUT_OF_MEMORY_SIGNS
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.records import Measurement, Outcome
from attnlab.bench.worker import WorkerOrder

START_LIMIT_S = 120.0  # importing torch and every adapter takes 2 to 10 s; a plugin may add to that
DYING_S = 5.0  # for a process to write its traceback and end
LOOK_S = 1.0  # how often a silent worker is looked at, lest a child of its own hold the pipe open
LOG_TAIL = 8_000  # characters of a dead worker's output that are kept
BULKY_LINE = "Extension modules:"  # hundreds of names after a crash, which would push the traceback out

# What a worker runs gets three arguments: the descriptor of its answers, its parent's number, and the module
# search path as JSON. It finds modules where its parent does, and never first in the current folder,
# whose files may be named as torch's or the standard library's are.
BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); from attnlab.bench.worker import main; "
    "main(int(sys.argv[1]), int(sys.argv[2]))"
)


class WorkerEnded(Exception):
    """The worker died, was killed for its time, or could not start."""

    def __init__(self, outcome: Outcome, reason: str, detail: str | None) -> None:
        super().__init__(reason)
        self.outcome, self.detail = outcome, detail


class Worker:
    """One worker process, started at the first case, or ahead of it, and kept until a failure or `close`."""

    def __init__(self, order: WorkerOrder, time_limit_s: float) -> None:
        self._order = order
        self._time_limit_s = time_limit_s
        self._running: Process | None = None
        self._ready = False
        self._open: set[str] = set()

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
            return replace(blank, outcome=Outcome.FAILED, reason=reason)
        return self._ask(verb, case_id, blank, on_phase)

    def _ask(self, verb: str, case_id: str, blank: Measurement, on_phase: Callable[[str], None]) -> Measurement:
        try:
            process = self._started()
            process.begin_case()
            process.send([verb, case_id])
            measured = _read(process.receive("measurement", self._time_limit_s, on_phase))
        except WorkerEnded as end:
            self.close()
            return replace(blank, outcome=end.outcome, reason=str(end), detail=end.detail)
        if measured.outcome in (Outcome.FAILED, Outcome.OUT_OF_MEMORY):
            self.close()  # a failed call may leave a broken CUDA context or heap behind
        return measured

    def _begun(self) -> Process:
        if self._running is None:
            try:
                self._running = Process(self._order.device)
            except OSError as error:
                raise WorkerEnded(Outcome.FAILED, f"no process could be started: {error}", None) from error
            self._running.send(encode(self._order))
        return self._running

    def _started(self) -> Process:
        process = self._begun()
        if not self._ready:
            process.receive("ready", START_LIMIT_S, lambda phase: None)
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
    try:
        return decode(Measurement, value)
    except ValueError as error:
        raise WorkerEnded(Outcome.FAILED, f"gave a measurement that cannot be stored: {error}", None) from error


class Process:
    """The process behind a worker: its requests, its answers and its log.

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
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._answers, far_end = os.pipe()
        path = json.dumps(None if executable else [entry or os.getcwd() for entry in sys.path])
        self._process = subprocess.Popen(
            [executable or sys.executable, "-P", "-c", boot or BOOT, str(far_end), str(os.getpid()), path, *arguments],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            pass_fds=(far_end,),
            start_new_session=True,
            cwd=folder,
            env={**worker_environment(device), **(variables or {})},
        )
        os.close(far_end)
        self.begin_case()
        self._phase = "start"

    @property
    def number(self) -> int:
        """The process's number."""
        return self._process.pid

    def begin_case(self) -> None:
        """What was printed before does not explain a death from here on."""
        self._log_start = os.fstat(self._log.fileno()).st_size
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
        deadline = time.monotonic() + limit_s
        while True:
            for kind, value in self._complete_answers():
                if kind == wanted:
                    return value
                if kind == "broken":
                    reason, detail = value
                    raise WorkerEnded(Outcome.FAILED, f"the worker could not start: {reason}", detail)
                self._phase = value
                on_phase(value)
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._out_of_time(limit_s)
            if self._readable(min(left, LOOK_S)):
                self._read_some()
            elif self._process.poll() is not None and not self._readable(0):
                raise self._death()

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        os.close(self._answers)
        self._log.close()

    def _complete_answers(self) -> Iterator[tuple[str, Any]]:
        while b"\n" in self._pending:
            line, self._pending = self._pending.split(b"\n", 1)
            kind, value = json.loads(line)
            yield kind, value

    def _readable(self, wait_s: float) -> bool:
        return bool(select.select([self._answers], [], [], wait_s)[0])

    def _read_some(self) -> None:
        chunk = os.read(self._answers, 1 << 16)
        if not chunk:
            raise self._death()
        self._pending += chunk

    def _out_of_time(self, limit_s: float) -> WorkerEnded:
        """End it with SIGABRT first, upon which it writes where each of its threads was."""
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGABRT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(DYING_S)
        reason = f"took longer than {limit_s:g} s, and was ended in phase {self._phase!r}"
        return WorkerEnded(Outcome.TIMED_OUT, reason, self._log_tail())

    def _death(self) -> WorkerEnded:
        """What a process that is gone died of; out of memory only where there is evidence of it."""
        try:
            code = self._process.wait(DYING_S)
        except subprocess.TimeoutExpired:
            reason = f"the process closed the channel for its answers in phase {self._phase!r}"
            return WorkerEnded(Outcome.FAILED, reason, self._log_tail())
        tail = self._log_tail()
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        reason = f"the process {how} in phase {self._phase!r}"
        said = next((sign for sign in OUT_OF_MEMORY_SIGNS if sign in (tail or "")), None)
        if said is not None:
            return WorkerEnded(Outcome.OUT_OF_MEMORY, f"{reason}, after it printed {said!r}", tail)
        if code == -signal.SIGKILL and own_group().kernel_kills() > self._kills_before:
            return WorkerEnded(Outcome.OUT_OF_MEMORY, f"{reason} when the kernel ran out of memory", tail)
        return WorkerEnded(Outcome.FAILED, reason, tail)

    def _log_tail(self) -> str | None:
        """The last of what the process printed since its last request; None where it was silent."""
        end = os.fstat(self._log.fileno()).st_size
        start = max(self._log_start, end - 4 * LOG_TAIL)
        text = os.pread(self._log.fileno(), end - start, start).decode(errors="replace")
        kept = "\n".join(line for line in text.splitlines() if not line.startswith(BULKY_LINE))
        return kept.strip()[-LOG_TAIL:] or None


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
