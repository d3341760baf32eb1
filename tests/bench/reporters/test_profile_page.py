"""The page of a profile: what is on it, that nothing in it is taken for markup, and that its pictures are drawn."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from attnlab.bench.profilers.profiles import CaseProfile, Profile
from attnlab.bench.profilers.record import KERNEL, OPERATION, CallPart, Listing, Timeline, ToolFigure, ToolRecord
from attnlab.bench.profilers.using import ToolUse
from attnlab.bench.reporters.page.environment import template_environment
from attnlab.bench.reporters.profile_page import write_pages
from attnlab.bench.reporters.profile_page.model import ProfilePage, figure_text
from attnlab.bench.store.machine import Ceilings, Device, Environment
from attnlab.bench.store.records import Measurement, Outcome, RunRecord

ENVIRONMENT = Environment(
    Device("cpu", "a processor"), "a processor", 2, (0, 1), 2, 1 << 34, "Linux", "3.11", {}, None, None, {}, None, None
)
CEILINGS = Ceilings("a processor", 1, 1e10, {"bfloat16": 1e12}, None, 0.0)
RUN = RunRecord(
    "r", "attention", "2026-01-02T03:04:05+00:00", "attnlab profile attention", (), ENVIRONMENT, CEILINGS, 0
)
NASTY = "<script>alert('|')</script>"


def profiled(name: str, call_ns: float, *parts: CallPart) -> CaseProfile:
    m = Measurement("attention", name, {"dtype": "bfloat16"}, "Sq8-bf16", Outcome.PASSED)
    m = replace(m, operations=10_000_000, bytes_moved=100_000, median_ns=call_ns, flags=("the machine was busy",))
    torch = ToolRecord(
        "torch",
        3,
        parts,
        (ToolFigure("operations", 12.0, "1"), ToolFigure("host time outside of operations", 1e4, "ns")),
        listings=(Listing("Time by line of the source", ("line", "share"), (("mine.py:3", "90 %"),)),),
        timelines=(Timeline("memory", "B", tuple((float(at), float(at % 7)) for at in range(200))),),
        files=(("trace.json.gz", "opens in Perfetto"),),
        notes=("slowed",),
    )
    return CaseProfile(m, (ToolUse("torch", torch), ToolUse("ncu", refused="get it")), f"attention-{name}", call_ns)


@pytest.fixture
def profile() -> Profile:
    slow = profiled("slow", 2e6, CallPart(NASTY, OPERATION, 1.5e6, source="mine.py:3"), CallPart("mm", OPERATION, 1e5))
    quick = profiled("quick", 1e6, CallPart("mm", OPERATION, 9e5, bytes=1024.0))
    return Profile(RUN, (slow, replace(quick, wrong="wrong_values: off by a half")))


def test_both_pages_say_the_same(profile: Profile, tmp_path: Path) -> None:
    html, markdown = (path.read_text() for path in write_pages(profile, tmp_path))
    for text in (html, markdown):
        assert (
            "How the times of slow and quick compare is not told (2.00 ms, 1.00 ms): quick: its result is wrong."
            in text
        )
        assert "the machine was busy" in text, "flags of its times"
        assert "a processor, 2026-01-02" in text.replace("\\", "")
        assert "attention-slow/torch/trace.json.gz" in text
        assert "off by a half" in text
        assert "WRONG RESULT" in text.upper()
        assert "get it" in text
        assert "<script" not in text
    assert "wrong_values" in html
    assert "alert" in html


def test_each_picture_is_drawn(profile: Profile, tmp_path: Path) -> None:
    html = write_pages(profile, tmp_path)[0].read_text()
    assert html.count("<figure") == 3, "where the time goes, the roofline, and memory"
    ids = re.findall(r'id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    targets = set(re.findall(r'href="#([^"]+)"', html))
    assert {target for target in targets if target.startswith("case")} <= set(ids)


def test_bars_begin_at_zero(profile: Profile) -> None:
    (section,) = ProfilePage.of(replace(profile, cases=(profile.cases[0], replace(profile.cases[0])))).sections
    (bars,) = section.plots[0].panels
    assert min(bars.values) == 0


def test_the_model_has_a_line_for_each_implementation(profile: Profile) -> None:
    (section,) = ProfilePage.of(profile).sections
    assert [row[:4] for row in section.glance.rows] == [
        ("slow", "2.00 ms", "0.500 %", "latency"),
        ("quick", "1.00 ms", "1.00 %", "latency"),
    ]
    assert [table.title for table in section.tables] == ["Parts side by side"], "figures are alike"
    (tool,) = section.profiled[1].tools
    assert "allocates" in tool.tables[0].columns
    assert "called from" not in tool.tables[0].columns


def test_a_profile_without_times_has_a_page(profile: Profile, tmp_path: Path) -> None:
    """Such as of a compiler's report on what cannot run here."""
    m = Measurement("attention", "triton", {}, "Sq8-bf16", Outcome.UNAVAILABLE, reason="needs an NVIDIA GPU")
    static = ToolRecord("static", 0, (CallPart("k", KERNEL, None),), (ToolFigure("registers", 168.0, "1", "k"),))
    case = CaseProfile(m, (ToolUse("static", static),), "attention-triton")
    html = write_pages(Profile(RUN, (case,)), tmp_path)[0].read_text()
    assert "unavailable: needs an NVIDIA GPU" in html
    assert "168" in html
    assert "0 ns" not in html


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(None, "ns", "–"), (56.0, "1", "56"), (16_384.0, "1", "16.4 k"), (0.5, "1", "0.500"), (1e6, "ns", "1.00 ms")],
)
def test_figures_are_written_in_their_unit(value: float | None, unit: str, text: str) -> None:
    assert figure_text(value, unit) == text


def test_sentences_have_code_and_shares_that_hold_together() -> None:
    worded = template_environment().filters["worded"]
    assert worded("run `a<b` in 3 % of it") == "run <code>a&lt;b</code> in 3\N{NO-BREAK SPACE}% of it"
    assert worded("one ` alone & no more") == "one ` alone &amp; no more"


def test_what_torch_does_not_see_may_take_longest(profile: Profile) -> None:
    def longest(outside_ns: float) -> str:
        case = profiled("mine", 1e6, CallPart("aten::empty", OPERATION, 2e4))
        torch = case.tools[0].record
        assert torch is not None
        times = {"host time outside of operations": outside_ns, "host time of a call": 1e6}
        torch = replace(torch, figures=tuple(ToolFigure(name, value, "ns") for name, value in times.items()))
        page = ProfilePage.of(Profile(RUN, (replace(case, tools=(ToolUse("torch", torch),)),)))
        return page.sections[0].glance.rows[0][-1]

    assert longest(9.8e5) == "code that torch does not see (98.0 %)"
    assert longest(1e4) == "aten::empty (2.00 %)", "of a call, not of the time in operations"
