"""A trace as torch's profiler writes it for Chrome and Perfetto, read back: what ran when, and within what."""

from __future__ import annotations

import bisect
import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from attnlab.bench import units
from attnlab.bench.errors import MeasurementError

CALL_MARK = "attnlab: one call"
KERNELS = ("kernel", "gpu_memcpy", "gpu_memset")
OPERATION, SPAN, GPU_SPAN, PYTHON = "cpu_op", "user_annotation", "gpu_user_annotation", "python_function"
RUNTIMES = ("cuda_runtime", "cuda_driver")
MEMORY = "[memory]"
COMPILED_GRAPH = re.compile(r"## Call CompiledFxGraph \w+ ##")  # a hash that is another one after any change


@dataclass(eq=False)
class TraceEvent:
    """Something that took from `begin_ns` to `end_ns`; inner: what lies within it on its thread, of its own list."""

    name: str
    category: str
    begin_ns: float
    end_ns: float
    thread: tuple[Any, Any]
    arguments: Mapping[str, Any]
    inner: list[TraceEvent] = field(default_factory=list)
    outer: TraceEvent | None = None

    @property
    def key(self) -> tuple[float, str]:
        """By which it is known again where it was nested otherwise."""
        return self.begin_ns, self.name

    @property
    def length_ns(self) -> float:
        return self.end_ns - self.begin_ns

    @property
    def self_ns(self) -> float:
        """Without what lies within it."""
        return self.length_ns - sum(event.length_ns for event in self.inner)

    def about(self) -> Iterator[TraceEvent]:
        """What it lies within, the nearest first."""
        event = self.outer
        while event is not None:
            yield event
            event = event.outer


class ChromeTrace:
    """The events of a trace, those of the host nested as they were."""

    def __init__(self, events: Sequence[Mapping[str, Any]]) -> None:
        self._told = events
        self._events: dict[str, list[TraceEvent]] = defaultdict(list)
        self.memory: list[tuple[float, float, float]] = []  # when, by how many bytes, and the total then
        for event in events:
            if event.get("ph") == "X" and "dur" in event:
                made = _event(event)
                self._events[made.category].append(made)
            elif event.get("name") == MEMORY and event.get("ph") == "i":
                told = event["args"]
                self.memory.append((_ns(event["ts"]), float(told["Bytes"]), float(told["Total Allocated"])))
        self.memory.sort()
        self.size = len(events)

    def of_calls(self, places: Sequence[int]) -> ChromeTrace:
        """The calls at these places alone, each with what happened from its begin to the next one's."""
        begins = [call.begin_ns for call in self.calls]
        kept = set(places)

        def lies_within(event: Mapping[str, Any]) -> bool:
            return "ts" in event and bisect.bisect_right(begins, _ns(event["ts"])) - 1 in kept

        return ChromeTrace([event for event in self._told if lies_within(event)])

    @classmethod
    def read(cls, path: Path) -> ChromeTrace:
        """Raises MeasurementError where the file holds no trace."""
        try:
            data = path.read_bytes()
            return cls(json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)["traceEvents"])
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise MeasurementError(
                f"{path.name} cannot be read as a trace ({type(error).__name__}: {error})"
            ) from error

    @cached_property
    def calls(self) -> list[TraceEvent]:
        """The calls that were marked, in order."""
        return sorted((e for e in self._events[SPAN] if e.name == CALL_MARK), key=lambda e: e.begin_ns)

    @cached_property
    def operations(self) -> list[TraceEvent]:
        """Torch's operations within calls, nested."""
        return nested([event for event in self._events[OPERATION] if self.call_of(event) is not None])

    @cached_property
    def kernels(self) -> list[TraceEvent]:
        """What ran on the GPU, in order."""
        found = [event for category in KERNELS for event in self._events[category]]
        return sorted(found, key=lambda event: event.begin_ns)

    @cached_property
    def spans(self) -> list[TraceEvent]:
        """Named stretches within calls, nested; of a GPU as long as what they launched ran, where that is known."""
        category = GPU_SPAN if self._events[GPU_SPAN] else SPAN
        return nested([e for e in self._events[category] if e.name != CALL_MARK and self._in_calls(e)])

    @cached_property
    def launches(self) -> list[TraceEvent]:
        """Calls of the driver within calls that put a kernel, a graph or a copy on the GPU."""
        found = [event for category in RUNTIMES for event in self._events[category]]
        return [e for e in found if self.call_of(e) is not None and ("Launch" in e.name or "Memcpy" in e.name)]

    @cached_property
    def functions(self) -> list[TraceEvent]:
        """Functions of Python, nested with the operations that they call."""
        host = (PYTHON, OPERATION, SPAN, *RUNTIMES)
        return nested([event for category in host for event in self._events[category]])

    @cached_property
    def launch_of(self) -> dict[Any, TraceEvent]:
        """By correlation, the call of the driver that put a kernel on the GPU."""
        found = (event for event in self.functions if event.category in RUNTIMES)
        return {event.arguments["correlation"]: event for event in found if "correlation" in event.arguments}

    def call_of(self, event: TraceEvent) -> TraceEvent | None:
        """The call that something on the host lies in."""
        place = bisect.bisect_right([call.begin_ns for call in self.calls], event.begin_ns) - 1
        if place < 0 or event.end_ns > self.calls[place].end_ns:
            return None
        return self.calls[place]

    def _in_calls(self, event: TraceEvent) -> bool:
        """Of a span on a GPU, which ends after the host has gone on: whether it began since the first call did."""
        if event.category == GPU_SPAN:
            return bool(self.calls) and event.begin_ns >= self.calls[0].begin_ns
        return self.call_of(event) is not None


def nested(events: Sequence[TraceEvent]) -> list[TraceEvent]:
    """The events by their begin, anew, each put into the one that it lies in on its thread."""
    by_begin = sorted(events, key=lambda event: (event.begin_ns, -event.end_ns))
    by_begin = [replace(event, inner=[], outer=None) for event in by_begin]
    open_: dict[Any, list[TraceEvent]] = defaultdict(list)
    for event in by_begin:
        about = open_[event.thread]
        while about and about[-1].end_ns <= event.begin_ns:
            about.pop()
        if about and event.end_ns <= about[-1].end_ns:
            event.outer = about[-1]
            about[-1].inner.append(event)
        about.append(event)
    return by_begin


def covered_ns(events: Sequence[TraceEvent]) -> float:
    """How long at least one of the events went on."""
    total, until = 0.0, float("-inf")
    for event in sorted(events, key=lambda event: event.begin_ns):
        total += max(0.0, event.end_ns - max(event.begin_ns, until))
        until = max(until, event.end_ns)
    return total


def _event(event: Mapping[str, Any]) -> TraceEvent:
    begin = _ns(event["ts"])
    thread = event.get("pid"), event.get("tid")
    category, told = str(event.get("cat")), event.get("args", {})
    name = COMPILED_GRAPH.sub("compiled graph", str(event["name"]))
    return TraceEvent(name, category, begin, begin + _ns(event["dur"]), thread, told)


def _ns(micros: Any) -> float:
    return float(micros) * units.NS_PER_US
