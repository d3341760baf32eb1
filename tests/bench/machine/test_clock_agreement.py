"""The comparison of a GPU's clocks, on a simulated one: what it measures, and that each aim can be missed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "clock_agreement.py"
CLOCKS, LAYOUTS, FLUSH, COLD = range(4)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """With CUPTI there, as far as the clocks can see."""
    spec = importlib.util.spec_from_file_location("attnlab_clock_agreement", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(module, "LENGTHS_NS", (5e3, 36e3, 2e6))
    return module


def examined(script: Any, gpu: Any, **faults: Any) -> list[tuple[str, str, str]]:
    for name, value in faults.items():
        setattr(gpu, name, value)
    decided: list[tuple[str, str, str]] = script.verdicts(found(script, gpu), gpu.l2_bytes)
    return decided


def found(script: Any, gpu: Any) -> list[Any]:
    """Kernels of which a third of the time is spent on reading what is not in the L2."""

    def make(length_ns: float, copies: int) -> tuple[list[Any], int]:
        size = int(length_ns / 3 / gpu.miss_ns_per_byte)
        missed_ns = size * gpu.miss_ns_per_byte
        return [gpu.kernel(f"call {n}", length_ns - missed_ns, (f"in {n}", size)) for n in range(copies)], size

    return list(script.readings(gpu, make, rounds=1, samples=4))


def test_all_aims_are_met_on_a_healthy_gpu(
    script: Any, fake_gpu: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu = fake_gpu.FakeGpu(miss_ns_per_byte=0.03)
    taken = found(script, gpu)
    assert len(taken) == 3 * 3 * 2 * 3, "lengths, ways, sets of inputs, clocks"
    assert script.show(taken, gpu.l2_bytes)
    said = capsys.readouterr().out
    assert said.count("\nmet: ") == 4
    assert "| 36.0 µs, 391 KiB | cold | 8 | cuda_graph | 36.0 µs |" in said
    assert "| 3.50 µs |" in said, "the null span"
    assert "a flush by writes adds 10.0 µs at most" in said


@pytest.mark.parametrize(
    ("aim", "faults"),
    [
        (CLOCKS, {"first_ns": 20_000.0}),
        (LAYOUTS, {"first_ns": 20_000.0}),
        (COLD, {"flush_works": False}),
    ],
)
def test_each_aim_can_be_missed(script: Any, fake_gpu: ModuleType, aim: int, faults: dict[str, Any]) -> None:
    decided = examined(script, fake_gpu.FakeGpu(miss_ns_per_byte=0.03), **faults)
    assert decided[aim][1] == "missed", decided


def test_a_flush_by_reads_that_lengthens_calls_is_told(script: Any, fake_gpu: ModuleType) -> None:
    gpu = fake_gpu.FakeGpu(miss_ns_per_byte=0.03)
    flush = gpu.flush
    gpu.flush = lambda writing=False: flush(not writing)
    assert examined(script, gpu)[FLUSH][1] == "missed"


def test_without_cupti_there_is_nothing_to_agree_with(script: Any, fake_gpu: ModuleType) -> None:
    gpu = fake_gpu.FakeGpu(miss_ns_per_byte=0.03, sees=False)
    assert examined(script, gpu)[CLOCKS][1:] == ("not measured", "")
