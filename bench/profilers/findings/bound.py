"""What a call waits for most: Python, launches, memory, arithmetic, or none of them but latency."""

from __future__ import annotations

from collections.abc import Iterator

from attnlab.bench import units
from attnlab.bench.contract.roofline import SpeedOfLight
from attnlab.bench.profilers.findings.facts import Facts, python_lines, shown_rate, shown_share, shown_time
from attnlab.bench.profilers.record import KERNEL, OPERATION, ProfileFinding

UNKNOWN = "unknown"
NEAR = 0.6  # of a ceiling: what comes so near is bound by it
PYTHON_SHARE = 0.5  # of a call outside of torch's operations
SMALL_OPERATION_NS = 10_000.0  # of which as much goes to starting an operation as to its work
MANY_OPERATIONS = 20
MOST_OF_THEM = 0.5  # of the time in operations
GAP_SHARE = 0.2


def bound(facts: Facts) -> Iterator[ProfileFinding]:
    """The one thing that a call waits for most; where that may be other work, why it is not told."""
    of_host = (_bound_on_gpu, _bound_by_python) if facts.doubt is None else ()
    for finder in (*of_host, _bound_by_starting, _bound_by_ceiling, _bound_unknown, _bound_by_latency):
        found = finder(facts)
        if found is not None:
            yield found
            return


def _bound_unknown(facts: Facts) -> ProfileFinding | None:
    """Where times hold what was waited for a core, or what it costs to record them."""
    timed = None if facts.busy is None else f"while it was timed, {facts.busy}"
    doubts = [doubt for doubt in (timed, facts.doubt) if doubt is not None]
    if not doubts:
        return None
    return ProfileFinding(
        UNKNOWN,
        "What bounds it is not told: its times hold more than the call itself.",
        "; ".join(doubts),
        "Take it again while nothing else runs (`attnlab doctor` says whether something does), or with fewer threads "
        "(OMP_NUM_THREADS)."
        if facts.disturbed
        else "Take a larger case, of which recording costs less.",
    )


def _bound_on_gpu(facts: Facts) -> ProfileFinding | None:
    torch = facts.case.record("torch")
    busy = None if torch is None else torch.figure("time in kernels")
    if torch is None or busy is None or busy <= 0:
        return None
    gaps = torch.figure("gaps between kernels") or 0.0
    host = facts.case.figure("samples", "host time until a call returns") or torch.figure("host time of a call") or 0.0
    launches, kernels = torch.figure("launches") or 0.0, torch.figure("kernels") or 0.0
    if host > busy + gaps or gaps > GAP_SHARE * (busy + gaps):
        launching = torch.figure("host time in launches") or 0.0
        by = "Python" if launching < host / 2 else "launches"
        return ProfileFinding(
            by,
            f"One call after another, it is bound by {by}: the host needs longer for a call than its kernels run.",
            f"host time of a call {shown_time(host)}, of it {shown_time(launching)} in {launches:.0f} launches; "
            f"{kernels:.0f} kernels run for {shown_time(busy)}, with gaps of {shown_time(gaps)} between them (torch)",
            "Replay the call from a CUDA graph, put kernels together, or take work out of Python before the launch.",
        )
    return None


def _bound_by_python(facts: Facts) -> ProfileFinding | None:
    torch = facts.case.record("torch")
    if torch is None or facts.on_gpu or _runs_a_kernel_in_c(facts):
        return None
    outside, host = torch.figure("host time outside of operations"), torch.figure("host time of a call")
    if not outside or not host or not torch.kind(OPERATION) or outside < PYTHON_SHARE * host:
        return None
    return ProfileFinding(
        "Python",
        f"It is bound by Python, or by code that torch does not see: {shown_share(outside / host)} of a call is "
        "outside of torch's operations.",
        f"{shown_time(outside)} of {shown_time(host)} (torch); {python_lines(facts)}",
        "Work out before the call what does not depend on its inputs"
        + (
            "; --tool samples shows the lines."
            if facts.case.record("samples") is None
            else "; see the lines of Python."
        ),
    )


def _runs_a_kernel_in_c(facts: Facts) -> bool:
    """Whether what torch does not see is a kernel that a compiler told of; ceilings say what bounds that."""
    static = facts.case.record("static")
    return static is not None and any(figure.of and " x86-64" in figure.of for figure in static.figures)


