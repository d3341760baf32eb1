"""Peak memory of calls whose allocations are known to the byte."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from attnlab.bench import discover
from attnlab.bench.machine import peak_memory
from attnlab.bench.machine.peak_memory import peak_bytes
from attnlab.bench.stats.growth import fit_growth

CPU = torch.device("cpu")
MIB = 1 << 20


def block(mib: int) -> Tensor:
    return torch.empty(mib * MIB, dtype=torch.uint8)


def test_workspace_counts_and_the_output_does_not() -> None:
    def call() -> tuple[Tensor]:
        work = block(10)
        out = block(3)
        del work
        return (out,)

    assert peak_bytes(call, CPU) == 10 * MIB


def test_the_peak_is_of_what_lives_at_once() -> None:
    def call() -> tuple[Tensor]:
        for size in (4, 9, 2):
            block(size)  # freed before the next
        both = block(5), block(6)
        del both
        return (block(1),)

    assert peak_bytes(call, CPU) == 10 * MIB


def test_an_output_that_lay_there_before_is_not_taken_off() -> None:
    kept = block(8)

    def call() -> tuple[Tensor]:
        block(5)
        return (kept,)

    assert peak_bytes(call, CPU) == 5 * MIB


def test_what_a_call_keeps_for_itself_counts() -> None:
    hoard: list[Tensor] = []

    def call() -> tuple[Tensor]:
        hoard.append(block(7))
        return (block(2),)

    assert peak_bytes(call, CPU) == 7 * MIB


def test_two_outputs_in_one_storage_are_taken_off_once() -> None:
    def call() -> Sequence[Tensor]:
        work = block(6)
        both = block(4)
        del work
        return both[: 2 * MIB], both[2 * MIB :]

    assert peak_bytes(call, CPU) == 6 * MIB


def test_a_call_that_allocates_nothing() -> None:
    assert peak_bytes(lambda: (), CPU) == 0


def test_the_process_agrees_in_a_fresh_interpreter() -> None:
    """By the kernel's high-water mark, which no profiler of torch's can get wrong; torch's compiler is not imported."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs Linux")
    code = """
import sys
import torch
from attnlab.bench import memory
def call():
    work = torch.ones(200 << 20, dtype=torch.uint8)
    return (work[:1].clone(),)
call()
print(memory.peak_bytes(call, torch.device("cpu")), memory.process_peak_bytes(call))
print(int("torch._dynamo" in sys.modules))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *_, profiled, resident, compiler = map(int, re.findall(r"\d+", ended.stdout))
    assert profiled == 200 * MIB
    assert not compiler
    assert resident == pytest.approx(200 * MIB, rel=0.05)


def test_without_the_kernels_figures_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak_memory, "_reset_resident_peak", lambda: None)
    assert peak_memory.process_peak_bytes(lambda: ()) is None


def test_an_error_of_the_call_is_not_swallowed() -> None:
    def call() -> Sequence[Tensor]:
        raise KeyError("VmHWM")

    with pytest.raises(KeyError):
        peak_memory.process_peak_bytes(call)


def growth_of(name: str, lengths: Sequence[int]) -> float:
    registry = discover()
    operator = registry.operators.get("attention")
    made = registry.implementations("attention").get(name)
    peaks = []
    for length in lengths:
        case = operator.case_type(q_heads=2, q_len=length, dtype="float32")
        inputs = operator.make_inputs(case, "drawn", 0, CPU)
        state = made.prepare(case, inputs)
        peaks.append(peak_bytes(lambda run=made.run, i=inputs, s=state: (run(i, s),), CPU))
    fitted = fit_growth(list(lengths), peaks)
    assert fitted is not None
    assert fitted.low <= fitted.exponent <= fitted.high
    return fitted.exponent


def test_the_whole_score_matrix_grows_as_the_square_of_the_length() -> None:
    assert growth_of("naive", (256, 512, 1024, 2048)) == pytest.approx(2.0, abs=0.15)


def test_tiles_grow_with_the_length_at_most() -> None:
    assert growth_of("tiled", (512, 1024, 2048)) < 1.2


def test_the_allocators_peak_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the allocator: 100 bytes lay there, the peak is 170, 30 stay, of which the output is 20."""
    allocated = iter((100, 130))
    for name, value in (
        ("synchronize", lambda device: None),
        ("reset_peak_memory_stats", lambda device: None),
        ("memory_allocated", lambda device: next(allocated)),
        ("max_memory_allocated", lambda device: 170),
    ):
        monkeypatch.setattr(torch.cuda, name, value)
    storage = SimpleNamespace(data_ptr=lambda: 1, nbytes=lambda: 20)
    out = SimpleNamespace(untyped_storage=lambda: storage)
    assert peak_bytes(lambda: (out,), torch.device("cuda")) == 50  # type: ignore[arg-type,return-value]
