"""Whatever an implementation does to its process ends as an outcome with its reason, and the run goes on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from attnlab.bench import discover
from attnlab.bench.machine.environment import describe_environment
from attnlab.bench.measuring.runner import Limits, Runner
from attnlab.bench.measuring.steps import Step
from attnlab.bench.measuring.timing import Effort
from attnlab.bench.measuring.worker_process import Process
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import Measurement, Outcome

LITTLE = Effort(target=0.9, sampling_limit_s=0.02, warmup_limit_s=0.02, min_samples=6)
CEILINGS = Ceilings("here", 1, 1e12, {}, None, 0.0)
HEALTHY = (8, 9, 10)
GIB = 1 << 30
LIMIT_S = 10.0

ByBehaviour = dict[str, Measurement]


class Silent:
    """Neither shown nor stored."""

    def begin(self, step: Step) -> None: ...

    def phase(self, step: Step, phase: str) -> None: ...

    def end(self, step: Step, measurement: Measurement) -> None: ...

    def append(self, measurement: Measurement) -> None: ...


def make_runner(plugins: tuple[Path, ...], limits: Limits) -> Runner:
    names = tuple(map(str, plugins))
    return Runner(discover(names), describe_environment("cpu"), CEILINGS, LITTLE, limits, names)


def run(runner: Runner, implementation: str, sizes: list[int]) -> list[Measurement]:
    case = runner.registry.operators.get("toy").case_type
    steps = [Step("toy", implementation, case.parse(f"N{n}")) for n in sizes]
    return list(runner.run(steps, Silent(), Silent()))


@pytest.fixture(scope="module", autouse=True)
def quick_processes(plugins_forgotten_by_module: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PARENT_OF_WORKERS", str(os.getpid()))
        yield


@pytest.fixture(scope="module")
def measured(helpers: Path, quick_processes: None) -> ByBehaviour:
    """Every behaviour in one run, with healthy cases before and after."""
    runner = make_runner((helpers / "misbehaving.py",), Limits(LIMIT_S, memory_bytes=4 * GIB))
    names = {n: b.__name__ for n, b in sys.modules["misbehaving"].BEHAVIOURS.items()}
    first, second, last = HEALTHY
    done = run(runner, "misbehaving", [first, second, *names, last])
    assert [m.case["n"] for m in done] == [first, second, *names, last], "the run went on to its end"
    return {names.get(m.case["n"], str(m.case["n"])): m for m in done}


def pid(measurement: Measurement) -> int:
    return measurement.launches[0].process


def test_a_healthy_worker_is_kept_and_a_failed_one_replaced(measured: ByBehaviour) -> None:
    first, second, last = (measured[str(n)] for n in HEALTHY)
    assert {first.outcome, second.outcome, last.outcome} == {Outcome.PASSED}
    assert pid(first) == pid(second) != os.getpid()
    assert pid(last) not in (pid(first), os.getpid())
    assert not psutil.pid_exists(pid(last)), "workers end with the run"


def test_a_segfault_is_a_failure_with_the_line_that_caused_it(measured: ByBehaviour) -> None:
    crashed = measured["segfault"]
    assert crashed.outcome is Outcome.FAILED
    assert "SIGSEGV" in (crashed.reason or "")
    assert "in segfault" in (crashed.detail or "")
    assert "Segmentation fault" in (crashed.detail or "")
    assert "Extension modules" not in (crashed.detail or "")
    assert not crashed.launches
    assert crashed.operations == 100, "what the contract knows is kept"


@pytest.mark.parametrize("how", ["torch_memory", "numpy_memory"])
def test_an_allocation_over_the_limit_is_out_of_memory(measured: ByBehaviour, how: str) -> None:
    assert measured[how].outcome is Outcome.OUT_OF_MEMORY
    assert f"in {how}" in (measured[how].detail or ""), "the traceback is kept"


def test_an_abort_by_bad_alloc_is_out_of_memory(measured: ByBehaviour) -> None:
    aborted = measured["native_memory"]
    assert aborted.outcome is Outcome.OUT_OF_MEMORY
    assert "SIGABRT" in (aborted.reason or "")
    assert "bad_alloc" in (aborted.reason or "")


def test_exit_codes_are_told(measured: ByBehaviour) -> None:
    assert measured["exits"].outcome is Outcome.FAILED
    assert measured["exits"].reason == "the process ended with exit code 3 in phase 'check'"


def test_a_kill_without_evidence_is_a_failure_not_out_of_memory(measured: ByBehaviour) -> None:
    assert measured["killed"].outcome is Outcome.FAILED
    assert "SIGKILL" in (measured["killed"].reason or "")
    assert measured["killed"].detail is None, "what an earlier case printed does not explain it"


def test_an_exception_keeps_its_traceback(measured: ByBehaviour) -> None:
    raised = measured["raises"]
    assert raised.outcome is Outcome.FAILED
    assert raised.reason == "ValueError: a fault of two lines", "one line for tables"
    assert "in raises" in (raised.detail or "")


def test_unavailable_raised_late_is_unavailable(measured: ByBehaviour) -> None:
    assert measured["unavailable"].outcome is Outcome.UNAVAILABLE
    assert measured["unavailable"].reason == "found out late"


@pytest.mark.parametrize("how", ["prints", "reads", "says_it_is_out_of_memory"])
def test_noise_and_hungry_readers_do_not_disturb_the_protocol(measured: ByBehaviour, how: str) -> None:
    assert measured[how].outcome is Outcome.PASSED
    assert measured[how].median_ns is not None


def test_an_endless_loop_is_ended_and_says_where_it_was(measured: ByBehaviour) -> None:
    stuck = measured["endless"]
    assert stuck.outcome is Outcome.TIMED_OUT
    assert stuck.reason == "took longer than 10 s, and was ended in phase 'check'"
    assert "in endless" in (stuck.detail or "")


def test_a_failure_to_import_in_the_worker_alone_is_told(helpers: Path) -> None:
    plugins = (helpers / "toy_operator.py", helpers / "broken_in_worker.py")
    (measured,) = run(make_runner(plugins, Limits(time_s=60)), "parent_only", [8])
    assert measured.outcome is Outcome.FAILED
    assert "could not start" in (measured.reason or "")
    assert "no kernel without its driver" in (measured.reason or "")
    assert "broken_in_worker.py" in (measured.detail or "")


def test_what_is_paused_stands_still_with_all_its_threads_and_goes_on() -> None:
    process = Process("cpu", "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()")
    state = Path(f"/proc/{process.number}/stat")

    def wait_for(stopped: bool) -> None:
        until = time.monotonic() + 20
        while (state.read_text().rpartition(")")[2].split()[0] == "T") is not stopped:
            assert time.monotonic() < until
            time.sleep(0.01)

    try:
        with process.paused():
            wait_for(stopped=True)
        wait_for(stopped=False)
    finally:
        process.close()
    with process.paused():  # nobody is there any more
        pass
