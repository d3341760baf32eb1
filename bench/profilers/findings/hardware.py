"""What counters of the hardware say, and how long the host is held up."""

from __future__ import annotations

from collections.abc import Iterator

from attnlab.bench import units
from attnlab.bench.profilers.findings.facts import Facts, python_lines, shown_time
from attnlab.bench.profilers.record import KERNEL, ProfileFinding, ToolRecord

LOW_OCCUPANCY, LOW_TENSOR, LOW_CYCLES = 25.0, 10.0, 1.0


def host(facts: Facts) -> Iterator[ProfileFinding]:
    """On a GPU: how long the host is held up by one call."""
    held = facts.case.figure("samples", "host time until a call returns")
    if held is None or not facts.on_gpu:
        return
    yield ProfileFinding(
        "launches",
        f"The host is free again {shown_time(held)} after it made the call.",
        f"median of calls that found the GPU idle (samples); {python_lines(facts)}",
    )


def hardware(facts: Facts) -> Iterator[ProfileFinding]:
    """What the counters of a GPU say of its longest kernel."""
    ncu = facts.case.record("ncu")
    if ncu is None or not ncu.kind(KERNEL):
        return
    name = ncu.kind(KERNEL)[0].name
    yield from _occupancy(ncu, name)
    tensor = ncu.figure("tensor cores in use", name)
    if tensor is not None and tensor < LOW_TENSOR and facts.light is not None and facts.light.bound == "compute":
        yield ProfileFinding(
            "arithmetic",
            "The tensor cores are idle, although arithmetic sets the least time.",
            f"{name}: {tensor:.1f} % of their peak (ncu)",
            "Products of 16-bit operands use them: look at dtypes and tile sizes of each tl.dot.",
        )
    conflicts, instructions = ncu.figure("conflicts of shared memory", name), ncu.figure("instructions", name)
    if conflicts and instructions and conflicts > 0.1 * instructions:
        yield ProfileFinding(
            "latency",
            "Threads wait for each other at shared memory.",
            f"{name}: {units.format_count(conflicts)} conflicts in {units.format_count(instructions)} instructions "
            "(ncu)",
            "Another layout in shared memory, swizzled or padded, spreads them over its banks.",
        )


def _occupancy(ncu: ToolRecord, name: str) -> Iterator[ProfileFinding]:
    occupancy = ncu.figure("occupancy", name)
    if occupancy is None or occupancy >= LOW_OCCUPANCY:
        return
    limits = {
        "registers": ncu.figure("blocks that registers allow", name),
        "shared memory": ncu.figure("blocks that shared memory allows", name),
    }
    known = {what: blocks for what, blocks in limits.items() if blocks is not None}
    least = min(known, key=lambda what: known[what]) if known else None
    yield ProfileFinding(
        "latency",
        f"Few warps are at work: {occupancy:.0f} % of what a multiprocessor holds.",
        f"{name}: {', '.join(f'{what} allows {blocks:.0f} blocks' for what, blocks in known.items())} (ncu)",
        None
        if least is None
        else f"Use less {least} a block: smaller tiles, fewer stages; or more work for each warp.",
    )


def processor(facts: Facts) -> Iterator[ProfileFinding]:
    rate, misses = (facts.case.figure("perf", name) for name in ("instructions a cycle", "misses of the last cache"))
    if rate is not None and rate < LOW_CYCLES:
        yield ProfileFinding(
            "latency",
            f"The processor waits: {rate:.2f} instructions a cycle.",
            f"misses of the last cache a call: {units.format_count(misses)} (perf)",
            "Blocks that fit the cache, and data in the order in which it is read, let it wait less.",
        )
