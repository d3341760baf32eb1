"""The study of quantised weights: error, bytes and speed of each format, and up to how many rows it is faster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.contract.registry import discover
from attnlab.bench.ops.linear.case import LinearCase
from attnlab.bench.ops.linear.contract import LINEAR
from attnlab.bench.reporters import markdown
from attnlab.bench.reporters.model.report import Report, build_report
from attnlab.bench.reporters.model.studies import Study
from attnlab.bench.reporters.model.studies.linear import said
from attnlab.bench.reporters.model.words import plain
from attnlab.bench.reporters.plot_files import PlotFiles
from attnlab.bench.stats.batch_break_even import BatchBreakEven, Side
from attnlab.bench.store.records import BenchRecord, Burst, Launch, Measurement, Outcome, Series

from . import synthetic

ROWS = (1, 16, 256)
FORMATS = {  # ns of a call with no rows, ns a row, format error; None: a format that has none
    "same": (100_000.0, 1_000.0, None),
    "int8": (50_000.0, 2_000.0, 0.01),
    "int4_g128": (30_000.0, 4_000.0, 0.1),
    "int8_dynamic": (150_000.0, 500.0, 0.02),
}


def measurement(case: LinearCase, cost: tuple[float, float, float | None]) -> Measurement:
    fixed, slope, error = cost
    median = fixed + slope * case.m
    series = [Series("latency", "ns", "wall", "lower", tuple(median * f for f in (0.99, 1.0, 1.01)))]
    facts = () if error is None else (Series("format_error", "ratio", None, "lower", (error,)),)
    return Measurement(
        operator="linear",
        implementation="naive" if case.format == "same" else "mine",
        case=case.values(),
        case_id=case.id,
        outcome=Outcome.PASSED,
        operations=LINEAR.operations(case),
        bytes_moved=LINEAR.bytes_moved(case),
        timing=synthetic.timing(),
        launches=(Launch(1, (Burst(1.7e9, tuple(series)), Burst(1.7e9, facts))),),
        median_ns=median,
        ci_low_ns=0.99 * median,
        ci_high_ns=1.01 * median,
    )


@pytest.fixture(scope="module")
def report() -> Report:
    discover()
    cases = {
        LinearCase(n=1024, k=1024, dtype="bfloat16", m=m, format=format): cost
        for format, cost in FORMATS.items()
        for m in ROWS
    }
    bench = BenchRecord("linear", ("naive", "mine"), "naive", tuple(case.id for case in cases))
    found = tuple(measurement(case, cost) for case, cost in cases.items())
    made: Any = synthetic.stored_run(benches=(bench,))
    return build_report([replace(made, measurements=found, damages=())])


@pytest.fixture(scope="module")
def study(report: Report) -> Study:
    (section,) = report.sections
    (found,) = section.studies
    return found


def test_each_format_beside_the_dtype(study: Study) -> None:
    table = study.tables[0]
    assert table.title == "N1024-K1024-bf16, one row"
    rows = {row[0]: row for row in table.rows}
    assert list(rows) == ["the dtype", "int4_g128", "int8", "int8_dynamic"]
    assert rows["the dtype"][1:4] == ("16.0", "–", "2.00 MiB")
    assert rows["int4_g128"][1:4] == ("4.12", "10.0 %", "532 KiB"), "a float16 scale for 128 codes, x and the output"
    assert rows["int8"][1] == "8.03"
    assert rows["int4_g128"][6] == "2.97× (2.91 to 3.03)"


def test_up_to_how_many_rows(study: Study) -> None:
    rows = {row[0]: row[1] for row in study.tables[1].rows}
    assert rows["int8"] == "faster up to 53 rows (95 %: 16 to 256)"
    assert rows["int4_g128"].startswith("faster up to ")
    assert rows["int8_dynamic"].startswith("faster from ")
    assert rows["int8_dynamic"].endswith(" rows (95 %: 16 to 256)")


def test_words_come_first_and_say_it(study: Study) -> None:
    words = [plain(sentence) for sentence in study.sentences]
    assert words[0].startswith("For N1024-K1024-bf16 and one row, int4_g128 by mine takes 34.0 µs, 2.97×")
    assert words[0].endswith("at 4.12 bits a weight and an error of 10.0 %.")
    assert any("int8_dynamic is faster from " in text for text in words)


def test_plots_and_pages_are_made(report: Report, study: Study, tmp_path: Path) -> None:
    assert [plot.name for plot in study.plots] == ["formats", "bits"]
    lines, dots = (plot.panels[0] for plot in study.plots)
    assert {curve.name for curve in lines.curves} == {"int8", "int4_g128", "int8_dynamic"}
    assert lines.reference == 1.0
    assert all(len(curve.points) == len(ROWS) for curve in lines.curves)
    assert {curve.name: (p.x, p.y) for curve in dots.curves for p in curve.points}["int4_g128"] == (4.125, 0.1)
    assert "Formats of weights" in "\n".join(markdown.render(report))
    names = {path.name for path in PlotFiles().write(report, tmp_path)}
    assert {"formats.png", "bits.svg"} <= names


def test_nothing_is_said_without_the_dtype_beside() -> None:
    discover()
    case = LinearCase(n=64, k=64, dtype="bfloat16", format="int8")
    bench = BenchRecord("linear", ("mine",), None, (case.id,))
    made: Any = synthetic.stored_run(benches=(bench,))
    built = build_report([replace(made, measurements=(measurement(case, FORMATS["int8"]),), damages=())])
    assert not built.sections[0].studies


def test_rows_whose_side_is_not_known_are_named() -> None:
    """A format that is 2.5 times as fast without an interval is not slower at every number of rows."""
    assert said(BatchBreakEven(Side.SLOWER)) == "slower at every number of rows measured"
    assert (
        said(BatchBreakEven(Side.SLOWER, untold=(1, 8))) == "slower, but not told apart from the dtype at M = 1 and 8"
    )
    assert said(BatchBreakEven(Side.UNKNOWN, untold=(1, 8))) == "not told apart from the dtype"
