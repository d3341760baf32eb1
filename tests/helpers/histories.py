"""Made-up runs over some days, for tests of histories; no figure in them was measured."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from attnlab.bench.store.machine import Ceilings, Device, Environment
from attnlab.bench.store.records import BenchRecord, Measurement, Outcome, RunRecord, TimingRecord
from attnlab.bench.store.run_folder import RunWriter, StoredRun, read_runs

CASE = "Sq512-bf16-causal"
OLD, NEW = "2.12.0", "2.13.0"  # of torch


def environment(**changed: Any) -> Environment:
    """`torch` and `revision` may be given for short; other names are the record's fields."""
    packages = {"torch": changed.pop("torch", OLD), "numpy": "2.1.0"}
    plain = Environment(
        device=Device("cpu", "Processor 9000", memory_bytes=1 << 34, cache_bytes=1 << 25),
        processor="Processor 9000",
        cores=4,
        affinity=(0, 1),
        threads=2,
        memory_bytes=1 << 34,
        system="Linux-6.1",
        python="3.11.8",
        packages=packages,
        governor="performance",
        load_average=0.2,
        variables={"OMP_NUM_THREADS": "2"},
        revision="a" * 40,
        dirty=False,
    )
    return replace(plain, **changed)


def measured(
    median_ns: float | None,
    implementation: str = "sdpa_flash",
    case_id: str = CASE,
    clock: str = "wall",
    cache: str = "warm",
    **rest: Any,
) -> Measurement:
    """A right result with a time, or without one; `rest` replaces fields."""
    timing = TimingRecord(clock, cache, 2, 40, 3e8, True, 64, "target") if median_ns is not None else None
    plain = Measurement(
        operator="attention",
        implementation=implementation,
        case={"dtype": "bfloat16"},
        case_id=case_id,
        outcome=Outcome.PASSED,
        timing=timing,
        untimed=None if timing else "runs in Triton's interpreter",
        fingerprint="f" * 16,
        median_ns=median_ns,
        ci_low_ns=median_ns and 0.995 * median_ns,
        ci_high_ns=median_ns and 1.005 * median_ns,
    )
    return replace(plain, **rest)


def stored(
    number: int, measurements: Sequence[Measurement], machine: Environment | None = None, **rest: Any
) -> StoredRun:
    """The run of day `number`, as if read from disk; `rest` replaces fields of its record."""
    begun = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=number)
    record = RunRecord(
        run_id=f"{begun:%Y%m%d-%H%M%S}-quick",
        suite="quick",
        started=begun.isoformat(),
        command="attnlab run quick",
        benches=(BenchRecord("attention", ("sdpa_flash",), None, (CASE,)),),
        environment=machine or environment(),
        ceilings=Ceilings("Processor 9000", 2, 2e10, {"bfloat16": 4e11}, None, 0.0),
        seed=7,
    )
    record = replace(record, **rest)
    return StoredRun(Path(record.run_id), record, tuple(measurements))


def medians_ns(count: int, seed: int = 0, noise: float = 0.015, level_ns: float = 1e6) -> list[float]:
    source = random.Random(seed)
    return [level_ns * (1 + source.gauss(0, noise)) for _ in range(count)]


def upgraded(count: int = 20, at: int = 12, factor: float = 1.1) -> list[StoredRun]:
    """A new torch makes everything slower from run `at` on; each run is of another revision."""
    return [
        stored(
            n,
            [measured(median * (factor if n >= at else 1))],
            environment(torch=NEW if n >= at else OLD, revision=f"{n:02d}" * 20),
        )
        for n, median in enumerate(medians_ns(count))
    ]


def write(runs: Sequence[StoredRun], folder: Path) -> list[StoredRun]:
    """Write them as `attnlab run` does, and read them again."""
    for run in runs:
        writer = RunWriter.create(folder, run.run)
        for measurement in run.measurements:
            writer.append(measurement)
        writer.close()
    return read_runs(folder)
