"""What all kinds of panel share: a figure to draw on, axes inside margins, scales, marks and a legend."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.axis import XAxis
from matplotlib.figure import FigureBase
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from attnlab.bench import units
from attnlab.bench.reporters.draw.look import INK, MUTED, RULE, WRONG, Mark, plain
from attnlab.bench.reporters.draw.ticks import binary_ticks, logarithmic_ticks
from attnlab.bench.reporters.model.plots import Curve, Panel, least_drawn

WIDTH_IN = 4.2
LEGEND_ROW_IN = 0.21
SIDE_IN = 0.15
LONGEST_LABEL = 18
CHARACTER_IN = 0.08  # width of a character of a label, about
MOST_TICKS, MOST_STEPS = 7, 5
NEAR = 0.6  # of the largest value: an axis of values below begins at 0


@dataclass(frozen=True)
class Canvas:
    """A figure without anything on it, its size in inches, and how to draw what on it."""

    figure: FigureBase
    panel: Panel
    marks: Mapping[str, Mark]
    height_in: float
    width_in: float = WIDTH_IN

    def axes(self, left: float, right: float, bottom: float, top: float) -> Axes:
        """Axes with the panel's title, inside margins in inches; the legend's room is added below."""
        bottom += legend_in(self.panel)
        ax = self.figure.add_axes(
            (
                left / self.width_in,
                bottom / self.height_in,
                1 - (left + right) / self.width_in,
                1 - (bottom + top) / self.height_in,
            )
        )
        plain(ax)
        ax.set_xlabel(self.panel.x_label, color=MUTED.light)
        self._title()
        self._legend()
        return ax

    def _title(self) -> None:
        """At the figure's left edge, so that long names of cases fit."""
        x, y = SIDE_IN / self.width_in, 1 - 0.2 / self.height_in
        self.figure.text(x, y, self.panel.title, va="center", fontsize=9, color=INK.light)

    def _legend(self) -> None:
        """Marks and names below the axes, in columns of one width."""
        names, rows = legend_names(self.panel), _legend_rows(self.panel)
        if not names:
            return
        ax = self.figure.add_axes((0, 0.03 / self.height_in, 1, LEGEND_ROW_IN * rows / self.height_in))
        ax.set_axis_off()
        ax.set_xlim(0, self.width_in)
        ax.set_ylim(rows, 0)
        columns = _legend_columns(self.panel)
        step = (self.width_in - 2 * SIDE_IN) / columns
        for place, name in enumerate(names):
            x, y = SIDE_IN + 0.05 + step * (place % columns), place // columns + 0.5
            mark = self.marks[name]
            ax.plot([x], [y], color=mark.colour, marker=mark.marker, markersize=4.5, linestyle="none")
            ax.text(x + 0.1, y, short(name), va="center_baseline", color=INK.light)

    def scatter(self, ax: Axes, curve: Curve, least: float | None = None, shift: float = 0.0) -> None:
        """Marks without a line; x below `least` is drawn there."""
        mark = self.marks[curve.name]
        colour, marker = (WRONG.light, "x") if curve.wrong else (mark.colour, mark.marker)
        if known := [(p.y + shift, p.low, p.high) for p in curve.points if p.low is not None and p.high is not None]:
            places, lows, highs = zip(*known, strict=True)
            ax.hlines(places, lows, highs, color=colour, linewidth=1)
        x = [p.x if least is None else max(p.x, least) for p in curve.points]
        y = [p.y + shift for p in curve.points]
        ax.plot(x, y, color=colour, marker=marker, markersize=4.5, linestyle="none", alpha=0.85, clip_on=False)

    def scale(self, ax: Axes, which: str, span: Span) -> None:
        """An axis over the span, with ticks at round values, or at the given ones as far as they are readable."""
        axis = ax.xaxis if which == "x" else ax.yaxis
        low, high = span.limits
        kind = "log" if span.logarithmic else "linear"
        if isinstance(axis, XAxis):
            ax.set_xscale(kind)
            ax.set_xlim(low, high)
        else:
            ax.set_yscale(kind)
            ax.set_ylim(low, high)
        if span.ticks:
            axis.set_major_locator(FixedLocator(span.readable))
        elif span.logarithmic:
            axis.set_major_locator(FixedLocator(logarithmic_ticks(low, high, binary=span.unit in ("B", "ratio"))))
        elif span.unit == "B":
            axis.set_major_locator(FixedLocator(binary_ticks(low, high, MOST_STEPS)))
        else:
            axis.set_major_locator(MaxNLocator(MOST_STEPS, integer=span.whole))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: units.format_tick(value, span.unit)))
        ax.grid(axis="x" if which == "x" else "y", color=RULE.light, linewidth=0.7)

    def values(self, share: float = 0.06) -> Span:
        """The span of the panel's values, or of those that it is compared with."""
        panel = self.panel
        return Span(panel.extent or panel.values, panel.unit, panel.logarithmic, share)

    @property
    def reference(self) -> list[float]:
        """The value to mark, if any."""
        return [] if self.panel.reference is None else [self.panel.reference]


