"""What the launchers of kernels on rows share on the host: the checks of matrices and the shape of their tiles."""

from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from attnlab.kernels.triton.launch_checks import (
    DTYPE_NAMES,
    DTYPES,
    check_beside,
    check_dense_rows,
    check_device,
    expect,
)

WIDEST = 16384  # numbers of a row that a program holds at once
PART = 4096  # numbers of a wider row at a time
FEWEST = 1024  # numbers of a program, where its rows are narrower
NUMBERS_A_WARP = 512  # sixteen a thread


@dataclass(frozen=True)
class RowTiling:
    """How rows are cut: `rows` of them a program, `block` columns at a time; powers of two."""

    rows: int
    block: int
    num_warps: int

    def __str__(self) -> str:
        return f"{self.rows} × {self.block} tiles, {self.num_warps} warps"


def row_tiling(width: int) -> RowTiling:
    """The tiling for rows that are reduced: whole ones where a program can hold one, else one in parts."""
    block = PART if width > WIDEST else triton.next_power_of_2(width)
    rows = 1 if width > WIDEST else max(1, FEWEST // block)
    return RowTiling(rows, block, min(16, max(1, rows * block // NUMBERS_A_WARP)))


def check_matrix(name: str, x: Tensor, width: int | None = None) -> None:
    """ValueError unless x is [M, N] of a dtype that is served, with dense rows, on a GPU, and as wide as expected."""
    fits = x.dim() == 2 and x.dtype in DTYPES
    got = f"{name} {list(x.shape)} of {x.dtype}"
    expect(fits, got, f"[rows, columns] of {DTYPE_NAMES}", f"reshape or cast {name}")
    expect(width is None or x.shape[1] == width, f"{name} {list(x.shape)}", f"{width} columns", f"reshape {name}")
    expect(x.shape[1] > 0, f"{name} {list(x.shape)}", "at least one column", "leave the call out")
    check_dense_rows(name, x)
    check_device(name, x)


def check_vector(name: str, vector: Tensor, width: int, like: Tensor) -> None:
    """ValueError unless a weight or bias is [N] beside x [M, N]."""
    expect(tuple(vector.shape) == (width,), f"{name} {list(vector.shape)}", f"[{width}]", f"reshape {name}")
    expect(vector.dtype in DTYPES, f"{name} of {vector.dtype}", f"one of {DTYPE_NAMES}", f"cast {name}")
    check_beside(name, vector, like)
    check_dense_rows(name, vector)


def like_rows(x: Tensor, width: int) -> Tensor:
    """An empty [M, width] of x's dtype, dense."""
    return torch.empty(x.shape[0], width, dtype=x.dtype, device=x.device)
