"""What compilers made of a call's kernels, for GPUs and processors that need not be here."""

from __future__ import annotations

import json
from pathlib import Path

from attnlab.bench.contract.registry import registry
from attnlab.bench.errors import MeasurementError
from attnlab.bench.profilers import Profiler
from attnlab.bench.profilers.compiled.devices import USUAL
from attnlab.bench.profilers.compiled.findings import findings
from attnlab.bench.profilers.compiled.resources import CompiledCase
from attnlab.bench.profilers.compiled.table import CPU_HEADINGS, GPU_HEADINGS, by_device, cpu_cells, gpu_cells, lines
from attnlab.bench.profilers.profiled_call import Origin, ProfiledCall
from attnlab.bench.profilers.record import Listing, ToolFigure, ToolRecord
from attnlab.bench.store.codec import encode

TERMINAL = 80
SERVE = "from attnlab.bench.profilers.compiled.worker import main; main()"


def static_targets(call: ProfiledCall) -> tuple[str, ...]:
    """Those that were asked for; else a CPU's where the implementation runs on nothing else, and a GPU's."""
    from attnlab.bench.profilers.compiled.c_kernels import MARCHES

    if call.targets:
        return call.targets
    assert call.origin is not None
    made = registry.implementations(call.origin.operator).get(call.origin.implementation)
    return MARCHES if made.needs.device == "cpu" else tuple(f"sm_{sm}" for sm in USUAL)


def compiled(origin: Origin, targets: tuple[str, ...], interpreter: tuple[str, ...] = ()) -> list[CompiledCase]:
    """An implementation's kernels on a case, for each target; in processes of their own, started by `interpreter`."""
    from attnlab.bench.profilers.compiled.orders import CaseOrder, Setup
    from attnlab.bench.profilers.compiled.pool import WORKER, compile_cases, kept_folder

    key = f"{origin.operator}/{origin.implementation}"
    orders = [CaseOrder(key, origin.case_id, target, origin.module) for target in targets]
    setup = Setup(origin.plugins, str(kept_folder()), str(Path.cwd()))
    return compile_cases(orders, setup, command=(*interpreter, SERVE) if interpreter else WORKER)


def _missing(call: ProfiledCall) -> str | None:
    from importlib.util import find_spec

    if call.origin is None:
        return "it compiles implementations that are registered; register the function with @implements"
    made = registry.implementations(call.origin.operator).get(call.origin.implementation)
    if made.needs.device != "cpu" and find_spec("triton") is None:
        return "Triton is not installed: pip install triton"
    return None


def _profile(call: ProfiledCall, folder: Path) -> ToolRecord:
    assert call.origin is not None
    cases = compiled(call.origin, static_targets(call), call.interpreter)
    if not any(case.kernels or case.failed for case in cases):
        reasons: dict[str | None, list[str]] = {}
        for case in cases:
            reasons.setdefault(case.unserved, []).append(case.target)
        told = "; ".join(f"{reason} ({', '.join(targets)})" for reason, targets in reasons.items())
        raise MeasurementError(f"{call.name} has no kernel to look into: {told}; profile one in Triton, Gluon or C")
    (folder / "kernels.json").write_text(json.dumps(encode(tuple(cases)), indent=1) + "\n", encoding="utf-8")
    (folder / "kernels.txt").write_text("\n".join(lines(cases, TERMINAL)) + "\n", encoding="utf-8")
    notes = [f"{case.target}: {case.unserved}" for case in cases if case.unserved]
    compilers = dict.fromkeys(kernel.compiler for case in cases for kernel in case.kernels)
    return ToolRecord(
        "static",
        figures=tuple(_figures(cases)),
        findings=tuple(findings(cases, call.dtype)),
        listings=tuple(_listings(cases)),
        files=(("kernels.json", "all figures, as JSON"), ("kernels.txt", "the tables, as text")),
        notes=(f"compiled by {', '.join(compilers)}; nothing ran", *notes),
    )


def _figures(cases: list[CompiledCase]) -> list[ToolFigure]:
    found = []
    for case in cases:
        for kernel in case.kernels:
            of = f"{kernel.name} {kernel.target}"
            figures = (
                ("registers", kernel.registers, "1", "lower"),
                ("spills", kernel.spills, "1", "lower"),
                ("shared memory", kernel.shared_bytes, "B", None),
                ("occupancy", 100 * kernel.occupancy.share if kernel.occupancy else None, "%", "higher"),
                ("instructions of the loop", kernel.loop.instructions if kernel.loop else None, "1", "lower"),
                ("width of loads", kernel.load_width_bytes, "B", "higher"),
            )
            found += [
                ToolFigure(name, float(v), unit, of, better) for name, v, unit, better in figures if v is not None
            ]
    return found


def _listings(cases: list[CompiledCase]) -> list[Listing]:
    """Kernels by target, and how many blocks fit on which device."""
    kernels = [kernel for case in cases for kernel in case.kernels]
    on_gpu = [kernel for kernel in kernels if kernel.architecture]
    on_cpu = [kernel for kernel in kernels if not kernel.architecture]
    made = []
    if on_gpu:
        rows = tuple((kernel.target, *gpu_cells(kernel)) for kernel in on_gpu)
        made.append(Listing("Kernels as compiled", ("target", *GPU_HEADINGS), rows))
        fits = tuple((kernel.name, *row) for kernel in on_gpu for row in by_device(kernel))
        heads = ("kernel", "device (multiprocessors)", "blocks at once", "share of warps", "limited by")
        made.append(Listing("Blocks that fit", heads, fits))
    if on_cpu:
        rows = tuple((kernel.target, *cpu_cells(kernel)) for kernel in on_cpu)
        made.append(Listing("Kernels in C as compiled", ("target", *CPU_HEADINGS), rows))
    return made


PROFILER = Profiler(
    "static",
    "what compilers made of a call's kernels in Triton, Gluon and C, for devices that need not be here",
    _missing,
    _profile,
    needs_calls=False,
    rank=60,
)
