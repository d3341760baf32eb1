"""Shards and continuations become one run: nothing twice, nothing lost; what is not the same is refused and listed."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.errors import StoreError
from attnlab.bench.store.codec import encode
from attnlab.bench.store.imported import Imported
from attnlab.bench.store.merging import merge
from attnlab.bench.store.records import BenchRecord, Measurement, RunRecord
from attnlab.bench.store.run_folder import RunWriter, StoredRun, latest, read_run

FIXTURE = Path(__file__).parent / "fixtures" / "schema-6"
Make = Callable[..., StoredRun]


@pytest.fixture
def whole() -> StoredRun:
    return read_run(FIXTURE)


@pytest.fixture
def made(tmp_path: Path, whole: StoredRun) -> Make:
    """A run of some of the measurements, with the fields of its record and of its environment that are given."""

    def make(run_id: str, measurements: list[Measurement], environment: dict[str, Any] | None = None, **fields: Any):
        run = replace(whole.run, run_id=run_id, **fields)
        run = replace(run, environment=replace(run.environment, **(environment or {})))
        writer = RunWriter.create(tmp_path / "runs", run)
        for m in measurements:
            writer.append(m)
        writer.close()
        return read_run(writer.folder)

    return make


def lines(runs: list[StoredRun]) -> set[str]:
    return {json.dumps(encode(m)) for stored in runs for m in stored.measurements}


def test_shards_become_one_run(made: Make, whole: StoredRun, tmp_path: Path) -> None:
    first, *rest = whole.measurements
    bench = whole.run.benches[0]
    own = {
        "a": (replace(bench, implementations=(first.implementation,)),),
        "b": (replace(bench, implementations=tuple(m.implementation for m in rest)),),
    }
    a = made("20260101-a", [first], benches=own["a"], started="2026-01-01T00:00:00+00:00", command="attnlab run a")
    b = made("20260101-b", rest, benches=own["b"], started="2026-01-01T01:00:00+00:00", command="attnlab run b")
    folder, number = merge([b, a], tmp_path / "out")
    merged = read_run(folder)
    assert number == len(whole.measurements)
    assert lines([merged]) == lines([a, b])
    assert merged.run.benches == own["a"] + own["b"]
    assert merged.run.run_id == folder.name == "20260101-a-merged"
    assert merged.run.started == "2026-01-01T00:00:00+00:00", "that of the first"
    assert merged.run.command == "attnlab run a && attnlab run b"
    assert merged.run.extra["merged"] == ["20260101-a", "20260101-b"]
    assert lines([a]) == lines([read_run(a.path)]), "the shards stay as they are"


def test_a_continuation_of_a_copy_adds_what_is_new(made: Make, whole: StoredRun, tmp_path: Path) -> None:
    first, second, *rest = whole.measurements
    again = replace(second, flags=(*second.flags, "measured again"))
    before = made("a", [first, second])
    after = made("b", [first, second, again, *rest])
    merged = read_run(merge([before, after], tmp_path / "out")[0])
    assert list(merged.measurements) == list(after.measurements)
    assert again in latest(merged.measurements), "the last stands, as in the continuation"


def test_a_continuation_on_a_cluster_brings_its_machines(made: Make, whole: StoredRun, tmp_path: Path) -> None:
    (machine,) = read_run(FIXTURE.with_name("schema-7")).run.machines.values()
    parts = [
        made(name, [replace(m, machine=name)], machines={name: replace(machine, host=name)})
        for name, m in zip("ab", whole.measurements, strict=False)
    ]
    merged = read_run(merge(parts, tmp_path / "out")[0])
    assert {m.machine: merged.run.machines[m.machine or ""].host for m in merged.measurements} == {"a": "a", "b": "b"}


def test_merging_twice_is_as_merging_at_once(made: Make, whole: StoredRun, tmp_path: Path) -> None:
    parts = [made(name, [m]) for name, m in zip("abc", whole.measurements, strict=False)]
    two = read_run(merge(parts[:2], tmp_path / "two")[0])
    stepwise = read_run(merge([two, parts[2]], tmp_path / "stepwise")[0])
    at_once = read_run(merge(parts, tmp_path / "at once")[0])
    assert stepwise.measurements == at_once.measurements
    assert stepwise.run == at_once.run


def test_a_run_with_itself_is_that_run(made: Make, whole: StoredRun, tmp_path: Path) -> None:
    one = made("a", list(whole.measurements))
    merged = read_run(merge([one, one], tmp_path / "out")[0])
    assert merged.measurements == one.measurements


def test_what_nobody_knows_does_not_differ(made: Make, whole: StoredRun, tmp_path: Path) -> None:
    unknown = replace(whole.run.ceilings, bandwidth=math.nan)
    parts = [made(name, [m], ceilings=unknown) for name, m in zip("ab", whole.measurements, strict=False)]
    assert merge(parts, tmp_path / "out")[1] == 2


@pytest.mark.parametrize(
    ("told", "environment", "fields"),
    [
        ("suite: s in a, other in b", {}, {"suite": "other"}),
        ("machine: ", {"processor": "another"}, {}),
        ("threads: ", {"threads": 9}, {}),
        ("packages, torch: ", {"packages": {"torch": "0.1"}}, {}),
        ("revision: ", {"revision": "f" * 40}, {}),
        ("variables, A: None in a, 1 in b", {"variables": {"A": "1"}}, {}),
        ("seed: 0 in a, 1 in b", {}, {"seed": 1}),
        ("effort, limit_s: ", {}, {"effort": {"limit_s": 3.0}}),
        ("cache: hot in a, cold in b", {}, {"cache": "cold"}),
        ("plugins: ", {}, {"plugins": ("x.py",)}),
        ("definitions: ", {}, {"definitions_version": 2}),
        ("gate, interleaved: None in a, g in b", {}, {"extra": {"interleaved": "g"}}),
        ("imported file: ", {}, {"imported": Imported("asv", None, "x.json", "0" * 64)}),
    ],
)
def test_what_differs_is_listed_and_nothing_is_written(
    made: Make, whole: StoredRun, tmp_path: Path, told: str, environment: dict[str, Any], fields: dict[str, Any]
) -> None:
    first, second = whole.measurements[:2]
    a, b = made("a", [first]), made("b", [second], environment, **fields)
    with pytest.raises(StoreError) as error:
        merge([a, b], tmp_path / "out")
    assert "these runs are not the same, so that nothing is merged: " in str(error.value)
    assert told in str(error.value)
    assert not (tmp_path / "out").exists()


def test_all_differences_are_listed(made: Make, whole: StoredRun, tmp_path: Path) -> None:
    a, b = made("a", []), made("b", [], {"threads": 9, "python": "2.7"}, seed=4)
    with pytest.raises(StoreError, match=r"threads: .*; Python: .*; seed: "):
        merge([a, b], tmp_path / "out")


def test_ceilings_and_code_that_differ(made: Make, whole: StoredRun, tmp_path: Path) -> None:
    first, second = whole.measurements[:2]
    faster = replace(whole.run.ceilings, bandwidth=2 * whole.run.ceilings.bandwidth)
    other = replace(second, implementation=first.implementation, case_id="other", fingerprint="0" * 16)
    with pytest.raises(StoreError, match=r"ceilings, bandwidth: .*; code of attention/naive: .* in a and 0{16} in b"):
        merge([made("a", [first]), made("b", [other], ceilings=faster)], tmp_path / "out")


def test_a_baseline_that_differs(made: Make, whole: StoredRun, tmp_path: Path) -> None:
    bench = whole.run.benches[0]
    other = BenchRecord(bench.operator, ("x",), "x", bench.cases)
    with pytest.raises(StoreError, match="baseline of attention Hq2-Sq64-bf16: naive and x"):
        merge([made("a", []), made("b", [], benches=(other,))], tmp_path / "out")


def test_what_was_measured_twice_is_refused(made: Make, whole: StoredRun, tmp_path: Path) -> None:
    """Which of the two stands would be a choice that nobody made."""
    first = whole.measurements[0]
    again = replace(first, median_ns=1.5 * (first.median_ns or 0.0))
    with pytest.raises(StoreError, match="attention naive Hq2-Sq64-bf16 was measured in a and again in b"):
        merge([made("a", [first]), made("b", [again])], tmp_path / "out")


def test_one_run_is_too_few(whole: StoredRun, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="got 1 run; expected two or more to merge"):
        merge([whole], tmp_path)


def test_runs_of_every_schema_merge_with_today_s(made: Make, tmp_path: Path) -> None:
    """What is written is of today's schema, whatever the shards were of."""
    old = read_run(FIXTURE.parent / "schema-1")
    shutil.copytree(old.path, tmp_path / "old")
    text = (tmp_path / "old" / "measurements.jsonl").read_text().splitlines(keepends=True)
    for name, part in (("x", text[:2]), ("y", text[2:])):
        shutil.copytree(old.path, tmp_path / name)
        (tmp_path / name / "measurements.jsonl").write_text("".join(part))
    merged = read_run(merge([read_run(tmp_path / "x"), read_run(tmp_path / "y")], tmp_path / "out")[0])
    assert merged.damages == ()
    assert [m.key for m in merged.measurements] == [m.key for m in old.measurements]
    assert isinstance(merged.run, RunRecord)
