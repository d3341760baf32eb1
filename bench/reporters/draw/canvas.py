"""What all kinds of panel share: a figure to draw on, axes inside margins, scales, marks and a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.axis import XAxis
from matplotlib.figure import FigureBase
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from attnlab.bench import units
from attnlab.bench.reporters.draw.look import INK, MUTED, RULE, WRONG, Mark
from attnlab.bench.reporters.draw.ticks import logarithmic_ticks
from attnlab.bench.reporters.model.plots import Curve, Panel

WIDTH_IN = 4.2
LEGEND_ROW_IN = 0.21
SIDE_IN = 0.15
LONGEST_LABEL = 18
CHARACTER_IN = 0.08  # width of a character of a label, about
MOST_TICKS = 7


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
        ax.set_facecolor("none")
        for side, spine in ax.spines.items():
            spine.set_visible(side == "bottom")
            spine.set_color(MUTED.light)
        ax.tick_params(colors=MUTED.light, length=0)
        ax.set_axisbelow(True)
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

    def scatter(self, ax: Axes, curve: Curve, least: float = 0.0, shift: float = 0.0) -> None:
        """Marks without a line; x below `least` is drawn there."""
        mark = self.marks[curve.name]
        colour, marker = (WRONG.light, "x") if curve.wrong else (mark.colour, mark.marker)
        for p in curve.points:
            if p.low is not None and p.high is not None:
                ax.plot([p.low, p.high], [p.y + shift] * 2, color=colour, linewidth=1)
        x, y = [max(p.x, least) for p in curve.points], [p.y + shift for p in curve.points]
        ax.plot(x, y, color=colour, marker=marker, markersize=4.5, linestyle="none", alpha=0.85, clip_on=False)

    def scale(self, ax: Axes, which: str, limits: tuple[float, float], unit: str, ticks: Sequence[float] = ()) -> None:
        """A logarithmic axis with ticks at round values, or at the given ones as far as they are readable."""
        axis = ax.xaxis if which == "x" else ax.yaxis
        if isinstance(axis, XAxis):
            ax.set_xscale("log")
            ax.set_xlim(*limits)
        else:
            ax.set_yscale("log")
            ax.set_ylim(*limits)
        ticks = ticks[:: -(-len(ticks) // MOST_TICKS)] if ticks else ()
        places = list(ticks) or logarithmic_ticks(*limits, binary=unit in ("B", "ratio"))
        axis.set_major_locator(FixedLocator(places))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: units.format_tick(value, unit)))
        ax.grid(axis="x" if which == "x" else "y", color=RULE.light, linewidth=0.7)

    @property
    def reference(self) -> list[float]:
        """The value to mark, if any."""
        return [] if self.panel.reference is None else [self.panel.reference]


def short(text: str) -> str:
    """A name cut in its middle where it is long, for names often differ at their ends."""
    half = LONGEST_LABEL // 2
    return text if len(text) <= LONGEST_LABEL else f"{text[: half - 1]}…{text[-half:]}"


def room(values: Sequence[float], share: float) -> tuple[float, float]:
    """The range of positive values with room at both ends, on a logarithmic axis."""
    low, high = min(values), max(values)
    factor = max((high / low) ** share, 1.03)
    return low / factor, high * factor


def legend_names(panel: Panel) -> list[str]:
    """Names that nothing else in the panel tells."""
    if panel.kind == "lines":
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
