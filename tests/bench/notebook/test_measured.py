"""`measure`: a function beside what is registered, as figures, a table, a frame and a run that is stored."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

import attnlab.bench
from attnlab.bench import MeasureResult, Outcome, Unavailable, UsageError, load, measure, read_run
from attnlab.bench.measuring import runner
from attnlab.bench.measuring.here import IN_THIS_PROCESS
from attnlab.bench.measuring.timing import Effort
from attnlab.bench.notebook import measured
from attnlab.bench.reporters import write_report
from tests.bench.notebook.test_checking import parsed, words


def double(x: Any) -> Any:
    return x * 2


def half(x: Any) -> Any:
    return x / 2


@pytest.fixture
def clock(known_ceilings: None, fake_clock: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Of what is measured in this process."""
    made = fake_clock((1e6, 1.01e6), "pretend")
    monkeypatch.setattr(runner, "clocks_for", lambda *_: (made,))
    return made


@pytest.fixture(scope="module")
def beside(toy: str, known_ceilings: None) -> MeasureResult:
    """A function and a registered implementation, truly timed, after little of a warm-up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measured, "make_effort", lambda effort: Effort(warmup_limit_s=0.1, turns=0))
        return measure(double, toy, against="times", n=[8, 64], rounds=6)


def test_a_function_alone_is_timed_until_its_median_is_known(toy: str, clock: Any) -> None:
    found = measure(double, toy)
    assert found
    assert (found.verdict, found.reason, found.implementation) == ("passed", None, "double")
    assert found.median_ns == pytest.approx(1.005e6)
    assert found.interval_ns == (1e6, 1.01e6)
    assert found.error_of_budget == 0.0
    assert IN_THIS_PROCESS in found.flags, "beside what a busy machine adds"
    assert found.speedups == {}
    assert found.measurements[0].timing.stopped in ("target", "limit of samples"), "calls take no time here"
    assert found.measurements[0].launches[0].process == os.getpid()


def test_the_share_of_the_ceiling_is_given_where_the_operator_has_a_dtype(clock: Any) -> None:
    def swiglu(x: Any) -> Any:
        gate, up = x.float().chunk(2, -1)
        return (torch.nn.functional.silu(gate) * up).to(x.dtype)

    found = measure(swiglu, "swiglu", rows=8, width=64)
    assert found.share_of_ceiling == pytest.approx(found.measurements[0].bytes_moved / 1e10 * 1e9 / 1.005e6)
    assert "of measured ceiling" in repr(found)


def test_what_it_shows_begins_with_the_verdict(toy: str, clock: Any) -> None:
    found = measure(double, toy)
    title, headings, row, *notes = repr(found).splitlines()
    assert title.startswith("passed: double on toy N8, ")
    assert headings.split()[:3] == ["verdict", "implementation", "latency"]
    assert row.split()[:2] == ["passed", "double"]
    assert f"  double: {IN_THIS_PROCESS}" in notes
    html = parsed(found._repr_html_())
    assert [cell.text for cell in html.iter("td")][:2] == ["passed", "double"]
    assert "color" not in found._repr_html_(), "it is read on any background"


def test_what_is_wrong_has_no_time(toy: str, clock: Any) -> None:
    found = measure(half, toy, against=double)
    assert not found
    assert (found.outcome, found.median_ns, found.interval_ns) == (Outcome.WRONG_VALUES, None, None)
    assert (found.share_of_ceiling, found.speedups) == (None, {})
    assert repr(found).startswith("wrong values: half on toy N8, ")
    assert found.frame.set_index("implementation").loc["half", "median_ns":"ci_high_ns"].isna().all()
    assert found.frame.set_index("implementation").loc["double", "median_ns"] > 0
    assert clock.told, "the other was timed"


def test_functions_take_turns(toy: str, clock: Any) -> None:
    found = measure(lambda x: x * 2, toy, against=[double, double], rounds=6)
    assert [row.measurement.implementation for row in found.rows] == ["lambda", "double", "double-here"]
    assert {row.measurement.timing.stopped for row in found.rows} == {"number of rounds"}
    assert set(found.speedups) == {"double", "double-here"}
    ratio = found.speedups["double"]
    assert ratio.rounds == 6
    assert ratio.low is not None
    assert ratio.low <= ratio.median <= ratio.high
    assert "speed-up of lambda" in repr(found)


def test_what_is_registered_has_a_process_of_its_own(beside: MeasureResult) -> None:
    assert beside.passed
    processes = {row.measurement.implementation: row.measurement.launches[0].process for row in beside.rows}
    assert processes["double"] == os.getpid() != processes["times"]
    flags = {row.measurement.implementation: row.measurement.flags for row in beside.rows}
    assert IN_THIS_PROCESS in flags["double"]
    assert IN_THIS_PROCESS not in flags["times"]
    for case in ("N8", "N64"):
        mine, other = (row for row in beside.rows if row.measurement.case_id == case)
        ratio = beside.speedup(mine, other)
        assert ratio is not None
        assert ratio.rounds == 6


def test_figures_of_several_cases_are_in_rows_and_frame(beside: MeasureResult) -> None:
    with pytest.raises(UsageError, match="got a figure of 2 cases; expected one case: ask `rows` or `frame`"):
        _ = beside.median_ns
    assert beside.frame.groupby("implementation").size().to_dict() == {"double": 2, "times": 2}
    assert list(beside.frame["n"].unique()) == [8, 64]
    assert (beside.frame.set_index("implementation").loc["times", "speedup"] == 1).all(), "the baseline"
    assert "N64" in words(beside._repr_html_())


def test_it_is_stored_as_any_run_is(beside: MeasureResult, tmp_path: Path) -> None:
    folder, second = beside.save(tmp_path), beside.save(str(tmp_path))
    assert folder.parent == second.parent == tmp_path
    assert folder != second
    stored = read_run(folder)
    assert stored.measurements == beside.measurements
    assert stored.run.suite == "measure"
    assert stored.run.command == "attnlab.bench.measure(double, ['toy: N8', 'toy: N64'], against=['times'])"
    assert [code.name for code in stored.run.code] != []
    own = load(folder).drop(columns="run_id")
    assert own.equals(beside.frame.drop(columns="run_id"))
    assert write_report([stored], tmp_path / "report", ["markdown", "csv"])


def test_processes_take_as_many_threads_as_this_one(toy: str, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    measure(lambda x: (seen.append(os.environ["OMP_NUM_THREADS"]), x * 2)[1], toy)
    assert set(seen) == {str(torch.get_num_threads())}
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_what_was_registered_in_this_program_is_measured_in_it(toy: str, clock: Any) -> None:
    from attnlab.bench import implements, registry

    def shown(x: Any) -> Any:
        return x * 2

    shown.__module__ = "__main__"
    implements("toy", name="cell")(lambda inputs: inputs.x * 2)
    made = registry.implementations("toy").get("cell")
    registry.implementations("toy").replace("cell", type(made)(**{**vars(made), "module": "__main__"}))
    found = measure(shown, toy, against="cell", rounds=6)
    assert {row.measurement.launches[0].process for row in found.rows} == {os.getpid()}


async def later(x: Any) -> Any:
    return x * 2


@pytest.mark.parametrize(
    ("function", "options", "error", "said"),
    [
        (later, {}, UsageError, "later is an async function"),
        (lambda a, b: a, {}, UsageError, "expected one, the inputs, or some of x by these names"),
        (double, {"against": "time"}, UsageError, "unknown implementation of toy 'time'; did you mean 'times'"),
        ("times", {"against": "times"}, UsageError, "got 'times' twice; expected another to measure it against"),
        ("times", {"name": "mine"}, UsageError, "got name='mine' of 'times', which is registered by its own"),
        (double, {"rounds": 0}, UsageError, "got rounds=0; expected a whole number above zero: an interval takes 6"),
        (double, {"rounds": 2.5}, UsageError, "got rounds=2.5; expected a whole number"),
        (double, {"against": [3]}, UsageError, "got a int; expected a function of toy's inputs"),
        (double, {"device": "tpu"}, UsageError, "unknown device 'tpu'"),
    ],
)
def test_what_cannot_be_asked_is_told_at_once(
    function: Any, options: dict[str, Any], error: type[Exception], said: str, toy: str
) -> None:
    with pytest.raises(error, match=said):
        measure(function, toy, **options)


def test_another_that_cannot_run_here_is_told_at_once() -> None:
    with pytest.raises(Unavailable, match=r"^flash_attn_3: .*; attention has here: .*naive"):
        measure(lambda q, k, v: q, "attention", against="flash_attn_3", q_len=8)


def test_the_old_name_of_the_room_does_not_hide_it() -> None:
    """As when a plugin of before imports a module of what is `measuring` now."""
    import importlib

    with pytest.warns(DeprecationWarning, match="Suite is imported from"):
        assert importlib.import_module("attnlab.bench.measure.suite").Suite
    with pytest.raises(UsageError, match="got no case"):
        attnlab.bench.measure(double)
