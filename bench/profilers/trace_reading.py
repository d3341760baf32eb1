"""What a trace of calls says: parts with their times and where they were called, launches, gaps and memory."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from attnlab.bench import units
from attnlab.bench.profilers.chrome_trace import ChromeTrace, TraceEvent, covered_ns
from attnlab.bench.profilers.record import KERNEL, OPERATION, SPAN, CallPart, Listing, Timeline, ToolFigure, ToolRecord
from attnlab.bench.profilers.source_lines import Lines, is_of_others, shown_path

FUNCTION_NAME = re.compile(r"^(?P<file>.+)\((?P<line>\d+)\): (?P<name>.+)$")
DEEPEST_STACK = 12
MOST_POINTS = 2000  # of a timeline
MOST_LINES, MOST_NAMED = 20, 3
Stack = tuple[str, ...]


@dataclass
class _Sum:
    """All events of one name and kind: their time, number, where they were called, and what they allocated."""

    time_ns: float = 0.0
    total_ns: float = 0.0
    count: int = 0
    stacks: Counter[Stack] = field(default_factory=Counter)


def record_of(
    plain: ChromeTrace,
    deep: ChromeTrace | None,
    *,
    on_gpu: bool,
    lines: Lines | None = None,
    files: tuple[tuple[str, str], ...] = (),
    notes: tuple[str, ...] = (),
) -> ToolRecord:
    """plain: calls without more than their times. deep: one call with stacks and memory, where there is one.

    lines: where operations of a call are called from to the very line, where that is known.
    """
    calls = len(plain.calls)
    exact = _called_from(plain, lines or {})
    about = {} if deep is None else _functions_about(deep)
    allocated = {} if deep is None else _allocated(deep)
    operations = _sums(plain.operations, exact)
    kernels = _sums(plain.kernels, {k.key: stack for k in plain.kernels if (stack := _launched_from(k, plain, exact))})
    for name, one in (*operations.items(), *kernels.items()):
        one.stacks = one.stacks or about.get(name, Counter())
    parts = [
        *_parts(kernels, KERNEL, calls, {}),
        *_parts(operations, OPERATION, calls, allocated),
        *_parts(_sums(plain.spans, {}), SPAN, calls, {}),
    ]
    ran = plain.kernels if on_gpu else plain.operations
    return ToolRecord(
        tool="torch",
        calls=calls,
        parts=tuple(sorted(parts, key=lambda part: -(part.time_ns or 0.0))),
        figures=tuple(_figures(plain, deep, on_gpu)),
        listings=tuple(_by_line(ran, plain, exact)),
        timelines=() if deep is None else tuple(_timelines(deep)),
        files=files,
        notes=notes,
    )


def _sums(events: Sequence[TraceEvent], stacks: dict[tuple[float, str], Stack]) -> dict[str, _Sum]:
    sums: dict[str, _Sum] = defaultdict(_Sum)
    for event in events:
        one = sums[event.name]
        one.time_ns += event.self_ns
        one.count += 1
        if event.key in stacks:
            one.stacks[stacks[event.key]] += 1
        if not any(outer.name == event.name for outer in event.about()):
            one.total_ns += event.length_ns
    return sums


def _parts(sums: dict[str, _Sum], kind: str, calls: int, allocated: dict[str, float]) -> list[CallPart]:
    parts = []
    for name, one in sums.items():
        stack = one.stacks.most_common(1)[0][0] if one.stacks else ()
        source = stack[0].partition(" in ")[0] if stack else None
        bytes_ = allocated.get(name, 0.0) if allocated else None
        times = one.time_ns / calls, one.total_ns / calls
        parts.append(CallPart(name, kind, *times, one.count / calls, bytes_, source, stack))
    return parts


def _figures(plain: ChromeTrace, deep: ChromeTrace | None, on_gpu: bool) -> list[ToolFigure]:
    calls = len(plain.calls)
    host_ns = sum(call.length_ns for call in plain.calls) / calls
    outer = [event for event in plain.operations if event.outer is None]
    outside_ns = host_ns - _covered_by_thread(outer) / calls
    found = [
        ToolFigure("operations", len(plain.operations) / calls, "1", better="lower"),
        ToolFigure("outermost operations", len(outer) / calls, "1", better="lower"),
        ToolFigure("host time of a call", host_ns, "ns", better="lower"),
        ToolFigure("host time outside of operations", max(0.0, outside_ns), "ns", better="lower"),
    ]
    if on_gpu:
        found += _gpu_figures(plain)
    if deep is not None and deep.memory:
        allocated = [size for at, size, _ in deep.memory if size > 0 and _in_calls(deep, at)]
        found += [
            ToolFigure("memory allocated", sum(allocated), "B", better="lower"),
            ToolFigure("allocations", float(len(allocated)), "1", better="lower"),
        ]
        for timeline in _timelines(deep):
            peak = max(value for _, value in timeline.points)
            found.append(ToolFigure("peak of memory", peak, "B", better="lower"))
    return found


def _gpu_figures(plain: ChromeTrace) -> list[ToolFigure]:
    """Of calls that were waited for one by one: a gap is time in which nothing ran between a call's first and last."""
    busy = gaps = 0.0
    begins = [call.begin_ns for call in plain.calls]
    for begin, end in zip(begins, [*begins[1:], float("inf")], strict=True):
        ran = [kernel for kernel in plain.kernels if begin <= kernel.begin_ns < end]
        if ran:
            covered = covered_ns(ran)
            busy += covered
            gaps += max(kernel.end_ns for kernel in ran) - ran[0].begin_ns - covered
    calls = len(begins)
    launching = sum(event.length_ns for event in plain.launches)
    return [
        ToolFigure("kernels", len(plain.kernels) / calls, "1", better="lower"),
        ToolFigure("launches", len(plain.launches) / calls, "1", better="lower"),
        ToolFigure("time in kernels", busy / calls, "ns", better="lower"),
        ToolFigure("gaps between kernels", gaps / calls, "ns", better="lower"),
        ToolFigure("host time in launches", launching / calls, "ns", better="lower"),
    ]


