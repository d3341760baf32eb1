"""Counts instructions that matter in PTX and in machine code: tensor cores, copies, widths of moves, conversions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from attnlab.bench.profilers.compiled.resources import LoopResources, busy
from attnlab.bench.profilers.sass import Instruction, loops

_MMA = re.compile(r"\bmma\.sync\.\S*?\.(?:row|col)\.(?:row|col)\.(?:satfinite\.)?\w+\.(\w+)\.")
_WGMMA = re.compile(r"\bwgmma\.mma_async\.\S*?\.m\d+n\d+k\d+\.\w+\.(\w+)")
_TCGEN = re.compile(r"\btcgen05\.mma\.\S*?kind::(\w+)")
_MOVE = re.compile(
    r"\b(ld|st)\.(?:volatile\.|relaxed\.|acquire\.|release\.|weak\.)?global(?:\.[\w:]+)*?(?:\.v(\d))?\.[bfsu](\d+)\b"
)
_ASYNC = re.compile(r"\bcp\.async\.c[ag]\.shared\S*\s+[^,]+,[^,]+,\s*(0x[0-9a-fA-F]+|\d+)")
_BULK = re.compile(r"\bcp\.(?:reduce\.)?async\.bulk(?!\.(?:commit|wait))[.\w]*")
_FLOAT_CVT = re.compile(r"\bcvt\.\S*(?:f16|f32|f64|bf16|e4m3|e5m2|e2m1)")
_THREADS = re.compile(r"\.(?:req|max)ntid\s+(\d+)(?:,\s*(\d+))?(?:,\s*(\d+))?")

OPERAND_BITS = {"f64": 64, "tf32": 32, "f16": 16, "bf16": 16, "e4m3": 8, "e5m2": 8, "s8": 8, "u8": 8, "i8": 8}
OPERAND_BITS |= {"f8f6f4": 8, "s4": 4, "u4": 4, "mxf8f6f4": 8, "mxf4": 4, "mxf4nvf4": 4, "b1": 1}
TENSOR = ("HMMA", "IMMA", "DMMA", "QMMA", "OMMA", "HGMMA", "IGMMA", "QGMMA", "UTCHMMA", "UTCQMMA", "UTCIMMA", "UTCOMMA")
LOADS = ("LDG", "LDGSTS", "UTMALDG", "UBLKCP")
CONVERSIONS = ("F2F", "F2FP", "F2I", "F2IP", "I2F", "I2FP", "I2I", "I2IP")


def tensor_instructions(ptx: str) -> dict[str, int]:
    """`wgmma bf16` -> how often it stands."""
    kinds = (("mma", _MMA), ("wgmma", _WGMMA), ("tcgen05", _TCGEN))
    return dict(Counter(f"{kind} {found[1]}" for kind, pattern in kinds for found in pattern.finditer(ptx)))


def operand_bits(tensor: dict[str, int]) -> int | None:
    """Of the widest operand of these; None where there are none, or one is not known."""
    return max((OPERAND_BITS.get(name.split()[1], 0) for name in tensor), default=0) or None


def copies(ptx: str) -> dict[str, int]:
    """Copies that go on by themselves: `cp.async`, and `cp.async.bulk` with its kind, which is the TMA's."""
    found = Counter("cp.async" for _ in _ASYNC.finditer(ptx))
    found.update("cp.async.bulk.tensor" if ".tensor" in bulk[0] else "cp.async.bulk" for bulk in _BULK.finditer(ptx))
    return dict(found)


def moves(ptx: str, kind: str) -> dict[str, int]:
    """Loads ("ld", asynchronous copies by threads among them) or stores ("st") of global memory by their bytes."""
    found = Counter(int(m[2] or 1) * int(m[3]) // 8 for m in _MOVE.finditer(ptx) if m[1] == kind)
    if kind == "ld":
        found.update(int(m[1], 0) for m in _ASYNC.finditer(ptx))
    return {str(width): count for width, count in sorted(found.items())}


def threads(ptx: str) -> int | None:
    """Of a block, with those of specialised warps; None where the kernel does not say."""
    found = _THREADS.search(ptx)
    return None if found is None else int(found[1]) * int(found[2] or 1) * int(found[3] or 1)


def ptx_conversions(ptx: str) -> int:
    """From or to numbers with a fraction."""
    return len(_FLOAT_CVT.findall(ptx))


def count(code: Sequence[Instruction], opcodes: Sequence[str]) -> int:
    """How many are one of these."""
    return sum(any(instruction.is_a(opcode) for opcode in opcodes) for instruction in code)


def loops_of(code: Sequence[Instruction]) -> tuple[LoopResources, ...]:
    """Innermost loops in order, those that only wait or count left out where others work."""
    made = tuple(
        LoopResources(
            instructions=len(loop),
            tensor=count(loop, TENSOR),
            loads=count(loop, LOADS),
            conversions=count(loop, CONVERSIONS),
            spills=count(loop, ("LDL", "STL")),
        )
        for loop in loops(code)
    )
    return tuple(loop for loop in made if loop.tensor or loop.loads) or made


def main_loop(found: Sequence[LoopResources]) -> int | None:
    """The place of the loop that does most of the work: of the busy ones that with fewest instructions.

    It is the loop over whole tiles, and not that with masks beside it.
    """
    return min(busy(found), key=lambda place: found[place].instructions, default=None)
