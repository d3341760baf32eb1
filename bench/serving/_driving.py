"""One process's share of a load: conversations begun when they are due, their turns one after another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from attnlab.bench import units
from attnlab.bench.serving._asking import Asker, Course
from attnlab.bench.serving._loop import LoopLag, loop_time
from attnlab.bench.serving._rehearsing import rehearse
from attnlab.bench.serving.asked import Asked, joined
from attnlab.bench.serving.endpoint import Endpoint
from attnlab.bench.serving.failures import Failure
from attnlab.bench.serving.load import Load
from attnlab.bench.serving.secret import Key
from attnlab.bench.serving.service import Service
from attnlab.bench.text import reason_of

Chain = tuple[Asked, ...]
OnEvent = Callable[[str, int], None]
"""Told `begun`, `answered` or `failed`, and the request's number."""
LEAD_NS = 5 * units.NS_PER_MS  # from when all is ready to the beginning
RAMP_NS = units.NS_PER_MS  # between the first requests of a closed loop, which cannot all be sent at one time


@dataclass
class Share:
    """What one of so many processes does of a load. take: the next place in `chains` of a closed loop, None where there
    is none."""

    endpoint: Endpoint
    service: Service
    load: Load
    chains: Sequence[Chain]
    stream: bool
    places: int
    take: Callable[[], int | None]
    process: int = 0
    processes: int = 1
    on_event: OnEvent | None = None


@dataclass
class Done:
    """What came of a share: requests by number, and how late the loop was."""

    courses: dict[int, Course] = field(default_factory=dict)
    lags_ns: list[int] = field(default_factory=list)
    interrupted: bool = False
    ended_ns: int = 0


def in_order(count: int) -> Callable[[], int | None]:
    """Gives 0, 1, 2 … up to so many, each once, to those who take them in one process."""
    places: Iterator[int] = iter(range(count))
    return lambda: next(places, None)


