"""Suites: what they name, and how a command line's axes change their cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnlab.bench import UsageError, discover
from attnlab.bench.errors import UnknownName
from attnlab.bench.measuring.steps import plan, steps_of
from attnlab.bench.measuring.suite import Bench, Suite, find_suite, make_effort, operator_suite, suite_names
from attnlab.bench.measuring.suite_file import load_suite

REGISTRY = discover()
OURS = suite_names(REGISTRY)


def ids(suite: Suite) -> list[list[str]]:
    return [[case.id for case in bench.cases] for bench in suite.benches]


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", OURS)
def test_our_suites_are_read_and_described(name: str) -> None:
    suite = load_suite(find_suite(name, REGISTRY), REGISTRY)
    assert suite.description
    assert suite.benches
    assert plan(suite, REGISTRY)
    make_effort(suite.effort)


def test_a_suite_may_ask_for_a_hot_l2(tmp_path: Path) -> None:
    bench = '[[bench]]\noperator = "attention"\n'
    assert load_suite(written(tmp_path, f'cache = "hot"\n{bench}'), REGISTRY).cache == "hot"
    assert load_suite(written(tmp_path, bench), REGISTRY).cache == "cold"


def test_every_combination_is_a_case(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '[[bench]]\noperator = "attention"\n[bench.axes]\nq_len = [64, 96]\nq_heads = [4, 6]\nkv_heads = [2, 4]\n',
    )
    assert ids(load_suite(path, REGISTRY)) == [
        [
            "Hq4-Hkv2-Sq64-bf16",
            "Hq4-Sq64-bf16",
            "Hq6-Hkv2-Sq64-bf16",
            "Hq4-Hkv2-Sq96-bf16",
            "Hq4-Sq96-bf16",
            "Hq6-Hkv2-Sq96-bf16",
        ]
    ]


def test_axes_of_the_command_line_replace_those_of_cases_and_of_sweeps(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '[[bench]]\noperator = "attention"\ncases = ["Hq4-Hkv2-Sq64-fp32", "Sq32-Sk64-bf16-causal"]\n'
        '[[bench]]\noperator = "attention"\n[bench.axes]\nq_len = [64, 128]\ndtype = "float32"\n',
    )
    changed = load_suite(path, REGISTRY, {"q_len": ["16", "32"]})
    assert ids(changed) == [
        ["Hq4-Hkv2-Sq16-fp32", "Hq4-Hkv2-Sq32-fp32", "Sq16-Sk64-bf16-causal", "Sq32-Sk64-bf16-causal"],
        ["Sq16-fp32", "Sq32-fp32"],
    ]
    assert changed.notes == ()


def test_a_bench_that_an_axis_makes_impossible_is_named(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '[[bench]]\noperator = "attention"\ncases = ["packed10+20-bf16"]\n'
        '[[bench]]\noperator = "attention"\ncases = ["Sq64-bf16"]\n',
    )
    changed = load_suite(path, REGISTRY, {"q_len": ["16"]})
    assert ids(changed) == [["Sq16-bf16"]]
    assert len(changed.notes) == 1
    assert "a bench of the suite is left out: got packed=10+20" in changed.notes[0]


def test_an_operator_runs_its_default_case_or_those_given() -> None:
    assert ids(operator_suite("attention", REGISTRY, {}, ())) == [["bf16"]]
    assert ids(operator_suite("attention", REGISTRY, {"q_len": ["8", "16"]}, ())) == [["Sq8-bf16", "Sq16-bf16"]]
    both = operator_suite("attention", REGISTRY, {"mask": ["causal"]}, ("Hq4-Sq8-fp32", "Sq9-bf16"))
    assert ids(both) == [["Hq4-Sq8-fp32-causal", "Sq9-bf16-causal"]], "axes apply to the cases given"


def test_names_of_suites_come_from_the_registry_alone(tmp_path: Path) -> None:
    assert {"quick", "prefill"} <= set(OURS)
    with pytest.raises(UnknownName, match=r"unknown suite or operator .\.\./quick"):
        find_suite("../quick", REGISTRY)


def bench(*names: str, baseline: str | None = None) -> Bench:
    cases = operator_suite("attention", REGISTRY, {"q_len": ["8", "16"]}, ()).benches[0].cases
    return Bench("attention", cases, names or None, baseline)


def test_a_plan_writes_all_implementations_out() -> None:
    (planned,) = plan(Suite("s", (bench(),)), REGISTRY)
    assert planned.implementations == tuple(sorted(REGISTRY.implementations("attention").names()))


def test_a_plan_is_narrowed_and_drops_what_is_left_empty() -> None:
    suite = Suite("s", (bench("naive", "tiled", baseline="naive"), bench("sdpa_math")))
    (planned,) = plan(suite, REGISTRY, ("tiled",))
    assert (planned.implementations, planned.baseline) == (("tiled",), None)
    with pytest.raises(UsageError, match="nothing to measure"):
        plan(suite, REGISTRY, ("compiled",))


def test_steps_go_case_by_case_and_name_nothing_twice() -> None:
    suite = Suite("s", (bench("naive", "tiled"), bench("tiled", "sdpa_math")))
    steps = [(step.implementation, step.case.id) for step in steps_of(plan(suite, REGISTRY), REGISTRY)]
    assert steps[:4] == [("naive", "Sq8-bf16"), ("tiled", "Sq8-bf16"), ("naive", "Sq16-bf16"), ("tiled", "Sq16-bf16")]
    assert len(steps) == len(set(steps)) == 6