def _covered_by_thread(events: Sequence[TraceEvent]) -> float:
    threads: dict[object, list[TraceEvent]] = defaultdict(list)
    for event in events:
        threads[event.thread].append(event)
    return sum(covered_ns(some) for some in threads.values())


def _in_calls(trace: ChromeTrace, at_ns: float) -> bool:
    return any(call.begin_ns <= at_ns <= call.end_ns for call in trace.calls)


def _timelines(deep: ChromeTrace) -> list[Timeline]:
    """Memory of a call above what was held when it began."""
    if not deep.calls:
        return []
    call = deep.calls[0]
    before = [total for at, _, total in deep.memory if at < call.begin_ns]
    within = [
        (at - call.begin_ns, size, total) for at, size, total in deep.memory if call.begin_ns <= at <= call.end_ns
    ]
    if not within:
        return []
    start = before[-1] if before else within[0][2] - within[0][1]
    points = [(0.0, 0.0), *((at, total - start) for at, _, total in within)]
    step = -(-len(points) // MOST_POINTS)
    return [Timeline("memory above what was held before", "B", tuple(points[::step]))]


def _called_from(plain: ChromeTrace, lines: Lines) -> dict[tuple[float, str], Stack]:
    """By event: the stack that an operation, or the one that it is part of, was called from.

    The first of a name in a call is the first of that name in `lines`, and so on, where they are equally many.
    """
    by_call: dict[float, dict[str, list[TraceEvent]]] = defaultdict(lambda: defaultdict(list))
    for event in plain.operations:
        call = plain.call_of(event)
        if call is not None:
            by_call[call.begin_ns][event.name].append(event)
    found: dict[tuple[float, str], Stack] = {}
    for named in by_call.values():
        for name, events in named.items():
            stacks = lines.get(name, ())
            if len(stacks) == len(events):
                found |= {event.key: stack for event, stack in zip(events, stacks, strict=True)}
    for event in plain.operations:
        about = next((outer for outer in (event, *event.about()) if outer.key in found), None)
        if about is not None:
            found[event.key] = found[about.key]
    return {key: stack for key, stack in found.items() if stack}


def _launched_from(kernel: TraceEvent, plain: ChromeTrace, exact: dict[tuple[float, str], Stack]) -> Stack | None:
    launch = plain.launch_of.get(kernel.arguments.get("correlation"))
    if launch is None:
        return None
    return next((exact[event.key] for event in launch.about() if event.key in exact), None)


def _by_line(ran: Sequence[TraceEvent], plain: ChromeTrace, exact: dict[tuple[float, str], Stack]) -> list[Listing]:
    """Time by line of the source, that which takes longest first."""
    times: dict[str, float] = defaultdict(float)
    names: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for event in ran:
        stack = exact.get(event.key) or _launched_from(event, plain, exact)
        if stack:
            times[stack[0]] += event.self_ns
            names[stack[0]][event.name] += event.self_ns
    if not times:
        return []
    calls, whole = len(plain.calls), sum(event.self_ns for event in ran)
    rows = []
    for line, ns in sorted(times.items(), key=lambda item: -item[1])[:MOST_LINES]:
        longest = sorted(names[line], key=lambda name: -names[line][name])[:MOST_NAMED]
        rows.append((line, units.format_time(ns / calls), units.format_share(ns / whole), ", ".join(longest)))
    return [Listing("Time by line of the source", ("line", "time of a call", "share", "what it calls"), tuple(rows))]


def _functions_about(deep: ChromeTrace) -> dict[str, Counter[Stack]]:
    """By name of an operation or kernel: the functions of Python that it was called from."""
    found: dict[str, Counter[Stack]] = defaultdict(Counter)
    for event in deep.functions:
        if event.category == "cpu_op" and deep.call_of(event) is not None and (stack := _stack(event)):
            found[event.name][stack] += 1
    for kernel in deep.kernels:
        launch = deep.launch_of.get(kernel.arguments.get("correlation"))
        if launch is not None and (stack := _stack(launch)):
            found[kernel.name][stack] += 1
    return found


def _allocated(deep: ChromeTrace) -> dict[str, float]:
    """Bytes by the innermost operation that was at work when they were allocated."""
    found: dict[str, float] = defaultdict(float)
    operations = deep.operations
    waiting = sorted((at, size) for at, size, _ in deep.memory if size > 0 and _in_calls(deep, at))
    place = 0
    about: list[TraceEvent] = []
    for at, size in waiting:
        while place < len(operations) and operations[place].begin_ns <= at:
            about.append(operations[place])
            place += 1
        about = [event for event in about if event.end_ns >= at]
        if about:
            found[max(about, key=lambda event: event.begin_ns).name] += size
    return found


def _stack(event: TraceEvent) -> Stack:
    """`file:line in function` of what it lies in, the nearest first, of files that are neither torch's nor ours."""
    found = []
    for outer in event.about():
        told = FUNCTION_NAME.match(outer.name) if outer.category == "python_function" else None
        if told is not None and not is_of_others(told["file"]):
            found.append(f"{shown_path(told['file'])}:{told['line']} in {told['name']}")
    return tuple(found[:DEEPEST_STACK])
