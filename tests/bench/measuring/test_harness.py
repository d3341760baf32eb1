"""One implementation on one case, in this process: what is stored of it, and what is refused."""

from __future__ import annotations

import itertools
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from attnlab.bench import Registry, discover, implements
from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.operator_spec import Operator
from attnlab.bench.contract.registry import Implementation
from attnlab.bench.errors import ClockUnsupported
from attnlab.bench.machine.clocks import cuda_clocks
from attnlab.bench.measuring import renewal
from attnlab.bench.measuring.case_sampling import CaseSampling
from attnlab.bench.measuring.finish import finish_beside
from attnlab.bench.measuring.harness import measure, prepared_case, time_case
from attnlab.bench.measuring.judging import verdicts
from attnlab.bench.measuring.plausibility import judge_speed
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.measuring.timing import Effort
from attnlab.bench.store.machine import Ceilings, PublishedPeaks
from attnlab.bench.store.records import Measurement, Outcome, Series, TimingRecord

LITTLE = Effort(target=0.9, sampling_limit_s=5.0, warmup_limit_s=5.0, least_s=1e-9, least_bursts=1)
NO_CEILINGS = Ceilings("here", 1, 1e12, {}, None, 0.0)


@pytest.fixture
def toy(plugins_forgotten: None, helpers: Path) -> Operator[Any, Any]:
    return discover((str(helpers / "toy_operator.py"),)).operators.get("toy")


@pytest.fixture
def setup(fake_clock: Any) -> Setup:
    clocks = (fake_clock((1e6, 1.01e6)), fake_clock((2e6,), name="beside"))
    return Setup(torch.device("cpu"), clocks, NO_CEILINGS, LITTLE)


def implementation(target: Any) -> Implementation:
    own = Registry()
    implements("toy", name="mine", into=own)(target)
    (made,) = own.all_implementations()
    return made


def case(toy: Operator[Any, Any], text: str = "N8") -> Case:
    return toy.case_type.parse(text)


class Twice:
    """Right, and configured."""

    def prepare(self, case: Any, inputs: Any) -> float:
        return 2.0

    def configuration(self, case: Any) -> str:
        return "tile 64"

    def run(self, inputs: Any, state: float) -> Any:
        return inputs.x * state


def test_what_is_stored_of_a_right_result(toy: Operator[Any, Any], setup: Setup) -> None:
    told: list[str] = []
    m = measure(toy, case(toy), implementation(Twice), replace(setup, announce=told.append))
    assert m.outcome is Outcome.PASSED
    assert (m.operator, m.implementation, m.case_id, m.case) == ("toy", "mine", "N8", {"n": 8})
    assert (m.operations, m.bytes_moved, m.configuration) == (8, 64, "tile 64")
    assert m.median_ns == pytest.approx(1.005e6)
    assert m.ci_low_ns == 1e6
    assert m.ci_high_ns == 1.01e6
    assert (m.timing.clock, m.timing.cache, m.timing.copies) == ("fake", "warm", 2)
    assert (m.timing.warmup_stable, m.timing.stopped) == (True, "target")
    assert len(m.values("latency", "fake")) == m.timing.samples > 20
    assert len(m.values("latency", "beside")) == m.timing.samples
    assert len(m.values("setup")) == len(m.values("peak_memory")) == 1
    assert [launch.process for launch in m.launches] == [os.getpid()]
    assert m.flags == ()
    assert told == ["inputs", "set-up", "check", "inputs", "timing", "check timed", "memory"]
    assert set(m.phases_ns) == set(told)


def test_memory_that_torch_does_not_see_is_not_measured(toy: Operator[Any, Any], setup: Setup) -> None:
    m = measure(toy, case(toy), replace(implementation(Twice), memory_seen=False), setup)
    assert m.outcome is Outcome.PASSED
    assert (m.values("peak_memory"), len(m.values("setup"))) == ([], 1)


def test_every_set_of_inputs_is_checked(toy: Operator[Any, Any], setup: Setup) -> None:
    m = measure(toy, case(toy), implementation(Twice), setup)
    sets, timed = [s.inputs for s in m.check.sets], ["timed"] * renewal.SHARED
    assert sets[:3] == ["drawn", "redrawn", "needles"]
    assert sets[3:] in (timed, [*timed, "timed"]), "one more where a call was made again"
    assert m.check.deterministic is True


