"""Implementations of a case are compared under the best clock that all of them have, whatever each one prefers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from attnlab.bench.analysis.metrics import known_metrics, rows_of
from attnlab.bench.measuring.common_clock import Method, common_method, under_common_clocks
from attnlab.bench.reporters.model.cases import CaseRef
from attnlab.bench.reporters.model.picks import pick
from attnlab.bench.reporters.model.results import result_of
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import BenchRecord, Burst, Launch, Measurement, Outcome, Series, TimingRecord

GRAPH, EVENTS, CUPTI = "cuda_graph", "cuda_events", "cupti"


def measured(name: str, cache: str = "cold", case_id: str = "c", **times_ns: list[float]) -> Measurement:
    """By the clocks named, the first the main one."""
    clocks = list(times_ns)
    series = tuple(Series("latency", "ns", clock, "lower", tuple(times)) for clock, times in times_ns.items())
    return Measurement(
        "op",
        name,
        {},
        case_id,
        Outcome.PASSED,
        timing=TimingRecord(clocks[0], cache, 2, 5, 1e6, True, len(times_ns[clocks[0]]), "target"),
        launches=(Launch(1, (Burst(0.0, series),)),),
        median_ns=sorted(times_ns[clocks[0]])[len(times_ns[clocks[0]]) // 2],
        ci_low_ns=1.0,
        ci_high_ns=2.0,
    )


CAPTURED = measured("captured", cuda_graph=[10.0] * 40, cuda_events=[14.0] * 40)
EAGER = measured("eager", cuda_events=[12.0] * 40, cupti=[11.0] * 40)


def test_where_all_have_the_preferred_clock_nothing_changes() -> None:
    other = replace(CAPTURED, implementation="other")
    assert under_common_clocks([CAPTURED, other]) == [CAPTURED, other]


def test_one_that_has_events_alone_takes_all_to_events() -> None:
    """By graph against events the captured one would win; by the same clock it loses."""
    captured, eager = under_common_clocks([CAPTURED, EAGER])
    assert eager == EAGER
    assert (captured.median_ns, captured.timing.clock, captured.timing.samples) == (14.0, EVENTS, 40)
    assert (captured.ci_low_ns, captured.ci_high_ns) == (14.0, 14.0)
    assert captured.flags == (
        "shown by clock cuda_events, which all implementations of this case have; its own clock is cuda_graph",
    )
    assert captured.launches == CAPTURED.launches, "what else was recorded stands beside"


def test_few_samples_of_the_common_clock_have_no_interval() -> None:
    captured, _ = under_common_clocks([measured("a", cuda_graph=[10.0] * 40, cuda_events=[14.0] * 3), EAGER])
    assert (captured.median_ns, captured.ci_low_ns, captured.ci_high_ns) == (14.0, None, None)
    assert captured.flags[-1].startswith("no interval is claimed: too few samples are independent (worth 3")


def test_other_cases_keep_their_clock() -> None:
    elsewhere = replace(CAPTURED, case_id="d")
    assert under_common_clocks([CAPTURED, EAGER, elsewhere])[2] == elsewhere


@pytest.mark.parametrize(
    "beside",
    [
        EAGER.fail("zeros", outcome=Outcome.WRONG_VALUES),
        replace(EAGER, median_ns=None, timing=None, launches=()),
        Measurement("op", "none", {}, "c", Outcome.UNAVAILABLE),
    ],
)
def test_what_has_no_time_decides_nothing(beside: Measurement) -> None:
    assert under_common_clocks([CAPTURED, beside]) == [CAPTURED, beside]


def of_graphs(name: str, calls_a_sample: int, null_ns: float | None) -> Measurement:
    m = measured(name, cuda_graph=[10.0] * 40)
    assert m.timing is not None
    nulls = {} if null_ns is None else {GRAPH: null_ns}
    return replace(m, timing=replace(m.timing, calls_a_sample=calls_a_sample, nulls_ns=nulls))


def test_other_numbers_of_calls_a_sample_are_marked() -> None:
    """Where the null span was taken off they say the same, and scatter otherwise."""
    few, many = under_common_clocks([of_graphs("few", 2, 3500.0), of_graphs("many", 80, 3500.0)])
    assert few.flags == (
        "a sample is the mean of 2 calls, of other implementations of 80: their scatter differs by that",
    )
    assert "of other implementations of 2:" in many.flags[0]
    assert under_common_clocks([few := of_graphs("few", 2, 3500.0)]) == [few]


def test_other_numbers_of_calls_a_sample_are_other_methods_where_no_null_span_was_taken_off() -> None:
    """As in runs from before it was: one call a graph reads 3.5 µs long, one of forty a hundredth of that."""
    assert common_method([of_graphs("one", 1, None), of_graphs("forty", 40, None)]) is None
    assert common_method([of_graphs("one", 1, None), of_graphs("corrected", 1, 3500.0)]) is None
    assert common_method([of_graphs("a", 40, None), of_graphs("b", 40, None)]) == Method(GRAPH, "cold", 40)


def test_hot_and_cold_have_nothing_in_common() -> None:
    hot = measured("hot", cache="hot", cuda_graph=[8.0] * 9, cuda_events=[9.0] * 9)
    assert common_method([CAPTURED, hot]) is None
    assert under_common_clocks([CAPTURED, hot]) == [CAPTURED, hot]


def test_processor_time_is_nothing_to_compare_latency_by() -> None:
    """Nothing else is shared by these two."""
    assert (
        common_method([measured("a", wall=[1.0], cpu_time=[2.0]), measured("b", other=[1.0], cpu_time=[2.0])]) is None
    )


def test_the_clock_that_more_of_them_prefer_is_chosen() -> None:
    a = measured("a", cuda_graph=[1.0], cuda_events=[2.0], cupti=[3.0])
    b = measured("b", cuda_events=[2.0], cupti=[3.0])
    assert common_method([a, b]) == common_method([b, a]) == Method(EVENTS, "cold")
    assert common_method([a, measured("c", cupti=[3.0])]) == Method(CUPTI, "cold")
    assert common_method([]) is None


def test_speed_ups_and_picks_are_of_one_clock() -> None:
    ceilings = Ceilings("gpu", 1, 1e12, {}, None, 0.0)
    run: Any = SimpleNamespace(benches=(BenchRecord("op", ("captured", "eager"), "eager", ("c",)),), ceilings=ceilings)
    rows = rows_of(run, [CAPTURED, EAGER])
    speedup = next(metric for metric in known_metrics() if metric.name == "speedup")
    assert speedup.value(rows[0]) == pytest.approx(12 / 14), "and not 12 / 10"
    case = CaseRef("c", "c", None)
    picked = pick(case, [result_of(row, case, [speedup]) for row in rows])
    assert picked is not None
    assert (picked.best.implementation, picked.uncompared) == ("eager", 0)
