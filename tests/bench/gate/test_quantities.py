"""What a gate judges beside the median of a warm call, with scripted arms."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from attnlab.bench.gate.outputs import words
from attnlab.bench.gate.outputs.markdown import render as markdown
from attnlab.bench.gate.outputs.terminal import lines
from attnlab.bench.gate.quantities import LATENCY, quantities
from attnlab.bench.gate.report import GateReport
from attnlab.bench.gate.rows import QuantityRow, Standing
from attnlab.bench.gate.thresholds import Target, Threshold, Thresholds
from attnlab.bench.llm.generation.events import CallLog, Pass, RequestLog
from attnlab.bench.stats.verdict import Verdict

from .conftest import ArmScript, Gated, Kernel

Make = Callable[..., Gated]
MIB = float(1 << 20)
USUAL: dict[str, Any] = {"setup_ns": 2e4, "first_call_ns": 5e6, "peak_bytes": MIB, "error": 0.01}


def gate_of(gated: Make, base: dict[str, Any], head: dict[str, Any], looks: tuple[int, ...] = (12,)) -> GateReport:
    arms = (ArmScript({"quick": Kernel(**{**USUAL, **changed})}) for changed in (base, head))
    report: GateReport = gated(*arms, looks=looks).run()
    return report


def found(report: GateReport, name: str) -> QuantityRow:
    return next(q for q in report.rows[0].quantities if q.quantity == name)


def test_equal_arms_are_the_same_in_everything(gated: Make) -> None:
    report = gate_of(gated, {}, {})
    assert {q.quantity: q.verdict for q in report.rows[0].quantities if q.gated} == dict.fromkeys(
        ("latency_mean", "latency_p95", "setup", "first_call", "peak_memory", "error"), Verdict.SAME
    )
    assert (report.exit_code, report.conclusion) == (0, "No regression.")
    assert len([line for line in lines(report) if line.startswith(" ")]) == 0, "one line a benchmark"


@pytest.mark.parametrize(
    ("quantity", "change", "said"),
    [
        ("setup", {"setup_ns": 1e9}, "set-up: slower: 20.0 µs → 1.00 s, by +1.00 s"),
        ("first_call", {"first_call_ns": 1.5e9}, "first call: slower: 5.00 ms → 1.50 s, by +1.50 s"),
        ("peak_memory", {"peak_bytes": 257 * MIB}, "peak memory: worse: 1.00 MiB → 257 MiB, by +256 MiB"),
        ("error", {"error": 0.16}, "error of budget: worse: 1.00 % → 16.0 %, by +15.0 %"),
        ("latency_mean", {"rare": 20.0}, "mean latency: slower: 1.00 ms → 1.9"),
    ],
)
def test_what_got_worse_beside_the_median_is_stopped_and_told(
    quantity: str, change: dict[str, Any], said: str, gated: Make
) -> None:
    report = gate_of(gated, {}, change)
    assert report.rows[0].verdict is Verdict.SAME, "the median of a warm call knows nothing of it"
    assert found(report, quantity).verdict is Verdict.SLOWER
    assert report.exit_code == 1
    label = quantities()[quantity].label
    assert report.conclusion.startswith("Regression: toy/quick[N8] (")
    assert label in report.conclusion
    assert any(line.startswith(f"    {said}") for line in lines(report)), "\n".join(lines(report))
    assert f"`toy/quick[N8]` {label}" in markdown(report)
    better = gate_of(gated, change, {})
    assert (found(better, quantity).verdict, better.exit_code) == (Verdict.FASTER, 0)


@pytest.mark.parametrize(
    ("quantity", "change"),
    [
        ("setup", {"setup_ns": 5e6}),
        ("first_call", {"first_call_ns": 15e6}),
        ("peak_memory", {"peak_bytes": 8 * MIB}),
        ("error", {"error": 0.012}),
    ],
)
def test_what_is_below_the_floor_is_nothing(quantity: str, change: dict[str, Any], gated: Make) -> None:
    report = gate_of(gated, {}, change)
    assert (found(report, quantity).verdict, report.exit_code) == (Verdict.SAME, 0)


@pytest.mark.parametrize("name", ["peak_bytes", "error"])
def test_nothing_at_all_is_a_value(name: str, gated: Make) -> None:
    report = gate_of(gated, {name: 0.0}, {name: 0.0})
    assert report.exit_code == 0
    report = gate_of(gated, {name: 0.0}, {name: 64 * MIB if name == "peak_bytes" else 0.5})
    assert report.exit_code == 1


def test_a_quantity_that_head_has_not_closes_the_gate(gated: Make) -> None:
    report = gate_of(gated, {}, {"peak_bytes": None})
    (closed,) = report.closed
    assert closed.standing is Standing.MISSING
    assert report.exit_code == 3
    assert report.conclusion == "No verdict: toy/quick[N8] peak memory: missing on head; the gate fails closed."
    assert "peak memory was had of base, and not of head, in 12 of 12 pairs" in "\n".join(lines(report))


def test_a_quantity_that_head_alone_has_is_told(gated: Make) -> None:
    report = gate_of(gated, {"peak_bytes": None}, {})
    assert report.exit_code == 0
    assert "peak memory: new" in "\n".join(lines(report))


def test_a_changed_configuration_is_told_and_not_gated(gated: Make) -> None:
    report = gate_of(gated, {"configuration": "tile 64"}, {"configuration": "tile 128"})
    assert (found(report, "configuration").gated, report.exit_code) == (False, 0)
    assert "configuration changed: tile 64 → tile 128; reported, not gated" in "\n".join(lines(report))


def generation(
    ttft_ms: float = 50.0, itl_ms: float = 10.0, stall_ms: float = 12.0, accepted: int = 3, draft: bool = True
) -> Callable[[], CallLog]:
    """One request of 21 tokens, one of whose gaps is longer."""
    gaps_ms = [itl_ms] * 18 + [stall_ms]
    times = [ttft_ms]
    for gap in gaps_ms:
        times.append(times[-1] + gap)
    times.append(times[-1] + 1.0)
    request = RequestLog(0.0, 8, tuple(1e6 * at for at in times), tuple(range(1, 22)))
    verify = Pass("verify", 1e6, 1e6, 5, (4,), (accepted,)) if draft else Pass("decode", 1e6, 1e6, 1)
    return lambda: CallLog((request,), (verify,))


@pytest.mark.parametrize(
    ("quantity", "changed"),
    [
        ("ttft", {"ttft_ms": 80.0}),
        ("itl", {"itl_ms": 12.0}),
        ("largest_stall", {"stall_ms": 60.0}),
        ("output_rate", {"itl_ms": 19.0}),
        ("acceptance", {"accepted": 2}),
        ("goodput", {"ttft_ms": 110.0}),
    ],
)
def test_generation_is_gated_on_more_than_the_whole_calls_time(
    quantity: str, changed: dict[str, Any], gated: Make
) -> None:
    base, head = (ArmScript({"quick": Kernel(2e8, log=generation(**own))}) for own in ({}, changed))
    report = gated(base, head, looks=(12,)).run()
    assert report.rows[0].verdict is Verdict.SAME
    assert found(report, quantity).verdict is Verdict.SLOWER
    assert report.exit_code == 1
    assert quantities()[quantity].label in report.conclusion
    better = gated(head, base, looks=(12,)).run()
    assert found(better, quantity).verdict is Verdict.FASTER


def test_equal_generations_pass(gated: Make) -> None:
    arm = ArmScript({"quick": Kernel(2e8, log=generation())})
    report = gated(arm, arm, looks=(12,)).run()
    named = {q.quantity for q in report.rows[0].quantities}
    assert {"ttft", "itl", "largest_stall", "output_rate", "acceptance", "goodput"} <= named
    assert (report.exit_code, report.conclusion) == (0, "No regression.")


def test_a_head_that_no_longer_guesses_is_told(gated: Make) -> None:
    base, head = (ArmScript({"quick": Kernel(2e8, log=generation(draft=own))}) for own in (True, False))
    report = gated(base, head, looks=(12,)).run()
    assert report.exit_code == 3
    assert "toy/quick[N8] acceptance: missing on head" in report.conclusion


def limited(gated: Make, head: dict[str, Any], *thresholds: Threshold) -> GateReport:
    gate = gated(*(ArmScript({"quick": Kernel(**{**USUAL, **changed})}) for changed in ({}, head)), looks=(12,))
    limits = dataclasses.replace(gate.session.ask.thresholds, thresholds=thresholds)
    gate.session.ask = dataclasses.replace(gate.session.ask, thresholds=limits)
    report: GateReport = gate.run()
    return report


def test_what_is_only_reported_is_reported(gated: Make) -> None:
    report = limited(gated, {"setup_ns": 1e9}, Threshold("*", None, "setup"))
    assert report.exit_code == 0
    assert "set-up changed: 20.0 µs → 1.00 s; reported, not gated" in "\n".join(lines(report))


def test_a_gate_that_only_reports_has_judged_nothing(gated: Make) -> None:
    """Else a file of thresholds that reports everything would let everything through."""
    report = limited(gated, {"setup_ns": 1e9}, Threshold("*", None, "*"))
    assert (report.rows[0].standing, report.exit_code) == (Standing.COMPARED, 3)
    assert "nothing could be compared" in report.conclusion


def test_a_configuration_can_be_gated(gated: Make) -> None:
    report = limited(gated, {"configuration": "tile 128"}, Threshold("toy/*", 0.5, "configuration"))
    assert report.exit_code == 1
    assert "configuration: worse: none → tile 128" in "\n".join(lines(report))


def test_no_other_quantity_is_stricter_than_latency_unless_it_is_named() -> None:
    wide = Thresholds(0.2)
    assert wide.target_of("a/b[c]", "latency_mean") == Target(0.2)
    assert wide.target_of("a/b[c]", "setup") == Target(quantities()["setup"].target or 0.0)
    named = Thresholds(0.2, thresholds=(Threshold("a/*", 0.05, "latency_mean"),))
    assert named.target_of("a/b[c]", "latency_mean") == Target(0.05)
    assert named.target_of("x/b[c]", "latency_mean") == Target(0.2)
    assert named.target_of("a/b[c]") == Target(0.2)


def test_each_quantity_says_what_it_is() -> None:
    """Names are keys of comparisons, in which # parts benchmark and quantity."""
    table = quantities()
    assert next(iter(table)) == LATENCY
    for name, quantity in table.items():
        assert name == quantity.name
        assert "#" not in name
        assert quantity.timer or quantity.floor > 0, "what may be zero needs something added"
        assert words.units.format_value(1.0, quantity.unit)


def test_the_length_of_calls_that_arrivals_pace_is_not_gated(gated: Make) -> None:
    """Head's calls take twice as long, as a trace would make them; its first token comes as soon."""
    arms = [ArmScript({"quick": Kernel(ns, log=generation(), axes={"arrivals": "rate:2"})}) for ns in (2e8, 4e8)]
    report = gated(*arms, looks=(12,)).run()
    (row,) = report.rows
    assert (row.verdict, row.base_ns, row.head_ns) == (None, None, None)
    assert "paced by its arrivals (rate:2)" in (row.reason or "")
    named = {q.quantity: q.verdict for q in row.quantities}
    assert {"ttft", "itl", "output_rate", "goodput"} <= named.keys()
    assert not {"latency_mean", "latency_p95"} & named.keys()
    assert named["ttft"] is not None
    assert report.exit_code == 0
    assert "paced by its arrivals" in words.explanation(row)
