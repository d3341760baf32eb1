"""`plot`: which panels a frame becomes, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from attnlab.bench import AttentionCase, UsageError, load, plot, read_run
from attnlab.bench.notebook import plotting
from attnlab.bench.reporters.draw import figures
from attnlab.bench.reporters.model.plots import Plot

RUN = Path(__file__).parents[3] / "results" / "20261122-081015-quick"
CAUSAL = [256, 512, 1024, 1536]


@pytest.fixture(scope="module")
def quick() -> pd.DataFrame:
    return load(RUN)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Plot]:
    """The descriptions that are drawn."""
    seen: list[Plot] = []
    drawn = figures.figure_of
    monkeypatch.setattr(figures, "figure_of", lambda plot, marks: (seen.append(plot), drawn(plot, marks))[1])
    return seen


def row(**values: Any) -> dict[str, Any]:
    return {
        "run_id": "one",
        "operator": "attention",
        "implementation": "naive",
        "case_id": "bf16",
        "outcome": "passed",
        "median_ns": 1e6,
        "device": "processor",
        "clock": "wall",
        "cache": "warm",
    } | values


def swept(*lengths: int, heads: int = 8, **values: Any) -> list[dict[str, Any]]:
    cases = [AttentionCase(q_len=n, q_heads=heads) for n in lengths]
    return [
        row(case_id=case.id, q_len=case.q_len, kv_len=case.kv_len, q_heads=heads, median_ns=1e3 * case.q_len) | values
        for case in cases
    ]


def test_a_stored_run_is_drawn_by_length_and_by_case(quick: pd.DataFrame, made: list[Plot]) -> None:
    plot(quick)
    (shown,) = made
    lines, dots, backward = shown.panels
    assert (lines.kind, lines.x_label, lines.y_label, lines.unit) == ("lines", "q_len", "latency", "ns")
    curve = next(curve for curve in lines.curves if curve.name == "naive")
    assert [point.x for point in curve.points] == CAUSAL
    first = quick[(quick["implementation"] == "naive") & (quick["q_len"] == 256)].iloc[0]
    point = curve.points[0]
    assert (point.y, point.low, point.high) == (first["median_ns"], first["ci_low_ns"], first["ci_high_ns"])
    assert (point.implementation, point.case) == ("naive", first["case_id"])
    assert (dots.kind, dots.title) == ("dots", "attention")
    assert (backward.kind, backward.title) == ("dots", "attention_backward")
    assert "Intel" in shown.title


def test_a_stored_run_is_drawn_as_its_frame_is(quick: pd.DataFrame, made: list[Plot]) -> None:
    plot(quick)
    plot(read_run(RUN))
    assert made[0] == made[1]


def test_a_baseline_makes_it_a_speed_up(quick: pd.DataFrame, made: list[Plot]) -> None:
    plot(quick, baseline="sdpa_flash")
    lines = made[0].panels[0]
    assert (lines.unit, lines.reference, lines.y_label) == ("ratio", 1.0, "speed-up over sdpa_flash")
    own = {curve.name: [point.y for point in curve.points] for curve in lines.curves}
    assert own["sdpa_flash"] == [1.0] * 4
    at = quick[quick["q_len"] == 256].set_index("implementation")["median_ns"]
    assert own["naive"][0] == pytest.approx(at["sdpa_flash"] / at["naive"])
    assert all(point.low is None for curve in lines.curves for point in curve.points)


@pytest.mark.parametrize(
    ("y", "label", "unit", "reference"),
    [
        ("median_ns", "latency", "ns", None),
        ("latency_ns", "latency", "ns", None),
        ("speedup", "speed-up", "ratio", 1.0),
        ("error_of_budget", "error of budget", "share", 1.0),
        ("share_of_ceiling", "of measured ceiling", "share", None),
    ],
)
def test_any_figure_can_be_drawn(
    y: str, label: str, unit: str, reference: float | None, quick: pd.DataFrame, made: list[Plot]
) -> None:
    plot(quick, y=y)
    panel = made[0].panels[0]
    assert (panel.y_label, panel.unit, panel.reference) == (label, unit, reference)


def test_settings_of_other_axes_have_panels_that_name_them(made: list[Plot]) -> None:
    rows = swept(8, 16) + swept(8, 16, heads=4)
    plot(pd.DataFrame(rows))
    assert [panel.title for panel in made[0].panels] == ["Hq8", "Hq4"]
    assert [len(panel.curves[0].points) for panel in made[0].panels] == [2, 2]


def test_x_can_be_another_axis(made: list[Plot]) -> None:
    plot(pd.DataFrame(swept(8, 16, heads=2) + swept(8, 16, heads=4)), x="q_heads")
    assert [(panel.title, panel.x_label) for panel in made[0].panels] == [("Sq8", "q_heads"), ("Sq16", "q_heads")]
    assert [point.x for point in made[0].panels[0].curves[0].points] == [2, 4]


def test_what_is_not_known_here_is_drawn_by_case(made: list[Plot]) -> None:
    rows = [row(operator="elsewhere", case_id=f"N{n}", n=n) for n in (1, 2)]
    plot(pd.DataFrame(rows))
    assert [(panel.kind, panel.rows) for panel in made[0].panels] == [("dots", ("N1", "N2"))]


def test_several_operators_have_a_panel_each(made: list[Plot]) -> None:
    plot(pd.DataFrame([*swept(8, 16), row(operator="gelu", case_id="bf16", rows=8)]))
    assert [(panel.kind, panel.title) for panel in made[0].panels] == [("lines", "attention"), ("dots", "gelu")]


def test_what_is_wrong_is_not_drawn(made: list[Plot]) -> None:
    wrong = [one | {"median_ns": None} for one in swept(8, 16, implementation="other", outcome="wrong_values")]
    plot(pd.DataFrame([*swept(8, 16), *wrong]))
    assert made[0].drawn == ["naive"]


@pytest.mark.parametrize(("logarithmic", "scale"), [(True, "log"), (False, "linear")])
def test_axes_are_as_they_are_asked_for(logarithmic: bool, scale: str) -> None:
    figure = plot(pd.DataFrame(swept(8, 12, 16)), logarithmic=logarithmic)
    axes = next(ax for ax in _axes(figure) if ax.get_xlabel() == "q_len")
    assert (axes.get_xscale(), axes.get_yscale()) == (scale, scale)


def _axes(figure: Any) -> list[Any]:
    return [*figure.axes, *(ax for part in figure.subfigs for ax in part.axes)]


def test_a_notebook_shows_it_and_a_file_holds_it(tmp_path: Path) -> None:
    figure = plot(pd.DataFrame(swept(8, 16, implementation="a $b$ <c>")))
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    figure.savefig(tmp_path / "out.png")
    assert (tmp_path / "out.png").stat().st_size > 1000


TWO_RUNS = [*swept(8, 16), *swept(8, 16, run_id="two")]


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([], {}, "got a frame without operator, implementation, case_id, outcome; expected what"),
        ([row(median_ns=None)], {}, r"nothing in this frame has a latency \(1 passed\)"),
        (TWO_RUNS, {}, r"got attention naive Sq16-bf16 4 times|keep one run, such as frame\[frame.run_id == 'two'\]"),
        (
            [row(), row(implementation="b", clock="cuda_graph")],
            {},
            "got attention by 2 of clock .*never compared; keep",
        ),
        ([row(), row(implementation="b", device="other")], {}, r"2 of device .*frame\[frame.device == 'other'\]"),
        (swept(8, 16), {"x": "q_length"}, "unknown axis of this frame 'q_length'; did you mean 'q_len'"),
        (swept(8, 16, mask="full"), {"x": "mask"}, "got x='mask', which is no number; of numbers vary: q_len, kv_len"),
        (swept(8, 16), {"y": "speed"}, "unknown figure of this frame 'speed'"),
        (swept(8, 16), {"baseline": "naiv"}, "unknown implementation of this frame 'naiv'; did you mean 'naive'"),
        (swept(8, 16, error_of_budget=0.1), {"baseline": "naive", "y": "error_of_budget"}, "with a baseline"),
    ],
)
def test_what_cannot_be_drawn_is_told(rows: list[dict[str, Any]], options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        plot(pd.DataFrame(rows), **options)


def test_what_is_no_frame_of_results_is_told(quick: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="got a str to plot; expected what load gives"):
        plot("results")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="got a frame of samples"):
        plot(pd.DataFrame({"quantity": ["latency"], "value": [1.0]}))


def test_too_many_panels_are_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plotting, "MOST_PANELS", 1)
    with pytest.raises(UsageError, match="got 2 panels; expected 1 at most: keep a part of the frame"):
        plot(pd.DataFrame([*swept(8, 16), row(operator="gelu", case_id="bf16")]))
