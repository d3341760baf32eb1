"""Probes of the host: who else is working, threads, clock rates of the processor, the compiler."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil

from attnlab.bench import units
from attnlab.bench.contract import needs
from attnlab.bench.doctor.finding import Finding, Inspection, Patient

LOOK_S = 0.3
BUSY = 0.25  # of the cores' time, taken by others
SAME_RATE = 1.1  # rates of one machine differ by a few per cent
STOLEN = 0.01  # of the cores' time, taken by other machines of the same host
BOOST_FILES = {
    Path("/sys/devices/system/cpu/intel_pstate/no_turbo"): "0",
    Path("/sys/devices/system/cpu/cpufreq/boost"): "1",
}  # and what stands in them where boost is on


def load(patient: Patient) -> Iterator[Finding]:
    """The load of the last minute."""
    average, cores = patient.environment.load_average, patient.environment.cores
    if average is None or cores is None:
        yield Finding("load average", units.MISSING)
        return
    remedy = "stop what else is running, or times will be long and scattered" if average > 0.5 * cores else None
    yield Finding("load average", f"{average:.2f} on {cores} cores", remedy, advice=True)  # it may be over by now


def others_now(patient: Patient) -> Iterator[Finding]:
    """How busy the cores are at this moment, while this process waits."""
    times = psutil.cpu_times_percent(interval=LOOK_S)
    stolen = getattr(times, "steal", 0.0) / 100
    busy = max(0.0, 1 - (times.idle + getattr(times, "iowait", 0.0)) / 100 - stolen)
    remedy = "other processes compute now: stop them, or times will be long and scattered" if busy > BUSY else None
    yield Finding("cores busy with other work now", units.format_share(busy), remedy)
    if stolen > STOLEN:
        yield Finding(
            "cores' time taken by the host",
            units.format_share(stolen),
            "this virtual machine shares its cores with others: compare only implementations measured in one run",
        )


def threads(patient: Patient) -> Iterator[Finding]:
    """Whether there are as many threads as cores to run them."""
    environment = patient.environment
    usable = len(environment.affinity) or environment.cores
    off = environment.threads is not None and usable is not None and environment.threads > usable
    yield Finding(
        "threads",
        f"{environment.threads} on {usable} usable cores",
        f"set OMP_NUM_THREADS={usable}: more threads than cores wait for each other" if off else None,
    )


def frequency(patient: Patient) -> Iterator[Finding]:
    """How the processor's clock rate is chosen; nothing where the kernel does not tell, as in virtual machines."""
    governor = patient.environment.governor
    if governor is not None:
        slow = governor not in ("performance", "schedutil")
        yield Finding(
            "CPU frequency governor",
            governor,
            "clocks may be low at first: choose 'performance' (cpupower frequency-set -g performance)"
            if slow
            else None,
            advice=True,
        )
    for path, on in BOOST_FILES.items():
        try:
            boosts = path.read_text().strip() == on
        except OSError:
            continue
        yield Finding("CPU frequency boost", "on: the more cores work, the lower each one's clock" if boosts else "off")


def compiler(patient: Patient) -> Iterator[Finding]:
    """Whether torch.compile and Triton find what they need."""
    reason = needs.compiler_reason()
    yield Finding("C++ compiler and Python's headers", "found" if reason is None else "missing", reason, advice=True)


def ceilings(patient: Patient) -> Iterator[Finding]:
    """The rates that shares are shown of, and whether other work held them down as they were measured."""
    now, kept = patient.ceilings, patient.kept or patient.ceilings
    if now.disturbed is not None:
        known = f"those of {_day(kept.measured_at_s)} are kept" if kept is not now else "none are kept"
        remedy = f"not stored, {known}: stop what else is running, and run `attnlab doctor` again"
        yield Finding("ceilings measured now", f"too low: {now.disturbed}", remedy)
    yield _rate("copy bandwidth, measured", now.bandwidth, kept.bandwidth, "B/s")
    yield _rate("read bandwidth, measured", now.read_bandwidth, kept.read_bandwidth, "B/s")
    yield _rate("cache bandwidth, measured", now.cache_bandwidth, kept.cache_bandwidth, "B/s")
    for dtype, rate in now.rates.items():
        yield _rate(f"matrix rate {dtype}, measured", rate, kept.rates.get(dtype), "FLOP/s")


def _rate(name: str, now: float | None, kept: float | None, unit: str) -> Finding:
    if now is None:
        return Finding(name, units.MISSING)
    known = f", {units.format_count(kept)}{unit} before" if kept is not None and kept > SAME_RATE * now else ""
    return Finding(name, f"{units.format_count(now)}{unit}{known}")


def _day(unix_s: float) -> str:
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d}"


INSPECTIONS = (
    Inspection(0, others_now),  # before the doctor itself is at work
    Inspection(60, load),
    Inspection(70, threads),
    Inspection(80, frequency),
    Inspection(100, compiler),
    Inspection(110, ceilings),
)
