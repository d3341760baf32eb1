"""The history of one implementation: a panel for each case, with its lines, changes and their explanations."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from attnlab.bench import units
from attnlab.bench.analysis.history import words
from attnlab.bench.analysis.history.lines import BenchmarkHistory, Change, HistoryLine
from attnlab.bench.analysis.history.points import HistoryPoint, Miss, in_time
from attnlab.bench.reporters.draw.canvas import SIDE_IN, room
from attnlab.bench.reporters.draw.figures import save, settings
from attnlab.bench.reporters.draw.look import INK, MUTED, RULE, WRONG, Mark, marks, plain
from attnlab.bench.reporters.draw.ticks import logarithmic_ticks

WIDTH_IN = 8.4
PANELS_A_FILE = 8
MOST_TICKS, LEAST_TICKS = 8, 4
TITLE_IN, ROW_IN, PLOT_IN = 0.42, 0.2, 1.7
TOP_IN, BOTTOM_IN = 0.62, 0.42
LEFT_IN, RIGHT_IN = 0.75, 0.25
CAPTION = "Each run in order, not to scale in time; bands: level between changes."
CHARACTERS = 122  # of a note's line
MOST_ROWS = 3  # of a note


@dataclass(frozen=True)
class _Panel:
    """One benchmark, its runs from left to right and the place of each, and the notes below."""

    benchmark: BenchmarkHistory
    runs: tuple[HistoryPoint | Miss, ...]
    places: Mapping[str, int]
    notes: tuple[tuple[str, ...], ...]

    @property
    def height_in(self) -> float:
        return TOP_IN + PLOT_IN + BOTTOM_IN + ROW_IN * sum(map(len, self.notes)) + 0.1


def write_timelines(benchmarks: Sequence[BenchmarkHistory], stem: Path) -> list[Path]:
    """The benchmarks of one implementation as PNG and SVG; more than a page holds go to `-2`, `-3` …"""
    paths: list[Path] = []
    with settings():
        for start in range(0, len(benchmarks), PANELS_A_FILE):
            name = stem.name if not start else f"{stem.name}-{start // PANELS_A_FILE + 1}"
            figure = _page(benchmarks[start : start + PANELS_A_FILE])
            paths += save(figure, stem.with_name(name))
    return paths


def _page(benchmarks: Sequence[BenchmarkHistory]) -> Figure:
    panels = [_panel(benchmark) for benchmark in benchmarks]
    look = marks([str(line.conditions) for benchmark in benchmarks for line in benchmark.lines])
    head = TITLE_IN + ROW_IN * (len(look) + 1) + 0.1
    heights = [panel.height_in for panel in panels]
    figure = Figure(figsize=(WIDTH_IN, head + sum(heights)))
    parts = figure.subfigures(1 + len(panels), 1, height_ratios=[head, *heights], squeeze=False)[:, 0]
    first = benchmarks[0]
    _text(parts[0], head, 0.28, f"{first.operator} / {first.implementation}", fontsize=12, weight="bold")
    _text(parts[0], head, TITLE_IN + ROW_IN * 0.5, CAPTION, fontsize=8.2, color=MUTED.light)
    for row, (conditions, mark) in enumerate(look.items(), start=1):
        y = TITLE_IN + ROW_IN * (row + 0.5)
        _text(parts[0], head, y, conditions, left=SIDE_IN + 0.2, fontsize=8.2, color=MUTED.light)
        ax = parts[0].add_axes((SIDE_IN / WIDTH_IN, 1 - (y + 0.1) / head, 0.2 / WIDTH_IN, 0.2 / head))
        ax.set_axis_off()
        ax.plot([0], [0], color=mark.colour, marker=mark.marker, markersize=4.5)
    for part, panel in zip(parts[1:], panels, strict=True):
        _draw(part, panel, look)
    return figure


def _panel(benchmark: BenchmarkHistory) -> _Panel:
    points = benchmark.points
    every: list[HistoryPoint | Miss] = [*points, *benchmark.misses]
    runs = in_time(every)
    runs = runs[runs.index(points[0]) :]  # before its first time there is nothing to interrupt
    events = words.events(benchmark)
    notes = [_note(f"{number}  {words.told(event)}") for number, event in enumerate(events, start=1)]
    reasons = dict.fromkeys(found.reason for found in runs if isinstance(found, Miss))
    notes += [_note(f"×  none: {reason}") for reason in reasons]
    return _Panel(benchmark, tuple(runs), {found.run.run_id: place for place, found in enumerate(runs)}, tuple(notes))


def _note(text: str) -> tuple[str, ...]:
    return tuple(textwrap.wrap(text, CHARACTERS, subsequent_indent="    ", max_lines=MOST_ROWS, placeholder=" …"))


def _text(figure: FigureBase, height_in: float, from_top_in: float, text: str, **style: Any) -> None:
    left_in = style.pop("left", SIDE_IN)
    given = {"va": "center", "color": INK.light} | style
    figure.text(left_in / WIDTH_IN, 1 - from_top_in / height_in, text, **given)


def _draw(figure: FigureBase, panel: _Panel, look: Mapping[str, Mark]) -> None:
    height = panel.height_in
    metric = panel.benchmark.metric
    what = f"{metric.label}{'' if metric.direction == 'neither' else f', {metric.direction} is better'}"
    _text(figure, height, 0.2, f"{panel.benchmark.case_id}: {what}", fontsize=9)
    ax = figure.add_axes(
        (
            LEFT_IN / WIDTH_IN,
            1 - (TOP_IN + PLOT_IN) / height,
            1 - (LEFT_IN + RIGHT_IN) / WIDTH_IN,
            PLOT_IN / height,
        )
    )
    _set_axes(ax, panel)
    for line in panel.benchmark.lines:
        _draw_line(ax, panel, line, look[str(line.conditions)])
    for number, event in enumerate(words.events(panel.benchmark), start=1):
        x = (panel.places[event.before.run.run_id] + panel.places[event.after.run.run_id]) / 2
        style = (4, 2) if isinstance(event, Change) else (1, 2)
        ax.axvline(x, color=MUTED.light, linewidth=1, dashes=style)
        above = ax.get_xaxis_transform()
        ax.text(x, 1.03, str(number), ha="center", va="bottom", color=INK.light, fontsize=8.2, transform=above)
    rows = [row for note in panel.notes for row in note]
    for place, row in enumerate(rows):
        y = TOP_IN + PLOT_IN + BOTTOM_IN + ROW_IN * (place + 0.5)
        _text(figure, height, y, row, left=LEFT_IN, fontsize=8.2)


def _set_axes(ax: Axes, panel: _Panel) -> None:
    """Runs in their order, not to scale in time; values on a logarithmic axis."""
    points = panel.benchmark.points
    missed = [place for place, found in enumerate(panel.runs) if isinstance(found, Miss)]
    values = [v for p in points for v in (p.value, *(p.interval or ()))]
    low, high = room(values, 0.1)
    unit = panel.benchmark.metric.unit
    plain(ax)
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    ax.yaxis.set_major_locator(FixedLocator(logarithmic_ticks(low, high, least=LEAST_TICKS)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: units.format_tick(value, unit)))
    ax.grid(axis="y", color=RULE.light, linewidth=0.7)
    ax.set_xlim(-0.6, len(panel.runs) - 0.4)
    shown = list(range(0, len(panel.runs), -(-len(panel.runs) // MOST_TICKS)))
    ax.set_xticks(shown, _dates([panel.runs[place] for place in shown]))
    across, low_down = ax.get_xaxis_transform(), [0.05] * len(missed)
    ax.plot(missed, low_down, color=WRONG.light, marker="x", linestyle="none", markersize=4, transform=across)


def _dates(runs: Sequence[HistoryPoint | Miss]) -> list[str]:
    """Days, or times where all are of one day."""
    days = [found.run.started[:10] for found in runs]
    return days if len(set(days)) > 1 else [found.run.started[11:16] for found in runs]


def _draw_line(ax: Axes, panel: _Panel, line: HistoryLine, mark: Mark) -> None:
    for level in line.levels():
        x = [panel.places[point.run.run_id] for point in level]
        middle = statistics.median(point.value for point in level)
        ax.plot([x[0] - 0.4, x[-1] + 0.4], [middle] * 2, color=mark.colour, linewidth=4, alpha=0.25)
    for run in _unbroken(panel, line):
        x = [panel.places[point.run.run_id] for point in run]
        ax.plot(x, [p.value for p in run], color=mark.colour, marker=mark.marker, markersize=3.5, linewidth=0.9)
    for point in line.points:
        if ends := point.interval:
            ax.plot([panel.places[point.run.run_id]] * 2, ends, color=mark.colour, linewidth=0.8, alpha=0.6)


def _unbroken(panel: _Panel, line: HistoryLine) -> list[list[HistoryPoint]]:
    """The line's points, parted where a run between two of them has no time that may be shown."""
    parts: list[list[HistoryPoint]] = [[]]
    members = {point.run.run_id for point in line.points}
    for found in panel.runs:
        if isinstance(found, Miss):
            parts.append([])
        elif found.run.run_id in members:
            parts[-1].append(found)
    return [part for part in parts if part]
