"""The schema of results: old files are read for ever, and a change is written down."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.store import records
from attnlab.bench.store.codec import encode
from attnlab.bench.store.deviations import Deviation, relative_errors
from attnlab.bench.store.records import (
    Burst,
    DeviceState,
    HostState,
    Launch,
    Measurement,
    Outcome,
    RunRecord,
    Series,
    TimingRecord,
)
from attnlab.bench.store.run_folder import read_run
from attnlab.bench.store.upgrades import upgraded

FIXTURES = Path(__file__).parent / "fixtures"
VERSIONS = range(1, records.SCHEMA_VERSION + 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_run_of_every_schema_is_read(version: int) -> None:
    stored = read_run(FIXTURES / f"schema-{version}")
    assert stored.damages == ()
    assert stored.run.schema_version == version
    assert {m.schema_version for m in stored.measurements} == {version}


def test_the_first_schema_says_what_it_said() -> None:
    stored = read_run(FIXTURES / "schema-1")
    assert stored.run.suite == "s"
    assert stored.run.effort == {}, "not stored then"
    assert stored.run.environment.device.kind == "cpu"
    assert stored.run.ceilings.rates["float32"] > 1e9
    (bench,) = stored.run.benches
    assert (bench.operator, bench.baseline, bench.cases) == ("attention", "naive", ("Hq2-Sq64-bf16",))
    by_name = {m.implementation: m for m in stored.measurements}
    assert {name: m.outcome for name, m in by_name.items()} == {
        "naive": Outcome.PASSED,
        "sdpa_flash": Outcome.PASSED,
        "flash_attn": Outcome.UNAVAILABLE,
        "wrong": Outcome.WRONG_VALUES,
        "raising": Outcome.FAILED,
    }
    naive = by_name["naive"]
    assert naive.key == ("attention", "naive", "Hq2-Sq64-bf16")
    assert naive.case["q_len"] == 64
    assert naive.timing is not None
    assert len(naive.values("latency", "wall")) == naive.timing.samples
    assert len(naive.values("latency")) == 2 * naive.timing.samples, "cpu_time beside it"
    assert naive.values("no such quantity") == []
    assert naive.check is not None
    assert naive.check.sets[0].deviations[0].within
    assert "ValueError: a fault" in (by_name["raising"].detail or "")


def test_the_second_schema_has_the_state_of_the_gpu() -> None:
    first, second = (read_run(FIXTURES / f"schema-{version}") for version in (1, 2))
    assert (first.run.cache, second.run.cache) == ("cold", "hot")
    assert {b.state for m in first.measurements for launch in m.launches for b in launch.bursts} == {None}
    state = second.measurements[0].launches[0].bursts[0].state
    assert state == DeviceState(1410.0, 2619.0, 84.0, 412.5, ("thermal",), 5e6, 0.0, None)


def test_the_third_schema_says_what_was_measured_in_turn() -> None:
    second, third = (read_run(FIXTURES / f"schema-{version}") for version in (2, 3))
    assert [bench.rounds for bench in (*second.run.benches, *third.run.benches)] == [0, 4]


def test_the_fifth_schema_says_what_was_measured_of_an_output() -> None:
    fourth, fifth = (read_run(FIXTURES / f"schema-{version}").measurements for version in (4, 5))
    assert [m.check for m in fourth] == [m.check for m in fifth]
    assert fourth[0].check is not None
    rms, largest = fourth[0].check.sets[0].deviations
    assert (rms.name, rms.output, largest.name) == ("relative RMS error", "out", "largest relative error")
    assert rms.value == pytest.approx(0.0022938, rel=1e-4)
    assert largest.allowed == pytest.approx(0.024473, rel=1e-4)


@pytest.mark.parametrize(
    ("figure", "deviations"),
    [
        (("out", 1.0, 2.0, 3.0, 4.0), relative_errors("out", 1.0, 2.0, 3.0, 4.0)),
        (("share of near-ties", 0.1, 0.2, 0.1, 0.2), (Deviation("share of near-ties", 0.1, 0.2),)),
        (
            ("log-probabilities, in nats", 0.1, 0.2, 0.3, 0.4),
            (
                Deviation("RMS error of log-probabilities", 0.1, 0.2, "nats"),
                Deviation("largest error of log-probabilities", 0.3, 0.4, "nats"),
            ),
        ),
    ],
)
def test_errors_that_stood_for_something_else_get_its_name(
    figure: tuple[str, float, float, float, float], deviations: tuple[Deviation, ...]
) -> None:
    names = ("output", "rms_error", "rms_allowed", "max_error", "max_allowed")
    sets = [{"inputs": "drawn", "figures": [dict(zip(names, figure, strict=True))]}]
    made = upgraded({"schema_version": 4, "check": {"sets": sets, "coverage": 1.0}})
    assert made["check"] == {
        "sets": [{"inputs": "drawn", "deviations": [encode(deviation) for deviation in deviations]}],
        "coverage": 1.0,
    }
    assert upgraded(made) == made, "once is enough"


@pytest.mark.parametrize(
    "check", [None, 3, {}, {"sets": 3}, {"sets": [3]}, {"sets": [{"inputs": "x", "figures": [{}]}]}]
)
def test_what_is_damaged_is_left_for_the_decoder(check: object) -> None:
    assert upgraded({"schema_version": 4, "check": check})["check"] == check


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_read_again_is_the_same(version: int) -> None:
    """Writing an old record anew loses nothing of it."""
    folder = FIXTURES / f"schema-{version}"
    stored = read_run(folder)
    old = [upgraded(json.loads(line)) for line in (folder / "measurements.jsonl").read_text().splitlines()]
    again = [encode(m) for m in stored.measurements]
    assert [over(new, line) for new, line in zip(again, old, strict=True)] == again


def over(new: Any, old: Any) -> Any:
    """The old value, with what the new one has beyond it."""
    if isinstance(new, dict) and isinstance(old, dict):
        return {**new, **{key: over(new.get(key), value) for key, value in old.items()}}
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return [over(*pair) for pair in zip(new, old, strict=True)]
    return old


def test_the_history_has_a_line_for_every_version() -> None:
    history = re.findall(r"^(\d+)  \S", records.__doc__ or "", flags=re.MULTILINE)
    assert [int(number) for number in history] == list(reversed(VERSIONS))


def test_the_present_schema_is_the_one_that_is_stored_under_its_number() -> None:
    """A field more needs a default, or a new version: files of this version are out there without it."""
    folder = FIXTURES / f"schema-{records.SCHEMA_VERSION}"
    run = json.loads((folder / "run.json").read_text())
    measurement = json.loads((folder / "measurements.jsonl").read_text().splitlines()[0])
    assert {f.name for f in fields(RunRecord)} == set(run)
    assert {f.name for f in fields(Measurement)} == set(measurement)
    assert {f.name for f in fields(TimingRecord)} == set(measurement["timing"])
    assert {f.name for f in fields(Burst)} == set(measurement["launches"][0]["bursts"][0])
    assert {f.name for f in fields(HostState)} == set(measurement["launches"][0]["bursts"][0]["host"])
    assert {f.name for f in fields(DeviceState)} == set(measurement["launches"][0]["bursts"][0]["state"])


def test_values_are_of_one_quantity_and_clock_over_all_launches() -> None:
    def burst(*values: float) -> Burst:
        beside = Series("latency", "ns", "cpu_time", "lower", (9.0,))
        memory = Series("peak_memory", "B", None, "lower", (100.0,))
        return Burst(0.0, (Series("latency", "ns", "wall", "lower", values), beside, memory))

    launches = (Launch(1, (burst(1.0, 2.0), burst(3.0))), Launch(2, (burst(4.0),)))
    m = Measurement("toy", "plus", {"n": 8}, "N8", Outcome.PASSED, launches=launches)
    assert m.values("latency", "wall") == [1.0, 2.0, 3.0, 4.0]
    assert m.values("latency", "cpu_time") == [9.0] * 3
    assert m.values("peak_memory") == [100.0] * 3


TIMING = TimingRecord("wall", "warm", 2, 1, 1.0, True, 3, "target")
TIMED = Measurement("toy", "plus", {}, "N4", Outcome.PASSED, None, None, None, TIMING, median_ns=2.0, ci_low_ns=1.0)


@pytest.mark.parametrize("speed", [{"timing": TIMING}, {"median_ns": 2.0}, {"ci_low_ns": 1.0}, {"ci_high_ns": 3.0}])
@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if not outcome.may_have_speed])
def test_no_record_has_a_speed_and_did_not_pass(outcome: Outcome, speed: dict[str, Any]) -> None:
    words = f"got {next(iter(speed))} of a result that is {outcome.value}, expected none"
    with pytest.raises(ValueError, match=words):
        Measurement("toy", "plus", {}, "N4", outcome, **speed)
    with pytest.raises(ValueError, match=words):
        replace(Measurement("toy", "plus", {}, "N4", Outcome.PASSED, **speed), outcome=outcome)


def test_what_fails_after_it_was_timed_keeps_its_samples_and_no_speed() -> None:
    launches = (Launch(1, (Burst(0.0, (Series("latency", "ns", "wall", "lower", (2.0,)),)),)),)
    failed = replace(TIMED, launches=launches).fail("zeros", "a trace", Outcome.WRONG_VALUES)
    assert (failed.outcome, failed.reason, failed.detail) == (Outcome.WRONG_VALUES, "zeros", "a trace")
    assert (failed.timing, failed.median_ns, failed.ci_low_ns, failed.ci_high_ns) == (None,) * 4
    assert failed.launches == launches
    assert TIMED.fail("gone").outcome is Outcome.FAILED


def test_the_seventh_schema_says_on_which_machine_each_was_measured() -> None:
    sixth, seventh = (read_run(FIXTURES / f"schema-{version}") for version in (6, 7))
    assert sixth.run.machines == {}
    assert {m.machine for m in sixth.measurements} == {None}
    (key,) = {m.machine for m in seventh.measurements}
    machine = seventh.run.machines[key]
    assert (machine.key, machine.host, machine.node) == (key, "node-a", "r1")
    assert machine.environment == seventh.run.environment
