"""What the states of a GPU and of the host over a set of samples mean: clocks held down, cores taken by others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnlab.bench import units
from attnlab.bench.machine.slow_clocks import held_down_notes
from attnlab.bench.store.records import Burst, DeviceState, HostState

MOVED = 0.05  # of a clock rate over the bursts, beyond which it is worth a word
WAITED = 0.05  # of the time: a quiet machine keeps threads waiting for some thousandths of it
STOLEN = 0.05  # of the time
SWITCHES_PER_S = 100.0  # a quiet machine shows 20 to 40, one with a busy neighbour 150 and more
IDLED = 0.9  # of a core: who computes has one whole core or more, or was kept from it
BUSY_OTHERS = 0.5  # cores
HOST_CLOCK = "wall"  # the clock that all of this lengthens; a GPU's own spans end without the host
REMEDIES = (
    ("thermal", "by heat", "cool the GPU, or lock its clocks lower (nvidia-smi --lock-gpu-clocks)"),
    ("power", "by its power limit", "lock its clocks lower (nvidia-smi --lock-gpu-clocks), or raise the limit"),
    ("hardware slowdown", "by its hardware", "see `nvidia-smi -q -d PERFORMANCE` for the reason"),
)  # how a reason begins, in words, what to do


def burst_notes(bursts: Sequence[Burst]) -> tuple[str, ...]:
    """Warnings in plain words, for bursts in the order of time; what is particular to one result stands in brackets."""
    return (
        *state_notes([burst.state for burst in bursts if burst.state is not None]),
        *held_down_notes(bursts),
        *host_notes(_hosts(bursts)),
    )


def contended(bursts: Sequence[Burst]) -> bool:
    """Whether other work kept the timed calls waiting, so that their time is too long by an unknown factor."""
    return waiting_of(bursts) is not None


def waiting_of(bursts: Sequence[Burst]) -> str | None:
    """In words, how other work kept the timed calls waiting; None where it did not."""
    return kept_waiting(_hosts(bursts))


def host_notes(hosts: Sequence[HostState]) -> tuple[str, ...]:
    """Warnings in plain words of what the host did to calls that it timed."""
    return tuple(_host_notes(hosts))


def disturbance(hosts: Sequence[HostState]) -> str | None:
    """In words, how other work slowed what this process did meanwhile; None where it did not."""
    kept, others = kept_waiting(hosts), cores_used_by_others(hosts)
    if kept is None and others is not None and others > BUSY_OTHERS:
        return f"other processes kept {others:.1f} cores busy"
    return kept


def cores_used_by_others(hosts: Sequence[HostState]) -> float | None:
    """How many cores other processes than this one kept busy, on average; None where the host does not tell.

    The host counts in steps of 10 ms: a stretch of some 100 ms or more is needed.
    """
    known = [host for host in hosts if host.busy_ns is not None]
    elapsed_ns = sum(host.elapsed_ns for host in known)
    others_ns = sum((host.busy_ns or 0.0) - host.cpu_ns for host in known)
    return max(0.0, others_ns / elapsed_ns) if elapsed_ns else None


def _hosts(bursts: Sequence[Burst]) -> list[HostState]:
    """Of bursts timed by a clock of the host."""
    return [b.host for b in bursts if b.host is not None and b.series and b.series[0].clock == HOST_CLOCK]


def _host_notes(hosts: Sequence[HostState]) -> Iterator[str]:
    kept = kept_waiting(hosts)
    if kept is not None:
        most = max((host.runnable for host in hosts if host.runnable is not None), default=None)
        wanted = f"; up to {most} threads wanted a core at once" if most is not None else ""
        yield (
            "the machine was busy: times are too long by an unknown factor; stop what else runs, or give torch no more "
            f"threads than cores are free, OMP_NUM_THREADS ({kept}{wanted})"
        )
    others = cores_used_by_others(hosts)
    if kept is None and others is not None and others > BUSY_OTHERS:
        yield f"other processes computed meanwhile, and share caches and memory ({others:.1f} cores)"
    clocks = [host.frequency_mhz for host in hosts if host.frequency_mhz is not None]
    if clocks and max(clocks) > (1 + MOVED) * min(clocks):
        low, high = units.three_digits(min(clocks)), units.three_digits(max(clocks))
        yield (
            "the processor's clock rate moved; choose its governor: cpupower frequency-set -g performance "
            f"({low} to {high} MHz)"
        )


def kept_waiting(hosts: Sequence[HostState]) -> str | None:
    """How the host kept the process from its cores; None where it did not.

    The time that its threads waited says so best. Where the kernel does not count it, switches and idling have to.
    """
    elapsed_ns = sum(host.elapsed_ns for host in hosts)
    if not elapsed_ns:
        return None
    stolen = sum(host.stolen_ns or 0.0 for host in hosts) / elapsed_ns
    if stolen > STOLEN:
        return f"the host gave {units.format_share(stolen)} of a core to other machines"
    if all(host.waited_ns is not None for host in hosts):
        waited = sum(host.waited_ns or 0.0 for host in hosts) / elapsed_ns
        words = f"its threads waited for a core {units.format_share(waited)} of the time, summed over them"
        return words if waited > WAITED else None
    switches = sum(host.involuntary_switches for host in hosts) / units.ns_to_seconds(elapsed_ns)
    if switches > SWITCHES_PER_S:
        return f"its threads were taken off their cores {switches:.0f} times a second"
    computed = sum(host.cpu_ns for host in hosts) / elapsed_ns
    return f"it had a core for {units.format_share(computed)} of the time" if computed < IDLED else None


def state_notes(states: Sequence[DeviceState]) -> tuple[str, ...]:
    """Warnings in plain words, for states in the order of time; samples are flagged by them and never discarded."""
    return tuple(_notes(states))


def _notes(states: Sequence[DeviceState]) -> Iterator[str]:
    for begins, words, remedy in REMEDIES:
        held = sum(any(reason.startswith(begins) for reason in state.throttle or ()) for state in states)
        counted_ns = _counted_ns(states, begins)
        if held or counted_ns:
            spent = f", {units.format_time(counted_ns)} of it counted" if counted_ns else ""
            yield f"the GPU's clocks were held down {words} in {held} of {len(states)} bursts{spent}: {remedy}"
    clocks = [state.sm_clock_mhz for state in states if state.sm_clock_mhz is not None]
    if clocks and max(clocks) > (1 + MOVED) * min(clocks):
        low, high = units.three_digits(min(clocks)), units.three_digits(max(clocks))
        yield f"the SM clock moved between {low} and {high} MHz while samples were taken"


def _counted_ns(states: Sequence[DeviceState], begins: str) -> float:
    """By how much the driver's counter of that reason rose between the first state and the last."""
    fields = {"thermal": "thermal_violation_ns", "power": "power_violation_ns"}
    if begins not in fields:
        return 0.0
    counted = [value for state in states if (value := getattr(state, fields[begins])) is not None]
    return counted[-1] - counted[0] if counted else 0.0
