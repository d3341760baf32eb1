"""Whether what two sides measured of one benchmark may be set side by side, and whether they are of two machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from attnlab.bench.measuring.common_clock import method_of
from attnlab.bench.store.records import Measurement, Outcome, RunRecord

Facts = list[tuple[str, list[object]]]


@dataclass
class Side:
    """All that one side measured of a benchmark."""

    runs: list[RunRecord] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)


def paced(side: Side) -> bool:
    """Whether its calls are paced by their arrivals, so that they have no latency."""
    return any(m.paced is not None for m in side.measurements)


def unchecked(side: Side) -> bool:
    """Whether anything of it was imported, of which nothing here knows whether it is right."""
    return any(m.outcome is Outcome.UNCHECKED for m in side.measurements)


def incomparable(base: Side | None, head: Side | None) -> str | None:
    """The first reason why two sides must not be set against each other."""
    if base is None or head is None:
        return f"{'base' if base is None else 'head'} has no such measurement"
    for name, side in (("base", base), ("head", head)):
        for m in side.measurements:
            if not m.outcome.may_have_speed:
                return f"{name}: {m.outcome.value}: {m.reason or 'no reason stored'}"
            if (not m.median_ns and m.paced is None) or m.timing is None:
                return f"{name}: not timed: {m.untimed or 'no time stored'}"
    if unchecked(base) != unchecked(head):
        return f"{'base' if unchecked(base) else 'head'} was imported and never checked, and the other side was checked"
    return next(_differences(base, head), None)


def apart(base: Side, head: Side) -> tuple[str, ...]:
    """What differs of machine, device, threads, clock and cache state, where the sides are of two machines or devices.

    () where they are of one. A GPU's clock and caches are never a CPU's.
    """
    two = Side([*base.runs, *head.runs], [*base.measurements, *head.measurements])
    return tuple(_unlike([*_of_machine(two), *_of_method(two)])) if any(_unlike(_of_machine(two))) else ()


def _differences(base: Side, head: Side) -> Iterator[str]:
    """What differs of machine and method within a side, or between sides of one machine; and what never may."""
    two = Side([*base.runs, *head.runs], [*base.measurements, *head.measurements])
    for side in (base, head) if apart(base, head) else (two,):
        yield from _unlike([*_of_machine(side), *_of_method(side)])
    yield from _unlike([("ways of measuring", ["a quick look" if r.quick else "in full" for r in two.runs])])
    yield from _unlike([("versions of the definitions", [m.definitions_version for m in two.measurements])])
    for axis in dict.fromkeys(axis for m in two.measurements for axis in m.files):
        held = list(dict.fromkeys(m.files[axis] for m in two.measurements if axis in m.files))  # older runs do not say
        if len(held) > 1:
            yield f"the file that axis {axis} names held something else: {' and '.join(held)}"


def _of_machine(side: Side) -> Facts:
    return [
        ("machines", [r.environment.processor for r in side.runs]),
        ("devices", [r.environment.device.name for r in side.runs]),
    ]


def _of_method(side: Side) -> Facts:
    timings = [m.timing for m in side.measurements if m.timing]
    return [
        ("numbers of threads", [r.environment.threads for r in side.runs]),
        ("clocks", [timing.clock for timing in timings]),
        ("cache states", [timing.cache for timing in timings]),
        ("numbers of calls a sample", [method_of(timing).uncorrected for timing in timings]),
    ]


def _unlike(facts: Sequence[tuple[str, list[object]]]) -> Iterator[str]:
    for what, values in facts:
        different = list(dict.fromkeys(values))
        if len(different) > 1:
            yield f"different {what}: {' and '.join(map(str, different))}"
