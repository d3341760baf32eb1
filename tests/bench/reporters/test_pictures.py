"""What is drawn: sweeps of any size, one range for what is compared, nothing of the baseline alone, and every kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from attnlab.bench.ops.attention.case import AttentionCase
from attnlab.bench.reporters.draw.canvas import Span
from attnlab.bench.reporters.draw.figures import write_plot
from attnlab.bench.reporters.draw.look import marks
from attnlab.bench.reporters.draw.panel import height_in
from attnlab.bench.reporters.draw.ticks import binary_ticks
from attnlab.bench.reporters.model.plots import FAILED, Callout, Curve, Panel, Plot, PlotPoint, compared, spans_decades
from attnlab.bench.reporters.model.report import Section
from attnlab.bench.units import MIB

from .test_findings import of


def points(*pairs: tuple[float, float]) -> tuple[PlotPoint, ...]:
    return tuple(PlotPoint(x, y) for x, y in pairs)


def lines(*values: float, **rest: object) -> Panel:
    given = Panel("lines", "t", "n", "latency", "ns", (Curve("a", points(*enumerate(values, 1))),))
    return replace(given, **rest)  # type: ignore[arg-type]


KINDS = (
    lines(1e6, 2e8),
    lines(1.0, 1.2, whole=True),
    Panel("dots", "t", "latency", "", "ns", (Curve("a", points((0.0, 0), (5.0, 1))),), ("one", "two"), 1.0, "limit"),
    Panel(
        "bars",
        "t",
        "ttft",
        "",
        "ns",
        (Curve("a", points((3e6, 0))), Curve("b", points((1e6, 0), (2e6, 1)))),
        ("r", "s"),
    ),
    Panel("scatter", "t", "x", "y", "share", (Curve("a", points((1e6, 0.1))),), x_unit="ns"),
    Panel(
        "curve",
        "t",
        "ttft",
        "throughput",
        "tok/s",
        (Curve("a", tuple(PlotPoint(x, y, label=f"{x:g}/s") for x, y in ((1e6, 9.0), (2e6, 18.0), (9e6, 19.0)))),),
        x_unit="ns",
        callouts=(Callout(2e6, "knee", 18.0),),
    ),
    Panel(
        "map",
        "t",
        "q_len",
        "q_heads",
        "ratio",
        (Curve("a", tuple(PlotPoint(x, 0, value=1.0 + x, label="1 ms") for x in range(3))),),
        rows=("8",),
        columns=("1", "2", "3"),
    ),
    Panel(
        "timeline",
        "t",
        "run",
        "latency",
        "ns",
        (Curve("a", (PlotPoint(0, 1e6, 0.9e6, 1.1e6), PlotPoint(1, 2e6), PlotPoint(2, 2e6))),),
        columns=("2026-01-01", "2026-01-02", "it's <b>"),
        callouts=(Callout(0.5, "1"),),
        notes=("1  100 % more time: package torch 2.12.0 → 2.13.0",),
    ),
    Panel(
        "requests",
        "t",
        "time since the load began",
        "requests as they came",
        "ns",
        (
            Curve("answer", (PlotPoint(3e9, 0, 1e9, 3e9), PlotPoint(9e9, 2, 2e9, 9e9))),
            Curve(FAILED, (PlotPoint(4e9, 1, 1e9, 4e9, label="failed after 3 tokens"),)),
        ),
        rows=("request 0", "request 1", "request 2"),
    ),
)


@pytest.mark.parametrize("panel", KINDS, ids=lambda panel: panel.kind)
def test_every_kind_is_drawn(panel: Panel, tmp_path: Path) -> None:
    plot = Plot("p", "P", "", (panel, panel))
    paths = write_plot(plot, marks(plot.drawn), tmp_path / "p")
    assert [path.suffix for path in paths] == [".png", ".svg"]
    assert height_in(panel) > 1
    assert "latency" in panel.description or panel.x_label in panel.description or panel.y_label in panel.description
    svg = paths[1].read_text(encoding="utf-8")
    assert all(note.split()[1] in svg for note in panel.notes)
    assert all(callout.text in svg for callout in panel.callouts)


def test_an_axis_is_logarithmic_only_over_more_than_a_decade() -> None:
    assert not spans_decades([1.0, 1.2])
    assert not spans_decades([1.0, 10.0])
    assert spans_decades([1.0, 11.0])
    assert not spans_decades([0.0, 1.0, 60.0])  # with a 0 among them a plain axis shows more
    assert not spans_decades([0.0])
    assert not lines(1.0, 1.2).logarithmic
    assert lines(1.0, 99.0).logarithmic
    assert not lines(1.0, 99.0, whole=True).x_logarithmic


def test_panels_that_are_compared_have_one_range() -> None:
    one, other = compared([lines(1e6, 2e6), lines(5e6, 9e7)])
    assert one.extent == other.extent == (1e6, 9e7)
    assert one.logarithmic
    assert other.logarithmic
    assert compared([lines(1e6)])[0].extent is None


def test_plain_axes_begin_at_0_where_values_are_not_near_each_other() -> None:
    assert Span((2.0, 9.0), "ns", False, 0.05).limits[0] == 0
    assert Span((0.98, 1.2), "ratio", False, 0.05).limits[0] > 0.9
    assert Span((0.0, 5.0, 900.0), "share", True, 0.0).limits[0] == pytest.approx(5 / 3, rel=0.05)


def test_ticks_of_sizes_are_at_sizes_and_far_enough_apart() -> None:
    span = Span((64, 66, 512, 1024), "", False, 0.04, ticks=(64, 66, 512, 1024))
    assert span.readable == [64, 512, 1024]
    assert binary_ticks(0, 12.5 * MIB, 5) == [0, 5 * MIB, 10 * MIB]


def swept(
    synthetic: SimpleNamespace, names: tuple[str, ...], *cases: AttentionCase, base: str | None = None
) -> Section:
    found = [
        synthetic.timed(name, case, ns=1e6 * case.q_heads * (1 + n)) for n, name in enumerate(names) for case in cases
    ]
    return of(synthetic, found, base)


def test_latency_is_drawn_over_any_swept_size(synthetic: SimpleNamespace) -> None:
    section = swept(synthetic, ("a", "b"), *(AttentionCase(q_heads=h) for h in (2, 4, 8)))
    (panel,) = next(plot for plot in section.plots if plot.name == "latency").panels
    assert (panel.kind, panel.x_label) == ("lines", "q_heads")
    assert [p.x for p in panel.curves[0].points] == [2, 4, 8]
    batches = swept(synthetic, ("a",), *(AttentionCase(batch=b) for b in (1, 2, 16)))
    (panel,) = next(plot for plot in batches.plots if plot.name == "latency").panels
    assert (panel.x_label, [p.x for p in panel.curves[0].points]) == ("batch", [1, 2, 16])


def test_two_swept_sizes_are_lines_over_each_and_a_map(synthetic: SimpleNamespace) -> None:
    cases = [AttentionCase(q_heads=h, q_len=n) for h in (2, 4, 8) for n in (128, 256)]
    section = swept(synthetic, ("a", "b"), *cases)
    plots = {plot.name: plot for plot in section.plots}
    assert [panel.title for panel in plots["latency"].panels] == ["Hq2", "Hq4", "Hq8"]
    assert [panel.title for panel in plots["latency-q_heads"].panels] == ["Sq128", "Sq256"]
    first, second = plots["map-q_len-q_heads"].panels
    assert (first.title, first.columns, first.rows) == ("a", ("128", "256"), ("2", "4", "8"))
    assert {p.value for p in first.curves[0].points} == {1.0}
    assert {p.value for p in second.curves[0].points} == {2.0}
    assert first.extent == second.extent == (1.0, 2.0)


def test_a_few_cells_are_no_map(synthetic: SimpleNamespace) -> None:
    section = swept(synthetic, ("a", "b"), *(AttentionCase(q_heads=h, q_len=n) for h in (2, 4) for n in (128, 256)))
    assert not any(plot.name.startswith("map") for plot in section.plots)


def test_nothing_is_drawn_of_the_baseline_alone(synthetic: SimpleNamespace) -> None:
    both, alone = [AttentionCase(q_len=n) for n in (128, 256)], [AttentionCase(q_heads=2, q_len=n) for n in (128, 256)]
    found = [synthetic.timed("base", case, ns=1e6) for case in (*both, *alone)]
    found += [synthetic.timed("other", case, ns=2e6) for case in both]
    section = of(synthetic, found, "base")
    plots = {plot.name: plot for plot in section.plots}
    for name in ("latency", "speedup"):
        assert [panel.title for panel in plots[name].panels] == ["Hq8"]
    only = of(synthetic, [synthetic.timed("base", case, ns=1e6) for case in both], "base")
    assert "speedup" not in {plot.name for plot in only.plots}
    assert "latency" in {plot.name for plot in only.plots}


def test_one_point_is_no_plot(synthetic: SimpleNamespace) -> None:
    section = of(synthetic, [synthetic.timed("only", AttentionCase())])
    assert section.plots == ()


def test_of_very_many_panels_a_file_has_some_and_says_so(tmp_path: Path) -> None:
    plot = Plot("p", "Latency", "", tuple(lines(1e6, 2e6) for _ in range(40)))
    svg = write_plot(plot, marks(plot.drawn), tmp_path / "p")[1].read_text(encoding="utf-8")
    assert "Latency (36 of 40 panels)" in svg
