"""Every metric against values worked out by hand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.analysis import metrics
from attnlab.bench.analysis.metrics import figured_of, known_metrics, rows_of
from attnlab.bench.contract.discovery import UNRANKED
from attnlab.bench.contract.metric import Metric, Row
from attnlab.bench.contract.registry import Registry, registry
from attnlab.bench.errors import DuplicateRank
from attnlab.bench.store.deviations import Deviation, relative_errors
from attnlab.bench.store.machine import Ceilings, Device, Environment, PublishedPeaks
from attnlab.bench.store.records import (
    BenchRecord,
    Burst,
    CheckRecord,
    Launch,
    Measurement,
    Outcome,
    RunRecord,
    Series,
    SetDeviations,
    TimingRecord,
)
from attnlab.bench.store.run_folder import read_run

STORED = sorted((Path(__file__).parents[4] / "results").glob("*-quick"))
METRICS = {metric.name: metric for metric in known_metrics()}
WALL = TimingRecord("wall", "warm", 2, 10, 1e6, True, 3, "target")


def run(published: PublishedPeaks | None = None) -> RunRecord:
    device = Device("cpu", "Processor")
    environment = Environment(
        device, "Processor", 2, (0, 1), 2, 1 << 30, "Linux", "3.12", {}, None, None, {}, None, None
    )
    ceilings = Ceilings("Processor", 2, 20e9, {"float32": 100e9}, published, 0.0)
    bench = BenchRecord("op", ("base", "fast"), "base", ("c",))
    return RunRecord("r", "s", "2026-01-02", "attnlab run s", (bench,), environment, ceilings, 0)


def measured(name: str = "fast", median_ns: float | None = 2e6, **rest: object) -> Measurement:
    """100 MFLOP and 4 MB in 2 ms, unless said otherwise."""
    after = (
        Series("setup", "ns", "wall", "lower", (5e6, 7e6, 6e6)),
        Series("first_call", "ns", "wall", "lower", (9e6,)),
        Series("peak_memory", "B", None, "lower", (1024.0, 4096.0)),
        Series("format_error", "ratio", None, "lower", (0.02,)),
        Series("cache_bits", "bit", None, "lower", (8.25,)),
        Series("ppl", "tokens", None, "lower", (12.5,)),
        Series("ppl_difference", "tokens", None, "lower", (0.5,)),
        Series("kl_mean", "nat", None, "lower", (0.04,)),
        Series("kl_p99", "nat", None, "lower", (0.3,)),
        Series("kl_p999", "nat", None, "lower", (0.9,)),
        Series("same_top", "share", None, "higher", (0.91,)),
        Series("rms_probability_change", "share", None, "lower", (0.05,)),
        Series("weight_bits", "bit", None, "lower", (5.5,)),
        Series("message", "B", None, "lower", (4e6,)),
        Series("bus_bytes", "B", None, "lower", (6e6,)),
    )
    timed = (
        Series("latency", "ns", "wall", "lower", (2e6, 2e6, 2e6)),
        Series("latency", "ns", "cpu_time", "lower", (3e6, 4e6, 5e6)),
        Series("latency_rank_0", "ns", "ranks_wall", "lower", (2e6, 1e6, 2e6)),
        Series("latency_rank_1", "ns", "ranks_wall", "lower", (1.9e6, 2e6, 1.8e6)),
    )
    off = (*relative_errors("out", 0.001, 0.004, 0.03, 0.04), *relative_errors("other", 0.001, 0.01, 0.0, 0.04))
    found = Measurement(
        operator="op",
        implementation=name,
        case={"dtype": "float32"},
        case_id="c",
        outcome=Outcome.PASSED,
        check=CheckRecord((SetDeviations("drawn", off),), (), (), True, 1.0, True),
        timing=WALL,
        operations=100_000_000,
        bytes_moved=4_000_000,
        launches=(Launch(1, (Burst(0.0, timed), Burst(0.0, after))),),
        median_ns=median_ns,
    )
    return replace(found, **rest)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("latency_ns", 2e6),
        ("speedup", 3.0),  # 6 ms over 2 ms
        ("gb_per_s", 2.0),  # 4 MB in 2 ms
        ("tflop_per_s", 0.05),  # 0.1 GFLOP in 2 ms
        ("intensity_flop_per_byte", 25.0),
        ("bound", "compute"),  # 1 ms at 100 GFLOP/s, 0.2 ms at 20 GB/s
        ("share_of_ceiling", 0.5),
        ("share_of_published", 0.2),  # memory: 4 MB at 10 GB/s is 0.4 ms, against 0.1 ms of compute
        ("peak_memory_bytes", 4096.0),
        ("setup_ns", 6e6),
        ("first_call_ns", 9e6),
        ("cpu_time_ns", 4e6),
        ("error_of_budget", 0.75),
        ("format_error", 0.02),
        ("cache_bits", 8.25),
        ("ppl", 12.5),
        ("ppl_difference", 0.5),
        ("kl_mean", 0.04),
        ("kl_p99", 0.3),
        ("kl_p999", 0.9),
        ("same_top", 0.91),
        ("rms_probability_change", 0.05),
        ("weight_bits", 5.5),
        ("rank_skew_ns", 2e5),  # of 0.1, 1 and 0.2 ms
        ("algorithm_gb_per_s", 2.0),  # 4 MB in 2 ms
        ("bus_gb_per_s", 3.0),  # 6 MB in 2 ms
    ],
)
def test_value(metric: str, expected: float | str) -> None:
    row = Row(run(PublishedPeaks(10e9, {"float32": 1000e9})), measured(), measured("base", 6e6))
    assert METRICS[metric].value(row) == pytest.approx(expected)


def test_every_metric_is_tested_and_described() -> None:
    from . import test_generation_metrics as generation
    from . import test_serving_metrics as serving
    from . import test_sharded_metrics as sharded

    by_hand = (
        test_value,
        sharded.test_by_hand,
        serving.test_by_hand,
        generation.test_by_hand,
        generation.test_what_so_few_samples_or_an_unknown_device_do_not_support,
    )
    arguments = [argument for test in by_hand for mark in test.pytestmark for argument in mark.args[1]]  # type: ignore[attr-defined]
    assert {argument if isinstance(argument, str) else argument[0] for argument in arguments} == set(METRICS)
    assert all(metric.summary and metric.formula and metric.label for metric in METRICS.values())


@pytest.mark.parametrize("outcome", [o for o in Outcome if not o.may_have_speed])
def test_a_result_that_did_not_pass_has_no_speed(outcome: Outcome) -> None:
    row = Row(run(), measured().fail("a fault", outcome=outcome), measured("base", 6e6))
    known = {name for name, metric in METRICS.items() if metric.value(row) is not None}
    assert known == {"intensity_flop_per_byte", "bound", "error_of_budget"}


def test_what_was_not_measured_is_none() -> None:
    nothing = measured(median_ns=None, launches=(), check=None, operations=None, bytes_moved=None, timing=None)
    assert {metric.value(Row(run(), nothing)) for metric in METRICS.values()} == {None}


def test_no_speedup_over_another_method_or_a_wrong_baseline() -> None:
    base = measured("base", 6e6)
    other_clock = replace(base, timing=replace(WALL, clock="cuda_events"))
    cold = replace(base, timing=replace(WALL, cache="cold"))
    wrong = base.fail("zeros", outcome=Outcome.WRONG_VALUES)
    for baseline in (None, other_clock, cold, wrong):
        assert METRICS["speedup"].value(Row(run(), measured(), baseline)) is None


def test_no_ceiling_of_an_unknown_dtype_and_no_published_one_of_an_unknown_device() -> None:
    strange = measured(case={"dtype": "int4"})
    assert METRICS["share_of_ceiling"].value(Row(run(), strange)) is None
    assert METRICS["bound"].value(Row(run(), measured(case={}))) is None
    assert METRICS["share_of_published"].value(Row(run(), measured())) is None


def test_an_undefined_error_has_no_share() -> None:
    undefined = Deviation("largest relative error", float("nan"), 0.04, output="out")
    check = CheckRecord((SetDeviations("drawn", (undefined,)),), (), (), True, 1.0, True)
    assert METRICS["error_of_budget"].value(Row(run(), measured(check=check))) is None


def test_rows_find_their_baseline_and_the_latest_measurement() -> None:
    rows = rows_of(run(), [measured("base", 6e6), measured(median_ns=9e6), measured(median_ns=2e6)])
    assert [row.measurement.median_ns for row in rows] == [6e6, 2e6]
    assert all(row.baseline is not None and row.baseline.implementation == "base" for row in rows)


@pytest.mark.parametrize(
    ("compute", "fault"),
    [
        (lambda row: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda row: [row], "TypeError: must be real number, not list"),
        (lambda row: 10**400, "OverflowError: int too large to convert to float"),
    ],
)
def test_a_metric_that_fails_has_no_value_and_is_told(compute: Any, fault: str) -> None:
    broken, row = Metric("broken", "b", "", "lower", "s", "f", compute), Row(run(), measured())
    assert broken.value(row) is None
    assert broken.fault_on(row) == f"metric 'broken' fails ({fault})"


def test_a_metric_that_fails_is_a_flag_of_its_row_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(row: Row) -> float:
        return 1.0 / (row.measurement.bytes_moved or 0)

    broken = Metric("broken", "b", "", "lower", "s", "f", compute)
    monkeypatch.setattr(metrics, "known_metrics", lambda: [broken])
    empty, other = rows_of(run(), [replace(measured("a"), bytes_moved=0), replace(measured("b"), bytes_moved=4)])
    assert empty.measurement.flags == ("metric 'broken' fails (ZeroDivisionError: float division by zero)",)
    assert other.measurement.flags == ()


def test_nothing_is_a_size_of_which_no_metric_fails() -> None:
    nothing = replace(measured(), operations=0, bytes_moved=0, bytes_written=0)
    assert [metric.fault_on(Row(run(), nothing)) for metric in METRICS.values()] == [None] * len(METRICS)


def test_infinite_values_are_not_shown() -> None:
    endless = Metric("endless", "e", "", "lower", "s", "f", lambda row: float("inf"))
    assert endless.value(Row(run(), measured())) is None


@pytest.mark.parametrize("folder", STORED, ids=lambda path: path.name)
def test_a_metric_that_is_not_asked_would_have_told_nothing(folder: Path) -> None:
    stored = read_run(folder)
    asked_always = [replace(metric, needs=()) for metric in known_metrics()]
    found = figured_of(stored.run, stored.measurements, known_metrics())
    assert found == figured_of(stored.run, stored.measurements, asked_always)
    assert any(len(values) < len(known_metrics()) for _, values in found)


def test_what_a_tool_reported_needs_no_samples() -> None:
    unchecked = measured(median_ns=None, outcome=Outcome.UNCHECKED, timing=None, reported={"ttft_ns": 5e6})
    assert METRICS["ttft_ns"].value(Row(run(), unchecked)) == 5e6
    ((_, values),) = figured_of(run(), [unchecked], known_metrics())
    assert values["ttft_ns"] == 5e6


def test_metrics_need_no_torch() -> None:
    code = "import sys, attnlab.bench.analysis.metrics as m; m.known_metrics(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_metric_with_a_taken_rank_is_refused() -> None:
    taken = replace(METRICS["ttft_ns"], name="my_ttft_ns")
    with pytest.raises(DuplicateRank, match="metric 'my_ttft_ns' with rank 11, which is that of 'ttft_ns'; expected"):
        registry.metrics.add(taken.name, taken, __name__)
    assert taken.name not in registry.metrics


def test_metrics_without_a_rank_come_last_in_the_order_of_their_registering() -> None:
    own = Registry()
    for metric in (
        replace(METRICS["bound"], name="b", rank=UNRANKED),
        replace(METRICS["bound"], name="a", rank=UNRANKED),
    ):
        own.metrics.add(metric.name, metric, __name__)
    own.metrics.add("bound", METRICS["bound"], __name__)
    assert [metric.name for metric in known_metrics(own)] == ["bound", "b", "a"]
