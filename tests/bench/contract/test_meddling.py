"""What a plugin changes of the harness is put back, and refused by name; what it may change is left alone."""

from __future__ import annotations

import builtins
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from attnlab.bench import discover
from attnlab.bench.contract.meddling import Guard, refusal
from attnlab.bench.machine.clocks.host import HostTimer
from attnlab.bench.measuring import timing
from attnlab.bench.measuring.harness import measure
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.store import deviations
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import Outcome

PLUGIN = """
import builtins, json, statistics, time
import torch
from toy_operator import ToyInputs
from attnlab.bench import implements
from attnlab.bench.measuring import timing
from attnlab.bench.store import deviations
from attnlab.bench.machine.clocks import host, now
{change}

@implements("toy", name="changing")
def changing(inputs: ToyInputs):
    return inputs.x * 2
"""

CHANGES = {
    "time.perf_counter_ns = time.monotonic = lambda: 1": ("time.perf_counter_ns", "time.monotonic"),
    "deviations.Deviation.within = property(lambda self: True)": ("attnlab.bench.store.deviations.Deviation.within",),
    "deviations.Deviation.share_of_budget.fget.__code__ = (lambda self: 0.0).__code__": (
        "attnlab.bench.store.deviations.Deviation.share_of_budget",
    ),
    "host.HostTimer.burst = lambda self, count: [5.0] * count": ("attnlab.bench.machine.clocks.host.HostTimer.burst",),
    "now.perf_counter_ns = lambda: 1": ("attnlab.bench.machine.clocks.now.perf_counter_ns",),
    "timing.take_burst.__defaults__ = (1,)": ("attnlab.bench.measuring.timing.take_burst",),
    "timing.Effort = dict": ("attnlab.bench.measuring.timing.Effort",),
    "from attnlab.bench.machine.clocks import CLOCKS; CLOCKS.replace('wall', CLOCKS.get('cpu_time'))": (
        "attnlab.bench.machine.clocks.CLOCKS._items",
    ),
    "statistics.median = min": ("statistics.median",),
    "json.dumps = repr": ("json.dumps",),
    "import random; random.SystemRandom.random = lambda self: 1.0": ("random.SystemRandom.random",),
    "builtins.abs = builtins.max = lambda *values: 0": ("builtins.abs", "builtins.max"),
    "timing.BURST_NS = 1": ("attnlab.bench.measuring.timing.BURST_NS",),
    "torch.allclose = lambda *a, **k: True; builtins.print = torch.sub": (),
}


@pytest.fixture
def kept() -> Any:
    """Whatever a test changes after all is put back behind it."""
    own = torch.allclose, builtins.print
    yield
    torch.allclose, builtins.print = own


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_plugin_changes_is_put_back_and_told(
    change: str, tmp_path: Path, helpers: Path, plugins_forgotten: None, kept: None
) -> None:
    before = (time.perf_counter_ns, deviations.Deviation.within, HostTimer.burst, statistics.median, builtins.abs)
    code = HostTimer.burst.__code__, deviations.Deviation.share_of_budget.fget.__code__, timing.take_burst.__defaults__
    (tmp_path / "changer.py").write_text(PLUGIN.format(change=change))
    registry = discover((str(helpers / "toy_operator.py"), str(tmp_path / "changer.py")))
    found = registry.implementations("toy")
    assert sorted(found.get("changing").meddles) == sorted(CHANGES[change])
    assert found.get("plus").meddles == (), "an honest plugin beside it"
    assert before == (
        time.perf_counter_ns,
        deviations.Deviation.within,
        HostTimer.burst,
        statistics.median,
        builtins.abs,
    )
    assert code == (
        HostTimer.burst.__code__,
        deviations.Deviation.share_of_budget.fget.__code__,
        timing.take_burst.__defaults__,
    )


def test_what_meddles_is_not_measured(helpers: Path, plugins_forgotten: None, fake_clock: Any) -> None:
    """Where it was imported, or while it runs."""
    toy = discover((str(helpers / "toy_operator.py"),))
    plus = toy.implementations("toy").get("plus")
    operator = toy.operators.get("toy")
    guard = Guard()
    setup = Setup(
        torch.device("cpu"), (fake_clock((1e6,)),), Ceilings("here", 1, 1e12, {}, None, 0.0), meddled=guard.changed
    )
    case = operator.case_type.parse("N8")
    assert measure(operator, case, plus, setup).outcome is Outcome.PASSED
    refused = measure(operator, case, replace(plus, meddles=("time.time",)), setup)
    assert (refused.outcome, refused.reason) == (Outcome.FAILED, refusal(("time.time",)))

    def late(inputs: Any, state: Any) -> Any:
        deviations.Deviation.within = property(lambda self: True)
        return inputs.x * 3

    try:
        refused = measure(operator, case, replace(plus, run=late), setup)
    finally:
        assert guard.restore() == ("attnlab.bench.store.deviations.Deviation.within",)
    assert refused.outcome is Outcome.FAILED
    assert "changes attnlab.bench.store.deviations.Deviation.within" in (refused.reason or "")
    assert guard.changed() == ()


def test_a_reason_stays_short() -> None:
    assert refusal(tuple("abcdef")).startswith("its code changes a, b, c and 3 more; expected it to leave")
