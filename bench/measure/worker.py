"""The worker process: measures one implementation on the cases that its parent names, one after another or in turn.

Requests come as JSON lines on standard input, which the implementation finds empty; answers go as JSON
lines to a file descriptor of their own; what the implementation prints goes to a pipe of its own.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from attnlab.bench.machine.ballast import Ballast
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.text import reason_of, traceback_of

if TYPE_CHECKING:
    from attnlab.bench.contract.axes import Case
    from attnlab.bench.measure.harness import OpenCase, Setup
    from attnlab.bench.measure.judging.handing import Judges
    from attnlab.bench.store.records import Measurement

_dumps, _loads = json.dumps, json.loads  # bound before any plugin is imported


@dataclass(frozen=True)
class WorkerOrder:
    """What a worker is started with: which implementation, on what device, within which limits.

    turn: cases are only timed beside others, after they were checked elsewhere: of the check, that of what the timed
    calls returned is left. On a CPU each burst is taken on other ground in the heap than the last. outputs: the file in
    which it hands outputs over, one set at a time.
    """

    operator: str
    implementation: str
    module: str
    plugins: tuple[str, ...]
    device: str
    effort: dict[str, float]
    ceilings: dict[str, Any]
    seed: int
    memory_limit_bytes: int | None
    outputs: str
    untimed: str | None = None
    cache: str = "cold"
    secret: int = 0
    turn: bool = False


def main(answers_descriptor: int, parent: int) -> None:
    """Read the order, then a verb and a case id a line, until the requests end."""
    requests, answers = connect(answers_descriptor, parent)
    order = decode(WorkerOrder, json.loads(requests.readline()))
    limit_memory(order.device, order.memory_limit_bytes)
    with telling_why_it_is_broken(answers):
        session = _Session(order, requests, answers)
    send(answers, "ready", None)
    for line in requests:
        verb, case_id = _loads(line)
        send(answers, "measurement", encode(session.answer(verb, case_id)))


def connect(answers_descriptor: int, parent: int) -> tuple[IO[str], IO[str]]:
    """Where a worker reads its requests and writes its answers; it ends with its parent from here on."""
    end_with(parent)
    os.set_inheritable(answers_descriptor, False)
    answers = os.fdopen(answers_descriptor, "w", encoding="utf-8")
    requests = take_standard_input()
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is told by its traceback, not by a file
    return requests, answers


@contextmanager
def telling_why_it_is_broken(answers: IO[str]) -> Iterator[None]:
    """What fails inside is told to the parent, and the process ends."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - a plugin may fail in a worker that imported well in the parent
        send(answers, "broken", [reason_of(error), traceback_of(error)])
        sys.exit(1)


VERBS = ("measure", "open", "burst", "finish")
"""Measure a case from beginning to end; or make it ready, take one burst (as often as wanted), and finish it."""


class _Session:
    def __init__(self, order: WorkerOrder, requests: IO[str], answers: IO[str]) -> None:
        import torch

        from attnlab.bench.contract.meddling import Guard
        from attnlab.bench.contract.registry import discover_one, import_operators, registry
        from attnlab.bench.machine.clocks import clocks_for
        from attnlab.bench.measure.harness import Setup
        from attnlab.bench.measure.settings import Apart
        from attnlab.bench.measure.timing import Effort
        from attnlab.bench.store.machine import Ceilings

        import_operators()
        guard, apart = Guard(), Apart()
        with apart.foreign():
            self._implementation = discover_one(order.operator, order.implementation, order.module, order.plugins)
        self._operator = registry.operators.get(order.operator)
        self._opened: dict[str, tuple[OpenCase, ExitStack]] = {}
        self._turn = order.turn
        self._ballast = Ballast() if order.turn and order.device == "cpu" else None
        device = torch.device(order.device)
        self._setup: Setup = Setup(
            device=device,
            clocks=clocks_for(device, order.cache),
            ceilings=decode(Ceilings, order.ceilings),
            effort=Effort(**order.effort),  # type: ignore[arg-type]
            seed=order.seed,
            judging=handing_over(Path(order.outputs), requests, answers),
            untimed=order.untimed,
            secret=order.secret,
            memory=not order.turn,
            announce=lambda phase: send(answers, "phase", phase),
            meddled=guard.changed,
            apart=apart,
            mark=marking(requests, answers),
        )

    def answer(self, verb: str, case_id: str) -> Measurement:
        """What is known of a case after a verb of `VERBS`."""
        from attnlab.bench.measure.timing import STOPPED_BY_ROUNDS

        if verb == "measure":
            self._open(case_id)
            return self._closed(case_id, lambda opened: opened.measured())
        if verb == "open":
            return self._open(case_id).warm_up()
        if verb == "burst":
            return self._burst(self._opened[case_id][0])
        return self._closed(case_id, lambda opened: opened.finished(STOPPED_BY_ROUNDS))

    def _burst(self, opened: OpenCase) -> Measurement:
        if self._ballast is not None:
            self._ballast.shift()
            opened.pass_over()
        return opened.burst()

    def _open(self, case_id: str) -> OpenCase:
        from attnlab.bench.measure.harness import open_case

        case = self._operator.case_type.parse(case_id)
        stack = ExitStack()
        opened = stack.enter_context(open_case(self._operator, case, self._implementation, self._setup, not self._turn))
        self._opened[case_id] = opened, stack
        return opened

    def _closed(self, case_id: str, last: Callable[[OpenCase], Measurement]) -> Measurement:
        opened, stack = self._opened.pop(case_id)
        with stack:
            return last(opened)


def send(answers: IO[str], kind: str, value: Any) -> None:
    answers.write(_dumps([kind, value]) + "\n")
    answers.flush()


def handing_over(outputs: Path, requests: IO[str], answers: IO[str]) -> Callable[[Any, Case], Judges]:
    """What a case's outputs are handed over to: the parent, which has them judged, and answers by a line."""
    from attnlab.bench.measure.judging.handing import HandedOver

    def ask(value: Any) -> Any:
        send(answers, "judge", value)
        return _loads(requests.readline())

    return lambda operator, case: HandedOver(case.id, outputs, ask)


def marking(requests: IO[str], answers: IO[str]) -> Callable[[int], bool]:
    """Tells the parent how many calls were made since the last mark; whether that is enough."""

    def mark(calls: int) -> bool:
        send(answers, "mark", calls)
        return bool(_loads(requests.readline()))

    return mark


def take_standard_input() -> IO[str]:
    """The requests, moved off descriptor 0, so that no call, nor a process that one starts, reads them."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return requests


def limit_memory(device: str, limit_bytes: int | None) -> None:
    """On the CPU the data segment's size, on CUDA the allocator's share of the device."""
    if limit_bytes is None:
        return
    if device == "cuda":
        import torch

        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit_bytes / total))
        return
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def end_with(parent: int) -> None:
    """Linux: be killed when the parent is, so that no orphan goes on computing."""
    with suppress(OSError, AttributeError):
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we could ask
        sys.exit(1)
