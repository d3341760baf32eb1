"""What a multiprocessor holds, by architecture and by device, and how many of a kernel's blocks fit.

Limits are NVIDIA's: CUDA Programming Guide, appendix "Compute Capabilities", tables of technical specifications.
Multiprocessors of a device are those of its data sheet.
"""

from __future__ import annotations

from dataclasses import dataclass

from attnlab.bench.errors import UnknownName, UsageError

WARP_THREADS = 32
REGISTERS = 65536  # of a multiprocessor, in every architecture here
RESERVED_BYTES = 1024  # of shared memory, which the system keeps of each block
REGISTER_UNIT = 256  # registers that a warp is given at once
WARP_UNIT = 4  # schedulers, each with a quarter of the registers


@dataclass(frozen=True)
class Architecture:
    """One compute capability. shared_bytes: of a multiprocessor; block_shared_bytes: the most of one block."""

    sm: int  # compute capability times ten
    warps: int
    blocks: int
    shared_bytes: int
    block_shared_bytes: int

    @property
    def name(self) -> str:
        return f"sm_{self.sm}"


@dataclass(frozen=True)
class GpuModel:
    """One device that is sold. Blocks of a kernel are shared out over its multiprocessors."""

    name: str
    sm: int
    multiprocessors: int


@dataclass(frozen=True)
class Occupancy:
    """Blocks of a kernel that a multiprocessor holds at once, their share of its warps, and what allows no more."""

    blocks: int
    share: float
    limited_by: str  # "registers", "shared memory", "warps", "blocks"


KIB = 1024
ARCHITECTURES = {
    made.sm: made
    for made in (
        Architecture(80, 64, 32, 164 * KIB, 163 * KIB),
        Architecture(86, 48, 16, 100 * KIB, 99 * KIB),
        Architecture(89, 48, 24, 100 * KIB, 99 * KIB),
        Architecture(90, 64, 32, 228 * KIB, 227 * KIB),
        Architecture(100, 64, 32, 228 * KIB, 227 * KIB),
        Architecture(120, 48, 24, 100 * KIB, 99 * KIB),
    )
}
MODELS = (
    GpuModel("A100", 80, 108),
    GpuModel("A10", 86, 72),
    GpuModel("RTX 3090", 86, 82),
    GpuModel("L4", 89, 58),
    GpuModel("RTX 4090", 89, 128),
    GpuModel("H200", 90, 132),
    GpuModel("H100", 90, 132),
    GpuModel("B200", 100, 148),
    GpuModel("RTX 5090", 120, 170),
)
USUAL = (80, 86, 89, 90, 100)


def architecture_of(name: str) -> Architecture:
    """By `sm_90` or `90`. Raises UsageError for one that is not known here, or by the Triton that is installed."""
    digits = name.removeprefix("sm_")
    if not digits.isdigit() or int(digits) not in ARCHITECTURES:
        known = [made.name for made in ARCHITECTURES.values()]
        raise UsageError(
            f"{UnknownName('architecture', name, known)}; "
            "give one of these (a new one needs a Triton that knows it, and a line in compiled/devices.py)"
        )
    return ARCHITECTURES[int(digits)]


def models_of(sm: int) -> list[GpuModel]:
    """Devices of an architecture; the first stands for all of them where a launcher asks what it runs on."""
    return [model for model in MODELS if model.sm == sm]


def occupancy(made: Architecture, registers: int, threads: int, shared_bytes: int) -> Occupancy:
    """Of a kernel with so many registers a thread, and threads and shared bytes a block; no block fits: 0 of them."""
    warps = -(-threads // WARP_THREADS)
    warp_registers = -(-registers * WARP_THREADS // REGISTER_UNIT) * REGISTER_UNIT
    fitting = REGISTERS // max(1, warp_registers) // WARP_UNIT * WARP_UNIT
    by = {
        "blocks": made.blocks,
        "warps": made.warps // warps,
        "registers": fitting // warps,
        "shared memory": made.shared_bytes // (shared_bytes + RESERVED_BYTES),
    }
    if shared_bytes > made.block_shared_bytes:
        by["shared memory"] = 0
    least = min(by, key=lambda name: by[name])
    return Occupancy(by[least], by[least] * warps / made.warps, least)