def test_what_returns_before_its_work_is_done_has_no_time(toy: Operator[Any, Any], setup: Setup) -> None:
    async def later(inputs: Any) -> Any:
        return inputs.x * 2

    m = measure(toy, case(toy), implementation(lambda inputs: later(inputs)), setup)
    assert (m.outcome, m.median_ns) == (Outcome.FAILED, None)
    assert m.reason == (
        "returns a coroutine, whose work is done where it is awaited; give a function that does so, such as lambda: "
        "asyncio.run(f())"
    )


def test_calls_alternate_between_two_sets_of_inputs(
    toy: Operator[Any, Any], setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(renewal, "AGAIN", 0)
    monkeypatch.setattr(renewal, "SHARED", 0)
    monkeypatch.setattr(renewal.Renewal, "finished", lambda self: [])
    monkeypatch.setattr(verdicts.Findings, "timed", 1)

    def watch(inputs: Any) -> Any:
        seen.append(inputs.x.data_ptr())
        return inputs.x * 2

    m = measure(toy, case(toy), implementation(watch), replace(setup, clocks=setup.clocks[:1]))
    assert m.timing.copies == 2
    timed = seen[6:-1]  # two calls on each of three sets were checked; the last one is that of memory
    assert len(set(timed)) == 2
    assert all(a != b for a, b in itertools.pairwise(timed))


def test_a_timed_output_that_is_wrong_has_no_figure_of_speed(toy: Operator[Any, Any], setup: Setup) -> None:
    calls = itertools.count()

    def tires(inputs: Any) -> Any:
        return inputs.x * (2 if next(calls) < 6 else 3)

    m = measure(toy, case(toy), implementation(tires), setup)
    assert m.outcome is Outcome.WRONG_VALUES
    assert "on timed inputs" in m.reason
    assert (m.median_ns, m.launches, m.timing) == (None, (), None)


@pytest.mark.parametrize(
    ("method", "answer", "reason"),
    [
        ("supports", False, "supports(case) returned False; expected None, or a text that says why"),
        ("supports", 1, "supports(case) returned 1"),
        ("configuration", {"tile": 64}, "configuration(case) returned {'tile': 64}"),
        ("untimed", True, "untimed(device_kind) returned True"),
    ],
)
def test_methods_that_answer_nonsense(
    toy: Operator[Any, Any], setup: Setup, method: str, answer: object, reason: str
) -> None:
    broken = replace(implementation(Twice), **{method: lambda _: answer})
    m = measure(toy, case(toy), broken, setup)
    assert m.outcome is Outcome.FAILED
    assert reason in m.reason


def test_a_reason_makes_an_implementation_unavailable(toy: Operator[Any, Any], setup: Setup) -> None:
    m = measure(toy, case(toy), replace(implementation(Twice), supports=lambda _: "odd sizes only"), setup)
    assert (m.outcome, m.reason) == (Outcome.UNAVAILABLE, "odd sizes only")


def test_what_an_interpreter_runs_is_checked_and_not_timed(toy: Operator[Any, Any], setup: Setup) -> None:
    m = measure(toy, case(toy), replace(implementation(Twice), untimed=lambda _: "interpreted"), setup)
    assert (m.outcome, m.untimed, m.median_ns, m.launches) == (Outcome.PASSED, "interpreted", None, ())
    assert m.check.sets


@pytest.mark.parametrize("figure", ["operations", "bytes_moved"])
def test_a_contract_that_fails_is_an_outcome_too(toy: Operator[Any, Any], setup: Setup, figure: str) -> None:
    def fails(case: Any) -> int:
        raise ArithmeticError("no formula")

    m = measure(replace(toy, **{figure: fails}), case(toy), implementation(Twice), setup)
    assert m.outcome is Outcome.FAILED
    assert m.reason == "ArithmeticError: no formula"
    assert "in fails" in m.detail


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (MemoryError(), Outcome.OUT_OF_MEMORY),
        (torch.OutOfMemoryError("CUDA"), Outcome.OUT_OF_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), Outcome.OUT_OF_MEMORY),
        (RuntimeError("shapes differ"), Outcome.FAILED),
    ],
)
def test_exceptions_are_told_apart(toy: Operator[Any, Any], setup: Setup, error: Exception, outcome: Outcome) -> None:
    def raises(inputs: Any) -> Any:
        raise error

    m = measure(toy, case(toy), implementation(raises), setup)
    assert m.outcome is outcome
    assert m.check is None, "nothing was compared"
    assert type(error).__name__ in m.reason
    assert "in raises" in m.detail


