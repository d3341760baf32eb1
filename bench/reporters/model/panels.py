"""Results made into plots: by length, under the roofline, and by error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from attnlab.bench.reporters.model.cases import CaseFamily, CaseRef
from attnlab.bench.reporters.model.plots import Curve, Panel, Plot, PlotPoint, Roof
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.store.machine import Ceilings, rate_of

ROWS_A_PANEL = 12  # dots of more cases go to a next panel


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
        """None where there is nothing to draw; axes are logarithmic, so that 0 is not drawn."""
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
    families: Sequence[CaseFamily],
    implementations: Sequence[str],
    axis: str | None,
    results: Sequence[Result],
    ceilings: Ceilings,
) -> tuple[Plot, ...]:
    """Every plot that has something to show."""
    latency, speedup, memory = (
        Plot(q.name, q.title, q.caption, tuple(_by_length(q, families, implementations, axis, results)))
        for q in (_LATENCY, _SPEEDUP, _MEMORY)
    )
    roofline = Plot(
        "roofline",
        "Roofline",
        "Each result by its arithmetic intensity and rate; nearer to the roof is better. Dotted: of what is read and "
        "written alike.",
        tuple(_rooflines(implementations, results, ceilings)),
    )
    error = Plot(
        "error",
        "Error against budget",
        "Each mark is the largest error of one case over what the contract allows; right of 100 % is wrong.",
        tuple(_errors(implementations, results)),
    )
    return tuple(plot for plot in (latency, speedup, roofline, memory, error) if plot.panels)


def _by_length(
    q: _Quantity,
    families: Sequence[CaseFamily],
    implementations: Sequence[str],
    axis: str | None,
    results: Sequence[Result],
) -> Iterator[Panel]:
    shown = [r for r in results if q.value(r) is not None]
    swept = [family for family in families if family.swept and axis is not None]
    for family in swept:
        places = {case.case_id: float(case.length or 0) for case in family.cases}
        curves = [
            Curve(name, tuple(_of(r, places[r.case.case_id], q.value(r) or 0.0, *_interval(q, r)) for r in found))
            for name, found in _by_implementation(implementations, shown, family.cases)
        ]
        if curves:
            yield Panel(
                "lines",
                family.label,
                axis or "",
                q.label,
                q.unit,
                tuple(curves),
                (),
                q.reference,
                q.reference_label,
                metric=q.metric,
            )
    single = [case for family in families if family not in swept for case in family.cases]
    single = [case for case in single if any(r.case == case for r in shown)]
    for start in range(0, len(single), ROWS_A_PANEL):
        yield _dots(q, single[start : start + ROWS_A_PANEL], implementations, shown)


def _dots(q: _Quantity, cases: Sequence[CaseRef], implementations: Sequence[str], shown: Sequence[Result]) -> Panel:
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
    implementations: Iterable[str], results: Sequence[Result], cases: Sequence[CaseRef]
) -> Iterator[tuple[str, list[Result]]]:
    """Results on these cases, in the order of the cases; implementations without any are left out."""
    place = {case.case_id: position for position, case in enumerate(cases)}
    for name in implementations:
        found = [r for r in results if r.implementation == name and r.case.case_id in place]
        if found:
            yield name, sorted(found, key=lambda r: place[r.case.case_id])


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
