"""What a run is estimated to take, and the time left while it goes on: on committed runs, played back, and by hand."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench import discover
from attnlab.bench.measuring.forecast import paces
from attnlab.bench.measuring.forecast.run_cost import RunCost, run_cost
from attnlab.bench.measuring.forecast.step_costs import StepCost, Terms, Work, step_cost
from attnlab.bench.measuring.forecast.time_left import TimeLeft
from attnlab.bench.measuring.forecast.turns import Contest, TurnsLeft, turns_s
from attnlab.bench.measuring.steps import Step
from attnlab.bench.measuring.stopping import Effort
from attnlab.bench.measuring.suite import Bench, Suite, make_effort, quick_look
from attnlab.bench.store.machine import Ceilings, Device
from attnlab.bench.store.records import Measurement, Outcome, TimingRecord

ROOT = Path(__file__).parents[3]
CPU = Device("cpu", "a processor")
CEILINGS = Ceilings("a processor", 2, 2e10, {"float32": 1e11, "bfloat16": 3e11, "float16": 1e9}, None, 0.0)


@pytest.fixture(scope="module")
def script() -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("attnlab_forecast", ROOT / "benchmarks" / "forecast.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


RUNS = {
    "20261122-081015-quick": 0.9,
    "20261122-125720-decode-quick": 0.9,
    "20261126-160740-generate-quick": 0.7,
    "h100/20261126-151714-attention": 0.9,
    "h100/20261126-151801-decode_attention": 0.6,
}
"""At least so many of the moments from the middle on have to be right within a third, or by five seconds."""


@pytest.mark.parametrize("name", RUNS)
def test_committed_runs_are_foretold(name: str, script: Any) -> None:
    """Beforehand within a factor of two, and from the middle on within a third."""
    from attnlab.bench.store.run_folder import read_run

    found = script.replay(read_run(ROOT / "results" / name), discover())
    assert 0.5 < found.ratio < 2
    late = found.late
    assert len(late) > 10
    assert sum(moment.within_a_third for moment in late) / len(late) >= RUNS[name]


@lru_cache
def steps(names: Sequence[str], cases: Sequence[str], rounds: int = 0) -> list[Step]:
    parse = discover().operators.get("attention").case_type.parse
    return [Step("attention", name, parse(case), rounds) for case in cases for name in names]


def cost_of(made: Sequence[Step], **effort: Any) -> RunCost:
    return run_cost(made, discover(), Terms(CPU, CEILINGS, make_effort({"turns": 0, **effort})), cores=2)


def test_longer_cases_and_longer_sampling_take_longer() -> None:
    short, long = cost_of(steps(("naive",), ("Sq256-bf16",))), cost_of(steps(("naive",), ("Sq8192-bf16",)))
    assert long.seconds > 5 * short.seconds
    assert long.bytes > 100 * 2**20 + short.bytes
    patient = cost_of(steps(("naive",), ("Sq256-bf16",)), sampling_limit_s=60.0)
    assert patient.seconds == short.seconds, "a short call is known well enough long before"
    hasty = cost_of(steps(("naive",), ("Sq256-bf16",)), sampling_limit_s=0.1)
    assert short.seconds - hasty.seconds == pytest.approx(1.9)


def test_a_slow_product_of_half_precision_does_not_set_the_estimate() -> None:
    """Some CPUs have none to speak of, and implementations compute in float32."""
    half, single = cost_of(steps(("naive",), ("Sq2048-fp16",))), cost_of(steps(("naive",), ("Sq2048-fp32",)))
    assert half.seconds < 1.5 * single.seconds


def test_what_cannot_run_here_takes_no_time() -> None:
    found = cost_of(steps(("flash_attn", "sdpa_cudnn"), ("Sq256-bf16",)))
    assert (found.running, found.processes, found.bytes) == ((), 0, 0)
    assert found.seconds < 1
    large, small = steps(("triton",), ("Sq8192-bf16", "Hq1-Sq16-bf16"))
    assert [one.runs for one in cost_of([large, small]).steps] == [False, True], "the interpreter's limit is known"


def test_code_of_others_is_not_run_for_an_estimate() -> None:
    (step,) = steps(("naive",), ("Sq256-bf16",))

    def raises(*_: object) -> str:
        raise AssertionError("was called")

    ours = discover().implementations("attention").get("naive")
    theirs = replace(ours, module="their_plugin", supports=raises, untimed=raises)
    operator = discover().operators.get("attention")
    cost = step_cost(step, operator, theirs, Terms(CPU, CEILINGS, Effort()), first_case=True, first_call=True)
    assert cost.runs


def test_scores_that_are_kept_count_as_memory() -> None:
    (one,) = cost_of(steps(("naive",), ("Hq8-Sq4096-bf16",))).steps
    assert one.plain_bytes == 3 * 4 * 8 * 4096**2
    assert one.bytes > one.plain_bytes


def test_a_model_is_held_once_however_often_a_call_reads_it() -> None:
    operator = discover().operators.get("generate")
    case = operator.case_type.parse("summarise-N24-fp32")
    assert operator.input_bytes is not None
    assert 5e8 < operator.input_bytes(case) < 1e9
    assert operator.bytes_moved(case) > 10 * operator.input_bytes(case)


def test_a_table_counts_as_memory_although_a_few_rows_are_read() -> None:
    operator = discover().operators.get("embedding")
    case = operator.case_type.parse("M16-N1024-V32000-bf16")
    assert operator.input_bytes is not None
    assert operator.input_bytes(case) == 8 * 16 + 2 * 32000 * 1024
    assert operator.bytes_moved(case) < operator.input_bytes(case)


def test_a_quick_look_is_shorter() -> None:
    suite = Suite("mine", (Bench("attention", (), rounds=6),), effort={"turns": 6, "warmup_limit_s": 0.01})
    quick = quick_look(suite)
    assert quick.effort["warmup_limit_s"] == 0.01, "what is quicker stays"
    assert quick.effort["turns"] == 0
    assert quick.benches[0].rounds == 2
    assert make_effort(quick.effort).quick
    made = steps(("naive", "sdpa_flash"), ("Sq1024-bf16",))
    assert cost_of(made, **quick.effort).seconds < 0.7 * cost_of(made, **suite.effort).seconds


# The time left, on steps that were made up.


def costs(made: Sequence[Step], seconds: float = 1.0) -> RunCost:
    """Each checked and timed for so long."""
    work = {"check": Work(seconds), "timing": Work(seconds)}
    return RunCost(tuple(StepCost(step, work) for step in made), 1, 4.0, 0.0, 0.0, 0, None)


def passed(step: Step, **more: Any) -> Measurement:
    return Measurement("attention", step.implementation, {}, step.case.id, Outcome.PASSED, **more)


def test_time_left_learns_from_steps_that_are_done() -> None:
    made = steps(("naive",), tuple(f"Sq{n}-bf16" for n in range(1, 41)))
    left = TimeLeft(costs(made), 0, 2, begun_s=0.0)
    each = 2 + paces.STEP_S
    assert left.left(0.0) == pytest.approx(4 + 40 * each)
    assert left.left(3.0) == pytest.approx(1 + 40 * each), "it starts meanwhile"
    now = 4.0
    for step in made[:20]:
        left.begin(now)
        for phase in ("check", "timing"):
            left.phase(step, phase, now)
            now += 3.0
        left.end(step, passed(step), now)
    assert left.left(now) == pytest.approx(20 * 6.0, rel=0.1), "each phase takes three times as long as was thought"


def test_a_phase_that_runs_is_taken_off_until_it_is_over() -> None:
    (step,) = steps(("naive",), ("Sq16-bf16",))
    left = TimeLeft(costs([step]), 0, 2, begun_s=0.0)
    left.begin(1.0)
    left.phase(step, "check", 1.0)
    assert left.left(1.0) - left.left(1.5) == pytest.approx(0.5)
    assert left.left(9.0) == pytest.approx(1.0 + paces.STEP_S), "what comes after it is never taken off"
    left.phase(step, "timing", 9.0)
    left.end(step, passed(step), 10.0)
    assert left.left(10.0) == 0.0


def test_a_step_that_fails_early_is_waited_for_no_more() -> None:
    made = steps(("naive",), ("Sq16-bf16", "Sq32-bf16"))
    left = TimeLeft(costs(made, 10.0), 0, 2, begun_s=0.0)
    left.begin(0.0)
    left.end(made[0], replace(passed(made[0]), outcome=Outcome.UNAVAILABLE), 0.0)
    assert left.left(0.0) == pytest.approx(20.0 + paces.STEP_S)


def test_bursts_in_turn_are_taken_off_one_by_one() -> None:
    made = steps(("naive", "sdpa_flash"), ("Sq16-bf16",), rounds=4)
    left = TimeLeft(costs(made, 8.0), 0, 2, begun_s=0.0)
    now = 0.0
    for step in made:
        left.begin(now)
        left.phase(step, "check", now)
        now += 8.0
    for _ in range(2):
        for step in made:
            left.burst(step, now)
            now += 2.0
    assert left.left(now) == pytest.approx(2 * 4.0 + 2 * paces.STEP_S)


def timed(implementation: str, median_ns: float) -> Measurement:
    timing = TimingRecord("wall", "warm", 2, 1, 1e6, True, 64, "target")
    (step,) = steps((implementation,), ("Sq64-bf16",))
    return passed(step, timing=timing, median_ns=median_ns, phases_ns={"set-up": 1e9, "check": 9e9})


@pytest.mark.parametrize(("slower", "contested"), [(1.1, True), (3.0, False)])
def test_who_takes_turns_is_known_once_a_case_is_measured(slower: float, contested: bool) -> None:
    made = steps(("naive", "sdpa_flash"), ("Sq64-bf16",))
    left = TurnsLeft(costs(made).running, rounds=6, cores=2)
    assert left.left(0.0) > 0
    for step, ns in zip(made, (1e6 * slower, 1e6), strict=True):
        left.measured(step, timed(step.implementation, ns))
    assert (left.left(0.0) > 0) == contested
    if contested:
        both = Contest("attention", 2 * (1.0 + paces.BURSTS_A_TURN_S), frozenset({"naive", "sdpa_flash"}), 2)
        assert left.left(0.0) == pytest.approx(turns_s([both], 6, 2))


def test_rounds_that_were_taken_tell_how_long_the_others_are() -> None:
    left = TurnsLeft(costs(steps(("naive", "sdpa_flash"), ("Sq64-bf16",))).running, rounds=6, cores=2)
    for number in (1, 2, 3):
        left.turn(number, 10.0 * number)
        left.turn(number, 10.0 * number + 4)
    assert left.left(35.0) == pytest.approx(4 * 10.0 - 5.0)
    left.turn(6, 60.0)
    assert left.left(1000.0) == 0.0
