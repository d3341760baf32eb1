"""Compiles many cases in processes side by side; one in which the compiler dies costs its case alone."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attnlab.bench.profilers.compiled.orders import CaseOrder, Setup
from attnlab.bench.profilers.compiled.resources import CompiledCase
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.folders import cache_folder

WORKER = (sys.executable, "-m", "attnlab.bench.profilers.compiled.worker")
CASE_LIMIT_S = 600.0

Tell = Callable[[str], None]


def kept_folder() -> Path:
    """Where records of kernels are kept, by source, constants and compiler."""
    return cache_folder() / "compiled"


def compile_cases(
    orders: Sequence[CaseOrder],
    setup: Setup,
    *,
    command: Sequence[str] = WORKER,
    environment: Mapping[str, str] | None = None,
    processes: int | None = None,
    tell: Tell = lambda line: None,
) -> list[CompiledCase]:
    """The records of these cases, in their order. processes: as many as there are processors, at most.

    command: what starts a worker. environment: variables that it has besides.
    """
    count = min(len(orders), processes or len(os.sched_getaffinity(0)))
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(orders)):
        waiting.put(number)
    found: dict[int, CompiledCase] = {}
    with ThreadPoolExecutor(max(1, count)) as threads:
        served = [
            threads.submit(_serve, waiting, orders, setup, command, environment or {}, found, tell)
            for _ in range(count)
        ]
    for one in served:
        one.result()
    return [found[number] for number in range(len(orders))]


def _serve(
    waiting: queue.SimpleQueue[int],
    orders: Sequence[CaseOrder],
    setup: Setup,
    command: Sequence[str],
    environment: Mapping[str, str],
    found: dict[int, CompiledCase],
    tell: Tell,
) -> None:
    worker: _Worker | None = None
    try:
        while True:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            worker = worker or _Worker(command, environment, setup)
            order = orders[number]
            reply = worker.ask(order)
            if reply is None:
                found[number] = CompiledCase(order.implementation, order.case_id, order.target, failed=worker.ended())
                worker = None
            else:
                found[number] = reply
            tell(f"{len(found)} of {len(orders)} compiled: {found[number].key}")
    finally:
        if worker is not None:
            worker.close()


class _Worker:
    def __init__(self, command: Sequence[str], environment: Mapping[str, str], setup: Setup) -> None:
        variables = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
        variables |= {"OMP_NUM_THREADS": "1", **environment}
        self._process = subprocess.Popen(
            [*command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables
        )
        self._send(json.dumps(encode(setup)))

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass

    def ask(self, order: CaseOrder) -> CompiledCase | None:
        """The record; None where the process ended, or takes longer than any kernel may."""
        assert self._process.stdout is not None
        self._send(json.dumps(encode(order)))
        limit = threading.Timer(CASE_LIMIT_S, self._process.kill)
        limit.start()
        try:
            line = self._process.stdout.readline()
        finally:
            limit.cancel()
        return decode(CompiledCase, json.loads(line)) if line else None

    def ended(self) -> str:
        """How the process ended, in words."""
        code = self._process.wait()
        assert self._process.stderr is not None
        said = self._process.stderr.read().strip()[-1000:]
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        self.close()
        return "\n".join(filter(None, (f"the process that compiled it ended {how}", said)))

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        self._process.wait()
