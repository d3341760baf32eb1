"""Traces and profiles that no machine had to make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from attnlab.bench.profilers.chrome_trace import CALL_MARK
from attnlab.bench.profilers.profiled_call import ProfiledCall
from attnlab.bench.profilers.profiles import CaseProfile
from attnlab.bench.profilers.record import CallPart, Listing, ToolFigure, ToolRecord
from attnlab.bench.profilers.using import ToolUse
from attnlab.bench.store.machine import Ceilings, Device, Environment
from attnlab.bench.store.records import Burst, HostState, Launch, Measurement, Outcome, RunRecord, Series

Event = dict[str, Any]


def happened(name: str, category: str, begin: float, length: float, thread: int = 1, **arguments: Any) -> Event:
    """An event of a trace, in microseconds."""
    return {
        "ph": "X",
        "name": name,
        "cat": category,
        "ts": begin,
        "dur": length,
        "pid": 1,
        "tid": thread,
        "args": arguments,
    }


def allocated(at: float, size: int, total: int) -> Event:
    """A word of the allocator."""
    told = {"Bytes": size, "Total Allocated": total}
    return {"ph": "i", "name": "[memory]", "ts": at, "pid": 1, "tid": 1, "args": told}


@pytest.fixture
def gpu_events() -> list[Event]:
    """Two calls of 100 µs on the host; each launches a product and a softmax, 30 and 10 µs, 5 µs apart."""
    events = []
    for number, start in enumerate((0.0, 200.0)):
        events += [
            happened(CALL_MARK, "user_annotation", start, 100.0),
            happened("prefill", "user_annotation", start + 5, 90.0),
            happened("aten::mm", "cpu_op", start + 10, 20.0),
            happened("cudaLaunchKernel", "cuda_runtime", start + 20, 4.0, correlation=10 * number),
            happened("aten::softmax", "cpu_op", start + 40, 30.0),
            happened("aten::_softmax", "cpu_op", start + 45, 20.0),
            happened("cudaLaunchKernel", "cuda_runtime", start + 50, 6.0, correlation=10 * number + 1),
            happened("gemm", "kernel", start + 30, 30.0, thread=7, correlation=10 * number),
            happened("softmax_kernel", "kernel", start + 65, 10.0, thread=7, correlation=10 * number + 1),
        ]
    return events


@pytest.fixture
def made_call() -> Callable[..., ProfiledCall]:
    """A call on the CPU that is said to take a millisecond."""

    def make(function: Callable[[], object] = lambda: None, **others: Any) -> ProfiledCall:
        return ProfiledCall("toy/f", torch.device("cpu"), (function,), call_ns=1e6, **others)

    return make


BUSY = HostState(1e9, 1e8, 0, waited_ns=9e8)
QUIET = HostState(1e9, 1e9, 0, waited_ns=0.0)
CEILINGS = Ceilings("a processor", 1, 1e10, {"bfloat16": 1e12}, None, 0.0)
"""10 GB/s and 1 TFLOP/s."""


@pytest.fixture
def ceilings() -> Ceilings:
    return CEILINGS


@pytest.fixture
def made_profile() -> Callable[..., CaseProfile]:
    """A profile of what tools are said to have found; a call takes 1 ms where nothing else is said."""

    def make(
        *records: ToolRecord,
        name: str = "mine",
        operator: str = "attention",
        call_ns: float | None = 1e6,
        operations: int | None = 10_000_000,
        bytes_moved: int | None = 100_000,
        bytes_written: int = 10_000,
        spread: float | None = 0.01,
        host: HostState | None = None,
        wrong: str | None = None,
    ) -> CaseProfile:
        m = Measurement(operator, name, {"dtype": "bfloat16"}, "Sq8-bf16", Outcome.PASSED)
        m = replace(m, operations=operations, bytes_moved=bytes_moved, bytes_written=bytes_written, median_ns=call_ns)
        if call_ns is not None and spread is not None:
            m = replace(m, ci_low_ns=(1 - spread) * call_ns, ci_high_ns=(1 + spread) * call_ns)
        if host is not None:
            taken = Series("latency", "ns", "wall", "lower", (call_ns or 0.0,))
            m = replace(m, launches=(Launch(1, (Burst(0.0, (taken,), host=host),)),), flags=("the machine was busy",))
        uses = tuple(ToolUse(record.tool, record) for record in records)
        return CaseProfile(m, uses, f"attention-{name}", call_ns, wrong)

    return make


@pytest.fixture
def made_run() -> Callable[[], RunRecord]:
    """A run on a machine that there is not."""

    def make() -> RunRecord:
        environment = Environment(
            Device("cpu", "a processor"),
            "a processor",
            2,
            (0, 1),
            2,
            1 << 34,
            "Linux",
            "3.11",
            {},
            None,
            None,
            {},
            None,
            None,
        )
        return RunRecord("r", "attention", "2026-01-02", "attnlab profile attention", (), environment, CEILINGS, 0)

    return make


def record(tool: str, *parts: CallPart, listings: tuple[Listing, ...] = (), **figures: float) -> ToolRecord:
    """Figures of the whole call, whose names have `_` for a space."""
    made = tuple(ToolFigure(name.replace("_", " "), value, "1") for name, value in figures.items())
    return ToolRecord(tool, 1, parts, made, listings=listings)
