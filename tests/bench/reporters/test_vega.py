"""Specifications for Vega-Lite: they compile, show what the panel says, and write ticks as other pictures do."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest

from attnlab.bench.reporters.draw.look import WRONG, marks
from attnlab.bench.reporters.model.plots import Curve, Panel, PlotPoint, Roof, compared
from attnlab.bench.reporters.model.report import Section
from attnlab.bench.reporters.vega import SPECS, panel_spec
from attnlab.bench.reporters.vega.look import on_page

from .test_pictures import KINDS

vl_convert: Any = pytest.importorskip("vl_convert", reason="vl-convert-python is not installed")

HOSTILE = '<b>it\'s "x"\\</b>'


def points(*pairs: tuple[float, float], name: str = "a", wrong: bool = False) -> Curve:
    return Curve(name, tuple(PlotPoint(x, y) for x, y in pairs), wrong)


def spec(panel: Panel) -> dict[str, Any]:
    found = panel_spec(panel, marks([curve.name for curve in panel.curves]))
    assert found is not None
    return {**found, "width": 400}


def texts(panel: Panel) -> set[str]:
    """What stands in the drawing."""
    svg = vl_convert.vegalite_to_svg(json.dumps(spec(panel)))
    return {text for text in re.findall(r">([^<>]+)</text>", svg) if text.strip()}


def shapes(found: dict[str, Any]) -> int:
    """The marks of points."""
    svg = vl_convert.vegalite_to_svg(json.dumps(found))
    return len(re.findall(r'aria-roledescription="point"', svg))


def test_every_panel_of_a_report_compiles(section: Section) -> None:
    for plot in section.plots:
        look = marks(plot.drawn)
        for panel in plot.panels:
            found = panel_spec(panel, look, on_page)
            if panel.kind not in SPECS:
                assert found is None
                continue
            assert found is not None
            assert vl_convert.vegalite_to_vega(json.dumps(found))["marks"]
            assert len(found["data"]["values"]) == sum(len(curve.points) for curve in panel.curves)
            assert not set(re.findall(r'"#[0-9a-f]{6}"', json.dumps(found)))  # the page's variables instead


@pytest.mark.parametrize("panel", KINDS, ids=lambda panel: panel.kind)
def test_every_kind_compiles_to_a_drawing(panel: Panel) -> None:
    assert panel.kind in SPECS
    svg = vl_convert.vegalite_to_svg(json.dumps(spec(panel)))
    assert "NaN" not in svg
    shown = set(re.findall(r">([^<>]+)</text>", svg))
    expected = {
        "bars": "r",
        "curve": "1e+06/s",
        "map": "1 ms",
        "timeline": "2026-01-01",
        "dots": "limit",
        "scatter": "x",
        "requests": "requests as they came",
    }
    assert expected.get(panel.kind, "n") in shown


def test_panels_that_are_compared_have_one_domain() -> None:
    panels = compared(
        [Panel("lines", t, "n", "y", "ns", (points((1, y), (2, 2 * y)),)) for t, y in (("a", 1e6), ("b", 4e6))]
    )
    domains = [spec(panel)["encoding"]["y"]["scale"]["domain"] for panel in panels]
    assert domains == [[1e6, 8e6]] * 2


def test_values_name_their_result_and_are_written_out(section: Section) -> None:
    latency = next(plot for plot in section.plots if plot.name == "latency").panels[0]
    values = spec(latency)["data"]["values"]
    (flash,) = (v for v in values if v["implementation"] == "sdpa_flash" and v["x"] == 128)
    assert flash["case"] == "Hq9-Hkv3-Sq128-bf16-causal-smollm2"
    assert (flash["shown"], flash["interval"]) == ("97.9 µs", "96.9 to 99.1 µs")
    assert latency.metric == spec(latency)["usermeta"]["metric"] == "latency_ns"


@pytest.mark.parametrize(
    ("unit", "values", "expected"),
    [
        ("ns", (4e4, 3e7), {"100 µs", "1 ms", "10 ms"}),
        ("ns", (2e6, 8e6), {"2 ms", "5 ms"}),
        ("B", (2000.0, 3e9), {"1 MiB", "1 GiB"}),
        ("ratio", (0.4, 9.0), {"0.5×", "1×", "2×", "4×", "8×"}),
        ("share", (0.05, 0.9), {"10 %", "20 %", "50 %"}),
        ("TFLOP/s", (0.004, 2.0), {"10 GFLOP/s", "100 GFLOP/s", "1 TFLOP/s"}),
        ("GB/s", (0.4, 50.0), {"1 GB/s", "10 GB/s"}),
        ("tok/s", (12.0, 800.0), {"20 tok/s", "100 tok/s"}),
        (HOSTILE, (1.0, 9.0), {"2 " + HOSTILE.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")}),
    ],
)
def test_ticks_are_round_and_have_their_unit(unit: str, values: tuple[float, float], expected: set[str]) -> None:
    panel = Panel("lines", "t", "q_len", "y", unit, (points((128, values[0]), (512, values[1])),))
    found = {text.replace("&quot;", '"').replace('"', "&quot;") for text in texts(panel)}
    assert expected <= found
    assert "128" in found


def test_ticks_over_many_decades_are_few() -> None:
    panel = Panel("lines", "t", "q_len", "latency", "ns", (points((128, 1e2), (512, 1e10)),))
    found = {text for text in texts(panel) if re.fullmatch(r"[\d.]+ (n|µ|m|)s", text)}
    assert found <= {f"{10**e} {p}s" for e in range(3) for p in ("n", "µ", "m", "")}
    assert 3 <= len(found) <= 9


def test_a_plain_axis_where_the_panel_is_not_logarithmic() -> None:
    panel = Panel("lines", "t", "q_len", "speed-up", "ratio", (points((128, 1.0), (512, 1.2)),))
    assert {"1×", "1.1×", "1.2×"} <= texts(panel)


def test_wrong_points_are_crosses_and_a_zero_is_drawn() -> None:
    curves = (points((0.0, 0), (0.5, 0), name="fine"), points((7.0, 1), name="off", wrong=True))
    panel = Panel("dots", "t", "error", "", "share", curves, ("fine", "off"), 1.0, "limit", metric="error_of_budget")
    found = spec(panel)
    assert shapes(found) == 3
    svg = vl_convert.vegalite_to_svg(json.dumps(found))
    assert svg.count(f'fill="{WRONG.light}"') == 1
    assert {"fine", "off", "limit"} <= texts(panel)


def test_roofs_are_lines_that_say_what_they_are() -> None:
    roofs = (Roof("measured", 20e9, 450e9, 15e9), Roof("published", 80e9, 900e9))
    panel = Panel("roofline", "t", "intensity", "rate", "TFLOP/s", (points((40, 0.1), (300, 0.2)),), roofs=roofs)
    told = re.findall(r"(\w+ roof: [^\"<]*)\"", json.dumps(spec(panel)))
    assert list(dict.fromkeys(told)) == [
        "measured roof: 450 GFLOP/s, 20 GB/s read",
        "measured roof: 450 GFLOP/s, 15 GB/s read and written",
        "published roof: 900 GFLOP/s, 80 GB/s",
    ]
    assert shapes(spec(panel)) == 2


def test_names_are_data_and_nothing_else() -> None:
    """A name may look like an expression or like markup, and be long."""
    curves = (points((1e6, 0.1), name=HOSTILE), points((2e6, 0.2), name="datum.x; " + "n" * 300))
    panel = Panel("scatter", HOSTILE, "latency", "error", "share", curves, x_unit="ns")
    assert shapes(spec(panel)) == 2
    rows = Panel("dots", "t", "latency", "", "ns", (points((1e6, 0)),), ("r" * 300,))
    assert any(text.endswith("…") and len(text) < 200 for text in texts(rows))


def test_a_front_is_joined_in_steps_and_named_where_there_is_room() -> None:
    front = (PlotPoint(4.0, 0.3, label="few bits"), PlotPoint(8.0, 0.1, label="many bits"))
    panel = Panel("scatter", "t", "bits", "KL", "nat", (points((4.0, 0.3), (8.0, 0.1)),), front=front)
    assert {"few bits", "many bits"} <= set(texts(panel))
    steps, left, right, _ = spec(panel)["layer"]
    assert steps["mark"]["interpolate"] == "step-after"
    assert [layer["mark"]["align"] for layer in (left, right)] == ["left", "right"]
    assert [layer["data"]["values"][0]["label"] for layer in (left, right)] == ["few bits", "many bits"]


def test_a_kind_that_is_drawn_as_a_picture_alone(synthetic: SimpleNamespace) -> None:
    assert panel_spec(Panel("novel", "t", "x", "y", "ns", (points((1, 1)),)), marks(["a"])) is None


@pytest.mark.parametrize(("reference", "anchor"), [(1.0, "start"), (2.0, "middle"), (3.0, "end")])
def test_a_reference_leaves_names_of_rows_free_and_its_label_stays_inside(reference: float, anchor: str) -> None:
    panel = Panel(
        "dots", "", "y", "", "ratio", (points((1.0, 0), (3.0, 1), (2.0, 2)),), ("a", "b", "c"), reference, "limit"
    )
    svg = vl_convert.vegalite_to_svg(json.dumps(spec(panel)))
    dashes = re.findall(
        r'<line [^>]*transform="translate\([^,]+,([\d.]+)\)"[^>]*y2="([\d.]+)"[^>]*stroke-dasharray', svg
    )
    names = [float(y) for y in re.findall(r'transform="translate\(0,([\d.]+)\)"[^>]*>[abc]</text>', svg)]
    assert len(dashes) == len(names) == 3
    for top, length in dashes:
        covered = [name for name in names if float(top) < name and name - 10 < float(top) + float(length)]
        assert covered == []
    assert re.search(rf'text-anchor="{anchor}"[^>]*>limit</text>', svg)