def test_limits_that_were_hit_are_flagged(toy: Operator[Any, Any], setup: Setup, fake_clock: Any) -> None:
    restless = fake_clock((1e6, 9e6, 2e6, 7e6))
    effort = Effort(target=1e-6, sampling_limit_s=1e-9, warmup_limit_s=1e-9)
    m = measure(toy, case(toy), implementation(Twice), replace(setup, clocks=(restless,), effort=effort))
    assert "warm-up ended by its time limit, not because the time was stable" in m.flags
    assert "sampling ended by its time limit, before the interval was as narrow as asked" in m.flags


def test_a_clock_that_could_not_be_had_is_flagged(toy: Operator[Any, Any], setup: Setup) -> None:
    class Refuses:
        name = "picky"

        def start(self, calls: Any, bytes_a_call: int, plan: Any = None) -> Any:
            assert bytes_a_call == 64, "what the contract counts"
            raise ClockUnsupported("the call allocates")

    m = measure(toy, case(toy), implementation(Twice), replace(setup, clocks=(Refuses(), *setup.clocks)))
    assert (m.outcome, m.timing.clock) == (Outcome.PASSED, "fake")
    assert "no times by clock picky: the call allocates" in m.flags


def on_simulated_gpu(gpu: Any, make: Any) -> Implementation:
    """Right results, by a kernel of 2 µs on the simulated GPU; `make` wraps its launch."""

    def run(inputs: Any) -> Any:
        out = torch.empty_like(inputs.x)
        x = f"x at {inputs.x.data_ptr()}", 64
        make(gpu.kernel("toy", 2e3, x, does=lambda: torch.mul(inputs.x, 2, out=out)))()
        return out

    return implementation(run)


def test_tiny_calls_on_a_gpu_rotate_through_more_inputs_than_its_l2_holds(
    toy: Operator[Any, Any], setup: Setup, fake_gpu: ModuleType
) -> None:
    """Calls of 64 bytes and an L2 of 640: twice of it are 20 sets of inputs."""
    gpu = fake_gpu.FakeGpu(l2_bytes=640, miss_ns_per_byte=10.0)
    m = measure(toy, case(toy), on_simulated_gpu(gpu, lambda call: call), replace(setup, clocks=cuda_clocks(gpu)[:2]))
    assert (m.outcome, m.timing.clock, m.timing.cache) == (Outcome.PASSED, "cuda_graph", "cold")
    assert (m.timing.copies, m.timing.calls_a_sample) == (20, 180)
    assert [s.inputs for s in m.check.sets].count("timed") >= renewal.SHARED
    assert m.median_ns == pytest.approx(2e3 + 64 * 10)
    assert m.values("latency", "cuda_events")[0] == pytest.approx(2e3 + 64 * 10)
    assert m.flags == ()
    assert m.launches[0].bursts[0].state.sm_clock_mhz == 2000.0


def test_a_call_that_cannot_be_captured_is_timed_by_events_and_flagged(
    toy: Operator[Any, Any], setup: Setup, fake_gpu: ModuleType
) -> None:
    gpu = fake_gpu.FakeGpu()
    m = measure(toy, case(toy), on_simulated_gpu(gpu, gpu.waiting), replace(setup, clocks=cuda_clocks(gpu)[:2]))
    assert (m.outcome, m.timing.clock) == (Outcome.PASSED, "cuda_events")
    assert m.flags[0].startswith("no times by clock cuda_graph: it cannot be captured in a CUDA graph: operation not")


def test_an_interval_that_cannot_be_had_is_missing_not_infinite(toy: Operator[Any, Any], setup: Setup) -> None:
    m = measure(toy, case(toy), implementation(Twice), replace(setup, effort=Effort(max_samples=2)))
    assert m.timing.samples == 2
    assert m.timing.stopped == "limit of samples"
    assert math.isfinite(m.median_ns)
    assert (m.ci_low_ns, m.ci_high_ns) == (None, None)


