"""What the launchers of products with quantised weights share on the host: kinds of weights, their packing, tiles."""

from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from attnlab.kernels.triton.launch_checks import check_beside, check_contiguous, expect

STEP = 128  # columns that four nibbles of 32 units hold: what a round of the main loop takes of four-bit weights
UNITS = 32  # units of 16 bits of a step
NIBBLES = 4  # of a unit
MIDDLE = 8  # the four-bit code that stands for what lies in the middle of a group
INT4, INT8, FP8 = "int4", "int8", "fp8"
FEW_ROWS = 16  # of x, that one tile of tensor cores holds
SUMS_A_THREAD = 32
MOST_REGISTERS, BLOCK_REGISTERS = 255, 65536  # of a thread, of a block
PROGRAMS = 256  # that fill a device once or twice: below, the columns of the weight are shared out


@dataclass(frozen=True)
class LinearTiling:
    """Rows of the weight and of x that a program takes, columns of a round, parts of the columns; powers of two.

    A round of four-bit weights has 128 columns whatever `block_k` is.
    """

    block_n: int
    block_m: int
    block_k: int
    parts: int
    num_warps: int
    num_stages: int

    @property
    def options(self) -> dict[str, int]:
        """Of a launch: warps, stages, and all registers where sums are many: the assembler else spills some."""
        threads = 32 * self.num_warps
        many = self.block_n * self.block_m >= SUMS_A_THREAD * threads
        registers = {"maxnreg": min(MOST_REGISTERS, BLOCK_REGISTERS // threads // 8 * 8)} if many else {}
        return {"num_warps": self.num_warps, "num_stages": self.num_stages, **registers}

    def __str__(self) -> str:
        tiles = f"{self.block_n} × {self.block_m} tiles of {self.block_k} columns"
        shared = f", columns in {self.parts} parts" if self.parts > 1 else ""
        return f"{tiles}{shared}, {self.num_warps} warps, {self.num_stages} stages"


@dataclass(frozen=True, eq=False)
class PackedWeight:
    """A weight [N, K] in the order that its kernel reads.

    codes: int8 or float8 [N, K]; of int4 int16 [N, K / 4], K rounded up to 128: nibble j of unit c of step b is column
    128 b + 32 j + c. scale: float32 [N, K / group] of int4, else [N]. middle: what the code 8 stands for, float32
    [N, K / group], or None where it is 0.
    """

    kind: str
    columns: int
    codes: Tensor
    scale: Tensor
    middle: Tensor | None = None
    group: int = 0

    @property
    def rows(self) -> int:
        return int(self.codes.shape[0])


def pack_int8(codes: Tensor, scale: Tensor) -> PackedWeight:
    """codes int8 [N, K] and scale float32 [N, 1]: as they lie."""
    _check_codes(codes, torch.int8, scale)
    return PackedWeight(INT8, codes.shape[1], codes, scale.flatten().contiguous())


def pack_fp8(codes: Tensor, scale: Tensor) -> PackedWeight:
    """codes float8_e4m3fn [N, K] and scale float32 [N, 1] or [1, 1]."""
    _check_codes(codes, torch.float8_e4m3fn, scale)
    return PackedWeight(FP8, codes.shape[1], codes, scale.flatten().expand(codes.shape[0]).contiguous())


def pack_int4(codes: Tensor, scale: Tensor, middle: Tensor | None) -> PackedWeight:
    """codes uint8 [N, K], 0 to 15, scale and middle [N, K / group] of groups of 32, 64 or 128 columns."""
    _check_codes(codes, torch.uint8, scale)
    rows, columns = codes.shape
    group = columns // scale.shape[1]
    fits = group in (32, 64, 128) and group * scale.shape[1] == columns
    expect(fits, f"codes {list(codes.shape)} and scale {list(scale.shape)}", "groups of 32, 64 or 128", "regroup")
    whole = triton.cdiv(columns, STEP) * STEP
    padded = torch.nn.functional.pad(codes, (0, whole - columns), value=MIDDLE).int()
    shifts = 4 * torch.arange(NIBBLES, dtype=torch.int32, device=codes.device)[:, None]
    units = (padded.view(rows, -1, NIBBLES, UNITS) << shifts).sum(2, dtype=torch.int32)
    packed = units.view(rows, -1).to(torch.int16)  # keeps the low bits
    missing = (0, whole // group - scale.shape[1])
    wide = [torch.nn.functional.pad(x.float(), missing) for x in (scale, middle) if x is not None]
    return PackedWeight(INT4, columns, packed, wide[0].contiguous(), wide[1].contiguous() if wide[1:] else None, group)


def linear_tiling(m: int, n: int, kind: str, on_codes: bool, element_bytes: int) -> LinearTiling:
    """Ours for x [M, K] and a weight [N, K]; on_codes: whether x has codes too.

    Few rows: narrow tiles, and columns shared out until the device is full. Many: as much of both as registers hold.
    """
    if element_bytes == 4 and not on_codes:
        return LinearTiling(32, 16 if m <= FEW_ROWS else 32, STEP if kind == INT4 else 32, 1, 4, 2)
    block_m = max(FEW_ROWS, min(64 if not on_codes else 128, triton.next_power_of_2(m)))
    block_n = 64 if m <= FEW_ROWS or not on_codes else 128
    block_k = 128
    programs = max(1, triton.cdiv(n, block_n) * triton.cdiv(m, block_m))
    parts = 1 if m > 4 * FEW_ROWS else max(1, min(8, triton.next_power_of_2(triton.cdiv(PROGRAMS, programs))))
    warps = 8 if block_m >= 64 and (on_codes or kind == INT4) else 4
    return LinearTiling(block_n, block_m, block_k, parts, warps, 4 if m <= FEW_ROWS else 3)


def check_product(x: Tensor, weight: PackedWeight, bias: Tensor | None) -> None:
    """ValueError unless rows x [M, K] and a bias [N] fit the weight."""
    expect(x.shape[1] == weight.columns, f"x {list(x.shape)}", f"{weight.columns} columns", "reshape x")
    check_beside("weight", weight.codes, x)
    if bias is not None:
        expect(tuple(bias.shape) == (weight.rows,), f"bias {list(bias.shape)}", f"[{weight.rows}]", "reshape bias")
        check_beside("bias", bias, x)
        check_contiguous("bias", bias)


def _check_codes(codes: Tensor, dtype: torch.dtype, scale: Tensor) -> None:
    got = f"codes {list(codes.shape)} of {codes.dtype} and scale {list(scale.shape)}"
    fits = codes.dim() == scale.dim() == 2 and codes.dtype == dtype and scale.shape[0] in (1, codes.shape[0])
    expect(fits, got, f"[N, K] of {dtype} and a scale of two axes", "store the weight so")
    check_contiguous("codes", codes)
