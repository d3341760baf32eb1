"""The study of servers: its words and tables, and every picture drawn both ways, from a made-up queue."""

from __future__ import annotations

import json
from typing import Any

import pytest

from attnlab.bench.contract.registry import discover
from attnlab.bench.reporters import markdown
from attnlab.bench.reporters.draw.figures import inline_svg
from attnlab.bench.reporters.draw.look import marks
from attnlab.bench.reporters.html_page import render
from attnlab.bench.reporters.model.plots import FAILED
from attnlab.bench.reporters.model.report import Report, build_report
from attnlab.bench.reporters.model.serving.over_time import by_time
from attnlab.bench.reporters.model.studies import Study, StudyTable
from attnlab.bench.reporters.model.words import plain
from attnlab.bench.reporters.vega import panel_spec
from attnlab.bench.store.records import Outcome

from . import serving_runs as made
from .serving_runs import MS, Ways, case, measurement, run_of

PLOTS = ["load", "goodput", "ttft", "http", "itl-time", "caches", "requests"]


@pytest.fixture(scope="module")
def report() -> Report:
    discover()
    return build_report([run_of(made.swept())])


@pytest.fixture(scope="module")
def study(report: Report) -> Study:
    return study_of(report)


def study_of(report: Report) -> Study:
    (section,) = report.sections
    (found,) = (one for one in section.studies if one.title == "Serving")
    return found


def alone(*found: Any) -> Study:
    return study_of(build_report([run_of(found)]))


def said(study: Study) -> list[str]:
    return [plain(sentence) for sentence in study.sentences]


def table(study: Study, title: str) -> StudyTable:
    return next(one for one in study.tables if one.title == title)


def test_the_knee_is_found_and_said(study: Study) -> None:
    words = " ".join(said(study))
    assert "By rate of requests, openai_chat has its knee at 16/s: 165 tok/s and a first token after 93.4 ms" in words
    assert "24/s brings 1.17× the tokens a second for 3.85× the wait." in words
    (rates, held) = next(plot for plot in study.plots if plot.name == "load").panels
    assert (rates.kind, [p.label for p in rates.curves[0].points][:2]) == ("curve", ["2/s", "4/s"])
    assert [callout.text for callout in rates.callouts] == ["knee"]
    assert {curve.name for curve in held.curves} == {"openai_chat", "in_process"}


def test_loads_without_a_bend_have_no_knee() -> None:
    light = [measurement("openai_chat", case(load=f"rate:{rate}", requests=20)) for rate in (1, 2, 4)]
    assert any("shows no knee from 1/s to 4/s" in one for one in said(alone(*light)))


def test_where_most_is_answered_in_time(study: Study) -> None:
    words = " ".join(said(study))
    assert "By rate of requests, openai_chat answers most in time at 24/s: 16.1 requests a second." in words
    assert "openai_chat answers most in time at 4: 16.6" in words  # 8 at a time bring no more
    rates, held, _ = next(plot for plot in study.plots if plot.name == "goodput").panels
    assert [curve.name for curve in rates.curves] == ["offered", "answered", "goodput"]
    assert [curve.name for curve in held.curves] == ["answered", "goodput"]  # nothing is offered that is not answered
    offered, answered, good = (curve.points[-1].y for curve in rates.curves)
    assert offered > 2 * answered > 2 * good > 0


def test_no_request_in_time_is_said() -> None:
    late = [measurement("openai_chat", case(load=f"rate:{rate}", ttft_ms=1)) for rate in (1, 2)]
    assert any("answers no request in time at any load" in one for one in said(alone(*late)))


def test_the_queue_is_apart_where_the_server_says_it(study: Study) -> None:
    rows = {row[0]: dict(zip(parts.headings, row, strict=True)) for parts in [_parts(study)] for row in parts.rows}
    crowded = rows["openai_chat, R40-poisson.48"]
    assert crowded["TTFT"] == "777 ms"
    assert (crowded["queue"], crowded["to headers"]) == ("719 ms", "–")
    assert crowded["prefill"].endswith(" ms")
    assert rows["in_process, R24-concurrency.1"]["queue"] == "–"
    (panel,) = next(plot for plot in study.plots if plot.name == "ttft").panels
    row = panel.rows.index("openai_chat, R40-poisson.48")
    whole = sum(p.x for curve in panel.curves for p in curve.points if p.y == row)
    assert whole == pytest.approx(777e6, rel=0.02)  # medians of parts add up to the median of the whole but for little


def _parts(study: Study) -> StudyTable:
    return table(study, "Where the time to first token goes")


def test_headers_stand_for_the_queue_that_nobody_tells() -> None:
    silent = measurement("tgi", case(load="concurrency:2"), Ways(1.2, 0.3, told=False))
    (row,) = _parts(alone(silent)).rows
    assert dict(zip(_parts(alone(silent)).headings, row, strict=True))["to headers"] == "400 µs"