def short(text: str, longest: int = LONGEST_LABEL) -> str:
    """A name cut in its middle where it is long, for names often differ at their ends."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[: half - 1]}…{text[-half:]}"


@dataclass(frozen=True)
class Span:
    """What an axis has to hold. share: of the range that is left free at both ends. ticks: where it is to have some."""

    values: Sequence[float]
    unit: str
    logarithmic: bool
    share: float
    ticks: Sequence[float] = ()
    whole: bool = False

    @property
    def limits(self) -> tuple[float, float]:
        """From 0 on where the values are not near each other; a 0 on a logarithmic axis is at its end."""
        if self.logarithmic:
            return room([max(value, self.least) for value in self.values], self.share)
        low, high = min(self.values), max(self.values)
        spare = self.share * (high - low) or 0.05 * abs(high) or 1.0
        if self.whole or self.ticks:
            return low - spare, high + spare
        return (0.0 if 0 <= low <= NEAR * high else low - spare), high + spare

    @property
    def least(self) -> float:
        """Where a 0 is drawn on a logarithmic axis; below it nothing is."""
        return least_drawn(self.values)

    @property
    def readable(self) -> list[float]:
        """The ticks that are far enough from the one before."""
        low, high = self.limits

        def place(value: float) -> float:
            return math.log(value / low) / math.log(high / low) if self.logarithmic else (value - low) / (high - low)

        kept: list[float] = []
        for value in sorted(self.ticks):
            if not kept or place(value) - place(kept[-1]) >= 1 / (2 * MOST_TICKS):
                kept.append(value)
        return kept[:: -(-len(kept) // MOST_TICKS)] if kept else []


def room(values: Sequence[float], share: float) -> tuple[float, float]:
    """The range of positive values with room at both ends, on a logarithmic axis."""
    low, high = min(values), max(values)
    factor = max((high / low) ** share, 1.03)
    return low / factor, high * factor


def legend_names(panel: Panel) -> list[str]:
    """Names that nothing else in the panel tells."""
    if panel.kind in ("lines", "map"):
        return []
    return [name for name in dict.fromkeys(c.name for c in panel.curves) if name not in panel.rows]


def legend_in(panel: Panel) -> float:
    """Height of the legend, in inches."""
    return LEGEND_ROW_IN * _legend_rows(panel)


def _legend_rows(panel: Panel) -> int:
    return -(-len(legend_names(panel)) // _legend_columns(panel))


def _legend_columns(panel: Panel) -> int:
    longest = max((len(short(name)) for name in legend_names(panel)), default=1)
    return max(1, int((WIDTH_IN - 2 * SIDE_IN) / (0.35 + CHARACTER_IN * longest)))
