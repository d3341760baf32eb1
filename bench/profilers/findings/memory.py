"""Bytes that a call moves against those of the contract, results between, and memory that the system gives anew."""

from __future__ import annotations

from collections.abc import Iterator

from attnlab.bench import units
from attnlab.bench.profilers.findings.facts import Facts, shown_time
from attnlab.bench.profilers.record import ProfileFinding

MORE_BYTES = 1.5  # times the contract's
PAGE_BYTES = 4096
FAULT_NS = 250.0  # about what Linux needs to give a process a page, zeroed
FAULT_SHARE = 0.05  # of a call


def moved_bytes(facts: Facts) -> Iterator[ProfileFinding]:
    """Bytes that were counted against the contract's; where none were, those that torch allocated between."""
    contract = facts.case.measurement.bytes_moved
    if not contract:
        return
    read = _counted_bytes(facts)
    if read is not None:
        moved, tool = read
        factor = moved / contract
        yield ProfileFinding(
            "memory",
            f"It moves {factor:.2g} times the bytes of the contract.",
            f"{units.format_bytes(moved)} counted ({tool}), {units.format_bytes(contract)} by the contract",
            "Data is read again, or results between are written out: larger tiles, one kernel, a better order of tiles."
            if factor > MORE_BYTES
            else None,
        )
        return
    allocated = facts.case.figure("torch", "memory allocated")
    written = facts.case.measurement.bytes_written or 0
    between = (allocated or 0.0) - written
    if allocated is not None and between > contract:
        peak = facts.case.figure("torch", "peak of memory")
        yield ProfileFinding(
            "memory",
            f"Results between take {units.format_bytes(between)}, {between / contract:.2g} times all that the contract "
            "moves; each is written, and read again.",
            f"{units.format_bytes(allocated)} allocated in a call, of which the output is "
            f"{units.format_bytes(written)}; peak {units.format_bytes(peak)} (torch)",
            "Keep them in registers or caches: one kernel, smaller blocks, operations in place.",
        )


def _counted_bytes(facts: Facts) -> tuple[float, str] | None:
    ncu = facts.case.record("ncu")
    if ncu is not None:
        names = ("bytes read from memory", "bytes written to memory")
        counted = [figure.value for figure in ncu.figures if figure.name in names]
        if counted:
            return sum(counted), "ncu"
    read = facts.case.figure("perf", "bytes read from memory")
    return None if read is None else (read, "perf, misses of the last cache alone")


def fresh_memory(facts: Facts) -> Iterator[ProfileFinding]:
    """Memory that the system gives a process anew in each call."""
    faults, call_ns = facts.case.figure("perf", "page faults"), facts.case.call_ns
    if not faults or not call_ns or faults * FAULT_NS < FAULT_SHARE * call_ns:
        return
    yield ProfileFinding(
        "memory",
        f"Each call gets {units.format_bytes(faults * PAGE_BYTES)} of fresh memory from the system, page by page.",
        f"{faults:.0f} page faults a call, about {shown_time(faults * FAULT_NS)} of {shown_time(call_ns)} (perf)",
        "Keep buffers from call to call, or have the allocator keep them: MALLOC_TRIM_THRESHOLD_, jemalloc, tcmalloc.",
    )
