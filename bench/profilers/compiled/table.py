"""Compiled kernels as tables: for a terminal of 80 columns, and as texts for pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attnlab.bench import units
from attnlab.bench.profilers.compiled.devices import models_of
from attnlab.bench.profilers.compiled.resources import CompiledCase, KernelResources
from attnlab.bench.text_table import fitted, paragraph

GPU_HEADINGS = ("kernel", "regs", "spills", "shared", "warps", "fit", "tensor cores", "loop", "load B")
CPU_HEADINGS = ("kernel", "vectors", "loop", "loads", "conversions", "stack")
LEGEND = (
    "regs: registers of a thread. spills: instructions that read or write local memory. fit: blocks that a "
    "multiprocessor holds at once, and what allows no more. loop: instructions of a round of the main loop, or of the "
    "whole kernel where it has none (=). load B: mean bytes that a thread loads at once, weighted by bytes"
)
CPU_LEGEND = (
    "vectors: widest of the main loop, in bits. loop: its instructions in a round; loads, conversions of numbers, and "
    "stack: reads and writes of what found no register, of these"
)
SHORT = {"registers": "regs", "shared memory": "shared"}


def gpu_cells(kernel: KernelResources) -> tuple[str, ...]:
    """A row under `GPU_HEADINGS`."""
    fit, width = kernel.occupancy, kernel.load_width_bytes
    over = "!" if kernel.shared_over_bytes else ""
    return (
        kernel.name,
        units.MISSING if kernel.registers is None else str(kernel.registers),
        str(kernel.spills),
        units.format_bytes(kernel.shared_bytes) + over if kernel.shared_bytes else "0",
        str((kernel.threads or 0) // 32),
        units.MISSING if fit is None else f"{fit.blocks} {SHORT.get(fit.limited_by, fit.limited_by)}",
        tensor(kernel),
        loop(kernel),
        units.MISSING if width is None else f"{width:.3g}",
    )


def cpu_cells(kernel: KernelResources) -> tuple[str, ...]:
    """A row under `CPU_HEADINGS`."""
    main = kernel.loop
    told = (None,) * 4 if main is None else (main.instructions, main.loads, main.conversions, main.spills)
    vectors = units.MISSING if kernel.vector_bits is None else str(kernel.vector_bits)
    return (named(kernel), vectors, *(units.MISSING if one is None else str(one) for one in told))


def named(kernel: KernelResources) -> str:
    """With what a C kernel was compiled for, such as `linear_rows ROWS=1 BFLOAT16`."""
    own = [name if value == "1" and name != "ROWS" else f"{name}={value}" for name, value in kernel.constants.items()]
    return " ".join([kernel.name, *own])


def tensor(kernel: KernelResources) -> str:
    """`24 wgmma bf16`; none: a dash."""
    told = [f"{count} {name}" for name, count in sorted((kernel.tensor or {}).items())]
    return ", ".join(told) or units.MISSING


def loop(kernel: KernelResources) -> str:
    """Instructions of the main loop; `=` before those of a kernel without loops."""
    if kernel.loop is not None:
        return str(kernel.loop.instructions)
    return f"={kernel.instructions}" if kernel.instructions else units.MISSING


def lines(cases: Iterable[CompiledCase], width: int | None) -> Iterator[str]:
    """A table for each implementation, case and target, what is to be said of it below, and what the columns mean."""
    shown = list(cases)
    for case in shown:
        yield case.key
        if case.kernels:
            on_gpu = case.kernels[0].architecture is not None
            cells = [gpu_cells(k) if on_gpu else cpu_cells(k) for k in case.kernels]
            yield from fitted([GPU_HEADINGS if on_gpu else CPU_HEADINGS, *cells], {0}, width)
        for remark in remarks(case):
            yield from paragraph(remark, width)
        yield ""
    kernels = [kernel for case in shown for kernel in case.kernels]
    if any(kernel.architecture for kernel in kernels):
        yield from paragraph(LEGEND, width, indent="")
    if any(kernel.architecture is None for kernel in kernels):
        yield from paragraph(CPU_LEGEND, width, indent="")


def remarks(case: CompiledCase) -> Iterator[str]:
    """What a row of figures does not say."""
    if case.unserved is not None:
        yield f"none: {case.unserved}"
    if case.failed is not None:
        at = f"{case.place}: " if case.place else ""
        yield f"failed: {at}{case.failed}"
    for kernel in case.kernels:
        if kernel.shared_over_bytes:
            most = units.format_bytes(kernel.shared_bytes - kernel.shared_over_bytes) if kernel.shared_bytes else ""
            yield f"{kernel.name}: a block may have {most} of shared memory (!): it cannot be launched"
        if kernel.warp_specialization:
            yield f"{kernel.name}: warp specialisation {kernel.warp_specialization}"
        copies = ", ".join(f"{count} {name}" for name, count in sorted((kernel.copies or {}).items()))
        if copies:
            yield f"{kernel.name}: copies: {copies}"
        for warning in kernel.warnings:
            yield f"{kernel.name}: the assembler warns: {warning}"


def by_device(kernel: KernelResources) -> Sequence[tuple[str, str, str, str]]:
    """(device, blocks of a multiprocessor, share of its warps, what limits it) on each device of the architecture."""
    fit, made = kernel.occupancy, kernel.architecture
    if fit is None or made is None:
        return ()
    told = (str(fit.blocks), units.format_share(fit.share), fit.limited_by)
    return [(f"{model.name} ({model.multiprocessors})", *told) for model in models_of(made.sm)]
