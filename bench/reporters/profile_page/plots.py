"""Plots of a profile: where each call's time goes, its point under the roofline, and its memory over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnlab.bench import units
from attnlab.bench.profilers.comparison import parts_of
from attnlab.bench.profilers.profiles import CaseProfile
from attnlab.bench.profilers.record import KERNEL, OPERATION
from attnlab.bench.reporters.model.plots import Curve, Panel, Plot, PlotPoint, Roof
from attnlab.bench.store.machine import Ceilings

MOST_PARTS = 7
REST, OUTSIDE = "all others", "outside of operations"
MOST_POINTS = 60


def plots(cases: Sequence[CaseProfile], ceilings: Ceilings) -> Iterator[Plot]:
    """Those that have something to show."""
    for plot in (_time(cases), _roofline(cases, ceilings), _memory(cases)):
        if plot is not None:
            yield plot


def _time(cases: Sequence[CaseProfile]) -> Plot | None:
    """A bar for each call, of its longest parts."""
    kind = KERNEL if any(parts_of(case, KERNEL) for case in cases) else OPERATION
    found = [(case, parts_of(case, kind)) for case in cases]
    found = [(case, parts) for case, parts in found if parts]
    if not found:
        return None
    longest: dict[str, float] = {}
    for _, parts in found:
        for name, ns in parts.items():
            longest[name] = max(longest.get(name, 0.0), ns)
    names = sorted(longest, key=lambda name: -longest[name])[:MOST_PARTS]
    curves = {name: [(row, parts[name]) for row, (_, parts) in enumerate(found) if name in parts] for name in names}
    curves[REST] = [(row, sum(ns for n, ns in parts.items() if n not in names)) for row, (_, parts) in enumerate(found)]
    if kind == OPERATION:
        outside = [case.figure("torch", "host time outside of operations") for case, _ in found]
        curves[OUTSIDE] = [(row, ns) for row, ns in enumerate(outside) if ns is not None]
    drawn = tuple(
        Curve(name, tuple(PlotPoint(ns, float(row)) for row, ns in points if ns > 0))
        for name, points in curves.items()
        if any(ns > 0 for _, ns in points)
    )
    rows = tuple(case.name for case, _ in found)
    panel = Panel("bars", f"by {kind}", "time of a call", "", "ns", drawn, rows)
    what = "One call, as torch's profiler saw it; it slows small operations."
    waited = [case.name for case, _ in found if (record := case.record("torch")) is not None and record.disturbed]
    if waited:
        what += f" What other work kept {', '.join(waited)} waiting is in it."
    return Plot("time", "Where the time goes", what, (panel,))


def _roofline(cases: Sequence[CaseProfile], ceilings: Ceilings) -> Plot | None:
    """Each call by what the contract counts, and the time that the harness measured."""
    curves = []
    for case in cases:
        m = case.measurement
        if case.call_ns and m.operations and m.bytes_moved:
            reached = units.per_second(m.operations, case.call_ns) / units.TERA
            point = PlotPoint(m.operations / m.bytes_moved, reached, implementation=case.name)
            curves.append(Curve(case.name, (point,)))
    dtype = next((str(case.measurement.case.get("dtype")) for case in cases), "")
    rate = ceilings.rate(dtype)
    if not curves or rate is None:
        return None
    copied = ceilings.bandwidth if ceilings.read_bandwidth is not None else None
    roofs = [Roof("measured", ceilings.read_rate, rate, copied)]
    title = f"{dtype} on {ceilings.device}"
    panel = Panel("roofline", title, "FLOP per byte", "", "TFLOP/s", tuple(curves), roofs=tuple(roofs))
    what = "Operations and bytes of the contract; nearer to the roof is better."
    return Plot("roofline", "Roofline", what, (panel,))


def _memory(cases: Sequence[CaseProfile]) -> Plot | None:
    """Memory of one call over its time."""
    curves = []
    for case in cases:
        record = case.record("torch")
        if record is not None and record.timelines:
            points = tuple(PlotPoint(at, value) for at, value in _thinned(record.timelines[0].points))
            curves.append(Curve(case.name, points))
    if not curves:
        return None
    panel = Panel(
        "curve", "above what was held before", "time in the call", "", "B", tuple(curves), x_unit="ns", scale="linear"
    )
    what = "Memory that a call holds, from a recording with stacks, which makes it take longer."
    return Plot("memory", "Memory over a call", what, (panel,))


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most so many, the highest of each stretch."""
    step = -(-len(points) // MOST_POINTS)
    return [max(points[at : at + step], key=lambda point: point[1]) for at in range(0, len(points), step)]
