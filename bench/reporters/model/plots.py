"""What a plot shows, as data without a drawing library: panels of lines, dots, bars, maps or rooflines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from attnlab.bench import units

DECADE = 10.0  # an axis is logarithmic where values span more
ACROSS = ("dots", "bars", "requests")  # kinds whose value is x, in named rows
FAILED = "failed"
"""The name of a curve of what failed, which is marked alike in every plot."""


@dataclass(frozen=True)
class PlotPoint:
    """One mark. implementation, case: the result that it is of, where it is of one.

    low and high bound y in panels of lines, x in panels of dots, and in panels of requests are where a span begins and
    ends. value: what the colour of a map's cell tells, where
    its x and y are places among the columns and rows. label: what is written beside it.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    implementation: str = ""
    case: str = ""
    value: float | None = None
    label: str = ""


@dataclass(frozen=True)
class Curve:
    """The points of one implementation; `wrong` ones show an error, never a time."""

    name: str
    points: tuple[PlotPoint, ...]
    wrong: bool = False


@dataclass(frozen=True)
class Roof:
    """One roof: bandwidth in B/s, rate in FLOP/s; copied: the bandwidth of what is both read and written."""

    name: str
    bandwidth: float
    rate: float
    copied: float | None = None


@dataclass(frozen=True)
class Callout:
    """Something to mark: a point with a word beside it, or without y a line across at x."""

    x: float
    text: str
    y: float | None = None


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    kind: `lines` over a size, `dots` in named rows, `bars` (parts of a whole in named rows, stacked in the order of
    the curves), `scatter`, `curve` (points joined in their order), `map` (cells in named rows and columns), `timeline`
    (over runs, which are the columns), `requests` (spans of time in rows, one a request) or `roofline`.

    Quantities are in the stored units, those of x in x_unit, and where `whole` they are whole numbers. reference: a
    value to mark, with its label. notes: what has to be said of what is drawn, a line each. metric: what each point has
    of its result, by name. extent: the least and largest value of all panels that it is compared with. scale: "log" or
    "linear" of its axes, where that is asked for; x_scale: of x alone. front: in a scatter the points that none beats
    in both quantities, by rising x, each with its label; a line in steps joins them.
    """

    kind: str
    title: str
    x_label: str
    y_label: str
    unit: str
    curves: tuple[Curve, ...]
    rows: tuple[str, ...] = ()
    reference: float | None = None
    reference_label: str = ""
    roofs: tuple[Roof, ...] = ()
    x_unit: str = ""
    notes: tuple[str, ...] = ()
    metric: str = ""
    columns: tuple[str, ...] = ()
    callouts: tuple[Callout, ...] = ()
    extent: tuple[float, float] | None = None
    whole: bool = False
    scale: str | None = None
    x_scale: str | None = None
    front: tuple[PlotPoint, ...] = ()

    @property
    def values(self) -> list[float]:
        """All that the axis of values has to hold, with the reference; parts of a whole begin at 0."""
        points = [p for curve in self.curves for p in curve.points]
        if self.kind == "bars":
            rows: dict[float, float] = {}
            for p in points:
                rows[p.y] = rows.get(p.y, 0.0) + p.x
            return [0.0, *rows.values()]
        if self.kind == "map":
            return [p.value for p in points if p.value is not None]
        if self.kind == "requests":
            return [v for p in points for v in (p.low, p.high) if v is not None]
        if self.kind == "roofline":
            return [*(p.y for p in points), *(roof.rate / units.TERA for roof in self.roofs)]
        own = [v for p in points for v in (p.x if self.kind in ACROSS else p.y, p.low, p.high) if v is not None]
        return own if self.reference is None else [*own, self.reference]

    @property
    def logarithmic(self) -> bool:
        """Whether the values span more than a decade; parts of a whole are always to scale."""
        if self.scale is not None:
            return self.scale == "log"
        return self.kind not in ("bars", "requests") and spans_decades(self.extent or self.values)

    @property
    def x_logarithmic(self) -> bool:
        if scale := self.x_scale or self.scale:
            return scale == "log"
        return not self.whole and spans_decades([p.x for curve in self.curves for p in curve.points])

    def right_of_middle(self, point: PlotPoint) -> bool:
        """Whether a label of a point of the front is to stand on its left."""
        x = [p.x for curve in self.curves for p in curve.points]
        return 2 * point.x > min(x) + max(x)

    @property
    def description(self) -> str:
        """For those who cannot see it: what is drawn, and the range of each curve."""
        spans = [f"{curve.name} {self._span(curve)}" for curve in self.curves]
        return f"{self.y_label or self.x_label}, {self.title}: {'; '.join([*spans, *self.notes])}"

    def _span(self, curve: Curve) -> str:
        of_map = [p.value or 0.0 for p in curve.points] if self.kind == "map" else None
        values = sorted(of_map or [p.x if self.kind in ACROSS else p.y for p in curve.points])
        low, high = (units.format_value(v, self.unit) for v in (values[0], values[-1]))
        return low if low == high else f"{low} to {high}"


def front_of(points: Iterable[PlotPoint]) -> tuple[PlotPoint, ...]:
    """Those that none beats in x and y both, where less is better, by rising x."""
    front: list[PlotPoint] = []
    for point in sorted(points, key=lambda p: (p.x, p.y)):
        if not front or point.y < front[-1].y:
            front.append(point)
    return tuple(front)


def spans_decades(values: Iterable[float]) -> bool:
    """Whether they are to be drawn on a logarithmic axis, on which a 0 is drawn at its end."""
    found = list(values)
    positive = [value for value in found if value > 0]
    return bool(positive) and max(positive) > DECADE * min(positive) * (DECADE if len(positive) < len(found) else 1.0)


def least_drawn(values: Iterable[float]) -> float:
    """Where a 0 among the values is drawn on a logarithmic axis: to the left of all others; else their least."""
    found = list(values)
    positive = [value for value in found if value > 0]
    return min(positive, default=1.0) / (1.0 if len(positive) == len(found) else 3.0)


def compared(panels: Sequence[Panel]) -> tuple[Panel, ...]:
    """The same panels with one range of values for all; the unit of all is one."""
    values = [value for panel in panels for value in panel.values]
    if len(panels) < 2 or not values:
        return tuple(panels)
    return tuple(replace(panel, extent=(min(values), max(values))) for panel in panels)


MOST_PANELS, FEW_PANELS = 12, 3  # of one plot
MOST_TOGETHER = 36  # of all plots of a section


@dataclass(frozen=True)
class Plot:
    """Panels that belong together; `name` is the file's stem."""

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]

    @property
    def says_something(self) -> bool:
        """Whether there are two points to compare, or something wrong."""
        curves = [curve for panel in self.panels for curve in panel.curves]
        return sum(len(curve.points) for curve in curves) > 1 or any(curve.wrong for curve in curves)

    @property
    def drawn(self) -> list[str]:
        """The names of its curves."""
        return list(dict.fromkeys(curve.name for panel in self.panels for curve in panel.curves))


def panels_each(plots: Sequence[Plot]) -> int:
    """How many panels of each plot are drawn: the most with which all of them together stay few."""
    counts = [len(plot.panels) for plot in plots]
    tried = range(MOST_PANELS, FEW_PANELS, -1)
    return next((most for most in tried if sum(min(n, most) for n in counts) <= MOST_TOGETHER), FEW_PANELS)
