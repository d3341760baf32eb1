"""Probes of a GPU: the clocks that time it, its L2, its clock rates and who else computes on it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from attnlab.bench import units
from attnlab.bench.doctor.finding import Finding, Inspection, Patient
from attnlab.bench.machine.clocks import start_all
from attnlab.bench.machine.clocks.cuda_events import CudaEvents
from attnlab.bench.machine.gpu import Gpu
from attnlab.bench.machine.throttling import state_notes
from attnlab.bench.store.records import DeviceState

SIGN_OF_A_FLUSH = 1.05  # a cold read takes longer than a hot one by more than this
BURSTS, CALLS = 5, 20  # of work, with a look at the GPU's state after each
FULL = 0.98  # of the highest SM clock
SET = "application clocks"  # NVML's reason where a setting limits the clocks


def gpu_findings(patient: Patient) -> Iterator[Finding]:
    """Nothing on a CPU."""
    if patient.gpu is None:
        return
    yield _clocks(patient)
    yield _flush(patient.gpu)
    yield from _rates(patient, patient.gpu)
    yield _others(patient.gpu)


def _clocks(patient: Patient) -> Finding:
    """Which clocks can time a plain call here, the main one first."""
    started = start_all(patient.clocks, [patient.work])
    names = ", ".join(timer.clock for timer in started.timers)
    return Finding("clocks that work here", names, "; ".join(started.notes) or None)


def _flush(gpu: Gpu) -> Finding:
    """Whether a call that reads half the L2 finds it emptied by the clock, and what a flush by writes adds to it."""
    read = gpu.reader(gpu.l2_bytes // 2)
    times = []
    for cache, writing in (("cold", False), ("cold", True), ("hot", False)):
        timer = CudaEvents(gpu, cache, writing).start([read], 0)
        timer.burst(5)
        times.append(statistics.median(timer.burst(50)))
    cold_ns, written_ns, hot_ns = times
    fails = cold_ns <= SIGN_OF_A_FLUSH * hot_ns
    return Finding(
        "reading half the L2, emptied before by reads, by writes, and not",
        f"{units.format_time(cold_ns)}, {units.format_time(written_ns)} and {units.format_time(hot_ns)}",
        "the L2 is not emptied between calls: take times of data that fits into it as hot" if fails else None,
    )


def _rates(patient: Patient, gpu: Gpu) -> Iterator[Finding]:
    """The clock rates at work, whether a setting holds them, and whether heat or power does."""
    silence = gpu.silence()
    if silence is not None:
        remedy = f"clock rates, heat and power cannot be read, so throttling would go unseen: {silence}"
        yield Finding("GPU telemetry", "none", remedy, advice=True)
        return
    timer = start_all(patient.clocks, [patient.work]).timers[0]
    states: list[DeviceState] = []
    for _ in range(BURSTS):
        timer.burst(CALLS)
        if (state := gpu.state()) is not None:
            states.append(state)
    yield _locked(states, gpu.highest_sm_clock_mhz())
    notes = state_notes(states)
    yield Finding("GPU clocks under load", "held down or moving" if notes else "steady", "; ".join(notes) or None)


def _locked(states: list[DeviceState], highest_mhz: float | None) -> Finding:
    clocks = [state.sm_clock_mhz for state in states if state.sm_clock_mhz is not None]
    if not clocks:
        return Finding("SM clock at work", units.MISSING)
    at_work = statistics.median(clocks)
    of = f" of {units.three_digits(highest_mhz)}" if highest_mhz else ""
    value = f"{units.three_digits(at_work)}{of} MHz"
    if any(SET in (state.throttle or ()) for state in states):
        return Finding("SM clock at work", f"{value}, held by a setting")
    low = f"{FULL * at_work:.0f}"
    return Finding(
        "SM clock at work",
        f"{value}, not locked",
        f"it follows heat and power: to compare runs of different hours, lock it (nvidia-smi --lock-gpu-clocks={low}, "
        "undone by --reset-gpu-clocks)",
        advice=True,
    )


def _others(gpu: Gpu) -> Finding:
    others = gpu.other_processes()
    if others is None:
        return Finding("other processes on the GPU", "not known")
    ids = ", ".join(map(str, others))
    remedy = f"they share its time and memory: wait for their end, or end them (process {ids})" if others else None
    return Finding("other processes on the GPU", str(len(others)), remedy)


INSPECTIONS = (Inspection(50, gpu_findings),)