def test_http_is_paired_with_the_engine_in_process(study: Study) -> None:
    words = " ".join(said(study))
    assert "HTTP by openai_chat adds 1.20 ms to 5.70 ms to the first token and 300 µs to a gap, over 4 loads." in words
    costs = table(study, "What HTTP costs")
    first = dict(zip(costs.headings, costs.rows[0], strict=True))
    assert (first["in process"], first["over HTTP"]) == ("66.0 ms", "67.2 ms")
    assert first["HTTP adds"] == "1.20 ms (1.20 ms to 1.20 ms)"  # the drift that both share is no difference
    (panel,) = next(plot for plot in study.plots if plot.name == "http").panels
    assert (panel.kind, panel.reference, panel.unit) == ("dots", 1.0, "ratio")
    assert all(p.low is not None and p.low <= p.x for curve in panel.curves for p in curve.points)


def test_one_load_over_http_has_its_interval() -> None:
    both = [measurement(n, case(), w, s) for n, w, s in (("in_process", Ways(), 0.0), ("tgi", Ways(2.0, 0.5), 9.0))]
    assert any("adds 2.00 ms (2.00 ms to 2.00 ms) to the first token" in one for one in said(alone(*both)))


def test_cold_beside_warm(study: Study) -> None:
    words = " ".join(said(study))
    assert "comes after 13.8 ms instead of 64.2 ms; 96.9 % of the prompts' tokens were cached." in words
    assert [row[1:3] for row in table(study, "Prefix caches").rows] == [("cold", "0 %"), ("warm", "96.9 %")]
    (panel,) = next(plot for plot in study.plots if plot.name == "caches").panels
    assert [curve.name for curve in panel.curves] == ["cold", "warm"]


def test_whether_the_client_kept_up(study: Study) -> None:
    assert said(study)[-1] == "The client kept up: it sent no request more than 20.0 µs late."
    assert {row[-1] for row in table(study, "The client").rows} == {"usage", "ids"}
    late = said(alone(measurement("openai_chat", case(), Ways(1.2, 0.3, late_ms=3.0))))
    assert any(
        one.startswith("The client sent more than 1.00 ms late at the 99th percentile under openai_chat")
        for one in late
    )


def test_every_request_has_a_line_and_what_failed_is_marked(study: Study) -> None:
    panels = next(plot for plot in study.plots if plot.name == "requests").panels
    assert len(panels) == 6  # those with a failure, the heaviest first
    panel = panels[0]
    assert (panel.kind, panel.title, len(panel.rows)) == ("requests", "openai_chat, R40-poisson.48", 40)
    curves = {curve.name: curve.points for curve in panel.curves}
    (failed,) = curves[FAILED]
    assert (failed.y, failed.label) == (7, "failed after 3 tokens")
    assert len(curves["answer"]) == len(curves["to the first token"]) == 39
    first, answer = curves["to the first token"][0], curves["answer"][0]
    assert first.high == answer.low
    assert answer.label == "12 tokens"
    assert first.label == "prompt of 32 tokens, 0 of them cached"


def test_gaps_over_time_are_not_those_of_the_slowest_call_alone() -> None:
    of = case(load="concurrency:1", requests=20)
    calls = [made.call(of, Ways(), drift)[0].requests for drift in (1.0, 1.0, 1.6)]
    found = by_time(calls)
    assert len(found) == 16
    assert {round(y / MS, 6) for _, y in found} == {15.0}
    assert found[-1][0] < calls[0][-1].times_ns[-1]


def test_every_picture_is_drawn_both_ways(study: Study) -> None:
    vl_convert: Any = pytest.importorskip("vl_convert", reason="vl-convert-python is not installed")
    assert [plot.name for plot in study.plots] == PLOTS
    for plot in study.plots:
        assert "<svg" in inline_svg(plot.panels[0], marks(plot.drawn), "p")
        spec = panel_spec(plot.panels[0], marks(plot.drawn))
        assert spec is not None
        svg = vl_convert.vegalite_to_svg(json.dumps({**spec, "width": 400}))
        assert "NaN" not in svg
        assert len(spec["data"]["values"]) == sum(len(curve.points) for curve in plot.panels[0].curves)


def test_page_and_markdown_have_it(report: Report) -> None:
    page = render(build_report([run_of((measurement("openai_chat", case(requests=4)),))]))
    assert page.index("The client kept up") < page.index("Requests of a load")  # words first
    text = "\n".join(markdown.render(report))
    assert "#### Under load" in text or "### Under load" in text
    assert "Where the time to first token goes" in text


def test_no_study_of_a_load_that_was_wrong() -> None:
    wrong = measurement("openai_chat", case()).fail("other tokens", outcome=Outcome.WRONG_VALUES)
    (section,) = build_report([run_of((wrong,))]).sections
    assert section.studies == ()
