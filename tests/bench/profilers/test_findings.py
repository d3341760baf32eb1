"""Each finding is made from figures that show it, and from no others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from attnlab.bench.llm.generation import logs
from attnlab.bench.profilers.comparison import compared_figures, compared_parts
from attnlab.bench.profilers.findings import findings, parts
from attnlab.bench.profilers.profiles import CaseProfile
from attnlab.bench.profilers.record import (
    KERNEL,
    OPERATION,
    SPAN,
    CallPart,
    Listing,
    ProfileFinding,
    ToolFigure,
    ToolRecord,
)
from attnlab.bench.reporters.profile_page.differences import told_differences
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import Burst, Launch, Series, TimingRecord, Turn

from .conftest import BUSY, QUIET, record

Make = Callable[..., CaseProfile]
OP = CallPart("aten::mm", OPERATION, 900.0, source="mine.py:7")


def first(case: CaseProfile, ceilings: Ceilings) -> ProfileFinding:
    return findings(case, ceilings)[0]


def about(case: CaseProfile, ceilings: Ceilings, word: str) -> list[str]:
    return [finding.says for finding in findings(case, ceilings) if finding.about == word]


@pytest.mark.parametrize(
    ("operations", "bytes_moved", "bound"),
    [(10_000_000, 8_000_000, "memory"), (800_000_000, 100_000, "arithmetic"), (10_000_000, 100_000, "latency")],
)
def test_the_contract_says_which_ceiling_is_near(
    operations: int, bytes_moved: int, bound: str, made_profile: Make, ceilings: Ceilings
) -> None:
    case = made_profile(record("torch", OP), operations=operations, bytes_moved=bytes_moved)
    found = first(case, ceilings)
    assert found.about == bound
    assert "by the contract in 1.00 ms" in found.evidence
    assert found.try_


def test_much_time_outside_of_operations_is_python(made_profile: Make, ceilings: Ceilings) -> None:
    torch = record("torch", OP, host_time_of_a_call=1e6, host_time_outside_of_operations=6e5)
    samples = record(
        "samples",
        listings=(Listing("Lines", ("line", "share"), (("mine.py:1 g", "100 %"), ("mine.py:3 f", "71.0 %"))),),
        samples=99,
    )
    found = first(made_profile(torch, samples), ceilings)
    assert found.about == "Python"
    assert "60.0 % of a call" in found.says
    assert "(torch); mine.py:3 f in 71.0 % of samples" in found.evidence, "and not the line that calls all others"
    few = record("torch", OP, host_time_of_a_call=1e6, host_time_outside_of_operations=4e5)
    assert first(made_profile(few), ceilings).about != "Python", "most of the call is in operations"


def test_time_in_a_kernel_in_c_is_not_python(made_profile: Make, ceilings: Ceilings) -> None:
    """Torch sees none of it; what bounds it, ceilings say."""
    torch = record("torch", OP, host_time_of_a_call=1e6, host_time_outside_of_operations=9e5)
    static = ToolRecord("static", figures=(ToolFigure("spills", 0.0, "1", of="linear_rows x86-64-v3"),))
    assert first(made_profile(torch, static), ceilings).about == "latency"
    assert first(made_profile(torch, static, bytes_moved=9_000_000), ceilings).about == "memory"


def test_many_small_operations_are_launches(made_profile: Make, ceilings: Ceilings) -> None:
    figures = {"host_time_of_a_call": 4e5, "host_time_outside_of_operations": 1e4, "operations": 100}
    small = [CallPart(f"aten::op{number}", OPERATION, 1e3) for number in range(4)]
    found = first(made_profile(record("torch", *small, **figures)), ceilings)
    assert found.about == "launches"
    assert "100 operations in 400 µs, 4.00 µs each" in found.evidence
    large = CallPart("aten::attention", OPERATION, 3e5)
    assert first(made_profile(record("torch", large, *small, **figures)), ceilings).about != "launches"


@pytest.mark.parametrize(("launching", "bound"), [(9e4, "launches"), (1e4, "Python")])
def test_a_gpu_that_waits_for_its_host(launching: float, bound: str, made_profile: Make, ceilings: Ceilings) -> None:
    figures = {"kernels": 9, "launches": 9, "time_in_kernels": 2e4, "gaps_between_kernels": 8e4}
    host = {"host_time_of_a_call": 1.5e5, "host_time_in_launches": launching}
    torch = record("torch", CallPart("k", KERNEL, 2e4), **figures, **host)
    found = first(made_profile(torch), ceilings)
    assert found.about == bound
    assert "9 kernels run for 20.0 µs, with gaps of 80.0 µs" in found.evidence


def test_a_gpu_that_is_at_work_throughout_is_not_told_to_wait(made_profile: Make, ceilings: Ceilings) -> None:
    torch = record("torch", CallPart("k", KERNEL, 1e6), kernels=1, time_in_kernels=1e6, host_time_of_a_call=2e4)
    assert first(made_profile(torch), ceilings).about == "latency"


def counted(**figures: float) -> ToolRecord:
    """What Nsight Compute is said to have counted in one kernel."""
    made = tuple(ToolFigure(name.replace("_", " "), value, "1", "k") for name, value in figures.items())
    return ToolRecord("ncu", 1, (CallPart("k", KERNEL, 1e6),), made)


@pytest.mark.parametrize(
    ("memory", "arithmetic", "bound"), [(80, 30, "memory"), (30, 80, "arithmetic"), (30, 30, "latency")]
)
def test_what_the_hardware_counted_goes_before_the_contract(
    memory: float, arithmetic: float, bound: str, made_profile: Make, ceilings: Ceilings
) -> None:
    peaks = {"share of the memory's peak": memory, "share of the multiprocessors' peak": arithmetic}
    ncu = counted(**peaks, **{"stalled: barrier": 1.0, "stalled: long scoreboard": 7.0})
    found = first(made_profile(ncu), ceilings)
    assert found.about == bound
    assert ("long scoreboard" in found.evidence) == (bound == "latency")


def test_a_kernel_with_few_warps_and_idle_tensor_cores(made_profile: Make, ceilings: Ceilings) -> None:
    limits = {"blocks that registers allow": 2.0, "blocks that shared memory allows": 1.0}
    ncu = counted(
        occupancy=12.0,
        **limits,
        **{"tensor cores in use": 1.0, "instructions": 10.0, "conflicts of shared memory": 5.0},
    )
    case = made_profile(ncu, operations=800_000_000)
    said = " ".join(f"{finding.says} {finding.try_}" for finding in findings(case, ceilings))
    assert "Few warps are at work: 12 %" in said
    assert "Use less shared memory a block" in said
    assert "tensor cores are idle" in said
    assert "wait for each other at shared memory" in said
    assert "tensor cores are idle" not in " ".join(about(made_profile(ncu, operations=100), ceilings, "arithmetic"))


def test_counted_bytes_are_set_against_the_contract(made_profile: Make, ceilings: Ceilings) -> None:
    bytes_ = {"bytes read from memory": 250_000.0, "bytes written to memory": 50_000.0}
    assert about(made_profile(counted(**bytes_)), ceilings, "memory") == ["It moves 3 times the bytes of the contract."]


def test_results_between_are_told_where_nothing_was_counted(made_profile: Make, ceilings: Ceilings) -> None:
    much = record("torch", OP, memory_allocated=510_000, peak_of_memory=300_000)
    (said,) = about(made_profile(much), ceilings, "memory")
    assert said.startswith("Results between take 488 KiB, 5 times all that the contract moves")
    few = record("torch", OP, memory_allocated=50_000, peak_of_memory=50_000)
    assert about(made_profile(few), ceilings, "memory") == []


def test_fresh_pages_are_told_where_they_cost(made_profile: Make, ceilings: Ceilings) -> None:
    (said,) = about(made_profile(record("perf", page_faults=1000)), ceilings, "memory")
    assert "3.91 MiB of fresh memory" in said
    assert about(made_profile(record("perf", page_faults=10)), ceilings, "memory") == []


def test_what_takes_longest_is_named_with_its_line(made_profile: Make, ceilings: Ceilings) -> None:
    torch = record("torch", OP, CallPart("aten::copy_", OPERATION, 80.0))
    found = [finding for finding in findings(made_profile(torch), ceilings) if finding.about == "time"]
    assert [finding.says for finding in found] == ["aten::mm takes 91.8 % of the time in operations."]
    assert "mine.py:7" in found[0].evidence
    assert "shapes, dtype" in (found[0].try_ or "")
    idle = record("torch", OP, host_time_of_a_call=1e6)
    assert about(made_profile(idle), ceilings, "time") == [], "most of nothing is not worth a word"


def test_spans_share_a_call(made_profile: Make, ceilings: Ceilings) -> None:
    spans = (CallPart("decode", SPAN, 1.0, 700.0), CallPart("prefill", SPAN, 1.0, 200.0))
    part = CallPart("norm: rmsnorm/torch", SPAN, 1.0, 100.0, count=60)
    torch = record("torch", OP, *spans, part, host_time_of_a_call=1000.0)
    passes, inner = about(made_profile(torch, operator="generate"), ceilings, "spans")
    assert passes == "Of a call, its passes take: decode 70.0 %, prefill 20.0 %."
    assert inner == "Of a call, its parts of the decoder take: norm: rmsnorm/torch 10.0 %."


def test_a_users_own_stretch_is_no_pass(made_profile: Make, ceilings: Ceilings) -> None:
    mine = (CallPart("prefill", SPAN, 1.0, 700.0), CallPart("step: mine", SPAN, 1.0, 200.0))
    (said,) = about(made_profile(record("torch", OP, *mine, host_time_of_a_call=1000.0)), ceilings, "spans")
    assert said == "Of a call, its named stretches take: prefill 70.0 %, step: mine 20.0 %."
    torch = record("torch", OP, CallPart("my stretch", SPAN, 1.0, 100.0), host_time_of_a_call=1000.0)
    (said,) = about(made_profile(torch, operator="generate"), ceilings, "spans")
    assert said.startswith("Of a call, its named stretches take: my stretch")


def test_the_passes_are_those_of_the_log() -> None:
    assert parts.PASSES == logs.PASSES


def test_what_a_tool_says_itself_stands_last(made_profile: Make, ceilings: Ceilings) -> None:
    own = ProfileFinding("registers", "It spills.", "12 loads", "Smaller tiles.")
    assert findings(made_profile(ToolRecord("static", findings=(own,))), ceilings)[-1] == own


def test_a_processor_that_waits(made_profile: Make, ceilings: Ceilings) -> None:
    said = about(made_profile(record("perf", instructions_a_cycle=0.5)), ceilings, "latency")
    assert "The processor waits: 0.50 instructions a cycle." in said


def test_two_are_set_side_by_side(made_profile: Make) -> None:
    slow = made_profile(record("torch", OP, CallPart("aten::copy_", OPERATION, 5e5), operations=9), name="slow")
    quick = made_profile(record("torch", OP, operations=3), name="quick", call_ns=5e5)
    assert told_differences([slow, quick]) == [
        "slow takes 2.00 (1.96 to 2.04) times as long as quick: 500 µs more; "
        "500 µs in aten::copy_, which quick has not."
    ]
    assert compared_parts([slow, made_profile(name="other")]) == [], "nothing to set beside it"
    (row,) = compared_parts([slow, quick])
    assert (row.name, row.values) == ("aten::copy_", (5e5, None)), "what is alike is left out"
    (figure,) = compared_figures([slow, quick])
    assert (figure.name, figure.values, figure.of) == ("operations", (9, 3), "torch")


def test_what_takes_as_long_is_said_to(made_profile: Make) -> None:
    cases = [made_profile(name="a"), made_profile(name="b", call_ns=1.01e6)]
    assert told_differences(cases) == ["b and a take about as long: 1.01 ms, 1.00 ms."]
    assert told_differences([made_profile(name="a"), made_profile(name="b", call_ns=None)]) == []


@pytest.mark.parametrize(
    ("why", "other"),
    [
        ("no interval is claimed of it", {"spread": None}),
        ("the machine was busy: its threads waited for a core 90.0 % of the time, summed over them", {"host": BUSY}),
        ("its result is wrong", {"wrong": "off by a half"}),
    ],
)
def test_times_that_are_not_sure_are_not_set_against_each_other(
    why: str, other: dict[str, object], made_profile: Make
) -> None:
    (told,) = told_differences([made_profile(name="slow"), made_profile(name="quick", call_ns=5e5, **other)])
    assert told == f"How the times of slow and quick compare is not told (1.00 ms, 500 µs): quick: {why}."


def test_intervals_that_overlap_make_no_difference(made_profile: Make) -> None:
    cases = [made_profile(name="a", spread=0.1), made_profile(name="b", call_ns=1.2e6, spread=0.1)]
    assert told_differences(cases) == ["b and a take about as long: 1.20 ms, 1.00 ms."]


def in_turn(profile: CaseProfile, times_ns: Sequence[float], begun_s: float) -> CaseProfile:
    """The profile with bursts of those times, a second apart."""
    bursts = tuple(
        Burst(begun_s + place, (Series("latency", "ns", "wall", "lower", (ns,)),)) for place, ns in enumerate(times_ns)
    )
    timing = TimingRecord("wall", "warm", 1, 1, 1e6, True, 8, "target")
    return replace(
        profile, measurement=replace(profile.measurement, timing=timing, turns=(Turn(1, Launch(1, bursts)),))
    )


def test_bursts_in_turn_tell_what_one_process_cannot(made_profile: Make) -> None:
    """The machine slows down and recovers: both are held up, and their ratio is not."""
    held_up = [1.0, 3.0, 2.0, 1.0, 1.0, 4.0, 1.0, 1.0]
    quick = in_turn(made_profile(name="quick", spread=None), [1e6 * by for by in held_up], begun_s=0.0)
    slow = in_turn(made_profile(name="slow", call_ns=3e6, spread=None), [3e6 * by for by in held_up], begun_s=0.3)
    assert told_differences([slow, quick]) == [
        "slow takes 3.00 (3.00 to 3.00) times as long as quick: 2.00 ms more (8 bursts of each in turn); "
        "no operation explains a tenth of it."
    ]
    other = in_turn(made_profile(name="slow", call_ns=3e6, spread=None), [0.5e6 * by for by in held_up], begun_s=0.3)
    assert told_differences([other, quick])[0].startswith("quick takes 2.00 (2.00 to 2.00) times as long as slow")
    alike = in_turn(made_profile(name="slow", call_ns=1.5e6, spread=None), [1.01e6 * by for by in held_up], begun_s=0.3)
    assert told_differences([alike, quick]) == [
        "slow and quick take about as long: 1.50 ms, 1.00 ms (8 bursts of each in turn)."
    ]


MUCH_PYTHON = {"host_time_of_a_call": 1e6, "host_time_outside_of_operations": 8e5}
WAITED = "its threads waited for a core 90.0 % of the time, summed over them"


def test_a_busy_machine_is_not_blamed_on_python(made_profile: Make, ceilings: Ceilings) -> None:
    long = replace(OP, time_ns=4e5)
    torch = replace(record("torch", long, **MUCH_PYTHON), disturbed=WAITED)
    found = findings(made_profile(torch, host=BUSY), ceilings)
    assert found[0].about == "unknown"
    assert found[0].evidence == f"while it was timed, {WAITED}; while torch looked, {WAITED}"
    assert "attnlab doctor" in (found[0].try_ or "")
    said = " ".join(f"{one.about} {one.says} {one.evidence}" for one in found)
    assert "Python" not in said
    assert "A call takes 1.00 ms on a busy machine" in said
    assert "at least 1.00 % of the ceiling" in said
    assert "what it waited for a core is in it" in said


def test_undisturbed_calls_tell_what_bounds_although_the_harness_was_kept_waiting(
    made_profile: Make, ceilings: Ceilings
) -> None:
    case = made_profile(record("torch", OP, **MUCH_PYTHON), host=BUSY, call_ns=8e7)
    assert first(case, ceilings).about == "Python"


@pytest.mark.parametrize(
    ("recorded", "why"), [(3e6, "recording it costs more than it takes"), (1e5, "by the harness's clock")]
)
def test_times_that_do_not_agree_with_the_harness_bound_nothing(
    recorded: float, why: str, made_profile: Make, ceilings: Ceilings
) -> None:
    torch = record("torch", OP, host_time_of_a_call=recorded, host_time_outside_of_operations=0.9 * recorded)
    found = first(made_profile(torch, host=QUIET), ceilings)
    assert found.about == "unknown"
    assert found.evidence.endswith(why)


def test_near_a_ceiling_a_busy_machine_does_not_matter(made_profile: Make, ceilings: Ceilings) -> None:
    assert first(made_profile(operations=800_000_000, host=BUSY), ceilings).about == "arithmetic"
