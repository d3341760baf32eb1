"""`check`: a verdict as an object, with what is wrong, in words and in a notebook."""

from __future__ import annotations

import math
import sys
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest
import torch

import attnlab.bench
from attnlab.bench import CheckResult, Outcome, Unavailable, UsageError, check


def parsed(html: str) -> ET.Element:
    """As a notebook gets it; raises where a name became markup that does not close."""
    return ET.fromstring(html)


def words(html: str) -> str:
    return " ".join(parsed(html).itertext())


def double(x: Any) -> Any:
    return x * 2


def test_what_is_right_passes(toy: str) -> None:
    found = check(double, toy)
    assert found
    assert (found.operator, found.implementation, found.case_id, found.verdict) == ("toy", "double", "N8", "passed")
    assert (found.error_of_budget, found.reason, found.wrong, found.traceback) == (0.0, None, None, None)
    assert list(found.errors) == ["drawn", "redrawn", "needles"]
    assert repr(found).splitlines() == [
        "passed: double on toy N8, error 0 % of what is allowed",
        "  drawn inputs: error 0 %",
        "  redrawn inputs: error 0 %",
        "  needles inputs: error 0 %",
    ]


def test_what_is_wrong_says_where(toy: str) -> None:
    def off(x: Any) -> Any:
        out = x * 2
        out[3] += 1
        return out

    found = check(off, toy, n=16)
    assert not found
    assert (found.outcome, found.case_id) == (Outcome.WRONG_VALUES, "N16")
    assert found.error_of_budget == pytest.approx(1e6, rel=0.1)
    assert found.wrong is not None
    assert found.wrong.place == "out[3]"
    assert repr(found).startswith("wrong values: off on toy N16: out on drawn inputs: largest error 1.00e+00 (allowed")
    assert "  first wrong: out[3]" in repr(found)
    assert "first wrong: out[3]" in words(found._repr_html_())


def test_a_case_that_cannot_tell_faults_apart_says_so(toy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["toy_operator"]
    blunt = lambda self, case, inputs: module.Doubled((inputs.x * 2,), blunt=("zeros",))  # noqa: E731
    monkeypatch.setattr(module.ToyCheck, "expect", blunt)
    found = check(double, toy)
    assert (found.passed, found.blunt) == (True, ("zeros",))
    assert repr(found).endswith("  this case cannot tell apart: zeros")
    assert "this case cannot tell apart: zeros" in words(found._repr_html_())


async def later(x: Any) -> Any:
    return x * 2


@pytest.mark.parametrize(
    ("function", "outcome", "reason"),
    [
        (lambda x: None, "wrong shape", r"returned (NoneType); expected 1 tensors: out"),
        (lambda x: x[1:] * 2, "wrong shape", "out has shape [7]; expected [8]"),
        (lambda x: (x * 2).double(), "wrong dtype", "float64"),
        (lambda x: x * math.nan, "wrong values", "8 of 8 elements NaN or infinite"),
        (lambda x: x / None, "failed", "raised TypeError"),
        (lambda x: later(x), "failed", "returns a coroutine, whose work is done where it is awaited"),
        (lambda x: (row for row in x), "failed", "returns a generator, whose work is done where it is iterated"),
        (lambda x: x.mul_(2), "wrong values", "changed its input x"),
    ],
)
def test_what_is_no_result_is_told(function: Callable[..., Any], outcome: str, reason: str, toy: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        found = check(function, toy)
    assert (found.verdict, found.passed) == (outcome, False)
    assert reason in (found.reason or "")
    assert repr(found).startswith(f"{outcome}: lambda on toy N8: ")
    assert words(found._repr_html_()).startswith(f"{outcome}: lambda on toy N8: ")


def test_what_it_raises_is_kept_with_its_place(toy: str) -> None:
    def broken(x: Any) -> Any:
        raise ValueError("no such <b>thing</b>")

    found = check(broken, toy)
    assert found.reason == "raised ValueError: no such <b>thing</b>"
    assert "in broken" in (found.traceback or "")
    assert "in broken" in repr(found)
    html = parsed(found._repr_html_())
    assert html.find(".//b") is None
    assert html.findtext("details/summary") == "traceback"


def test_names_are_no_markup(toy: str) -> None:
    def made(x: Any) -> Any:
        return x * 2

    made.__name__ = "<img src=x onerror=alert(1)>\u202e"
    found = check(made, toy)
    assert found.passed
    assert parsed(found._repr_html_()).find(".//img") is None
    shown = CheckResult("toy", "<script>", "N8\u202e", Outcome.FAILED, "&<i>")
    assert words(shown._repr_html_()) == "failed: <script> on toy N8 : &<i>"


def test_a_name_is_an_implementation(toy: str) -> None:
    assert check("times", toy).implementation == "times"
    with pytest.raises(UsageError, match="unknown implementation of toy 'time'; did you mean 'times'"):
        check("time", toy)


def test_one_that_cannot_run_here_is_no_failure() -> None:
    found = check("flash_attn_3", "attention", q_len=8)
    assert found.verdict == "unavailable"
    assert found.reason


def test_one_case_is_checked_at_a_time(toy: str) -> None:
    with pytest.raises(UsageError, match=r"got 2 cases \(N8, N16, …\); expected one"):
        check(double, toy, n=[8, 16])
    with pytest.raises(UsageError, match="lambda has the parameters"):
        check(lambda a, b: a, toy)


def test_settings_of_the_process_are_as_they_were(toy: str) -> None:
    def meddles(x: Any) -> Any:
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(7)
        return x * 2

    before = torch.get_rng_state()
    check(meddles, toy)
    assert torch.get_default_dtype() is torch.float32
    assert torch.equal(torch.get_rng_state(), before)


def test_the_edge_has_it() -> None:
    assert attnlab.bench.check is check
    assert issubclass(Unavailable, attnlab.bench.AttnlabError)
