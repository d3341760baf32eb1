"""What a plot shows, as data without a drawing library: panels of lines, dots or rooflines."""

from __future__ import annotations

from dataclasses import dataclass

from attnlab.bench import units


@dataclass(frozen=True)
class PlotPoint:
    """One mark. implementation, case: the result that it is of, where it is of one.

    low and high bound y in panels of lines, x in panels of dots.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    implementation: str = ""
    case: str = ""


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
class Panel:
    """One pair of axes. kind: `lines` over lengths, `dots` in named rows, `scatter`, or `roofline`.

    Quantities are in the stored units, those of a scatter's x in x_unit. reference: a value to mark, with its label.
    notes: what has to be said of what is drawn, a line each. metric: what each point has of its result, by name.
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
    logarithmic: bool = True
    x_unit: str = ""
    notes: tuple[str, ...] = ()
    metric: str = ""

    @property
    def description(self) -> str:
        """For those who cannot see it: what is drawn, and the range of each curve."""
        spans = [f"{curve.name} {self._span(curve)}" for curve in self.curves]
        return f"{self.y_label or self.x_label}, {self.title}: {'; '.join([*spans, *self.notes])}"

    def _span(self, curve: Curve) -> str:
        values = sorted(p.x if self.kind == "dots" else p.y for p in curve.points)
        low, high = (units.format_value(v, self.unit) for v in (values[0], values[-1]))
        return low if low == high else f"{low} to {high}"


@dataclass(frozen=True)
class Plot:
    """Panels that belong together; `name` is the file's stem."""

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]

    @property
    def drawn(self) -> list[str]:
        """The names of its curves."""
        return list(dict.fromkeys(curve.name for panel in self.panels for curve in panel.curves))
