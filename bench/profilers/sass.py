"""Machine code of an NVIDIA kernel, as nvdisasm prints it: its instructions in order, and its loops.

for loop in loops(report.code, having="HGMMA"):
    len(loop), count(loop, "MUFU.EX2")
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_LABEL = re.compile(r"^(\.L_\w+):")
_INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@(!?\w+)\s+)?([A-Z][\w.]*)\s*([^;]*);")
_TARGET = re.compile(r"`\((\.L_\w+)\)")


@dataclass(frozen=True)
class Instruction:
    """One instruction; its predicate is None where it always runs."""

    place: int  # in its kernel
    opcode: str  # with modifiers, such as HGMMA.64x128x16.F32.BF16
    operands: str
    predicate: str | None = None
    target: int | None = None  # place of the instruction that a branch goes to

    def is_a(self, opcode: str) -> bool:
        """Whether its opcode is `opcode` or begins with it at a dot: MUFU.EX2 is a MUFU."""
        return f"{self.opcode}.".startswith(f"{opcode}.")


def instructions(listing: str) -> list[Instruction]:
    """The instructions of a listing by `nvdisasm -c`, of one kernel."""
    labels: dict[str, int] = {}
    found: list[tuple[str, str, str | None]] = []
    for line in listing.splitlines():
        if label := _LABEL.match(line):
            labels[label[1]] = len(found)
        elif match := _INSTRUCTION.search(line):
            found.append((match[2], match[3].strip(), match[1]))
    return [
        Instruction(n, opcode, operands, predicate, labels.get(to[1]) if (to := _TARGET.search(operands)) else None)
        for n, (opcode, operands, predicate) in enumerate(found)
    ]


def loops(code: Sequence[Instruction], having: str | None = None) -> list[list[Instruction]]:
    """Innermost loops in order, with an instruction `having` or all: what lies between a branch back and its target.

    Code that the compiler moved out of line, such as waits that were not over at once, is not among them.
    """
    ends = {}
    for end, instruction in enumerate(code):
        start = instruction.target
        if not instruction.is_a("BRA") or start is None or not start < end:  # one that goes to itself ends a kernel
            continue
        if having is None or count(code[start : end + 1], having):
            ends[start] = end  # the last branch back to a target ends its loop
    spans = sorted(ends.items())
    inner = [(a, b) for a, b in spans if not any(a <= c and d <= b and (a, b) != (c, d) for c, d in spans)]
    return [list(code[a : b + 1]) for a, b in inner]


def longest_skip(loop: Sequence[Instruction]) -> tuple[int, int]:
    """(begin, end) of what a loop's longest branch forward passes over, such as a mask that few rounds need."""
    spans = [
        (n + 1, n + branch.target - branch.place)
        for n, branch in enumerate(loop)
        if branch.is_a("BRA") and branch.target is not None and branch.place < branch.target <= loop[-1].place
    ]
    return max(spans, key=lambda span: span[1] - span[0], default=(0, 0))


def count(code: Sequence[Instruction], opcode: str) -> int:
    """How many are `opcode`."""
    return sum(instruction.is_a(opcode) for instruction in code)
