"""Implementations that fail on one rank, in processes of torch's: what a measurement says of them."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest
import torch

from attnlab.bench import Registry, discover, implements
from attnlab.bench.errors import PluginError
from attnlab.bench.measuring.harness import measure
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.measuring.stopping import Effort
from attnlab.bench.ranks import group
from attnlab.bench.ranks.of_ranks import OfRanks, end_groups, modules_of
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import Measurement, Outcome

from . import cheating, failing

NO_CEILINGS = Ceilings("here", 1, 1e12, {}, None, 0.0)
LITTLE = Effort(target=0.9, sampling_limit_s=0.5, warmup_limit_s=0.2, least_s=1e-9, least_bursts=2)


@pytest.fixture(scope="module", autouse=True)
def ranks() -> Iterator[None]:
    """Ranks are started once for those that fail together, and end with the tests here."""
    yield
    end_groups()
    assert not [child for child in psutil.Process().children() if "rank=" in " ".join(child.cmdline())]


def measured(target: type, case_id: str = "S4096-fp32") -> Measurement:
    own = Registry()
    implements("all_reduce", name=target.__name__, into=own)(target)
    operator = discover().operators.get("all_reduce")
    case = operator.case_type.parse(case_id)
    (implementation,) = own.all_implementations()
    return measure(operator, case, implementation, Setup(torch.device("cpu"), (), NO_CEILINGS, LITTLE))


@pytest.mark.parametrize(
    ("target", "outcome", "reason"),
    [
        (
            failing.OneNumberShort,
            Outcome.WRONG_SHAPE,
            "out has shape [1023]; expected [1024]",
        ),
        (
            failing.AnotherDtype,
            Outcome.WRONG_DTYPE,
            "out has dtype torch.float64; expected torch.float32",
        ),
        (failing.NothingReturned, Outcome.WRONG_SHAPE, "returned (NoneType); expected 1 tensors: out"),
    ],
)
def test_what_one_rank_returns_wrongly_is_told_with_its_number(target: type, outcome: Outcome, reason: str) -> None:
    found = measured(target)
    assert found.outcome is outcome
    rank = 0 if target is failing.NothingReturned else 1
    assert found.reason is not None
    assert found.reason.startswith(f"rank {rank} of 2 failed while in a call")
    assert found.reason.endswith(reason)


@pytest.mark.parametrize(
    ("target", "outcome", "reason"),
    [
        (cheating.SummedWhenIterated, Outcome.WRONG_SHAPE, "returned (LateList); expected 1 tensors: out"),
        (cheating.SummedWhenCopied, Outcome.WRONG_SHAPE, "out is a LateTensor; expected a dense torch.Tensor"),
        (cheating.WaitedForInMode, Outcome.WRONG_VALUES, "out on "),
        (cheating.WaitedForInProfile, Outcome.FAILED, "had Python call it back (sys.setprofile)"),
        (cheating.ReadsOthersMemory, Outcome.WRONG_VALUES, "on drawn inputs"),
    ],
)
def test_work_that_no_rank_times_is_refused(target: type, outcome: Outcome, reason: str) -> None:
    found = measured(target, "S4194304-fp32" if target is cheating.WaitedForInMode else "S4096-fp32")
    assert found.outcome is outcome, found.reason
    assert reason in (found.reason or "")
    assert found.median_ns is None


def test_each_ranks_samples_are_stored_beside_those_of_the_slowest() -> None:
    found = measured(failing.Honest)
    assert (found.outcome, found.reason) == (Outcome.PASSED, None)
    times = found.values("latency"), found.values("latency_rank_0"), found.values("latency_rank_1")
    assert times[0]
    assert times[0] == [max(both) for both in zip(*times[1:], strict=True)]
    assert found.timing is not None
    assert found.timing.clock == "ranks_wall"
    assert found.values("message") == [4096.0]
    assert found.values("bus_bytes") == [4096.0]


def test_one_that_hangs_is_named_with_its_line_and_so_are_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "left_s", lambda: 60.0)
    measured(failing.NothingReturned)  # the ranks are there
    monkeypatch.setattr(group, "left_s", lambda: 5.0)
    found = measured(failing.Sleeps)
    assert found.outcome is Outcome.TIMED_OUT
    assert found.reason is not None
    assert found.reason.startswith("rank 1 came to no end while in a call, in 5 s: rank 1 is at ")
    assert "failing.py:" in found.reason
    assert found.reason.endswith("rank 0 waits in all_reduce")


def test_one_that_changes_the_clock_is_named() -> None:
    found = measured(failing.StopsItsClock)
    assert found.outcome is Outcome.FAILED
    assert found.reason is not None
    assert "attnlab.bench.machine.clocks.now.perf_counter_ns" in found.reason
    assert found.reason.startswith("rank 1 of 2 failed while being inspected: ")


def test_what_ranks_cannot_import_is_refused() -> None:
    class Local(OfRanks): ...

    with pytest.raises(PluginError, match=r"Local cannot be imported by the processes of ranks"):
        modules_of(Local)


def test_a_run_of_its_own_is_refused() -> None:
    with pytest.raises(PluginError, match=r"Own has a run of its own, where OfRanks starts and times the ranks"):
        type("Own", (OfRanks,), {"run": lambda self, inputs, state: None})
