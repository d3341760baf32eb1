"""What compiled kernels say in words: what is wrong or worth knowing, its evidence, and what may help."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attnlab.bench import units
from attnlab.bench.profilers.compiled.resources import IGNORED, CompiledCase, KernelResources
from attnlab.bench.profilers.record import ProfileFinding
from attnlab.bench.text import one_line

NARROW_BYTES = 8  # of loads: below it, an address or a length that Triton does not know to be divisible is likely
FEW_WARPS = 4  # of a multiprocessor: too few to hide a load behind others' work


def findings(cases: Iterable[CompiledCase], dtype: str | None) -> Iterator[ProfileFinding]:
    """Of all kernels of a call; why one does not compile is told once, what is else so once for each target."""
    cases, failed = tuple(cases), dict[tuple[str, str], list[str]]()
    for case in cases:
        if case.failed is not None:
            failed.setdefault((case.place or case.implementation, one_line(case.failed)), []).append(case.target)
    for (place, why), targets in failed.items():
        yield ProfileFinding(
            "compilation",
            f"It does not compile or launch for {', '.join(targets)}.",
            f"{place}: {why} (static)",
            "Mend the line that is named; the same order without a GPU: attnlab profile --tool static.",
        )
    for case in cases:
        for kernel in case.kernels:
            yield from _of_kernel(kernel, dtype)


def _of_kernel(kernel: KernelResources, dtype: str | None) -> Iterator[ProfileFinding]:
    name = f"`{kernel.name}` for {kernel.target}"
    if kernel.spills:
        yield ProfileFinding(
            "registers",
            f"{name} spills registers to memory.",
            f"{kernel.spill_loads} loads and {kernel.spill_stores} stores of local memory, {kernel.registers} "
            "registers a thread (static)",
            "Smaller tiles, more warps, or fewer values alive over the loop.",
        )
    if kernel.shared_over_bytes:
        yield ProfileFinding(
            "shared memory",
            f"{name} cannot be launched: it needs more shared memory than a block may have.",
            f"{units.format_bytes(kernel.shared_bytes)}, of which {units.format_bytes(kernel.shared_over_bytes)} "
            "are too many (static)",
            "Fewer stages, or smaller tiles.",
        )
    if kernel.warp_specialization == IGNORED:
        yield ProfileFinding(
            "warp specialisation",
            f"{name} asks for warp specialisation, and Triton did not apply it.",
            "no ttg.warp_specialize in its code (static)",
            "Triton applies it to one loop with descriptors, with four warps, and to nothing else as yet.",
        )
    for warning in kernel.warnings:
        yield ProfileFinding("assembler", f"The assembler warns of {name}.", f"{warning} (static)", None)
    width = kernel.load_width_bytes
    if kernel.architecture is not None and width is not None and width < NARROW_BYTES and kernel.loop is not None:
        yield ProfileFinding(
            "loads",
            f"{name} loads few bytes at once.",
            f"{width:.3g} bytes a thread and load, where 16 are the most (static)",
            "Tell Triton what is divisible: strides as arguments that are multiples of 16, tl.multiple_of, "
            "contiguous rows.",
        )
    fit = kernel.occupancy
    if fit is not None and fit.blocks > 0 and fit.blocks * (kernel.threads or 0) // 32 < FEW_WARPS:
        yield ProfileFinding(
            "occupancy",
            f"{name} leaves a multiprocessor with few warps.",
            f"{fit.blocks} blocks at once, {units.format_share(fit.share)} of its warps, limited by {fit.limited_by} "
            "(static)",
            f"Less of {fit.limited_by}, or more warps a block.",
        )
    if kernel.architecture is None and kernel.loop is not None and kernel.loop.spills:
        yield ProfileFinding(
            "registers",
            f"{name} keeps values of its main loop in memory.",
            f"{kernel.loop.spills} of {kernel.loop.instructions} instructions of a round use the stack (static)",
            "Fewer sums at once, or narrower vectors than the source names.",
        )
