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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from attnlab.bench.harness import OUT_OF_MEMORY_SIGNS
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.records import Measurement, Outcome
from attnlab.bench.worker import WorkerOrder

START_LIMIT_S = 120.0  # importing torch and every adapter takes 2 to 10 s; a plugin may add to that
LOG_TAIL = 8_000  # characters of a dead worker's output that are kept
CGROUP_EVENTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


class WorkerEnded(Exception):  # noqa: N818 - carries an outcome to its measurement
    """The worker died, was killed for its time, or could not start."""

    def __init__(self, outcome: Outcome, reason: str, detail: str | None) -> None:
        super().__init__(reason)
        self.outcome, self.detail = outcome, detail


class Worker:
    """One worker process, started at the first case and kept until a failure or `close`."""

    def __init__(self, order: WorkerOrder, time_limit_s: float) -> None:
        self._order = order
        self._time_limit_s = time_limit_s
        self._process: subprocess.Popen[bytes] | None = None

    def run(
        self, case_id: str, blank: Measurement, on_phase: Callable[[str], None] = lambda phase: None
    ) -> Measurement:
        """The measurement of a case; `blank` is what to fill in where the worker does not survive it."""
        try:
            if self._process is None:
                self._start()
            self._send(case_id)
            measured = decode(Measurement, self._await("measurement", self._time_limit_s, on_phase))
        except WorkerEnded as end:
            self.close()
            from dataclasses import replace

            return replace(blank, outcome=end.outcome, reason=str(end), detail=end.detail)
        if measured.outcome in (Outcome.FAILED, Outcome.OUT_OF_MEMORY):
            self.close()  # a failed call may leave a broken CUDA context or heap behind
        return measured

    def close(self) -> None:
        """End the process and all that it started."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        os.close(self._answers)
        self._log.close()
        self._process = None

    def _start(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._answers, far_end = os.pipe()
        self._pending = b""
        self._phase = "start"
        self._kills_before = _kernel_kills()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "attnlab.bench.worker", str(far_end)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            pass_fds=(far_end,),
            start_new_session=True,
            env=worker_environment(self._order.device),
        )
        os.close(far_end)
        self._send(encode(self._order))
        self._await("ready", START_LIMIT_S, lambda phase: None)

    def _send(self, value: Any) -> None:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(value).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None

    def _await(self, wanted: str, limit_s: float, on_phase: Callable[[str], None]) -> Any:
        deadline = time.monotonic() + limit_s
        while True:
            while b"\n" in self._pending:
                line, self._pending = self._pending.split(b"\n", 1)
                kind, value = json.loads(line)
                if kind == wanted:
                    return value
                if kind == "broken":
                    raise WorkerEnded(
                        Outcome.FAILED, f"the worker could not start: {value}", self._log_tail()
                    )
                self._phase = value
                on_phase(value)
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                reason = f"took longer than {limit_s:g} s, and was ended in phase {self._phase!r}"
                raise WorkerEnded(Outcome.TIMED_OUT, reason, self._log_tail())
            chunk = os.read(self._answers, 1 << 16)
            if not chunk:
                raise self._death()
            self._pending += chunk

    def _death(self) -> WorkerEnded:
        """What a process that is gone died of; out of memory only where there is evidence of it."""
        assert self._process is not None
        code = self._process.wait()
        tail = self._log_tail()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        reason = f"the process was {how}" if code < 0 else f"the process {how}"
        reason += f" in phase {self._phase!r}"
        said = next((sign for sign in OUT_OF_MEMORY_SIGNS if sign in tail), None)
        if said is not None:
            return WorkerEnded(Outcome.OUT_OF_MEMORY, f"{reason}, after it printed {said!r}", tail)
        if code == -signal.SIGKILL and _kernel_kills() > self._kills_before:
            return WorkerEnded(Outcome.OUT_OF_MEMORY, f"{reason} when the kernel ran out of memory", tail)
        return WorkerEnded(Outcome.FAILED, reason, tail)

    def _log_tail(self) -> str | None:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-LOG_TAIL:] or ""


def worker_environment(device: str) -> dict[str, str]:
    """A worker's variables: on the CPU, Triton kernels run in its interpreter, which must be known at import."""
    variables = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if device == "cpu":
        variables["TRITON_INTERPRET"] = "1"
    return variables


def _kernel_kills() -> int:
    """How many processes of this control group the kernel has killed for memory; 0 where unreadable."""
    for path in CGROUP_EVENTS:
        with suppress(OSError, ValueError, IndexError):
            for line in Path(path).read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0
