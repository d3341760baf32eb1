"""What does not fit a GPU as compiled is left out before anything runs, without that GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attnlab.bench import discover
from attnlab.bench.profilers.compiled.cases import compile_order
from attnlab.bench.profilers.compiled.orders import CaseOrder, Setup
from attnlab.bench.profilers.compiled.resources import CompiledCase, KernelResources
from attnlab.bench.store.machine import Device
from attnlab.bench.tuning import compiling
from attnlab.bench.tuning.compiling import misfits, target_of

H100 = Device("cuda", "a GPU", (9, 0))


def test_what_devices_are_compiled_for() -> None:
    assert target_of(H100) == "sm_90"
    assert target_of(Device("cuda", "a GPU of another year", (99, 0))) is None
    assert target_of(Device("cuda", "a GPU")) is None
    assert target_of(Device("cpu", "a processor")) is None


KERNEL = KernelResources("_forward", "sm_90", "triton 3.7.1", None, {}, shared_bytes=200 << 10)
REPLIES = {
    1: {"failed": "at 3:4\nno such\n"},
    2: {"unserved": "it launches no kernel of Triton"},
    3: {"kernels": (KERNEL,)},
    4: {"kernels": (KERNEL, replace(KERNEL, shared_bytes=240 << 10))},
}


def test_what_does_not_compile_or_fit_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    made = discover().implementations("attention").get("triton")
    case = discover().operators.get("attention").case_type.parse("Hq2-Sq512-bf16")
    ordered: list[CaseOrder] = []
    told: list[str] = []

    def compile_cases(orders: list[CaseOrder], setup: Setup) -> list[CompiledCase]:
        assert setup.plugins == ("mine.py",)
        ordered.extend(orders)
        return [CompiledCase(o.implementation, o.case_id, o.target, **REPLIES[o.chosen["block_m"]]) for o in orders]

    monkeypatch.setattr(compiling, "compile_cases", compile_cases)
    candidates = {f"triton+{size}": {"block_m": size} for size in REPLIES}
    found = misfits(made, case, candidates, H100, ("mine.py",), told.append)
    assert found == {
        "triton+1": "does not compile: at 3:4 no such",
        "triton+4": "as compiled, _forward needs 240 KiB of shared memory, and a block has 227 KiB",
    }
    assert {(order.implementation, order.target, order.case_id) for order in ordered} == {
        ("attention/triton", "sm_90", case.id)
    }
    assert "4 configurations for sm_90" in told[0]
    assert misfits(made, case, candidates, Device("cpu", "a processor")) == {}, "nothing was asked of the compiler"


def test_the_configuration_that_is_ordered_is_what_is_compiled() -> None:
    made = discover().implementations("linear").get("native")
    order = CaseOrder(made.key, "M1-N64-K64-fp32", "x86-64-v3", made.module)
    one, other = (compile_order(replace(order, chosen={"unroll": n, "columns": 1}), (), None, None) for n in (1, 8))
    assert one.kernels[0].instructions != other.kernels[0].instructions
