"""The study of caches: which layout costs what, from where one pays, and that each format shows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.contract.registry import discover
from attnlab.bench.ops._shared.caching import DecodeCase
from attnlab.bench.ops.decode_attention.contract import DECODE_ATTENTION
from attnlab.bench.reporters import markdown
from attnlab.bench.reporters.html_page import render
from attnlab.bench.reporters.model.report import Report, build_report
from attnlab.bench.reporters.model.studies import Study
from attnlab.bench.reporters.model.words import plain
from attnlab.bench.reporters.plot_files import PlotFiles
from attnlab.bench.store.records import BenchRecord, Burst, Launch, Measurement, Outcome, Series

from . import synthetic

CONTEXTS = (512, 1024, 2048, 4096)
VARIANTS = {  # (layout, format): (fixed cost in ns, ns a token, format error, bits)
    ("contiguous_bhsd", "same"): (10_000.0, 100.0, 0.0, 16.0),
    ("paged:16", "same"): (12_000.0, 101.0, 0.0, 16.02),
    ("contiguous_bhsd", "int8_token"): (60_000.0, 60.0, 0.01, 8.5),
    ("contiguous_bhsd", "int4_g32"): (9_000.0, 40.0, 0.09, 5.0),
}


def measurement(case: DecodeCase, cost: tuple[float, float, float, float]) -> Measurement:
    fixed, slope, error, bits = cost
    median = fixed + slope * case.longest
    facts = (
        Series("format_error", "ratio", None, "lower", (error,)),
        Series("cache_bits", "bit", None, "lower", (bits,)),
    )
    latency = Series("latency", "ns", "wall", "lower", tuple(median * f for f in (0.99, 1.0, 1.01)))
    return Measurement(
        operator="decode_attention",
        implementation="mine",
        case=case.values(),
        case_id=case.id,
        outcome=Outcome.PASSED,
        operations=DECODE_ATTENTION.operations(case),
        bytes_moved=DECODE_ATTENTION.bytes_moved(case),
        timing=synthetic.timing(),
        launches=(Launch(1, (Burst(1.7e9, (latency,)), Burst(1.7e9, facts))),),
        median_ns=median,
        ci_low_ns=0.99 * median,
        ci_high_ns=1.01 * median,
    )


@pytest.fixture(scope="module")
def report() -> Report:
    discover()
    cases = {
        DecodeCase(q_heads=32, kv_heads=8, head_dim=128, context=context, layout=layout, cache=cache): cost
        for (layout, cache), cost in VARIANTS.items()
        for context in CONTEXTS
    }
    bench = BenchRecord("decode_attention", ("mine",), "mine", tuple(case.id for case in cases))
    found = tuple(measurement(case, cost) for case, cost in cases.items())
    made: Any = synthetic.stored_run(benches=(bench,))
    return build_report([replace(made, measurements=found, damages=())])


@pytest.fixture(scope="module")
def study(report: Report) -> Study:
    (section,) = report.sections
    (found,) = section.studies
    return found


def test_the_longest_context_is_compared(study: Study) -> None:
    table = study.tables[0]
    assert table.title == "Hq32-Hkv8-D128-bf16 at context 4096"
    rows = {row[0]: row for row in table.rows}
    assert list(rows) == ["contiguous_bhsd", "paged:16", "int4_g32", "int8_token"]
    assert rows["int4_g32"][1:3] == ("5.00", "9.00 %")
    assert rows["int4_g32"][-2] == "2.43×"


def test_from_where_each_pays(study: Study) -> None:
    rows = {row[0]: row for row in study.tables[1].rows}
    assert rows["contiguous_bhsd"][2:] == ("10.0 µs (10.0 to 10.0 µs)", "100 µs (100 to 100 µs)", "the plain one")
    assert rows["int8_token"][3].startswith("60.0 µs")
    said = {name: row[-1] for name, row in rows.items()}
    assert said["int4_g32"] == "at every context measured"
    assert said["paged:16"] == "at none, and not beyond"
    assert said["int8_token"].startswith("from a context of 1.25 k (95 %: 1.2")


def test_the_words_name_the_best(study: Study) -> None:
    words = [plain(sentence) for sentence in study.sentences]
    assert words[0].startswith("For Hq32-Hkv8-D128-bf16 at a context of 4096, int4_g32 by mine takes")
    assert "2.43× as fast as contiguous keys and values by mine" in words[0]
    assert any("int8_token by mine pays from a context of 1.25 k" in text for text in words)
    assert "In the same memory (32 layers, 8.00 GiB" in words[-1]


def test_capacity_is_in_the_order_that_it_must_be(study: Study) -> None:
    (table,) = [table for table in study.tables if table.title.startswith("Sequences that fit")]
    fits = {row[0]: float(row[1]) for row in table.rows}
    assert fits["contiguous_bhsd"] < fits["int8_token"] < fits["int4_g32"]
    assert fits["contiguous_bhsd"] < fits["paged:16"]


def test_every_format_lays_it_out(report: Report, study: Study, tmp_path: Path) -> None:
    text = "\n".join(markdown.render(report))
    page = render(report)
    for shown in (text, page):
        assert "Layouts and formats of the cache" in shown
        assert "at every context measured" in shown
    assert "error over budget" not in page.partition("<thead>")[0]
    names = {path.name for path in PlotFiles().write(report, tmp_path)}
    assert {"layouts.png", "pareto.png", "capacity.svg"} <= names


def test_columns_without_a_value_are_left_out_of_a_section(report: Report) -> None:
    discover()
    attention = render(build_report([synthetic.stored_run()]))
    assert attention.count(">format error<") == 1, "its definition alone"
    assert render(report).count("format error") > 3