class Driver:
    """Drives a share. `begin` waits with all prepared until it is told when the load begins, by `perf_counter_ns`."""

    def __init__(self, share: Share, key: Key | None) -> None:
        self._share, self._key = share, key
        self._asker = Asker(share.endpoint, share.service, key, share.stream)
        self._payloads = {chain[0].number: self._asker.payload(chain[0]) for chain in share.chains}
        self._begun_ns = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._cancel: Callable[[], object] = bool
        self.done = Done()

    async def run(self, begin: Callable[[], int]) -> None:
        """All of it, to its end or to where it is cancelled; raises CancelledError only before it begins.

        What came of it is in `done`, and not returned: asyncio's runner spells out what a finished task returned.
        """
        try:
            await self._run(begin)
        except asyncio.CancelledError:  # while connections were closed
            if not self._begun_ns:
                raise
            self.done.interrupted = True

    async def _run(self, begin: Callable[[], int]) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        lag = LoopLag(loop)
        await rehearse()
        async with self._asker:
            self._begun_ns = begin()
            try:
                await asyncio.sleep(max(0.0, units.ns_to_seconds(self._begun_ns - time.perf_counter_ns())))
                lag.start()
                await (self._closed_loop() if self._share.load.closed else self._open_loop())
            except asyncio.CancelledError:
                self.done.interrupted = True
                await self._stop()
            finally:
                lag.stop()
                self.done.ended_ns = time.perf_counter_ns()
        self.done.lags_ns = lag.lags_ns

    def cancel(self) -> None:
        """End the load as Ctrl-C does, from any thread."""
        self._cancel()

    async def _stop(self) -> None:
        """End what is under way; each request that was begun is told as interrupted."""
        self._asker.desk.read_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for course in self.done.courses.values():
            if course.ended_ns is None or (course.failure is None and not course.answer.ended):
                course.fail(Failure("interrupted", "the load was interrupted before its answer was whole"))

    def _over(self, now_ns: int) -> bool:
        limit_s = self._share.load.stop_after_s
        return limit_s is not None and now_ns - self._begun_ns >= units.seconds_to_ns(limit_s)

    async def _closed_loop(self) -> None:
        for place in range(self._share.places):
            self._start(self._keep_place(place * self._share.processes + self._share.process))
        await self._join()

    async def _keep_place(self, number: int) -> None:
        """One place of all processes' places; the first requests of places go out one after another."""
        free_ns = self._begun_ns + number * RAMP_NS
        await asyncio.sleep(units.ns_to_seconds(max(0, free_ns - time.perf_counter_ns())))
        while not self._over(time.perf_counter_ns()) and (place := self._share.take()) is not None:
            await self._converse(self._share.chains[place], free_ns)
            free_ns = time.perf_counter_ns()

    async def _open_loop(self) -> None:
        loop = asyncio.get_running_loop()
        finished = loop.create_future()
        waiting = 0

        def begin(chain: Chain, due_ns: int) -> None:
            nonlocal waiting
            waiting -= 1
            self._start(self._converse(chain, due_ns))
            if not waiting and not finished.done():
                finished.set_result(None)

        timers = []
        for chain in self._share.chains:
            due_ns = self._begun_ns + round(units.seconds_to_ns(chain[0].due_s))
            if not self._over(due_ns):
                waiting += 1
                timers.append(loop.call_at(loop_time(due_ns), begin, chain, due_ns))
        try:
            if waiting:
                await finished
            await self._join()
        finally:
            for timer in timers:
                timer.cancel()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self) -> None:
        """Wait for all that is under way; raises what one of them raised, which is our own fault."""
        while self._tasks:
            done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()

    async def _converse(self, chain: Chain, due_ns: int) -> None:
        before: tuple[Asked, Course] | None = None
        for place, turn in enumerate(chain):
            asked, payload = turn, self._payloads.pop(turn.number, None)
            if before is not None:
                asked_before, course = before
                ended_ns = course.ended_ns or time.perf_counter_ns()
                if course.failure is not None:
                    self._never_asked(chain[place:], ended_ns)
                    return
                due_ns = ended_ns + round(units.seconds_to_ns(turn.think_s))
                asked, payload = self._next(turn, asked_before, course)
                await asyncio.sleep(units.ns_to_seconds(max(0, due_ns - time.perf_counter_ns())))
            course = Course(turn.number, due_ns, time.perf_counter_ns(), asked.prompt_tokens)
            course.process = self._share.process
            self.done.courses[turn.number] = course
            self._tell("begun", turn.number)
            await self._ask(asked, payload, course)
            self._tell("answered" if course.failure is None else "failed", turn.number)
            before = (asked, course)

    def _next(self, turn: Asked, before: Asked, course: Course) -> tuple[Asked, bytes | None]:
        """A turn with what was said before it, and its body; None where the endpoint cannot write it now."""
        asked = joined(turn, before, course.answer.text("text"))
        with suppress(Exception):  # it is asked again, and told, when the turn is due
            return asked, self._asker.payload(asked)
        return asked, None

    async def _ask(self, asked: Asked, payload: bytes | None, course: Course) -> None:
        try:
            await self._asker.ask(asked, payload or self._asker.payload(asked), course)
        except Exception as error:  # noqa: BLE001 - the other requests are still to be measured
            words = self._asker.cleaned(reason_of(error))
            course.fail(Failure("client", f"a fault of the client or its endpoint: {words}"))

    def _never_asked(self, rest: Chain, at_ns: int) -> None:
        for turn in rest:
            course = Course(turn.number, at_ns, at_ns, turn.prompt_tokens, process=self._share.process)
            course.ended_ns = at_ns
            course.failure = Failure("before", f"request {turn.after}, whose answer it follows, has failed")
            self.done.courses[turn.number] = course

    def _tell(self, what: str, number: int) -> None:
        if self._share.on_event is not None:
            self._share.on_event(what, number)
