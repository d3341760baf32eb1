"""One rank's process: it makes the calls that its group asks for, times each itself, and ends with its group."""

from __future__ import annotations

import contextlib
import datetime
import faulthandler
import importlib
import operator
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

import torch
import torch.distributed as dist

from attnlab.bench.contract.meddling import Guard, refusal
from attnlab.bench.contract.plugins import import_file
from attnlab.bench.errors import MeasurementError, Unavailable
from attnlab.bench.measuring.judging.refusals import Rejected
from attnlab.bench.measuring.outcomes import exhausted
from attnlab.bench.measuring.ranks import callbacks
from attnlab.bench.measuring.ranks.part import Part, poisoned_memory
from attnlab.bench.measuring.settings import Apart
from attnlab.bench.ranks.orders import Call, Do, Done, Forget, Inspect, Join, Load, Make, Prepare, Raised, TimeAlone
from attnlab.bench.ranks.shared import loads
from attnlab.bench.ranks.windows import DeviceWindows, HostWindows, Windows
from attnlab.bench.store.records import Outcome
from attnlab.bench.text import reason_of, traceback_of

FOREVER = datetime.timedelta(days=1)  # the group keeps the time, and knows which rank is late


def main(descriptor: int) -> None:
    """Do what comes, until there is nobody who asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the group's owner ends it
    faulthandler.enable()
    callbacks.listen()
    member = Member(Connection(descriptor))
    with contextlib.suppress(EOFError, ConnectionError, BrokenPipeError):
        while True:
            member.answer()
    os._exit(0)  # a group of torch's whose other ranks are gone may wait for them at its end


class Member:
    """A rank, and what it has prepared."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._guard = Guard()
        self._parts: dict[int, Part] = {}
        self._made: dict[int, Any] = {}
        self._windows: Windows | None = None
        self._stack: IO[str] | None = None
        self._apart = Apart()

    def answer(self) -> None:
        """Read one order, do it, and tell what came of it."""
        written = self._connection.recv_bytes()
        try:
            said: Done | Raised = self._done(loads(written))
        except BaseException as error:  # noqa: BLE001 - the isolation boundary: foreign code, which may call sys.exit
            reason = str(error) if isinstance(error, Rejected) else reason_of(error)
            said = Raised(reason, traceback_of(error), outcome_of(error).value)
        self._connection.send(said)

    def _done(self, order: Any) -> Done:
        if isinstance(order, Call):
            return self._parts[order.key].call(self._joined(), order.poisoned)
        if isinstance(order, TimeAlone):
            return self._parts[order.key].alone(self._joined(), order.part)
        if isinstance(order, Do):
            with self._apart.foreign(), poisoned_memory() if order.poisoned else contextlib.nullcontext():
                return Done(value=getattr(self._made[order.key], order.method)(*order.arguments))
        if isinstance(order, Join):
            self._join(order)
        elif isinstance(order, Load):
            with self._apart.foreign():
                load(order.modules)
        elif isinstance(order, Prepare):
            self._parts[order.key] = self._prepared(order)
        elif isinstance(order, Make):
            self._made[order.key] = _found(order.made)(*order.arguments)
        elif isinstance(order, Inspect):
            self._inspect()
        elif isinstance(order, Forget):
            self._parts.pop(order.key, None)
            self._made.pop(order.key, None)
        return Done()

    def _inspect(self) -> None:
        names = self._guard.changed()
        if names:
            raise MeasurementError(refusal(names))

    def _join(self, order: Join) -> None:
        self._stack = Path(order.stack).open("w")  # noqa: SIM115 - for as long as the process lives
        faulthandler.register(signal.SIGUSR1, self._stack, all_threads=False)
        if order.device == "cuda":
            torch.cuda.set_device(order.rank)
        else:
            torch.set_num_threads(1)
        store = dist.FileStore(order.store, order.world_size)  # type: ignore[attr-defined]
        backend = "nccl" if order.device == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=order.rank, world_size=order.world_size, timeout=FOREVER)
        self._windows = DeviceWindows() if order.device == "cuda" else HostWindows(order.came, order.rank)

    def _joined(self) -> Windows:
        assert self._windows is not None, "of a rank that has joined its group"
        return self._windows

    def _prepared(self, order: Prepare) -> Part:
        made = _found(order.implementation)()
        device = torch.device("cuda", dist.get_rank()) if dist.get_backend() == "nccl" else torch.device("cpu")
        return Part.prepared(made, order, dist.get_rank(), device, self._apart)


def _found(named: tuple[str, str]) -> Any:
    """A class, by its module and its name there."""
    module, name = named
    return operator.attrgetter(name)(importlib.import_module(module))


def load(modules: dict[str, str | None]) -> None:
    """Import each by its name, else from its file, as a plugin's is."""
    for name, file in modules.items():
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if file is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # it is there, and what it imports is not
            import_file(Path(file), name)


def outcome_of(error: BaseException) -> Outcome:
    """What an error makes of a case."""
    if isinstance(error, Rejected):
        return error.outcome
    if exhausted(error):
        return Outcome.OUT_OF_MEMORY
    return Outcome.UNAVAILABLE if isinstance(error, Unavailable) else Outcome.FAILED
