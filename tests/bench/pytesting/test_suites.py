"""Suites as tests: which are collected, and how each outcome is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from attnlab.bench.store.records import Outcome
from attnlab.bench.store.run_folder import read_runs

IMPLEMENTATIONS = ("elsewhere", "interpreted", "plus", "raises", "times", "wrong")


def ids(result: pytest.RunResult) -> list[str]:
    """The tests that `--collect-only -q` lists."""
    return [line for line in result.outlines if "::" in line]


def test_a_suite_is_tests_in_the_order_of_a_run_and_collecting_measures_nothing(sessions: Any) -> None:
    result = sessions.suite("--collect-only", "-q")
    assert ids(result) == [f"toys.toml::toy/{name}[N{n}]" for n in (4, 8, 16) for name in IMPLEMENTATIONS]
    assert sessions.workers.orders == []


def test_a_registered_suite_and_an_operator_go_by_name(sessions: Any) -> None:
    sessions.pytester.path.joinpath("toys.toml").rename(sessions.pytester.path / "other.toml")
    result = sessions.run(
        "--attnlab", "quick", "--attnlab=toy", "--attnlab-plugin=toy_operator.py", "--collect-only", "-q"
    )
    assert "quick::attention/naive[Hq9-Hkv3-Sq256-bf16-causal-smollm2]" in ids(result)
    assert [name for name in ids(result) if "toy" in name] == ["toy::toy/plus[N8]", "toy::toy/times[N8]"]


def test_words_select_by_implementation_and_case(sessions: Any) -> None:
    result = sessions.suite("-k", "plus and N4 or times and not N16", "--collect-only", "-q")
    assert ids(result) == [f"toys.toml::toy/{rest}" for rest in ("plus[N4]", "times[N4]", "times[N8]")]


def test_other_tests_run_only_where_they_are_named(sessions: Any) -> None:
    sessions.pytester.makepyfile(test_other="def test_other(): pass")
    assert not [name for name in ids(sessions.suite("--collect-only", "-q")) if "test_other" in name]
    both = ids(sessions.suite("test_other.py", "--collect-only", "-q"))
    assert (len(both), both[0]) == (19, "test_other.py::test_other")
    assert "toys.toml::toy/plus[N4]" in both
    sessions.suite("-m", "not attnlab", "test_other.py").assert_outcomes(passed=1, deselected=18)


def test_every_outcome_is_told_in_its_own_way(sessions: Any) -> None:
    result = sessions.suite("-k", "N4", "-ra")
    result.assert_outcomes(passed=3, failed=2, skipped=1, deselected=12)
    result.stdout.fnmatch_lines(
        [
            "* toy/raises[[]N4[]] *",
            "failed: ValueError: a fault of two lines",
            "Traceback (most recent call last):",
            "ValueError: a fault",
            "* toy/wrong[[]N4[]] *",
            "wrong_values: out on drawn inputs: largest error *",
            "inputs *output *deviation *value *allowed",
            "drawn *out *largest error *1.0e-06",
            "not timed [[]1[]]: an interpreter's time means nothing",
            "SKIPPED [[]1[]] toys.toml:1: elsewhere: needs an NVIDIA GPU",
            "FAILED toys.toml::toy/wrong[[]N4[]] - Failed: wrong_values: out on drawn*",
        ]
    )
    told, _, summary = result.stdout.str().partition("short test summary info")
    assert told.count("Traceback") == 1, "a wrong result has none"
    assert "pytesting" not in told + summary, "nor is any place in the plugin named"


def test_one_worker_an_implementation_lives_through_its_suite(sessions: Any) -> None:
    text = sessions.pytester.path.joinpath("toys.toml").read_text().replace("[4, 8, 16]", "[4, 8]")
    for name in ("a.toml", "b.toml"):
        sessions.pytester.path.joinpath(name).write_text(text)
    sessions.suite("--attnlab=b.toml", "-k", "plus or times", target="a.toml")
    one = [
        "plus starts",
        "plus measures N4",
        "times starts",
        "times measures N4",
        "plus measures N8",
        "times measures N8",
        "plus ends",
        "times ends",
    ]
    assert sessions.workers.said == one * 2


def test_workers_end_where_the_session_is_cut_short(sessions: Any) -> None:
    sessions.suite("-x", "-k", "N4")
    assert sessions.workers.said[-1].endswith("ends")
    assert not [word for word in sessions.workers.said if word.startswith("times")], "it stopped at the first failure"


def test_what_was_measured_is_stored_where_asked(sessions: Any) -> None:
    result = sessions.suite("-k", "N4", "--attnlab-out=kept")
    (stored,) = read_runs(sessions.pytester.path / "kept")
    found = {m.implementation: m for m in stored.measurements}
    assert tuple(sorted(found)) == IMPLEMENTATIONS
    assert (found["elsewhere"].outcome, found["elsewhere"].reason) == (Outcome.UNAVAILABLE, "needs an NVIDIA GPU")
    assert found["wrong"].outcome is Outcome.WRONG_VALUES
    assert sorted(found["plus"].values("latency")) == [900.0, 1000.0, 1003.0, 1100.0]
    assert stored.run.command.endswith("-k N4 --attnlab-out=kept")
    assert (stored.run.suite, stored.run.plugins) == ("toys", ("toy_operator.py", "outcomes.py"))
    result.stdout.fnmatch_lines(["stored [[]6[]]: kept/*-toys"])


def test_nothing_is_stored_unasked(sessions: Any) -> None:
    before = set(names_below(sessions))
    sessions.suite("-k", "N4")
    assert set(names_below(sessions)) == before


def names_below(sessions: Any) -> Iterator[str]:
    yield from (path.name for path in sessions.pytester.path.iterdir() if not path.name.startswith(("_", ".")))


def test_failures_can_be_run_again(sessions: Any) -> None:
    sessions.suite()
    again = sessions.suite("--lf", "--collect-only", "-q")
    assert ids(again) == [f"toys.toml::toy/{name}[N{n}]" for n in (4, 8, 16) for name in ("raises", "wrong")]


def test_fixtures_of_the_users_conftest_apply(sessions: Any) -> None:
    sessions.pytester.makeconftest(
        "import pytest\n"
        "@pytest.fixture(autouse=True, scope='module')\ndef of_a_module(): print('set up')\n"
        "@pytest.fixture(autouse=True)\ndef of_each(request): print('for', request.node.name)\n"
    )
    result = sessions.suite("-k", "N4 and (plus or times)", "-s")
    result.assert_outcomes(passed=2, deselected=16)
    assert result.stdout.str().count("set up") == 1
    result.stdout.fnmatch_lines(["*for toy/plus[[]N4[]]*", "*for toy/times[[]N4[]]*"])
