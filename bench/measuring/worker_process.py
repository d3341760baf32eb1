"""A process at its parent's end: requests go to it, answers come back, and its death is told with what it died of."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attnlab.bench.contract.descendants import end_marked, new_mark
from attnlab.bench.contract.process_output import OutputPipe, PrintedOutput
from attnlab.bench.machine.cgroup import own_group
from attnlab.bench.measuring.interpreting import interpreting
from attnlab.bench.measuring.observation import Observer
from attnlab.bench.measuring.outcomes import OUT_OF_MEMORY_SIGNS
from attnlab.bench.store.records import Outcome
from attnlab.bench.text import block, one_line

START_LIMIT_S = 120.0  # importing torch and every adapter takes 2 to 10 s; a plugin may add to that
DYING_S = 5.0  # for a process to write its traceback and end
LOOK_S = 1.0  # how often a silent worker is looked at, lest a child of its own hold the pipe open
LONGEST_ANSWER_BYTES = 64 << 20  # samples of a long case take a megabyte

# What a worker runs gets three arguments: the descriptor of its answers, its parent's number, and the module
# search path as JSON. It finds modules where its parent does, and never first in the current folder,
# whose files may be named as torch's or the standard library's are.
BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); from attnlab.bench.measuring.worker import main; "
    "main(int(sys.argv[1]), int(sys.argv[2]))"
)


class WorkerEnded(Exception):
    """The worker died, was killed for its time, or could not start."""

    def __init__(self, outcome: Outcome, reason: str, detail: str | None) -> None:
        super().__init__(reason)
        self.outcome, self.detail = outcome, detail


def ignore_phase(phase: str) -> None:
    """For those who do not care where a process is."""


class Process:
    """The process behind a worker: its requests, its answers and its log.

    hear answers a process that hands outputs over (see `judging.handing`), in time that is not the process's.
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
        self._output = OutputPipe()
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
        self.observer = Observer(self._mark)
        self._phase = "start"

    @property
    def number(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def printed(self) -> PrintedOutput:
        """What it printed since the case began."""
        self._output.empty()
        return self._output.printed

    def begin_case(self, printed: PrintedOutput | None = None) -> None:
        """What was printed before does not explain a death from here on; what follows goes to `printed`."""
        self._output.empty()
        self._output.printed = printed or PrintedOutput()
        self._phase = "supports"

    def send(self, value: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(value).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None

    def wait_until_ready(self) -> None:
        """It read its order, and imported what it needs; raises WorkerEnded where it did not."""
        self.receive("ready", START_LIMIT_S)

    def ask(
        self, request: Sequence[Any], wanted: str, limit_s: float, on_phase: Callable[[str], None] = ignore_phase
    ) -> Any:
        """The answer of that kind to a request; raises as `receive`."""
        self.send(request)
        return self.receive(wanted, limit_s, on_phase)

    def receive(self, wanted: str, limit_s: float, on_phase: Callable[[str], None] = ignore_phase) -> Any:
        """The next answer of that kind; raises WorkerEnded at the limit, or where the process ends."""
        return self.receive_one_of((wanted,), limit_s, on_phase)[1]

    def receive_one_of(
        self, wanted: Sequence[str], limit_s: float, on_phase: Callable[[str], None] = ignore_phase
    ) -> tuple[str, Any]:
        """The next answer of one of those kinds; raises as `receive`."""
        deadline = time.monotonic() + limit_s
        while True:
            for kind, value in self._complete_answers():
                self.observer.end_phase()
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
                    self.send(self.observer.mark(self.number, int(value)))
                else:
                    self._phase = one_line(str(value))
                    self.observer.begin_phase(self._phase)
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


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"  # real-time signals have no name


def worker_environment(device: str) -> dict[str, str]:
    """A worker's variables."""
    return {**os.environ, "PYTHONUNBUFFERED": "1", **interpreting(device)}
