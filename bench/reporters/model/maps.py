"""Maps of latency over two swept sizes: where each implementation is how far from the fastest."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from attnlab.bench import units
from attnlab.bench.reporters.model.cases import CaseRef, Sweep
from attnlab.bench.reporters.model.plots import Curve, Panel, Plot, PlotPoint, compared
from attnlab.bench.reporters.model.results import Result

LEAST_CELLS = 6
LEAST_FILLED = 0.75  # of the cells


def maps(
    sweeps: Sequence[Sweep], cases: Sequence[CaseRef], implementations: Sequence[str], results: Sequence[Result]
) -> Iterator[Plot]:
    """A plot for each pair of sizes that are swept together, with a panel for each implementation."""
    timed = {(r.implementation, r.case.case_id): r.median_ns for r in results if r.median_ns}
    fastest: dict[str, float] = {}
    for (_, case_id), median_ns in timed.items():
        fastest[case_id] = min(median_ns, fastest.get(case_id, median_ns))
    for across, up in itertools.combinations(dict.fromkeys(sweep.axis for sweep in sweeps), 2):
        panels = []
        for title, grid in _grids(cases, across, up):
            for implementation in implementations:
                own = {
                    place: (case, t) for place, case in grid.items() if (t := timed.get((implementation, case.case_id)))
                }
                if own:
                    name = f"{implementation}, {title}" if title else implementation
                    panels.append(_panel(implementation, name, across, up, grid, own, fastest))
        if panels:
            caption = (
                "Latency over the fastest on the same case, which is 1×, with the latency itself; lighter is better."
            )
            yield Plot(f"map-{across}-{up}", f"Latency by {across} and {up}", caption, compared(panels))


Grid = Mapping[tuple[int, int], CaseRef]


def _grids(cases: Sequence[CaseRef], across: str, up: str) -> Iterator[tuple[str, Grid]]:
    """Cases that differ in two sizes alone, where these fill most of a rectangle."""
    grouped: dict[str, tuple[str, dict[tuple[int, int], CaseRef]]] = {}
    for case in cases:
        if case.among and across in case.sizes and up in case.sizes:
            title, grid = grouped.setdefault(case.among.family(across, up), (case.among.without(across, up), {}))
            grid[case.sizes[across], case.sizes[up]] = case
    for title, grid in grouped.values():
        columns, rows = ({place[side] for place in grid} for side in (0, 1))
        cells = len(columns) * len(rows)
        if min(len(columns), len(rows)) > 1 and cells >= LEAST_CELLS and len(grid) >= LEAST_FILLED * cells:
            yield title, grid


def _panel(
    implementation: str,
    title: str,
    across: str,
    up: str,
    grid: Grid,
    own: Mapping[tuple[int, int], tuple[CaseRef, float]],
    fastest: Mapping[str, float],
) -> Panel:
    columns, rows = (sorted({place[side] for place in grid}) for side in (0, 1))
    points = []
    for (column, row), (case, median_ns) in own.items():
        ratio = median_ns / fastest[case.case_id]
        x, y = float(columns.index(column)), float(rows.index(row))
        label = units.format_time(median_ns)
        points.append(PlotPoint(x, y, None, None, implementation, case.case_id, ratio, label))
    curve = Curve(implementation, tuple(points))
    names = tuple(map(str, columns)), tuple(map(str, rows))
    return Panel("map", title, across, up, "ratio", (curve,), rows=names[1], columns=names[0], metric="latency_ns")
