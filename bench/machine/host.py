"""What the host says of a stretch of time: who had its cores, who waited for them, and at what clock rate they ran."""

from __future__ import annotations

import functools
import os
import resource
import time
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.machine.clocks import now
from attnlab.bench.store.records import HostState

_usage = resource.getrusage  # bound before any plugin is imported, as the clocks are
TICK_NS = 1e9 / os.sysconf("SC_CLK_TCK")
STATISTICS = "/proc/stat"
OWN_THREADS = "/proc/self/task"
OWN_PLACE = "/proc/self/stat"
FREQUENCY = "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq"
RUNNING = b"procs_running "
LAST_CORE = 36  # the field of /proc/self/stat that follows the name, counted from 0, see proc(5)
USER, NICE, SYSTEM, IRQ, SOFTIRQ, STEAL = 1, 2, 3, 6, 7, 8  # fields of the first line of /proc/stat


class HostReader:
    """Reads the host when it is made, and gives what happened since; some 100 µs on a machine of few cores.

    On other systems than Linux all that stands under /proc is None.
    """

    def __init__(self) -> None:
        self._machine = machine_time()
        self._waited_ns = _waited_ns()
        self._cpu_ns, self._switches = _own()
        self._started_ns = now.perf_counter_ns()

    def read(self) -> HostState:
        """The state from then to now."""
        elapsed_ns = float(now.perf_counter_ns() - self._started_ns)
        cpu_ns, switches = _own()
        waited_ns, machine, then = _waited_ns(), machine_time(), self._machine
        return HostState(
            elapsed_ns=elapsed_ns,
            cpu_ns=cpu_ns - self._cpu_ns,
            involuntary_switches=switches - self._switches,
            waited_ns=None if waited_ns is None or self._waited_ns is None else max(0.0, waited_ns - self._waited_ns),
            busy_ns=machine.busy_ns - then.busy_ns if machine and then else None,
            stolen_ns=machine.stolen_ns - then.stolen_ns if machine and then else None,
            runnable=machine.runnable if machine else None,
            frequency_mhz=_frequency_mhz(),
        )


def host_state_over(seconds: float) -> HostState:
    """The state of the host while this process sleeps for so long: all that is busy then are others."""
    reader = HostReader()
    time.sleep(seconds)
    return reader.read()


@dataclass(frozen=True)
class MachineTime:
    """Of all processors together since the machine started, in nanoseconds; runnable: threads that want one now."""

    busy_ns: float
    stolen_ns: float
    runnable: int | None


def _own() -> tuple[float, int]:
    """Processor time of this process in nanoseconds, and its involuntary context switches."""
    usage = _usage(resource.RUSAGE_SELF)
    return float(units.seconds_to_ns(usage.ru_utime + usage.ru_stime)), usage.ru_nivcsw


def _waited_ns() -> float | None:
    """For how long the threads that are alive were ready to run and had no core."""
    try:
        # for each thread: time on a core, time waiting for one, number of turns; nothing is counted on some kernels
        found = [_read(f"{OWN_THREADS}/{thread}/schedstat").split() for thread in os.listdir(OWN_THREADS)]
        return float(sum(int(fields[1]) for fields in found)) if any(int(fields[2]) for fields in found) else None
    except (OSError, ValueError, IndexError):
        return None


def machine_time() -> MachineTime | None:
    """What the kernel counted until now; None on other systems than Linux."""
    try:
        text = _read(STATISTICS)
        fields = text[: text.index(b"\n")].split()
        ticks = {place: int(fields[place]) for place in (USER, NICE, SYSTEM, IRQ, SOFTIRQ, STEAL)}
    except (OSError, ValueError, IndexError):
        return None
    stolen = ticks.pop(STEAL)
    place = text.find(RUNNING)
    runnable = int(text[place + len(RUNNING) :].split(maxsplit=1)[0]) if place >= 0 else None
    return MachineTime(sum(ticks.values()) * TICK_NS, stolen * TICK_NS, runnable)


@functools.cache
def _tells_frequency() -> bool:
    return os.path.exists(FREQUENCY.format(0))


def _frequency_mhz() -> float | None:
    """Of the core that this thread ran on last; None where the kernel does not tell, as in most virtual machines."""
    if not _tells_frequency():
        return None
    try:
        core = int(_read(OWN_PLACE).rpartition(b")")[2].split()[LAST_CORE])
        return int(_read(FREQUENCY.format(core))) / 1e3
    except (OSError, ValueError, IndexError):
        return None


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        chunks = []
        while chunk := os.read(descriptor, 1 << 16):
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        os.close(descriptor)