def _bound_by_starting(facts: Facts) -> ProfileFinding | None:
    torch = facts.case.record("torch")
    if torch is None or facts.on_gpu:
        return None
    number, recorded = torch.figure("operations") or 0.0, torch.figure("host time of a call") or 0.0
    host = min(recorded, facts.case.call_ns or recorded)  # recording and other work make either longer
    if number < MANY_OPERATIONS or host / number > SMALL_OPERATION_NS:
        return None
    times = [part.time_ns or 0.0 for part in torch.kind(OPERATION)]
    if times and max(times) > MOST_OF_THEM * sum(times):  # the others are many, and yet not what it waits for
        return None
    return ProfileFinding(
        "launches",
        "It is bound by starting operations: they are many and small.",
        f"{number:.0f} operations in {shown_time(host)}, {shown_time(host / number)} each (torch)",
        "Put operations together (torch.compile, or one kernel), or give each more to do.",
    )


def _bound_by_ceiling(facts: Facts) -> ProfileFinding | None:
    """Near a ceiling, or as the hardware counted it."""
    counted = _counted_bound(facts)
    if counted is not None:
        return counted
    if facts.light is None or facts.share is None or facts.share < NEAR:
        return None
    what = _ceiling_of(facts.light)
    return ProfileFinding(
        what,
        f"It is bound by {what}, and {shown_share(facts.share)} of what was measured of the machine.",
        _by_contract(facts),
        "Nothing short of less to compute or to move makes it much faster: another format, fewer bits, a mask.",
    )


def _bound_by_latency(facts: Facts) -> ProfileFinding | None:
    """Far from both ceilings."""
    if facts.light is None or facts.share is None:
        return None
    return ProfileFinding(
        "latency",
        f"It is near neither ceiling as the contract counts its work: it reaches {shown_share(facts.share)} of what "
        f"{_ceiling_of(facts.light)} allows, and waits, or moves and computes more than it must.",
        _by_contract(facts),
        "Look at what it takes longest for, and at results between, below.",
    )


def _ceiling_of(light: SpeedOfLight) -> str:
    return "arithmetic" if light.bound == "compute" else "memory"


def _by_contract(facts: Facts) -> str:
    m, call_ns = facts.case.measurement, facts.case.call_ns or 0.0
    moved, done = m.bytes_moved or 0, m.operations or 0
    return (
        f"{units.format_bytes(moved)} and {units.format_count(done)} operations by the contract in "
        f"{shown_time(call_ns)}: {shown_rate(moved, call_ns, units.GB, 'GB/s')}, "
        f"{shown_rate(done, call_ns, units.TERA, 'TFLOP/s')}"
    )


def _counted_bound(facts: Facts) -> ProfileFinding | None:
    ncu = facts.case.record("ncu")
    main = ncu.kind(KERNEL)[0] if ncu is not None and ncu.kind(KERNEL) else None
    if ncu is None or main is None:
        return None
    memory = ncu.figure("share of the memory's peak", main.name)
    arithmetic = ncu.figure("share of the multiprocessors' peak", main.name)
    if memory is None or arithmetic is None:
        return None
    evidence = f"{main.name}: memory {memory:.0f} % and multiprocessors {arithmetic:.0f} % of their peaks (ncu)"
    if max(memory, arithmetic) >= 100 * NEAR:
        what = "memory" if memory >= arithmetic else "arithmetic"
        return ProfileFinding(what, f"Its longest kernel is bound by {what}.", evidence, None)
    stalls = [f for f in ncu.figures if f.of == main.name and f.name.startswith("stalled: ")]
    most = max(stalls, key=lambda figure: figure.value, default=None)
    why = "" if most is None else f"; most stalls: {most.name.removeprefix('stalled: ')}"
    return ProfileFinding(
        "latency",
        "Its longest kernel is bound by latency: neither memory nor multiprocessors are near their peak.",
        evidence + why,
        "Have more in flight: more warps, more stages, more independent work in a thread, larger loads.",
    )


def ceiling(facts: Facts) -> Iterator[ProfileFinding]:
    if facts.light is None or facts.share is None:
        return
    m = facts.case.measurement
    intensity = (m.operations or 0) / (m.bytes_moved or 1)
    on, share = ("", "") if facts.busy is None else (" on a busy machine", "at least ")
    yield ProfileFinding(
        "ceiling",
        f"A call takes {shown_time(facts.case.call_ns)}{on}; the least that the measured ceilings allow is "
        f"{shown_time(facts.light.time_ns)}: {share}{shown_share(facts.share)} of the ceiling.",
        f"{intensity:.3g} operations a byte; {facts.ceilings.device}: "
        f"{units.format_value(facts.ceilings.read_rate / units.GB, 'GB/s')} read"
        + (f"; the ceilings may be too low: {facts.ceilings.disturbed}" if facts.ceilings.disturbed else ""),
    )
