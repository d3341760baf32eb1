"""Which configurations cannot run on a GPU as compilers make them: found beforehand, without running any."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attnlab.bench import units
from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.registry import Implementation
from attnlab.bench.contract.space import Configuration
from attnlab.bench.profilers.compiled.devices import ARCHITECTURES
from attnlab.bench.profilers.compiled.orders import CaseOrder, Setup
from attnlab.bench.profilers.compiled.pool import compile_cases, kept_folder
from attnlab.bench.profilers.compiled.resources import CompiledCase
from attnlab.bench.store.machine import Device
from attnlab.bench.text import brief, one_line

Tell = Callable[[str], None]


def target_of(device: Device) -> str | None:
    """What kernels are compiled for on a device; None where that cannot be done ahead of time."""
    return f"sm_{device.sm}" if device.sm in ARCHITECTURES else None


def misfits(
    made: Implementation,
    case: Case,
    candidates: Mapping[str, Configuration],
    device: Device,
    plugins: Sequence[str] = (),
    tell: Tell = lambda line: None,
) -> dict[str, str]:
    """Why candidates cannot run on the device, by name; what was compiled before is not compiled again.

    Empty where nothing can be compiled for it here. What has no kernel that compiles ahead of time is left to the race.
    """
    target = target_of(device)
    if target is None:
        return {}
    orders = [CaseOrder(made.key, case.id, target, made.module, dict(chosen)) for chosen in candidates.values()]
    tell(f"compiling {len(orders)} configurations for {target}, to see which fit; kept for the next time")
    compiled = compile_cases(orders, Setup(tuple(plugins), str(kept_folder()), str(Path.cwd())))
    reasons = zip(candidates, map(_misfit, compiled), strict=True)
    return {name: reason for name, reason in reasons if reason is not None}


def _misfit(compiled: CompiledCase) -> str | None:
    if compiled.failed is not None:
        return f"does not compile: {brief(one_line(compiled.failed))}"
    for kernel in compiled.kernels:
        if kernel.shared_over_bytes and kernel.architecture is not None:
            needed = units.format_bytes(kernel.shared_bytes or 0)
            there = units.format_bytes(kernel.architecture.block_shared_bytes)
            return f"as compiled, {kernel.name} needs {needed} of shared memory, and a block has {there}"
    return None
