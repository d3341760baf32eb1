"""Stored runs side by side: when there is a verdict, and when there must not be one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.analysis.compare import Basis, Comparison, compare, recorded_differences
from attnlab.bench.stats.verdict import Verdict
from attnlab.bench.store.machine import Ceilings, Device, Environment
from attnlab.bench.store.records import (
    DEFINITIONS_VERSION,
    INTERLEAVED,
    Burst,
    Launch,
    Measurement,
    Outcome,
    RunRecord,
    Series,
    TimingRecord,
)
from attnlab.bench.store.run_folder import StoredRun

HERE = Environment(
    device=Device("cpu", "a processor"),
    processor="a processor",
    cores=2,
    affinity=(0, 1),
    threads=2,
    memory_bytes=1 << 34,
    system="Linux",
    python="3.11",
    packages={"torch": "2.12"},
    governor=None,
    load_average=0.1,
    variables={},
    revision=None,
    dirty=None,
)
TIMING = TimingRecord("wall", "warm", 2, 10, 1e6, True, 100, "target")


def measurement(ns: float | None, name: str = "mine", launches: Sequence[Launch] = (), **more: Any) -> Measurement:
    outcome = more.pop("outcome", Outcome.PASSED)
    timing = more.pop("timing", TIMING if ns else None)
    return Measurement(
        "toy", name, {"n": 8}, "N8", outcome, timing=timing, median_ns=ns, launches=tuple(launches), **more
    )


def stored(*measurements: Measurement, environment: Environment = HERE, **extra: Any) -> StoredRun:
    run = RunRecord(
        run_id="run",
        suite="toys",
        started="2026-01-01T00:00:00+00:00",
        command="attnlab run toys",
        benches=(),
        environment=environment,
        ceilings=Ceilings("a processor", 2, 1e10, {}, None, 0.0),
        seed=0,
        extra=extra,
    )
    return StoredRun(Path("run"), run, measurements)


def only(base: Sequence[StoredRun], head: Sequence[StoredRun], **more: Any) -> Comparison:
    (found,) = compare(base, head, **more)
    return found


def test_one_run_a_side_has_a_ratio_and_no_verdict() -> None:
    found = only([stored(measurement(1e6))], [stored(measurement(2e6))])
    assert (found.ratio, found.verdict, found.basis) == (2.0, None, Basis.NOTHING)
    assert (found.low, found.high) == (None, None)


def several(*medians: float) -> list[StoredRun]:
    return [stored(measurement(ns)) for ns in medians]


@pytest.mark.parametrize("runs", [2, 3, 5, 20])
@pytest.mark.parametrize("factor", [1.0, 1.05, 2.0])
def test_runs_that_did_not_take_turns_have_no_verdict(runs: int, factor: float) -> None:
    """However many there are: what the machine did in the hours between is in their ratio. Their spread is told."""
    base = [1e6 * (1 + 0.001 * n) for n in range(runs)]
    found = only(several(*base), several(*(factor * ns for ns in base)))
    assert (found.verdict, found.basis, found.units) == (None, Basis.RUNS, runs)
    assert (found.low, found.high) == (None, None)
    assert found.ratio == pytest.approx(factor)
    assert (found.base_spread, found.head_spread) == pytest.approx((base[-1] / base[0], base[-1] / base[0]))


def launches(*burst_medians: Sequence[float]) -> list[Launch]:
    return [
        Launch(1, tuple(Burst(0.0, (Series("latency", "ns", "wall", "lower", (ns,)),)) for ns in launch))
        for launch in burst_medians
    ]


def interleaved(change: float, pairs: int = 10, head_id: str = "gate") -> tuple[list[StoredRun], list[StoredRun]]:
    """A machine whose speed drifts by half, which both sides share."""
    drift = [[1e6 * (1 + (pair + turn) / 20) for turn in range(4)] for pair in range(pairs)]
    wiggle = (1.001, 0.999, 1.002, 0.998)
    head = [[(1 + change) * ns * wiggle[n % 4] for ns in launch] for n, launch in enumerate(drift)]
    base_run = stored(measurement(1.2e6, launches=launches(*drift)), **{INTERLEAVED: "gate"})
    return [base_run], [stored(measurement(1.2e6, launches=launches(*head)), **{INTERLEAVED: head_id})]


@pytest.mark.parametrize(("change", "wanted"), [(0.0, Verdict.SAME), (0.05, Verdict.SLOWER), (-0.05, Verdict.FASTER)])
def test_interleaved_runs_give_a_verdict_whatever_the_drift(change: float, wanted: Verdict) -> None:
    found = only(*interleaved(change))
    assert (found.verdict, found.basis, found.units) == (wanted, Basis.INTERLEAVED, 10)
    assert found.ratio == pytest.approx(1 + change, abs=0.003)


def test_sides_of_two_gates_are_not_interleaved() -> None:
    assert only(*interleaved(0.05, head_id="another")).verdict is None


def test_more_benchmarks_ask_for_more_pairs() -> None:
    """8 pairs of one sign decide one benchmark, and not one of twenty."""
    base, head = interleaved(0.05, pairs=8)
    assert only(base, head).verdict is Verdict.SLOWER

    def many(runs: list[StoredRun]) -> list[StoredRun]:
        (m,) = runs[0].measurements
        return [replace(runs[0], measurements=tuple(replace(m, implementation=f"i{n}") for n in range(20)))]

    base_of, head_of = many(base), many(interleaved(0.0, pairs=8)[1])
    slow = replace(head[0].measurements[0], implementation="i0")
    head_of[0] = replace(head_of[0], measurements=(slow, *head_of[0].measurements[1:]))
    verdicts = {c.implementation: c.verdict for c in compare(base_of, head_of)}
    assert verdicts["i0"] is Verdict.INCONCLUSIVE
    assert verdicts["i1"] is not Verdict.SLOWER


Change = Callable[[StoredRun], StoredRun]


def other_environment(**changes: Any) -> Change:
    return lambda run: replace(run, run=replace(run.run, environment=replace(run.run.environment, **changes)))


def wrong(reason: str) -> Change:
    failing = methodcaller("fail", reason, outcome=Outcome.WRONG_VALUES)
    return lambda run: replace(run, measurements=tuple(map(failing, run.measurements)))


def other_measurement(**changes: Any) -> Change:
    return lambda run: replace(run, measurements=tuple(replace(m, **changes) for m in run.measurements))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_environment(threads=1), "different numbers of threads: 2 and 1"),
        (
            other_measurement(definitions_version=9),
            f"different versions of the definitions: {DEFINITIONS_VERSION} and 9",
        ),
        (other_measurement(timing=replace(TIMING, clock="cpu_time")), "different clocks: wall and cpu_time"),
        (other_measurement(timing=replace(TIMING, cache="cold")), "different cache states: warm and cold"),
        (wrong("too far off"), "head: wrong_values: too far off"),
        (other_measurement(median_ns=None, timing=None, untimed="an interpreter"), "head: not timed: an interpreter"),
    ],
)
def test_what_is_incomparable_says_why(change: Change, said: str) -> None:
    found = only(several(1e6, 1e6, 1e6), [change(run) for run in several(2e6, 2e6, 2e6)])
    assert (found.verdict, found.ratio) == (Verdict.INCOMPARABLE, None)
    assert found.reason is not None
    assert said in found.reason


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_environment(processor="another"), "different machines: a processor and another"),
        (other_environment(device=Device("cuda", "a GPU")), "different devices: a processor and a GPU"),
    ],
)
def test_two_machines_have_a_ratio_and_no_verdict(change: Change, said: str) -> None:
    """Their clocks and caches may differ, as those of a GPU and a CPU always do; pairs of a gate they are not."""
    base, head = interleaved(1.0)
    found = only(base, [change(run) for run in head])
    assert (found.verdict, found.ratio, found.apart) == (None, 1.0, (said,))
    otherwise = other_measurement(timing=replace(TIMING, clock="cuda_event", cache="cold"))
    found = only(several(1e6), [change(otherwise(run)) for run in several(2e6)])
    assert (found.verdict, found.ratio) == (None, 2.0)
    assert found.apart == (said, "different clocks: wall and cuda_event", "different cache states: warm and cold")


def test_two_machines_must_measure_the_same() -> None:
    elsewhere = other_environment(processor="another")
    other = [elsewhere(other_measurement(definitions_version=9)(run)) for run in several(1e6)]
    assert only(several(1e6), other).verdict is Verdict.INCOMPARABLE
    first, second = several(1e6, 1e6)
    assert only(several(1e6), [first, elsewhere(second)]).verdict is Verdict.INCOMPARABLE, "a side of two machines"


def test_what_differs_within_a_side_is_incomparable_too() -> None:
    mixed = several(1e6, 1e6, 1e6)
    mixed[1] = other_environment(threads=1)(mixed[1])
    assert only(mixed, several(1e6, 1e6, 1e6)).verdict is Verdict.INCOMPARABLE


def test_what_one_side_lacks() -> None:
    found = compare([stored(measurement(1e6))], [stored(measurement(1e6, "other"))])
    assert [(c.implementation, c.reason) for c in found] == [
        ("mine", "head has no such measurement"),
        ("other", "base has no such measurement"),
    ]


def test_the_target_decides() -> None:
    assert only(*interleaved(0.05), target=0.2).verdict is Verdict.SAME


def test_what_was_recorded_otherwise_is_told() -> None:
    newer = other_environment(packages={"torch": "2.13"})(stored(measurement(1e6)))
    assert recorded_differences([stored(measurement(1e6))], [newer]) == {"package torch 2.12 → 2.13": 1}
    assert recorded_differences([stored(measurement(1e6))], [stored(measurement(1e6))]) == {}


def test_one_id_with_another_content_of_its_file_is_incomparable() -> None:
    base, head = (stored(measurement(ns, files={"arrivals": held})) for ns, held in ((1e6, "1a"), (9.8e6, "2b")))
    found = only([base], [head])
    assert (found.verdict, found.ratio) == (Verdict.INCOMPARABLE, None)
    assert found.reason == "the file that axis arrivals names held something else: 1a and 2b"
    assert only([base], [base]).ratio == 1.0
    assert only([base], [stored(measurement(1e6))]).ratio == 1.0, "older runs do not say"
