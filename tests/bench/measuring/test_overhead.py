"""The benchmark of what a suite's time goes to, on a run whose every second is known."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from attnlab.bench.store.records import Burst, HostState, Launch, Measurement, Outcome, Series, Turn
from attnlab.bench.store.run_folder import StoredRun, read_run

ROOT = Path(__file__).parents[3]
FIXTURE = Path(__file__).parents[1] / "store" / "fixtures" / "schema-5"


def burst(started_s: float, seconds: float) -> Burst:
    series = (Series("latency", "ns", "wall", "lower", (seconds * 1e9,)),)
    return Burst(started_s, series, host=HostState(seconds * 1e9, 0.0, 0))


def test_the_shares_sum_to_the_time_from_start_to_last_burst() -> None:
    """A start of 3 s, set-up 1 s, check 2 s, warm-up 0.5 s, sampling 1.5 s, then 4 s of turns with 1 s timed."""
    spec = importlib.util.spec_from_file_location("overhead", ROOT / "benchmarks" / "overhead.py")
    assert spec is not None
    assert spec.loader is not None
    overhead = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = overhead
    spec.loader.exec_module(overhead)
    run = read_run(FIXTURE).run
    start_s = datetime.fromisoformat(run.started).timestamp()
    m = Measurement(
        "toy",
        "a",
        {},
        "N4",
        Outcome.PASSED,
        launches=(Launch(1, (burst(start_s + 6.5, 0.5), burst(start_s + 7.5, 0.5))),),
        turns=(Turn(1, Launch(2, (burst(start_s + 11.0, 1.0),))),),
        phases_ns={"set-up": 1e9, "check": 2e9, "timing": 2e9},
    )
    shares = overhead.shares(StoredRun(FIXTURE, replace(run, run_id="r"), (m,)))
    found = {share.name: share.seconds for share in shares}
    assert found == {
        "set-up": pytest.approx(1.0),
        "checking": pytest.approx(2.0),
        "warming": pytest.approx(0.5),
        "timing": pytest.approx(1.5),
        "timing, in turns": pytest.approx(1.0),
        "turns: processes, set-up, warm-up": pytest.approx(3.0),
        "the rest: processes, idle": pytest.approx(3.0),
    }
    assert overhead.overhead(shares) == pytest.approx(7 / 12)
