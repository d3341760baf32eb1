"""A load by several processes: forked, begun at one time by one clock, and ended before their parent goes on.

They are forked, so that an endpoint of any plugin is there without being found again. A child runs asyncio and JSON
alone, and ends without a look at what threads of its parent held.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess

from attnlab.bench.errors import AttnlabError, MeasurementError
from attnlab.bench.serving._asking import Course
from attnlab.bench.serving._driving import LEAD_NS, Done, Driver, Share
from attnlab.bench.serving._loop import new_loop, short_collections
from attnlab.bench.serving.failures import Failure
from attnlab.bench.serving.secret import Key
from attnlab.bench.text import reason_of

READY_S = 60.0
ENDING_S = 10.0
FORK = multiprocessing.get_context("fork")


class Counter:
    """Gives 0, 1, 2 … up to a number, each once, to all processes that are forked from here."""

    def __init__(self, count: int) -> None:
        self._next, self._count = FORK.Value("q", 0), count

    def __call__(self) -> int | None:
        with self._next.get_lock():
            place = int(self._next.value)
            self._next.value = place + 1
        return place if place < self._count else None


@dataclass
class _Child:
    share: Share
    process: ForkProcess
    pipe: Connection
    done: Done | None = None
    fault: str | None = None


def dealt(share: Share, processes: int) -> list[Share]:
    """The shares of so many processes: conversations of an open loop in turn, places of a closed one."""
    if share.load.closed:
        take = Counter(len(share.chains))
        places = [share.places // processes + (n < share.places % processes) for n in range(processes)]
        return [
            replace(share, places=mine, take=take, process=n, processes=processes)
            for n, mine in enumerate(places)
            if mine
        ]
    parts = [share.chains[n::processes] for n in range(processes)]
    return [replace(share, chains=part, process=n, processes=processes) for n, part in enumerate(parts) if part]


def drive_in_processes(shares: Sequence[Share]) -> tuple[int, list[Done]]:
    """When the load began, and what came of each share. Ctrl-C ends the load in all of them, and is told in the logs.

    Raises what a process could not begin for. One that dies later loses its own requests, which are told as failed.
    """
    children: list[_Child] = []
    interrupted = False
    try:
        for share in shares:
            children.append(_fork(share, [child.pipe for child in children]))
        for child in children:
            _hear(child, time.monotonic() + READY_S)
        begun_ns = time.perf_counter_ns() + LEAD_NS
        for child in children:
            with suppress(OSError):  # one that died meanwhile, which is told below
                child.pipe.send(begun_ns)
        while waiting := [child for child in children if child.done is None and child.fault is None]:
            try:
                ready = wait([child.pipe for child in waiting])
                for child in waiting:
                    if child.pipe in ready:
                        _finish(child)
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                for child in waiting:
                    with suppress(OSError):
                        child.pipe.send(None)
    finally:
        for child in children:
            child.pipe.close()
            child.process.join(ENDING_S)
            if child.process.is_alive():
                child.process.kill()
                child.process.join()
    return begun_ns, [child.done or _lost(child, children) for child in children]


def _fork(share: Share, others: list[Connection]) -> _Child:
    mine, its = FORK.Pipe()
    process = FORK.Process(target=_work, args=(share, its, [*others, mine]), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, see above
        process.start()
    its.close()
    return _Child(share, process, mine)


def _hear(child: _Child, until_s: float) -> None:
    """Wait until a process is ready; raises what it was not ready for."""
    name = f"process {child.share.process} of the client"
    if not child.pipe.poll(max(0.0, until_s - time.monotonic())):
        raise MeasurementError(f"{name} was not ready within {READY_S:g} s; use fewer processes")
    try:
        told = child.pipe.recv()
    except EOFError:
        child.process.join(ENDING_S)
        raise MeasurementError(f"{name} ended with {child.process.exitcode} before the load began") from None
    if isinstance(told, AttnlabError):
        raise told


def _finish(child: _Child) -> None:
    try:
        told = child.pipe.recv()
    except (EOFError, OSError):
        child.process.join(ENDING_S)
        child.fault = f"process {child.share.process} of the client ended with {child.process.exitcode} within the load"
        return
    if isinstance(told, Done):
        child.done = told
    else:
        child.fault = f"process {child.share.process} of the client failed: {told}"


def _lost(child: _Child, children: Sequence[_Child]) -> Done:
    """What is known of the share of a process that died: whatever no other process has of its conversations."""
    now_ns = time.perf_counter_ns()
    known = {number for other in children if other.done is not None for number in other.done.courses}
    found = Done(ended_ns=now_ns)
    for asked in (one for chain in child.share.chains for one in chain):
        if asked.number not in known:
            course = Course(asked.number, now_ns, now_ns, asked.prompt_tokens, process=child.share.process)
            course.fail(Failure("client", child.fault or "its process is gone"))
            found.courses[asked.number] = course
    child.done = found
    return found


def _work(share: Share, pipe: Connection, others: Sequence[Connection]) -> None:
    """What a child does: says that it is ready, hears when to begin, and tells what came of it."""
    for other in others:
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent tells it to stop
    try:
        driver = Driver(share, Key.of(share.service.key_env))
        with short_collections(), asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(_run(driver, pipe))
        told: object = driver.done
    except AttnlabError as error:
        told = error
    except Exception as error:  # noqa: BLE001 - its parent raises it
        told = MeasurementError(f"the client cannot begin: {reason_of(error)}")
    with suppress(OSError):
        pipe.send(told)
        pipe.close()


async def _run(driver: Driver, pipe: Connection) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    stop: Callable[[], bool] = task.cancel

    def stopped() -> None:
        """The parent says stop, or is gone."""
        loop.remove_reader(pipe.fileno())
        stop()

    def begin() -> int:
        pipe.send("ready")
        begun_ns = int(pipe.recv())
        loop.add_reader(pipe.fileno(), stopped)
        return begun_ns

    await driver.run(begin)
    loop.remove_reader(pipe.fileno())
