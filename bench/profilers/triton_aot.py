"""Compiles a Triton launcher as it really launches, for a GPU that is not there, and reports on each kernel.

    with target(90) as compiled:
        attention_forward(torch.empty(..., device="meta"), ...)
    compiled.reports[0].spills

While the target is active, Triton's own driver is replaced by a stand-in that compiles, checks shared memory and
grid as the device would, and launches nothing; launchers need no branch for it.
"""

import functools
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attnlab.bench.profilers.compiled.devices import ARCHITECTURES
from attnlab.bench.profilers.sass import Instruction, count, instructions

# Opt-in shared memory of a block.
SHARED_LIMIT_BYTES = {sm: made.block_shared_bytes for sm, made in ARCHITECTURES.items()}
GRID_LIMIT = (2**31 - 1, 65535, 65535)


@dataclass(frozen=True)
class KernelReport:
    """What the compiler made of one kernel."""

    name: str
    sm: int  # compute capability times ten
    num_warps: int  # as asked for; warp specialisation adds its own
    num_stages: int
    registers: int  # of one thread
    stack_bytes: int  # of one thread
    shared_bytes: int  # of one block
    ptx: str
    ttgir: str
    ttir: str  # "" of Gluon, which has none
    code: tuple[Instruction, ...]  # SASS; empty where there is no disassembler

    @functools.cached_property
    def opcodes(self) -> Mapping[str, int]:
        """SASS opcode with its modifiers, such as HMMA.16816.F32.BF16 -> how often it stands."""
        return Counter(instruction.opcode for instruction in self.code)

    def count(self, opcode: str) -> int:
        """Instructions whose opcode is `opcode`, or begins with it at a dot: count("HGMMA")."""
        return count(self.code, opcode)

    @property
    def spill_loads(self) -> int:
        return self.count("LDL")

    @property
    def spill_stores(self) -> int:
        return self.count("STL")

    @property
    def spills(self) -> int:
        """Instructions that read or write local memory."""
        return self.spill_loads + self.spill_stores


@dataclass
class CompiledKernels:
    """The kernels that were launched for one target, in the order of their first launch."""

    sm: int
    reports: list[KernelReport] = field(default_factory=list)


@contextmanager
def target(sm: int) -> Iterator[CompiledKernels]:
    """Kernels launched inside are compiled for `sm` (80, 90, 100, …) and reported; tensors may lie on "meta".

    Raises RuntimeError under TRITON_INTERPRET, ValueError for an unknown target, and lets pass what Triton raises
    itself where a kernel does not compile or needs more shared memory than the target has. Kernels of the same
    name and arguments are compiled afresh for each `target`, but come from Triton's cache on disk where it has them.
    """
    from triton import knobs
    from triton.runtime import driver

    if knobs.runtime.interpret:
        raise RuntimeError(
            "TRITON_INTERPRET is set, so kernels are defined as interpreted functions and nothing is compiled; "
            "expected it to be unset: compile in a process without it"
        )
    if sm not in SHARED_LIMIT_BYTES:
        raise ValueError(f"unknown target {sm}; expected one of {', '.join(map(str, SHARED_LIMIT_BYTES))}")
    compiled = CompiledKernels(sm)

    def report(module: Any, function: Any, name: str, files: Mapping[str, str], digest: str) -> None:
        compiled.reports.append(report_of({Path(p).suffix: Path(p) for p in files.values()}))

    # The property `driver.active` would start the machine's own driver, or raise where there is none.
    before = driver._active
    driver.set_active(stand_in(sm))
    knobs.runtime.kernel_load_start_hook.add(report)
    try:
        yield compiled
    finally:
        knobs.runtime.kernel_load_start_hook.remove(report)
        driver.set_active(before)


def stand_in(sm: int, multiprocessors: int = 1, shared_limit_bytes: int | None = None, time: Any = None) -> Any:
    """A driver that compiles and launches nothing. shared_limit_bytes: where it is to be another than the device's.

    time: what an autotuner asks for times; it refuses where None.
    """

    from triton.backends.compiler import GPUTarget
    from triton.backends.driver import DriverBase

    class Utils:
        def load_binary(self, name: str, binary: bytes, shared_bytes: int, device: Any) -> tuple[Any, ...]:
            return name, name, 0, 0, 1024  # module, function, registers, spills, most threads of a block

        def unload_module(self, module: Any) -> None: ...

        def get_device_properties(self, device: Any) -> dict[str, int]:
            limit = SHARED_LIMIT_BYTES[sm] if shared_limit_bytes is None else shared_limit_bytes
            return {
                "max_shared_mem": limit,
                "multiprocessor_count": multiprocessors,
                "max_num_regs": 65536,
                "warpSize": 32,
            }

    class Launcher:
        def __init__(self, source: Any, metadata: Any) -> None: ...

        def __call__(self, x: int, y: int, z: int, *rest: Any) -> None:
            if not all(1 <= size <= limit for size, limit in zip((x, y, z), GRID_LIMIT, strict=True)):
                raise ValueError(f"got the grid {(x, y, z)}; expected sizes from 1 to {GRID_LIMIT}")

    class StandIn(DriverBase):  # type: ignore[misc]
        launcher_cls = Launcher
        utils = Utils()

        @classmethod
        def is_active(cls) -> bool:
            return False  # never chosen by Triton itself

        def map_python_to_cpp_type(self, ty: str) -> str:
            return ty

        def get_current_target(self) -> GPUTarget:
            return GPUTarget("cuda", sm, 32)

        def get_current_device(self) -> Any:
            return self  # a key of its own in each kernel's cache, so that no target sees another's kernels

        def get_current_stream(self, device: Any) -> int:
            return 0

        def get_active_torch_device(self) -> Any:
            import torch

            return torch.device("meta")

        def get_benchmarker(self) -> Any:
            if time is None:
                raise RuntimeError("a stand-in driver launches nothing, so there is nothing to time")
            return time

    return StandIn()


def report_of(files: Mapping[str, Path]) -> KernelReport:
    """Of the files that Triton wrote for one kernel, by suffix. Raises RuntimeError where a tool cannot be read."""
    metadata = json.loads(files[".json"].read_text())
    usage = _tool("cuobjdump", "-res-usage", str(files[".cubin"]))
    return KernelReport(
        name=metadata["name"],
        sm=metadata["target"]["arch"],
        num_warps=metadata["num_warps"],
        num_stages=metadata["num_stages"],
        registers=_resource(usage, "REG"),
        stack_bytes=_resource(usage, "STACK"),
        shared_bytes=metadata["shared"],
        ptx=files[".ptx"].read_text(),
        ttgir=files[".ttgir"].read_text(),
        ttir=files[".ttir"].read_text() if ".ttir" in files else "",
        code=tuple(instructions(_listing(files[".cubin"]))),
    )


def _listing(cubin: Path) -> str:
    """The machine code; empty where Triton came without the disassembler."""
    from triton import knobs

    try:
        knobs.nvidia.nvdisasm.path  # noqa: B018
    except RuntimeError:
        return ""
    return _tool("nvdisasm", "-c", "-ndf", str(cubin))


def _resource(usage: str, name: str) -> int:
    found = re.search(rf"\b{name}:(\d+)", usage)
    if found is None:
        raise RuntimeError(f"cuobjdump -res-usage names no {name}; got: {usage.strip()[-300:]}")
    return int(found[1])


def _tool(name: str, *arguments: str) -> str:
    from triton import knobs

    path = getattr(knobs.nvidia, name).path
    return subprocess.run([path, *arguments], check=True, capture_output=True, text=True).stdout
