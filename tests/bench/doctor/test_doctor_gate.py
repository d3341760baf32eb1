"""The doctor's guess at what the gate could tell here: from scripted pairs, and from real processes."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.doctor import gate
from attnlab.bench.doctor.finding import Finding, Patient
from attnlab.bench.doctor.gate import PAIRS, least_slowdown, live_pairs
from attnlab.bench.machine.clocks.wall import Wall
from attnlab.bench.machine.environment import describe_environment
from attnlab.bench.store.machine import Ceilings

WIGGLE = (0.9, -1.1, 0.2, -0.4, 1.3, -0.7, 0.5, -0.2, 0.1, -0.6)


def finding(pairs: Callable[[int], list[float]] | None) -> Finding:
    environment, ceilings = describe_environment("cpu"), Ceilings("here", 1, 1e10, {}, None, 0.0)
    (found,) = least_slowdown(Patient(environment, ceilings, (Wall(),), lambda: None, pairs=pairs))
    return found


def scattered(share: float) -> Callable[[int], list[float]]:
    return lambda count: [share * wiggle for wiggle in WIGGLE[:count]]


def test_a_quiet_machine() -> None:
    found = finding(scattered(0.01))
    assert found.good
    assert found.value.startswith("about 1.")
    assert f"{PAIRS} pairs of processes differ by 0.7" in found.value


def test_a_noisy_machine_has_a_remedy() -> None:
    found = finding(scattered(0.2))
    assert not found.good
    assert "attnlab gate --aa" in (found.remedy or "")
    assert float(found.value.split()[1]) > 6


def test_a_hopeless_machine() -> None:
    assert finding(scattered(3.0)).value.startswith("none below twice the time")


def test_without_pairs_there_is_nothing_to_say() -> None:
    environment = describe_environment("cpu")
    patient = Patient(environment, Ceilings("here", 1, 1e10, {}, None, 0.0), (Wall(),), lambda: None)
    assert list(least_slowdown(patient)) == []


class Scripted:
    """Stands in for a process; it notes its turns."""

    def __init__(self, name: str, order: list[str]) -> None:
        self.name, self.order = name, order

    def burst(self) -> float:
        self.order.append(self.name)
        return 2.0 if self.name == "b" else 1.0


@pytest.mark.parametrize(("number", "order"), [(0, "abbaab"), (1, "baabba"), (2, "abbaab")])
def test_a_pair_takes_turns_to_and_fro(number: int, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "BURSTS", 3)
    turns: list[str] = []
    pair: Any = [Scripted(name, turns) for name in "ab"]
    assert gate._ratio(pair, number) == pytest.approx(math.log(2))
    assert "".join(turns) == order


def test_a_live_pair_of_real_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that do the same come within a factor of two of each other, and end."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setattr("attnlab.bench.doctor.gate.BURSTS", 4)
    monkeypatch.setitem(gate.STARTED_TOGETHER, "cpu", 2)
    ratios = live_pairs("cpu", 3)
    assert all(abs(ratio) < 0.7 for ratio in ratios)
    assert len(set(ratios)) == 3


def test_a_process_that_does_not_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "product.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(gate.product, "__file__", str(tmp_path / "product.py"))
    with pytest.raises(RuntimeError, match="a process of the doctor ended with exit code 3"):
        live_pairs("cpu", 1)
