"""Results made into plots: by length, under the roofline, and by error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from attnlab.bench.reporters.model.cases import CaseRef, Sweep, sweeps
from attnlab.bench.reporters.model.maps import maps
from attnlab.bench.reporters.model.plots import Curve, Panel, Plot, PlotPoint, Roof, compared
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.store.machine import Ceilings, rate_of

ROWS_A_PANEL = 12  # dots of more cases go to a next panel


ByCase = Mapping[str, Sequence[Result]]


@dataclass(frozen=True)
class _Quantity:
    """What a plot by length shows of each result that was timed."""

    name: str
    title: str
    caption: str
    label: str
    metric: str
    unit: str
    interval: bool = False
    reference: float | None = None
    reference_label: str = ""

    def value(self, result: Result) -> float | None:
        """None where there is nothing to draw: a time or a ratio is no 0, and memory of none is told, not drawn."""
        value = result.number(self.metric) if result.timed else None
        return value if value is not None and value > 0 else None


_LATENCY = _Quantity(
    name="latency",
    title="Latency",
    caption="Median of one call with its 95 % interval; lower is better.",
    label="latency",
    metric="latency_ns",
    unit="ns",
    interval=True,
)
_SPEEDUP = _Quantity(
    name="speedup",
    title="Speed-up",
    caption="Over the baseline, which is the line at 1×; higher is better.",
    label="speed-up",
    metric="speedup",
    unit="ratio",
    reference=1.0,
    reference_label="baseline",
)
_MEMORY = _Quantity(
    name="memory",
    title="Peak memory",
    caption="Memory of one call beyond inputs and outputs; lower is better. What needs none is not drawn.",
    label="peak memory",
    metric="peak_memory_bytes",
    unit="B",
)


def plots(
    cases: Sequence[CaseRef],
    implementations: Sequence[str],
    axis: str | None,
    results: Sequence[Result],
    ceilings: Ceilings,
) -> tuple[Plot, ...]:
    """Every plot that has something to show."""
    shown = _Shown(tuple(cases), tuple(implementations), axis, tuple(results))
    latency, speedup, memory = (
        Plot(q.name, q.title, q.caption, compared(list(_by_size(q, shown)))) for q in (_LATENCY, _SPEEDUP, _MEMORY)
    )
    roofline = Plot(
        "roofline",
        "Roofline",
        "Each result by its arithmetic intensity and rate; nearer to the roof is better.",
        compared(list(_rooflines(implementations, results, ceilings))),
    )
    error = Plot(
        "error",
        "Error against budget",
        "Each mark is the largest error of one case over what the contract allows; right of 100 % is wrong.",
        tuple(_errors(implementations, results)),
    )
    every = (latency, *_by_other_sizes(shown), *maps(shown.sweeps, cases, implementations, results))
    return tuple(plot for plot in (*every, speedup, roofline, memory, error) if plot.says_something)


@dataclass(frozen=True)
class _Shown:
    """What panels are made of."""

    cases: tuple[CaseRef, ...]
    implementations: tuple[str, ...]
    axis: str | None
    results: tuple[Result, ...]

    @cached_property
    def sweeps(self) -> tuple[Sweep, ...]:
        return sweeps(self.cases, self.axis)

    @cached_property
    def main(self) -> tuple[Sweep, ...]:
        """One sweep for each case that is in any: over the length where it can be."""
        kept: list[Sweep] = []
        seen: set[str] = set()
        for sweep in self.sweeps:
            ids = {case.case_id for case in sweep.cases}
            if sweep.axis == self.axis or not ids & seen:
                kept.append(sweep)
                seen |= ids
        return tuple(kept)

    def by_case(self, q: _Quantity) -> ByCase:
        """The results that have the quantity."""
        found: dict[str, list[Result]] = {}
        for result in self.results:
            if q.value(result) is not None:
                found.setdefault(result.case.case_id, []).append(result)
        return found


def _by_size(q: _Quantity, given: _Shown) -> Iterator[Panel]:
    """Lines over each sweep, and dots of the cases in none; of the baseline alone only where there is nothing else."""
    shown = given.by_case(q)
    told = _told(shown)
    if not told and q.reference is None:
        told = set(shown)
    for sweep in given.main:
        if any(case.case_id in told for case in sweep.cases):
            yield _lines(q, sweep, given.implementations, shown)
    swept = {case.case_id for sweep in given.main for case in sweep.cases}
    single = [case for case in given.cases if case.case_id in told - swept]
    for start in range(0, len(single), ROWS_A_PANEL):
        yield _dots(q, single[start : start + ROWS_A_PANEL], given.implementations, shown)


def _told(shown: ByCase) -> set[str]:
    """The cases of which more than the baseline is shown."""
    return {case_id for case_id, results in shown.items() if not all(map(_is_base, results))}


def _is_base(result: Result) -> bool:
    """Whether it is what others are set against."""
    base = result.row.baseline
    return base is not None and base.implementation == result.implementation


def _by_other_sizes(given: _Shown) -> Iterator[Plot]:
    """Latency over each axis that is swept, but for what is shown already."""
    shown, main = given.by_case(_LATENCY), set(given.main)
    told = _told(shown)
    for axis in dict.fromkeys(sweep.axis for sweep in given.sweeps):
        own = [sweep for sweep in given.sweeps if sweep.axis == axis and sweep not in main]
        own = [sweep for sweep in own if any(case.case_id in told for case in sweep.cases)]
        panels = [_lines(_LATENCY, sweep, given.implementations, shown) for sweep in own]
        if panels:
            yield Plot(f"latency-{axis}", f"Latency by {axis}", _LATENCY.caption, compared(panels))


def _lines(q: _Quantity, sweep: Sweep, implementations: Sequence[str], shown: ByCase) -> Panel:
    sizes = {case.case_id: float(sweep.size(case)) for case in sweep.cases}
    curves = [
        Curve(name, tuple(_of(r, sizes[r.case.case_id], q.value(r) or 0.0, *_interval(q, r)) for r in own))
        for name, own in _by_implementation(implementations, shown, sweep.cases)
    ]
    return Panel(
        "lines",
        sweep.label,
        sweep.axis,
        q.label,
        q.unit,
        tuple(curves),
        reference=q.reference,
        reference_label=q.reference_label,
        metric=q.metric,
    )


def _dots(q: _Quantity, cases: Sequence[CaseRef], implementations: Sequence[str], shown: ByCase) -> Panel:
    places = {case.case_id: float(row) for row, case in enumerate(cases)}
    curves = tuple(
        Curve(name, tuple(_of(r, q.value(r) or 0.0, places[r.case.case_id], *_interval(q, r)) for r in found))
        for name, found in _by_implementation(implementations, shown, cases)
    )
    title = "single cases" if len(cases) > 1 else cases[0].label
    rows = tuple(case.label for case in cases)
    return Panel("dots", title, q.label, "", q.unit, curves, rows, q.reference, q.reference_label, metric=q.metric)


def _of(result: Result, x: float, y: float, low: float | None = None, high: float | None = None) -> PlotPoint:
    return PlotPoint(x, y, low, high, result.implementation, result.case.case_id)


def _by_implementation(
    implementations: Iterable[str], shown: ByCase, cases: Sequence[CaseRef]
) -> Iterator[tuple[str, list[Result]]]:
    """Results on these cases, in the order of the cases; implementations without any are left out."""
    found: dict[str, list[Result]] = {}
    for case in cases:
        for result in shown.get(case.case_id, ()):
            found.setdefault(result.implementation, []).append(result)
    for name in implementations:
        if name in found:
            yield name, found[name]


def _interval(q: _Quantity, result: Result) -> tuple[float | None, float | None]:
    return (result.interval_ns or (None, None)) if q.interval else (None, None)


def _rooflines(implementations: Sequence[str], results: Sequence[Result], ceilings: Ceilings) -> Iterator[Panel]:
    """One for each dtype whose rate was measured."""
    dtypes = dict.fromkeys(_dtype(r) for r in results if r.timed)
    for dtype in dtypes:
        curves = []
        for name in implementations:
            members = [r for r in results if r.timed and r.implementation == name and _dtype(r) == dtype]
            pairs = [(r, r.number("intensity_flop_per_byte"), r.number("tflop_per_s")) for r in members]
            if points := tuple(_of(r, x, y) for r, x, y in pairs if x and y):
                curves.append(Curve(name, points))
        if curves and (rate := ceilings.rate(dtype)) is not None:
            copied = ceilings.bandwidth if ceilings.read_bandwidth is not None else None
            roofs = [Roof("measured", ceilings.read_rate, rate, copied)]
            if (sheet := ceilings.published) is not None and (published := rate_of(sheet.rates, dtype)) is not None:
                roofs.append(Roof("published", sheet.bandwidth, published))
            notes = tuple(_passing([r for r in results if r.timed and _dtype(r) == dtype]))
            yield Panel(
                "roofline",
                dtype,
                "intensity, FLOP/B",
                "rate",
                "TFLOP/s",
                tuple(curves),
                roofs=tuple(roofs),
                notes=notes,
                metric="tflop_per_s",
            )


def _passing(results: Sequence[Result]) -> Iterator[str]:
    """What is wrong with the roof where points lie above it."""
    for metric, roof in (("share_of_ceiling", "measured"), ("share_of_published", "published")):
        remarks = Counter(r.remarks[metric].short for r in results if metric in r.remarks)
        yield from (f"{number} of {len(results)} above the {roof} roof: {short}" for short, number in remarks.items())


def _dtype(result: Result) -> str:
    return str(result.row.measurement.case.get("dtype"))


def _errors(implementations: Sequence[str], results: Sequence[Result]) -> Iterator[Panel]:
    known = [r for r in results if r.number("error_of_budget") is not None]
    rows = tuple(i for i in implementations if any(r.implementation == i for r in known))
    curves = []
    for wrong in (False, True):
        for place, name in enumerate(rows):
            members = [r for r in known if r.implementation == name and r.wrong is wrong]
            if points := tuple(_of(r, r.number("error_of_budget") or 0.0, float(place)) for r in members):
                curves.append(Curve(name, points, wrong))
    if curves:
        yield Panel(
            "dots",
            "all cases",
            "error over budget",
            "",
            "share",
            tuple(curves),
            rows,
            1.0,
            "limit",
            metric="error_of_budget",
        )
