"""A made-up run of attention with every outcome, for tests of reports; no figure in it was measured."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from attnlab.bench.ops.attention.case import AttentionCase
from attnlab.bench.ops.attention.contract import ATTENTION
from attnlab.bench.store.deviations import relative_errors
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
    Turn,
)
from attnlab.bench.store.run_folder import Damage, StoredRun

LEAK_NS = 7_654_321.0  # the time that wrong results carry in the file: must appear nowhere
LENGTHS = (128, 512, 1024, 2048)
SHAPE: dict[str, Any] = {"q_heads": 9, "kv_heads": 3, "mask": "causal", "inputs": "smollm2"}
RATES = {"float32": 140e9, "bfloat16": 450e9, "float16": 90e9}
# name: (share of the rate reached, fixed cost in ns, grows as the square in memory)
SPEEDS = {
    "naive": (0.08, 40_000.0, True),
    "tiled": (0.11, 260_000.0, False),
    "compiled": (0.21, 22_000.0, True),
    "sdpa_math": (0.07, 60_000.0, True),
    "sdpa_flash": (0.47, 12_000.0, False),
    "flex": (0.42, 30_000.0, False),
}
REASONS = {
    "sdpa_cudnn": "needs an NVIDIA GPU",
    "flash_attn": "package flash_attn is not installed",
    "flashinfer": "needs an NVIDIA GPU",
}


def cases() -> list[AttentionCase]:
    sweep = [
        AttentionCase(q_len=length, dtype=dtype, **SHAPE) for dtype in ("bfloat16", "float32") for length in LENGTHS
    ]
    return [
        *sweep,
        AttentionCase(q_heads=9, kv_heads=3, packed="100+37+900", mask="causal"),
        AttentionCase(q_heads=32, kv_heads=8, q_len=333, kv_len=777, head_dim=128, mask="window:256"),
    ]


def check(share: float, deterministic: bool = True) -> CheckRecord:
    off = relative_errors("out", share * 3e-3, 3e-3, share * 0.8 * 2e-2, 2e-2)
    return CheckRecord((SetDeviations("drawn", off),), ("zeros", "shifted"), (), deterministic, 1.0, True)


def measurement(name: str, case: AttentionCase, outcome: Outcome, **rest: Any) -> Measurement:
    return Measurement(
        operator="attention",
        implementation=name,
        case=case.values(),
        case_id=case.id,
        outcome=outcome,
        operations=ATTENTION.operations(case),
        bytes_moved=ATTENTION.bytes_moved(case),
        **rest,
    )


def timing(clock: str = "wall", samples: int = 64) -> TimingRecord:
    return TimingRecord(clock, "warm", 2, 40, 3e8, True, samples, "target")


def launch(samples: list[float], memory: float, setup: float, clock: str = "wall") -> Launch:
    latency = Series("latency", "ns", clock, "lower", tuple(samples))
    beside = Series("latency", "ns", "cpu_time", "lower", tuple(1.8 * s for s in samples))
    after = (
        Series("setup", "ns", "wall", "lower", (setup,)),
        Series("peak_memory", "B", None, "lower", (memory,)),
    )
    return Launch(4321, (Burst(1.7e9, (latency, beside)), Burst(1.7e9, after)))


def timed(
    name: str, case: AttentionCase, outcome: Outcome = Outcome.PASSED, ns: float | None = None, **rest: Any
) -> Measurement:
    """A result that was timed; `rest` replaces fields. Of one that did not pass the raw samples are left."""
    source = random.Random(f"{name} {case.id}")
    share, fixed_ns, square = SPEEDS.get(name, (0.3, 20_000.0, False))
    rate = RATES[case.dtype] * share
    median = ns or fixed_ns + ATTENTION.operations(case) / rate * 1e9 * source.uniform(0.95, 1.05)
    samples = [median * math.exp(source.gauss(0, 0.01)) for _ in range(8)]
    scores = 4.0 * case.q_heads * case.pairs
    memory = scores if square else 64.0 * case.q_heads * case.q_len * (0 if name == "sdpa_flash" else 4)
    how: TimingRecord = rest.get("timing") or timing()
    found = measurement(
        name,
        case,
        Outcome.PASSED,
        check=check(source.uniform(0.1, 0.7), deterministic=name != "flex"),
        timing=how,
        launches=(launch(samples, memory, 2.4e9 if name in ("compiled", "flex") else 3e4, how.clock),),
        median_ns=median,
        ci_low_ns=median * 0.99,
        ci_high_ns=median * 1.012,
    )
    if outcome is Outcome.PASSED:
        found = replace(found, turns=turns(median, how.clock, None if ns else source))
    found = replace(found, **rest)
    return found if outcome is Outcome.PASSED else found.fail(found.reason, found.detail, outcome)


def turns(median_ns: float, clock: str, source: random.Random | None) -> tuple[Turn, ...]:
    """Six rounds of fresh processes, which differ by some thousandths, or not at all."""
    made = []
    for number in range(1, 7):
        process_ns = median_ns * math.exp(source.gauss(0, 0.002) if source else 0.0)
        bursts = [Burst(1.7e9, (Series("latency", "ns", clock, "lower", (process_ns,) * 3),)) for _ in range(4)]
        made.append(Turn(number, Launch(5000 + number, tuple(bursts))))
    return tuple(made)


def measure(name: str, case: AttentionCase) -> Measurement:
    """What a run might have found of one implementation on one case."""
    if name in REASONS:
        return measurement(name, case, Outcome.UNAVAILABLE, reason=REASONS[name])
    if name == "triton":
        why = "runs in Triton's interpreter, whose speed says nothing"
        return measurement(name, case, Outcome.PASSED, check=check(0.4), untimed=why)
    if name == "mine" and case.mask.kind == "causal":
        reason = "out on drawn inputs: relative RMS error 2.10e-02 (allowed 3.00e-03)"
        return timed(name, case, Outcome.WRONG_VALUES, LEAK_NS, reason=reason, check=check(7.0))
    if name == "flex" and case.q_len == 2048:
        return measurement(name, case, Outcome.TIMED_OUT, reason="took longer than 60 s")
    if name == "sdpa_math" and case.q_len == 2048 and case.dtype == "float32":
        detail = "Traceback (most recent call last):\n  …\nMemoryError: 2.3 GiB"
        return measurement(name, case, Outcome.OUT_OF_MEMORY, reason="can't allocate memory", detail=detail)
    if name == "flex" and case.packed:
        return measurement(name, case, Outcome.UNAVAILABLE, reason="packed sequences are not served")
    if name == "flex" and case.q_len == 512:  # level with the fastest
        return timed(name, case, ns=1.005 * (timed("sdpa_flash", case).median_ns or 0.0))
    if name == "tiled" and case.q_len == 128:
        flag = "sampling ended by its time limit, before the interval was as narrow as asked"
        return timed(name, case, flags=(flag,))
    return timed(name, case)


def environment(device: Device | None = None) -> Environment:
    return Environment(
        device=device or Device("cpu", "Example Processor 9000", memory_bytes=8 << 30, cache_bytes=32 << 20),
        processor="Example Processor 9000",
        cores=4,
        affinity=(0, 1),
        threads=2,
        memory_bytes=8 << 30,
        system="Linux-6.1-x86_64",
        python="3.11.2",
        packages={"torch": "2.13.0", "triton": "3.7.1", "numpy": "2.3.0"},
        governor="performance",
        load_average=0.42,
        variables={"OMP_NUM_THREADS": "2"},
        revision="0123456789abcdef0123456789abcdef01234567",
        dirty=True,
    )


def stored_run(
    run_id: str = "20260102-030405-quick",
    extra: tuple[Measurement, ...] = (),
    published: bool = False,
    **rest: Any,
) -> StoredRun:
    """The run as if read from disk; `extra` results are appended, `rest` replaces fields of the record."""
    names = (*SPEEDS, "triton", "mine", *REASONS)
    chosen = cases()
    bench = BenchRecord("attention", names, "naive", tuple(case.id for case in chosen))
    sheet = PublishedPeaks(80e9, {"bfloat16": 900e9, "float32": 300e9}) if published else None
    record = RunRecord(
        run_id=run_id,
        suite="quick",
        started="2026-01-02T03:04:05+00:00",
        command="attnlab run quick --device cpu",
        benches=(bench,),
        environment=environment(),
        ceilings=Ceilings("Example Processor 9000", 2, 21e9, RATES, sheet, 1.7e9),
        seed=7,
    )
    found = tuple(measure(name, case) for name in names for case in chosen)
    damage = Damage(Path("results/example/measurements.jsonl"), 12, "unreadable measurement: cut")
    return StoredRun(Path("results/example"), replace(record, **rest), (*found, *extra), (damage,))
