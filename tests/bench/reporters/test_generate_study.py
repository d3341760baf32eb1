"""The study of generation: what is compared, in which words, and that every picture is there and drawn."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.contract.registry import discover
from attnlab.bench.llm.generation.events import CallLog, Pass, RequestLog, series_of
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.contract import GENERATE
from attnlab.bench.reporters import markdown
from attnlab.bench.reporters.html_page import render
from attnlab.bench.reporters.model.report import Report, build_report
from attnlab.bench.reporters.model.studies import Study
from attnlab.bench.reporters.model.words import plain
from attnlab.bench.reporters.plot_files import PlotFiles
from attnlab.bench.store.records import BenchRecord, Burst, Launch, Measurement, Outcome, Series

from . import synthetic

MS = 1e6
ROUNDS = 6
DRIFT = (1.0, 1.3, 0.9, 1.1, 1.6, 1.0)  # of the machine, which both sides share
PLAIN, GUESSED = "toy-random-P32-N8-fp32", "toy-random-P32-N8-prompt_lookup.2-fp32"
STATIC = "toy-random-B2-R4-P32-N8-paged.16-fp32-poisson.2"
CONTINUOUS = "toy-random-B2-R4-P32-N8-paged.16-fp32-continuous-poisson.2"
LONGER = "toy-random-P64-N8-fp32"
LABELS = {
    PLAIN: "B1-P32-greedy",
    GUESSED: "B1-P32-prompt_lookup.2",
    STATIC: "B2-R4-P32-paged.16-static-poisson.2",
    CONTINUOUS: "B2-R4-P32-paged.16-continuous-poisson.2",
    LONGER: "B1-P64",
}


def call(ttft_ms: float, itl_ms: float, drift: float, case: GenerateCase) -> CallLog:
    """Every request takes as long; guesses come two tokens at a time."""
    stride = 2 if case.decoding.speculative else 1
    ends = range(1, case.new_tokens + 1, stride)
    times = tuple((ttft_ms + itl_ms * (n - 1)) * drift * MS for n in ends)
    request = RequestLog(0.0, case.prompt_len, times, tuple(ends), 0.1 * MS, 0.2 * MS)
    passes = [Pass("prefill", 0.9 * ttft_ms * drift * MS, 1e6, case.prompt_len)]
    kind, judged = ("verify", ((2,), (1,))) if stride == 2 else ("decode", ((), ()))
    passes += [Pass(kind, itl_ms * drift * MS, 1e6, stride, *judged) for _ in ends[1:]]
    counts = {"cache": 1000.0 * case.prompt_len, "preemptions": 1.0, "reused_tokens": 5.0}
    return CallLog((request,) * case.requests, tuple(passes), counts)


def measurement(name: str, text: str, ttft_ms: float, itl_ms: float, shift_s: float) -> Measurement:
    case = GenerateCase.parse(text)
    bursts = []
    for number, drift in enumerate(DRIFT):
        log = call(ttft_ms, itl_ms, drift, case)
        whole = Series("latency", "ns", "wall", "lower", (log.requests[0].times_ns[-1],))
        bursts.append(Burst(1.7e9 + 60 * number + shift_s, (whole, *series_of(log))))
    median = (ttft_ms + 7 * itl_ms) * MS
    return Measurement(
        operator="generate",
        implementation=name,
        case=case.values(),
        case_id=case.id,
        outcome=Outcome.PASSED,
        operations=GENERATE.operations(case),
        bytes_moved=GENERATE.bytes_moved(case),
        timing=synthetic.timing(),
        launches=(Launch(1, tuple(bursts)),),
        median_ns=median,
        ci_low_ns=0.9 * median,
        ci_high_ns=1.1 * median,
    )


@pytest.fixture(scope="module")
def report() -> Report:
    discover()
    found = (
        measurement("peer", PLAIN, 200, 60, 0),
        measurement("mine", PLAIN, 100, 20, 10),
        measurement("mine", GUESSED, 100, 10, 20),
        measurement("mine", STATIC, 400, 20, 30),
        measurement("mine", CONTINUOUS, 100, 20, 40),
        measurement("mine", LONGER, 100, 20, 50),
    )
    ids = (PLAIN, GUESSED, STATIC, CONTINUOUS, LONGER)
    bench = BenchRecord("generate", ("peer", "mine"), "peer", ids, rounds=ROUNDS)
    made: Any = synthetic.stored_run(benches=(bench,))
    return build_report([replace(made, measurements=found, damages=())])


@pytest.fixture(scope="module")
def study(report: Report) -> Study:
    (section,) = report.sections
    (found,) = section.studies
    return found


def test_ratios_are_paired_so_that_drift_which_both_share_is_none(study: Study) -> None:
    (table,) = (t for t in study.tables if t.title == LABELS[PLAIN])
    rows = {row[0]: row for row in table.rows}
    assert rows["mine"][-3:-1] == ("2.00× (2.00 to 2.00)", "3.00× (3.00 to 3.00)")
    assert rows["peer"][-3:] == ("–", "–", "–")


def test_the_words(study: Study) -> None:
    said = [plain(sentence) for sentence in study.sentences]
    assert any("mine has its first token after 105 ms, one every 21.0 ms and no stall over" in s for s in said)
    assert any("prompt_lookup:2 by mine" in s and "had 50.0 % of its guesses accepted" in s for s in said)
    assert any("At the same load, continuous batching by mine" in s for s in said)


def test_where_the_first_token_goes(study: Study) -> None:
    (table,) = (t for t in study.tables if t.title.startswith("Where"))
    row = next(row for row in table.rows if row[0] == f"mine, {LABELS[PLAIN]}")
    assert table.headings[1:] == ("waiting", "tokenise", "prefill", "sample", "other")
    assert row[1:5] == ("–", "100 µs", "94.5 ms", "200 µs")
    (panel,) = next(plot for plot in study.plots if plot.name == "ttft").panels
    assert panel.kind == "bars"
    assert f"mine, {LABELS[PLAIN]}" in panel.rows
    whole = sum(
        p.x for curve in panel.curves for p in curve.points if p.y == panel.rows.index(f"mine, {LABELS[PLAIN]}")
    )
    assert whole == pytest.approx(105e6)  # the median time to first token


def test_acceptance_stands_beside_time_and_by_place(study: Study) -> None:
    (table,) = (t for t in study.tables if t.title == "Speculative decoding")
    (row,) = table.rows
    cells = dict(zip(table.headings, row, strict=True))
    assert cells["by place, %"] == "100 / 0"
    assert (cells["accepted"], cells["tokens a pass"]) == ("50.0 %", "2.00")
    assert cells["speed-up"].startswith("1.50×")
    assert (cells["plain pass"], cells["verify pass"], cells["draft pass"]) == ("21.0 ms", "10.5 ms", "–")


def test_batches_under_load(study: Study) -> None:
    (table,) = (t for t in study.tables if t.title == "Batches under load")
    assert [row[2] for row in table.rows] == ["static, poisson:2", "continuous, poisson:2"]
    assert [row[-2:] for row in table.rows] == [("1.00", "5.00")] * 2


def test_what_one_implementation_answered_is_in_one_table(study: Study) -> None:
    (table,) = (t for t in study.tables if t.title == "Answered by one implementation")
    assert [row[0] for row in table.rows] == [f"mine, {LABELS[text]}" for text in (GUESSED, STATIC, CONTINUOUS, LONGER)]


def test_every_picture_is_drawn(report: Report, study: Study, tmp_path: Path) -> None:
    assert [plot.name for plot in study.plots] == ["itl", "icl", "ttft", "load", "context"]
    written = PlotFiles().write(report, tmp_path)
    assert {f"{plot.name}.png" for plot in study.plots} <= {path.name for path in written}


def test_throughput_over_latency_is_a_curve_over_rates_with_its_knee() -> None:
    discover()
    loads = {1: (100, 20), 2: (110, 10), 4: (130, 5), 8: (900, 4.9), 16: (2500, 4.8)}
    text = "toy-random-B2-R4-P32-N8-paged.16-fp32-continuous-rate.{}"
    found = [measurement("mine", text.format(rate), *times, 0) for rate, times in loads.items()]
    bench = BenchRecord("generate", ("mine",), None, tuple(m.case_id for m in found))
    made: Any = synthetic.stored_run(benches=(bench,))
    (section,) = build_report([replace(made, measurements=tuple(found), damages=())]).sections
    (panel,) = next(plot for plot in section.studies[0].plots if plot.name == "load").panels
    assert (panel.kind, panel.x_label) == ("curve", "time to first token")
    (curve,) = panel.curves
    assert (curve.name, [p.label for p in curve.points]) == ("mine", ["1/s", "2/s", "4/s", "8/s", "16/s"])
    (bend,) = panel.callouts
    assert (bend.x, bend.text) == (curve.points[2].x, "knee")


def test_gaps_are_over_whole_tokens_and_have_one_range(study: Study) -> None:
    panels = next(plot for plot in study.plots if plot.name == "itl").panels
    assert all(panel.whole for panel in panels)
    assert len({panel.extent for panel in panels}) == 1


def test_page_and_markdown_have_it(report: Report) -> None:
    page = render(report)
    assert "Where the time to first token goes" in page
    headings = re.findall(r'<th scope="col"[^>]*>(?:<button[^>]*>)?([^<]+)', page)
    assert "whole call" in headings
    assert "latency" not in headings  # which a kernel has
    assert "### Speculative decoding" in markdown.render(report)


def test_no_study_of_what_was_not_timed() -> None:
    wrong = measurement("mine", PLAIN, 100, 20, 0).fail("other tokens", outcome=Outcome.WRONG_VALUES)
    bench = BenchRecord("generate", ("mine",), None, (PLAIN,))
    made: Any = synthetic.stored_run(benches=(bench,))
    (section,) = build_report([replace(made, measurements=(wrong,), damages=())]).sections
    assert section.studies == ()
