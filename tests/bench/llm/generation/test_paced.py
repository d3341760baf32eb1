"""A case that is paced by its arrivals has no latency, wherever results are shown; what it measures stands instead."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from attnlab.bench.analysis.compare import compare
from attnlab.bench.analysis.history.points import Miss, point_or_miss
from attnlab.bench.analysis.metrics import known_metrics, rows_of
from attnlab.bench.cli._table import show
from attnlab.bench.cli.compare import _lines
from attnlab.bench.contract.registry import discover
from attnlab.bench.llm.generation.events import CallLog, RequestLog, series_of
from attnlab.bench.measuring.settlement import with_times
from attnlab.bench.measuring.timing import Timing
from attnlab.bench.measuring.turns import contenders
from attnlab.bench.reporters import write_report
from attnlab.bench.stats.summary import summarise
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import BenchRecord, Burst, Launch, Measurement, Outcome, Series, TimingRecord
from attnlab.bench.store.run_folder import StoredRun
from tests.bench.analysis.metrics.test_metrics import run

S = 1e9
CASE = {
    "model": "toy",
    "prompts": "random",
    "batch": 2,
    "requests": 3,
    "prompt_len": 8,
    "new_tokens": 2,
    "arrivals": "trace@times_txt",
    "batching": "static",
    "dtype": "float32",
    "ttft_ms": 1000,
    "tpot_ms": 500,
    "decoding": "greedy",
}
OF_LENGTH = ("latency_ns", "speedup", "share_of_ceiling", "share_of_published", "gb_per_s", "tflop_per_s")
TIMING = TimingRecord("wall", "warm", 2, 1, 1.0, True, 2, "target")


def bursts(delay_s: float) -> tuple[Burst, ...]:
    """Three requests, 20 s apart, each answered within a second or so."""
    requests = tuple(
        RequestLog(n * 20 * S, 8, ((n * 20 + delay_s) * S, (n * 20 + delay_s + 0.25) * S), (1, 2)) for n in range(3)
    )
    whole = Series("latency", "ns", "wall", "lower", ((40 + delay_s + 0.25) * S,))
    return (Burst(0.0, (whole, *series_of(CallLog(requests)))),) * 2


def measured(name: str, delay_s: float) -> Measurement:
    """As an earlier version stored it, the trace's own length as a latency."""
    return Measurement(
        "generate",
        name,
        CASE,
        "toy-random-P8-N2-fp32-trace",
        Outcome.PASSED,
        timing=TIMING,
        operations=10**9,
        bytes_moved=10**9,
        launches=(Launch(1, bursts(delay_s)),),
        median_ns=41 * S,
        ci_low_ns=40 * S,
        ci_high_ns=42 * S,
    )


def stored(*measurements: Measurement) -> StoredRun:
    names = tuple(m.implementation for m in measurements)
    bench = BenchRecord("generate", names, names[0], (measurements[0].case_id,))
    return StoredRun(Path("results/paced"), replace(run(), benches=(bench,)), measurements)


def test_no_metric_is_of_the_length_of_its_calls() -> None:
    row = rows_of(run(), [measured("a", 0.5)])[0]
    metrics = {metric.name: metric.value(row) for metric in known_metrics()}
    assert {name: metrics[name] for name in OF_LENGTH} == dict.fromkeys(OF_LENGTH)
    assert metrics["ttft_ns"] == 0.5 * S
    assert metrics["itl_ns"] == 0.25 * S
    assert metrics["offered_per_s"] == pytest.approx(2 / 40)
    assert metrics["answered_per_s"] == pytest.approx(3 / 40.75)
    assert metrics["goodput_per_s"] == pytest.approx(3 / 40.75)


def test_none_is_stored_and_none_takes_turns() -> None:
    blank = replace(measured("a", 0.5), median_ns=None, launches=())
    timed = Timing(bursts(0.5), TIMING, summarise([41 * S] * 40))
    done = with_times(blank, timed, Ceilings("here", 1, 1e12, {}, None, 0.0))
    assert (done.outcome, done.median_ns, done.ci_low_ns) == (Outcome.PASSED, None, None)
    assert len(done.launches[0].bursts) == 2
    assert contenders([measured("a", 0.5), measured("b", 0.6)]) == []
    assert isinstance(point_or_miss(run(), measured("a", 0.5)), Miss)


def test_the_table_shows_what_it_measures(capsys: pytest.CaptureFixture[str]) -> None:
    show(stored(measured("naive", 0.5), measured("sdpa", 0.75)), discover())
    said = capsys.readouterr().out
    assert "latency (" not in said
    assert "of measured ceiling" not in said
    assert "41.0 s" not in said
    for heading in ("TTFT", "ITL", "output, tok/s", "goodput, req/s"):
        assert heading in said
    assert "500 ms" in said
    assert "paced by its arrivals (trace@times_txt)" in " ".join(said.split())


def test_a_comparison_is_of_what_it_measures() -> None:
    found = compare([stored(measured("sdpa", 0.5))], [stored(measured("sdpa", 0.75))])
    ratios = {c.figure: c.ratio for c in found}
    assert ratios["TTFT"] == pytest.approx(1.5)
    assert ratios["ITL"] == pytest.approx(1.0)
    assert {"goodput", "answered", "output"} <= ratios.keys()
    assert all(c.base_ns is None and c.head_ns is None for c in found)
    said = "\n".join(_lines(found, ([], [])))
    row = next(line for line in said.splitlines() if ": TTFT" in line)
    assert re.split(" {2,}", row)[2:4] == ["500 ms", "750 ms"]
    assert "has no latency: what it measures is compared instead" in said


@pytest.mark.parametrize("there", [True, False], ids=["trace there", "trace gone"])
def test_the_report_shows_what_it_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    """The report of a run needs no file that was the run's."""
    monkeypatch.chdir(tmp_path)
    if there:
        Path("times_txt").write_text("0\n20\n40\n")
    write_report([stored(measured("naive", 0.5), measured("sdpa", 0.75))], tmp_path / "out", ("markdown", "csv"))
    (page,) = (tmp_path / "out").glob("*.md")
    said = page.read_text()
    assert "TTFT 500 ms, ITL 250 ms" in said
    assert "Which to use" not in said
    assert "41.0 s" not in said
    assert ("Batches under load" in said) is there


def test_what_failed_requests_is_shown_and_never_the_one_to_use(capsys: pytest.CaptureFixture[str]) -> None:
    def of(name: str, median_s: float, failure: str | None) -> Measurement:
        requests = (
            RequestLog(0.0, 8, (0.1 * S, 0.2 * S), (1, 2), failure=failure),
            RequestLog(0.0, 8, (0.1 * S,), (2,)),
        )
        whole = Series("latency", "ns", "wall", "lower", (median_s * S,) * 40)
        made = (Burst(0.0, (whole, *series_of(CallLog(requests)))),)
        case = CASE | {"arrivals": "together"}
        ends = {"median_ns": median_s * S, "ci_low_ns": median_s * S, "ci_high_ns": median_s * S}
        return replace(measured(name, 0.5), case=case, launches=(Launch(1, made),), **ends)

    show(stored(of("naive", 1.0, None), of("sdpa", 0.1, "out of pages")), discover())
    said = capsys.readouterr().out
    (heading,) = (line for line in said.splitlines() if line.startswith("implementation"))
    (row,) = (line for line in said.splitlines() if line.startswith("sdpa "))
    assert heading.endswith("failed, requests")
    assert row.endswith(" 1.00")
    assert "fastest: sdpa" not in said
