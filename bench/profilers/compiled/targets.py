"""What kernels can be compiled for, by name: architectures of NVIDIA's GPUs, and levels of x86-64."""

from __future__ import annotations

from attnlab.bench.errors import UsageError
from attnlab.bench.profilers.compiled.c_kernels import MARCHES
from attnlab.bench.profilers.compiled.devices import architecture_of


def check_target(name: str) -> str:
    """The target's full name, such as `sm_90` of `90`. Raises UsageError on one that nothing here knows."""
    if name in MARCHES:
        return name
    if name.startswith("x86"):
        raise UsageError(f"unknown target {name!r}; a CPU's are {', '.join(MARCHES)}")
    return architecture_of(name).name


def targets_of(given: str) -> tuple[str, ...]:
    """`80,sm_90,x86-64-v4` by full names. Raises UsageError."""
    named = [part.strip() for part in given.split(",") if part.strip()]
    if not named:
        raise UsageError(f"--arch {given!r} names no target; give some, such as 80,sm_90,{MARCHES[-1]}")
    return tuple(dict.fromkeys(map(check_target, named)))
