"""What a compiler made of one kernel, as it is stored: registers, memory, instructions, loops."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attnlab.bench.profilers.compiled.devices import ARCHITECTURES, Architecture, Occupancy, occupancy

APPLIED, IGNORED = "applied", "asked for, not applied"
"""Of warp specialisation; None where nobody asked for it."""


@dataclass(frozen=True)
class LoopResources:
    """An innermost loop, of one warp's (or thread's) instructions in one round.

    tensor: those on tensor cores. loads, conversions, spills: as of a kernel. vector_bits: of a CPU, the widest.
    """

    instructions: int
    tensor: int = 0
    loads: int = 0
    conversions: int = 0
    spills: int = 0
    vector_bits: int | None = None


def busy(loops: Sequence[LoopResources]) -> list[int]:
    """Places of the loops that do at least half as much as the busiest: on tensor cores, or else loads, or anything."""
    works = ([loop.tensor for loop in loops], [loop.loads for loop in loops], [loop.instructions for loop in loops])
    work = next((amounts for amounts in works if any(amounts)), [])
    return [place for place, amount in enumerate(work) if 2 * amount >= max(work)]


@dataclass(frozen=True)
class KernelResources:
    """One kernel, compiled for one target with the constants that its launcher chose.

    source: `file:line` of its first line. constants: what is compiled in, by name. registers and stack_bytes are of a
    thread, shared_bytes of a block. tensor: instructions on tensor cores by opcode and operands, such as
    "HGMMA.BF16"; tensor_bits: of the widest operand among them. copies: bulk copies by kind. loads, stores: of global
    memory by bytes that a thread moves at once. main_loop: which of `loops` does most of the work, the one with fewest
    instructions where several do. warp_specialization: see above. warnings: the assembler's. What is not known of a
    kernel, such as registers of a CPU's, is None.
    """

    name: str
    target: str  # "sm_90", "x86-64-v4"
    compiler: str  # "triton 3.7.1", "gcc 14.2.0"
    source: str | None
    constants: dict[str, str]
    num_warps: int | None = None
    num_stages: int | None = None
    threads: int | None = None
    registers: int | None = None
    stack_bytes: int | None = None
    spill_loads: int = 0
    spill_stores: int = 0
    shared_bytes: int | None = None
    instructions: int = 0
    tensor: dict[str, int] | None = None
    tensor_bits: int | None = None
    copies: dict[str, int] | None = None
    loads: dict[str, int] | None = None
    stores: dict[str, int] | None = None
    conversions: int = 0
    loops: tuple[LoopResources, ...] = ()
    main_loop: int | None = None
    vector_bits: int | None = None
    warp_specialization: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def spills(self) -> int:
        """Instructions that read or write local memory."""
        return self.spill_loads + self.spill_stores

    @property
    def tensor_instructions(self) -> int:
        return sum((self.tensor or {}).values())

    @property
    def loop(self) -> LoopResources | None:
        return None if self.main_loop is None else self.loops[self.main_loop]

    @property
    def busy_instructions(self) -> int | None:
        """Of a round of all busy loops together; None where there is no loop."""
        return sum(self.loops[place].instructions for place in busy(self.loops)) if self.loops else None

    @property
    def load_width_bytes(self) -> float | None:
        """Mean bytes that a load moves, each load counted by its bytes; None where there is none."""
        return _width(self.loads)

    @property
    def store_width_bytes(self) -> float | None:
        """The same of stores."""
        return _width(self.stores)

    @property
    def architecture(self) -> Architecture | None:
        """None of a CPU."""
        return ARCHITECTURES[int(self.target[3:])] if self.target.startswith("sm_") else None

    @functools.cached_property
    def occupancy(self) -> Occupancy | None:
        """On any device of the target's architecture; None on a CPU."""
        made = self.architecture
        if made is None or self.registers is None or self.threads is None:
            return None
        return occupancy(made, self.registers, self.threads, self.shared_bytes or 0)

    @property
    def shared_over_bytes(self) -> int:
        """By how much its shared memory is above what a block may have."""
        made = self.architecture
        return 0 if made is None else max(0, (self.shared_bytes or 0) - made.block_shared_bytes)


def _width(moves: Mapping[str, int] | None) -> float | None:
    pairs = [(int(width), count) for width, count in (moves or {}).items()]
    moved = sum(width * count for width, count in pairs)
    return sum(width * width * count for width, count in pairs) / moved if moved else None


@dataclass(frozen=True)
class CompiledCase:
    """All kernels that one implementation launches on one case, compiled for one target, in the order of launches.

    unserved: why it serves no such case or target, in which case there are no kernels. failed: why it could not be
    compiled or launched, with the compiler's message and the line of the source; place: `file:line` of that. missing:
    whether there is no such implementation, operator or case.
    """

    implementation: str  # "attention/triton"
    case_id: str
    target: str
    kernels: tuple[KernelResources, ...] = ()
    unserved: str | None = None
    failed: str | None = None
    place: str | None = None
    missing: bool = False

    @property
    def key(self) -> str:
        return f"{self.implementation}[{self.case_id}] {self.target}"
