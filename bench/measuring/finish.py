"""Ends a measurement: what timed calls returned is checked, set-up and memory are put beside their times."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import torch

from attnlab.bench.contract.operator_spec import Operator
from attnlab.bench.machine import peak_memory
from attnlab.bench.machine.clocks import now
from attnlab.bench.measuring.case_sampling import CaseSampling
from attnlab.bench.measuring.judging.refusals import Rejected
from attnlab.bench.measuring.plausibility import HOST_CLOCKS
from attnlab.bench.measuring.prepared_case import PreparedCase
from attnlab.bench.measuring.timing import Timing
from attnlab.bench.store.records import Burst, Launch, Measurement, Outcome, Series


def finish(prepared: PreparedCase, sampling: CaseSampling, stopped: str | None = None) -> Measurement:
    """All that was taken, as raw as it is: who judges works out what it means (see `settlement.settle`).

    stopped: as `Sampling.timed` says. Raises Rejected where what timed calls returned, or the process, is not right.
    """
    timed = sampling.timed(stopped)
    with prepared.foreign():
        _show(prepared)
    prepared.refuse_meddling()
    _refuse_still_inputs(prepared, timed)
    prepared.check_timed()
    bursts = (*timed.bursts, Burst(now.time_s(), _beside(prepared)))
    return replace(
        prepared.measurement,
        timing=timed.record,
        launches=(Launch(os.getpid(), bursts),),
        flags=(*timed.notes, *prepared.notes, *sampling.notes, *prepared.settings_changed()),
        phases_ns=dict(prepared.phases_ns),
    )


def finish_beside(prepared: PreparedCase, sampling: CaseSampling) -> tuple[Measurement, tuple[Series, ...]]:
    """Of a case whose bursts were handed over one by one: the measurement without them, and what stands beside them."""
    beside: list[Series] = []

    def work() -> Measurement:
        prepared.refuse_meddling()
        sampling.refuse_what_was_said()
        prepared.check_timed()
        measurement = replace(prepared.measurement, phases_ns=dict(prepared.phases_ns))
        beside.extend(_beside(prepared, resident=True))
        return measurement

    return prepared.attempt(work), tuple(beside)


def shows_calls(operator: Operator[Any, Any], device: str) -> bool:
    """Whether a parent can time calls too: on a GPU they go on when they have returned, observed ones take long, and
    those over ranks are made in other processes."""
    return device == "cpu" and operator.observe is None and operator.ranks is None


def _show(prepared: PreparedCase) -> None:
    """Calls between marks, which the parent times by its own clock, without a word of this process on times."""
    mark, copies = prepared.setup.mark, prepared.copies
    if mark is None or not shows_calls(prepared.operator, prepared.setup.device.type):
        return
    with prepared.phase("seen from outside"):
        count = mark(0)
        while count:
            for number in range(count):
                copies[number % len(copies)]()
            count = mark(count)


def _refuse_still_inputs(prepared: PreparedCase, timed: Timing) -> None:
    """A host's clock has new content before each call."""
    calls, samples = prepared.renewal.calls, timed.record.samples
    assert samples is not None, "of a time that was taken here"
    if timed.record.clock in HOST_CLOCKS and calls < samples:
        reason = f"had new inputs for {calls} of {samples} timed calls"
        raise Rejected(Outcome.FAILED, f"{reason}; expected it to leave what renews them as it is")


def _beside(prepared: PreparedCase, resident: bool = False) -> tuple[Series, ...]:
    """What stands beside the times: set-up, the first call, memory."""
    once = [("setup", prepared.phases_ns["set-up"]), ("first_call", prepared.first_call.elapsed_ns)]
    times = [Series(name, "ns", "wall", "lower", (value,)) for name, value in once if value is not None]
    return (*times, *(_memory(prepared, resident) if prepared.setup.memory else ()))


def _memory(prepared: PreparedCase, resident: bool) -> tuple[Series, ...]:
    """The allocator's peak in a call, on a CPU with the process's where that can be seen, or is asked for."""
    copy, device = prepared.call, prepared.setup.device
    if prepared.operator.over_ranks(prepared.case):  # it is in processes of its own
        return ()

    def call() -> Any:
        with prepared.foreign():
            copy()
        outputs = copy.outputs
        copy.outputs = None
        if isinstance(outputs, (tuple, list)):
            return outputs
        return (outputs,) if isinstance(outputs, torch.Tensor) else ()

    copy.outputs = None
    found: list[Series] = []
    with prepared.phase("memory"):
        peak = peak_memory.peak_bytes(call, device) if prepared.implementation.memory_seen else None
        if peak is not None:
            found.append(Series("peak_memory", "B", None, "lower", (float(peak),)))
        if device.type == "cpu" and (resident or (peak or 0) >= peak_memory.VISIBLE_BYTES):
            grown = peak_memory.process_peak_bytes(call)
            if grown is not None:
                found.append(Series("peak_resident_memory", "B", None, "lower", (float(grown),)))
    return tuple(found)