COLD = TimingRecord("fake", "cold", 2, 5, 1e6, True, 20, "target")
WARM = replace(COLD, cache="warm")
# A case of 1e9 FLOP and 1e6 bytes: 1 ms at 1 TFLOP/s, 1 µs at 1 TB/s.
TIMED = Measurement(
    "attention",
    "mine",
    {"dtype": "float32"},
    "fp32",
    Outcome.PASSED,
    timing=COLD,
    operations=10**9,
    bytes_moved=10**6,
    median_ns=1e6,
    ci_low_ns=9e5,
    ci_high_ns=1.1e6,
)
DEVICE = Ceilings("gpu", 1, 5e11, {"float32": 5e11}, PublishedPeaks(1e12, {"float32": 1e12}), 0.0)


def test_faster_than_light_is_refused_without_a_figure() -> None:
    m = judge_speed(replace(TIMED, median_ns=0.94e6), DEVICE)
    assert m.outcome is Outcome.FAILED
    assert m.reason == "faster than light: took 940 µs where the published peaks allow no less than 1.00 ms"
    assert (m.median_ns, m.ci_low_ns, m.ci_high_ns, m.launches, m.timing) == (None, None, None, (), None)


def test_as_fast_as_light_is_accepted() -> None:
    """That it passes the measured ceiling is worked out by who reads it: the ceiling may be measured again."""
    m = judge_speed(replace(TIMED, median_ns=0.96e6), DEVICE)
    assert m.outcome is Outcome.PASSED
    assert m.median_ns == 0.96e6
    assert m.flags == ()


def test_below_the_ceilings_nothing_is_said() -> None:
    assert judge_speed(replace(TIMED, median_ns=2.1e6), DEVICE).flags == ()


def test_warm_caches_refute_nothing() -> None:
    m = judge_speed(replace(TIMED, median_ns=1e5, timing=WARM), DEVICE)
    assert m.outcome is Outcome.PASSED
    assert m.median_ns == 1e5


def test_without_published_or_measured_rates_nothing_is_judged() -> None:
    unknown = replace(TIMED, median_ns=1.0, case={"n": 8})
    assert judge_speed(unknown, DEVICE) == unknown
    assert judge_speed(replace(TIMED, median_ns=1.0), replace(DEVICE, published=None)).outcome is Outcome.PASSED


def test_observed_calls_of_two_processes_meet_the_same_contents_by_the_hosts_clock(
    toy: Operator[Any, Any], setup: Setup
) -> None:
    """As the arms of a gate do, whatever each took to warm up, and whichever clocks the device has."""

    def observe(inputs: Any, outputs: Any) -> tuple[Series, ...]:
        return (Series("held", "1", None, "lower", tuple(inputs.x.tolist())),)

    observed = replace(toy, observe=observe)
    held = []
    for warm_up_calls in (1, 3):
        with prepared_case(observed, case(toy), implementation(Twice), setup, check=False) as prepared:
            (method,) = prepared.methods().timers
            for _ in range(warm_up_calls):
                prepared.call.renew()
                prepared.call()
            sampling = CaseSampling(prepared, method.clock, method.plan)
            held.append([sampling.burst().series[-1].values for _ in range(4)])
            measurement, beside = finish_beside(prepared, sampling)
        assert (method.clock, measurement.outcome) == ("wall", Outcome.PASSED)
        assert {"setup", "first_call", "peak_memory"} <= {series.quantity for series in beside}
    assert held[0] == held[1]
    assert len(set(held[0])) == 4


@pytest.mark.parametrize("check", [True, False])
def test_the_first_call_is_timed_wherever_it_is(check: bool, toy: Operator[Any, Any], setup: Setup) -> None:
    calls = itertools.count()

    def lazy(inputs: Any) -> Any:
        if not next(calls):
            time.sleep(0.03)
        return inputs.x * 2

    with prepared_case(toy, case(toy), implementation(lazy), setup, check) as prepared:
        measured = time_case(prepared)
    (first_ns,) = measured.values("first_call")
    assert first_ns >= 3e7
