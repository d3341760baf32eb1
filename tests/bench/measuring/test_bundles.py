"""Bundles keep together what must be measured on one machine; shards of them are even, and alike everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnlab.bench import discover
from attnlab.bench.contract.registry import Registry
from attnlab.bench.errors import UsageError
from attnlab.bench.measuring.bundles import Bundle, bundles, steps_in
from attnlab.bench.measuring.draft import choose_suite
from attnlab.bench.measuring.sharding import bundle_seconds, narrowed, plan_id, split
from attnlab.bench.measuring.share import Share, read_share
from attnlab.bench.measuring.steps import plan, steps_of
from attnlab.bench.store.records import BenchRecord


@pytest.fixture(scope="module")
def registry(helpers: Path, plugins_forgotten_by_module: None) -> Registry:
    return discover((str(helpers / "toy_operator.py"),))


def toys(*cases: str, rounds: int = 0, made: tuple[str, ...] = ("plus", "times")) -> BenchRecord:
    return BenchRecord("toy", made, None, cases, rounds)


def cases_of(found: tuple[Bundle, ...]) -> list[list[str]]:
    return [list(dict.fromkeys(step.case.id for step in bundle.steps)) for bundle in found]


def test_a_cases_implementations_stay_together(registry: Registry) -> None:
    benches = [toys("N1", "N2", made=("plus",)), toys("N3"), toys("N1", made=("times",))]
    found = bundles(benches, registry)
    assert cases_of(found) == [["N1"], ["N2"], ["N3"]]
    assert found[0].keys == (("toy", "plus", "N1"), ("toy", "times", "N1"))
    assert [bundle.number for bundle in found] == [0, 1, 2]


def test_a_table_in_rounds_stays_whole_with_what_its_cases_have_elsewhere(registry: Registry) -> None:
    benches = [toys("N1", "N2", "N3"), toys("N3", "N4", rounds=5, made=("plus",)), toys("N5", "N6", rounds=5)]
    found = bundles(benches, registry)
    assert cases_of(found) == [["N1"], ["N2"], ["N3", "N4"], ["N5", "N6"]]
    assert found[2].name == "toy N3 and 1 more"


def test_cases_of_one_server_stay_together(registry: Registry) -> None:
    made = tuple(sorted(registry.implementations("serve").names()))[:1]
    case_type = registry.operators.get("serve").case_type
    ids = [case_type(server=name, requests=n).id for n in (5, 6) for name in ("embedded", "theirs")]
    found = bundles([BenchRecord("serve", made, None, tuple(ids))], registry)
    assert cases_of(found) == [[ids[0]], [ids[1], ids[3]], [ids[2]]]


@pytest.mark.parametrize("name", ["quick", "decode", "generate-quick", "serve-quick"])
def test_every_step_is_in_one_bundle_and_one_shard(registry: Registry, name: str) -> None:
    suite = choose_suite(name, registry)
    benches = plan(suite, registry)
    found = bundles(benches, registry)
    wanted = [step.key for step in steps_of(benches, registry)]
    assert sorted(step.key for step in steps_in(found)) == sorted(wanted)
    for kind in ("cpu", "cuda"):
        seconds = bundle_seconds(found, registry, suite.effort, kind)
        assert min(seconds) > 0
        for of in (1, 3, len(found) + 2):
            shards = split(found, seconds, of)
            assert len(shards) == of
            assert sorted(b.number for shard in shards for b in shard) == list(range(len(found)))
            loads = [sum(seconds[b.number] for b in shard) for shard in shards]
            assert max(loads) - min(loads) <= max(seconds) + 0.01, "else the longest shard had given one away"


def test_a_split_hangs_on_nothing_of_this_machine(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    benches = plan(choose_suite("quick", registry), registry)
    found = bundles(benches, registry)
    before = bundle_seconds(found, registry, {}, "cuda")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # no package is installed
    monkeypatch.setenv("CXX", "nosuch")
    assert bundle_seconds(found, registry, {}, "cuda") == before


def test_a_tie_goes_to_the_first_and_each_shard_keeps_the_plans_order(registry: Registry) -> None:
    found = bundles([toys(*(f"N{n}" for n in range(1, 7)))], registry)
    shards = split(found, [1.0, 1.0, 5.0, 1.0, 1.0, 1.0], 3)
    assert cases_of(shards[0]) == [["N3"]]
    assert cases_of(shards[1]) == [["N1"], ["N4"], ["N6"]]
    assert cases_of(shards[2]) == [["N2"], ["N5"]]
    assert narrowed([toys("N1", "N2"), toys("N3")], shards[1]) == (toys("N1"),)


def test_a_plans_id_is_of_its_benches_settings_and_split(registry: Registry) -> None:
    benches = [toys("N1", "N2", "N3")]
    found = bundles(benches, registry)
    even, other = split(found, [1.0, 1.0, 1.0], 2), split(found, [1.0, 1.0, 9.0], 2)
    one = plan_id("toys", benches, {"turns": 0}, even)
    assert one == plan_id("toys", benches, {"turns": 0}, even)
    others = [
        plan_id("toy", benches, {"turns": 0}, even),
        plan_id("toys", [toys("N1", "N2")], {"turns": 0}, even),
        plan_id("toys", benches, {"turns": 1}, even),
        plan_id("toys", benches, {"turns": 0}, other),
    ]
    assert len({one, *others}) == 5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a/b", "expected I/N, such as 3/16"),
        ("3", "expected I/N"),
        ("-1/4", "expected I/N"),
        ("1/4/2", "expected I/N"),
        ("٣/٤", "expected I/N"),
        ("0/4", "expected a number from 1 to 4: shards are counted from 1"),
        ("5/4", "expected a number from 1 to 4"),
        ("1/0", "expected 1 to 100,000 shards"),
        ("1/999999", "expected 1 to 100,000 shards"),
    ],
)
def test_a_share_that_is_none_is_refused(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read_share(text)
    assert read_share(" 3/16 ") == Share(3, 16)
    assert str(Share(3, 16)) == "3/16"
