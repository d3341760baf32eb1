"""The engine's own thread: requests come to it from the event loop, and what it makes of them goes back there."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attnlab.bench.errors import AttnlabError
from attnlab.bench.llm.generation.live import FinishReason, LiveCounters, LiveEngine, LiveEvent, LiveRequest

Sink = Callable[[LiveEvent], None]


@dataclass(frozen=True)
class _Cancel:
    id: int


class EngineThread:
    """Steps the engine while it has work. Everything but `_run` and below is called on the event loop.

    begin: called in the thread first. ended: called on the loop where the engine failed, after every request was told.
    """

    def __init__(self, engine: LiveEngine, begin: Callable[[], object] = lambda: None) -> None:
        self._engine, self._begin = engine, begin
        self.ended: Callable[[], None] = lambda: None
        self.limits = engine.limits
        self.counters: LiveCounters = engine.counters
        self.failed = False
        self._sinks: dict[int, Sink] = {}
        self._orders: deque[LiveRequest | _Cancel] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def open(self) -> int:
        """Requests that have come and not ended, those that are on their way to the engine with them."""
        return len(self._sinks)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and not self.failed

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """Wait until the step that is being made is made, and end."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def submit(self, request: LiveRequest, sink: Sink) -> None:
        """The sink is called on the loop with every event of the request; ids rise from request to request."""
        self._sinks[request.id] = sink
        self._order(request)

    def cancel(self, id: int) -> None:
        """Nothing more of this request is told; what it holds is free before the next step."""
        if self._sinks.pop(id, None) is not None:
            self._order(_Cancel(id))

    def fail_all(self, reason: str) -> None:
        """End every request that is open."""
        for id, sink in list(self._sinks.items()):
            self.cancel(id)
            sink(LiveEvent(id, finish_reason=FinishReason.FAILED, failure=reason))

    def _order(self, order: LiveRequest | _Cancel) -> None:
        self._orders.append(order)
        self._wake.set()

    def _run(self) -> None:
        try:
            self._begin()
            while not self._stopping:
                self._carry_out()
                if self._engine.idle:
                    self.counters = self._engine.counters
                    self._wake.wait()
                    self._wake.clear()
                    continue
                events = self._engine.step()
                self.counters = self._engine.counters
                if events:
                    self._tell(self._deliver, events)
        except Exception:  # noqa: BLE001 - whatever an engine raises, its requests are told and the server ends
            traceback.print_exc(file=sys.stderr)
            self._tell(self._fail)

    def _carry_out(self) -> None:
        while self._orders:
            order = self._orders.popleft()
            if isinstance(order, _Cancel):
                self._engine.cancel(order.id)
                continue
            try:
                self._engine.add(order)
            except AttnlabError as error:
                refused = LiveEvent(order.id, finish_reason=FinishReason.FAILED, failure=str(error))
                self._tell(self._deliver, [refused])

    def _tell(self, function: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def _deliver(self, events: Sequence[LiveEvent]) -> None:
        for event in events:
            sink = self._sinks.get(event.id)
            if event.finish_reason is not None:
                self._sinks.pop(event.id, None)
            if sink is not None:
                sink(event)

    def _fail(self) -> None:
        self.failed = True
        self.fail_all("the engine failed")
        self.ended()
