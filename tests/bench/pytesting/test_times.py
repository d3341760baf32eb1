"""What pytest-benchmark gets of a suite: its table, JSON, storage and comparison work with our clocks' samples."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from attnlab.bench import units
from attnlab.bench.errors import MeasurementError
from attnlab.bench.pytesting.replay import Replay
from attnlab.bench.store.run_folder import read_runs

PAIR = ("-k", "N4 and (plus or times)")


def test_the_samples_are_those_that_were_measured_to_the_last_bit(sessions: Any) -> None:
    written = sessions.benchmarks("--attnlab-out=kept", "-k", "N4")
    (stored,) = read_runs(sessions.pytester.path / "kept")
    samples_ns = {m.implementation: m.values("latency", "wall") for m in stored.measurements}
    assert set(written) == {"toy/plus[N4]", "toy/times[N4]"}, "neither what is wrong nor what is not timed"
    for name in ("plus", "times"):
        stats = written[f"toy/{name}[N4]"]["stats"]
        assert stats["data"] == [units.ns_to_seconds(sample) for sample in samples_ns[name]]
        assert (stats["rounds"], stats["iterations"]) == (len(samples_ns[name]), 1)
    assert written["toy/times[N4]"]["stats"]["median"] == pytest.approx(2.05e-6, rel=1e-12)


def test_how_it_was_timed_and_its_rates_stand_beside(sessions: Any) -> None:
    found = sessions.benchmarks("-k", "N4")["toy/plus[N4]"]
    assert (found["group"], found["param"], found["fullname"]) == ("toy N4", "N4", "toys.toml::toy/plus[N4]")
    assert found["options"]["timer"] == "wall"
    told = found["extra_info"]
    assert (told["operator"], told["implementation"], told["case"]) == ("toy", "plus", "N4")
    assert (told["clock"], told["cache"], told["stopped"]) == ("wall", "warm", "limit of samples")
    assert told["latency_ns"] == pytest.approx(1001.5)
    assert told["gb_per_s"] == pytest.approx(32 / 1001.5)
    assert told["calls_per_s"] == pytest.approx(1e9 / 1001.5), "a plugin's metric is one like ours"
    assert told["effective_samples"] == 4
    flags = [flag for flag in told["flags"] if not flag.startswith("the machine was busy")]
    assert flags == ["no interval is claimed: too few samples are independent (worth 4, and 30 are needed)"]
    assert "share_of_ceiling" not in told, "toy has no dtype, so no ceiling: what is unknown is left out"


def test_the_table_compares_the_implementations_of_a_case(sessions: Any) -> None:
    result = sessions.suite("-k", "plus or times")
    result.assert_outcomes(passed=6, deselected=12)
    result.stdout.fnmatch_lines(
        ["*benchmark 'toy N16': 2 tests*", "Name (time in ns) *", "toy/plus[[]N16[]] *", "toy/times[[]N16[]] *"]
    )


@pytest.mark.parametrize(("slower", "code", "words"), [(1.0, 0, "(NOW)"), (1.1, 3, "Performance has regressed")])
def test_a_stored_session_is_compared_with(sessions: Any, slower: float, code: int, words: str) -> None:
    first = sessions.suite("--benchmark-save=base", *PAIR)
    assert first.ret == 0
    sessions.workers.slower = slower
    second = sessions.suite("--benchmark-compare", "--benchmark-compare-fail=median:5%", *PAIR)
    assert second.ret == code, "3: what pytest-benchmark raises at the end is caught by the inner session"
    assert words in second.stdout.str() + second.stderr.str()


def test_without_benchmarks_results_are_checked_and_not_timed(sessions: Any) -> None:
    result = sessions.suite("--benchmark-disable", "-k", "N4 and (plus or wrong or interpreted)")
    result.assert_outcomes(passed=2, failed=1, deselected=15)
    assert {order.untimed for order in sessions.workers.orders} == {
        "pytest-benchmark is switched off by --benchmark-disable"
    }
    result.stdout.fnmatch_lines(
        ["not timed [[]1[]]: an interpreter's time *", "not timed [[]1[]]: *switched off by --benchmark-disable"]
    )


def test_where_pytest_benchmark_is_not_loaded_results_are_checked(sessions: Any) -> None:
    result = sessions.suite("-p", "no:benchmark", "-k", "N4 and (plus or wrong)")
    result.assert_outcomes(passed=1, failed=1, deselected=16)
    result.stdout.fnmatch_lines(["not timed [[]1[]]: pytest-benchmark is not loaded"])
    assert sessions.workers.orders[0].untimed == "pytest-benchmark is not loaded"


def test_where_pytest_benchmark_is_not_installed_the_reason_says_how_to(
    sessions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pytest_benchmark"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = sessions.suite("-p", "no:benchmark", *PAIR)
    result.stdout.fnmatch_lines(["not timed [[]2[]]: *not installed; pip install pytest-benchmark"])


def test_in_a_worker_of_xdist_results_are_checked(sessions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    result = sessions.suite("-W", "ignore", *PAIR)
    result.assert_outcomes(passed=2, deselected=16)
    result.stdout.fnmatch_lines(["not timed [[]2[]]: pytest-benchmark switches itself off under xdist*without -n"])


def test_benchmarks_can_be_skipped_or_alone(sessions: Any) -> None:
    sessions.pytester.makepyfile(test_other="def test_other(): pass")
    skipped = sessions.suite("--benchmark-skip", "test_other.py")
    skipped.assert_outcomes(passed=1, skipped=18)
    assert sessions.workers.orders == []
    alone = sessions.suite("--benchmark-only", "test_other.py", "-k", "N4 and plus or test_other")
    alone.assert_outcomes(passed=1, skipped=1, deselected=17)
    assert sessions.workers.said[1] == "plus measures N4"


def test_nothing_warns(sessions: Any) -> None:
    """pytest-benchmark warns of a test that does not use its fixture: failures and the untimed do use it."""
    sessions.suite("-k", "N4").assert_outcomes(passed=3, failed=2, skipped=1, deselected=12, warnings=0)


def test_a_replay_does_not_make_times_up() -> None:
    replay = Replay()
    replay.load([3.0, 7.0], "wall")
    stamps = [replay() for _ in range(4)]
    assert [stamps[1] - stamps[0], stamps[3] - stamps[2]] == [3e-9, 7e-9]
    with pytest.raises(MeasurementError, match="more stamps than there are samples"):
        replay()


@pytest.mark.slow
def test_under_xdist_with_workers_of_our_own(sessions: Any, user_environment: dict[str, str]) -> None:
    """Real processes: xdist's worker starts ours; other tests of the folder stay out there too."""
    sessions.pytester.makepyfile(test_other="def test_other(): assert False")
    asked = ("--attnlab=toys.toml", "--attnlab-plugin=toy_operator.py", "-k", "N4 and plus", "-n1", "-rs")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in user_environment.items():
            patch.setenv(name, value)
        result = sessions.pytester.runpytest_subprocess(*asked, "--attnlab-out=kept", "-p", "no:hypothesispytest")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["not timed [[]1[]]: *switches itself off under xdist*", "stored [[]1[]]: kept/*"])
    (stored,) = read_runs(sessions.pytester.path / "kept")
    assert stored.run.command.startswith("pytest --basetemp")
    assert stored.measurements[0].check is not None
    assert stored.measurements[0].untimed is not None
