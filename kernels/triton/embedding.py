"""Rows of a table by token id, in Triton."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from attnlab.kernels.triton.launch_checks import check_beside, check_contiguous, expect
from attnlab.kernels.triton.row_arguments import RowTiling, check_matrix

LARGEST_BLOCK = 1024
COLUMNS_A_WARP = 256


def row_tiling(width: int) -> RowTiling:
    """What is built in for rows of a table."""
    block = min(LARGEST_BLOCK, triton.next_power_of_2(width))
    return RowTiling(1, block, max(1, block // COLUMNS_A_WARP))


def embedding(ids: Tensor, table: Tensor, tiling: RowTiling | None = None) -> Tensor:
    """Rows ids [M] (int64 or int32) of table [V, N] -> [M, N]; NaN for an id that is none, for ids are not read here.

    Rows of the table may lie apart; tiling: ours where None. Raises ValueError on arguments that do not fit, before any
    launch.
    """
    check_matrix("table", table)
    fits = ids.dim() == 1 and ids.dtype in (torch.int64, torch.int32)
    got = f"ids {list(ids.shape)} of {ids.dtype}"
    expect(fits, got, "[M] of torch.int64 or torch.int32", "flatten or cast ids")
    check_beside("ids", ids, table)
    check_contiguous("ids", ids)
    vocabulary, width = table.shape
    out = torch.empty(len(ids), width, dtype=table.dtype, device=table.device)
    if len(ids) == 0:
        return out
    tiling = tiling or row_tiling(width)
    with torch.cuda.device_of(table):
        _rows[(len(ids) * triton.cdiv(width, tiling.block),)](
            ids, table, out, table.stride(0), vocabulary, width, BLOCK=tiling.block, num_warps=tiling.num_warps
        )
    return out


@triton.jit
def _rows(
    ids: tl.tensor,
    table: tl.tensor,
    out: tl.tensor,
    stride: tl.tensor,
    vocabulary: tl.tensor,
    width: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:
    """BLOCK columns of one row; tiles of a row run fastest."""
    tiles = tl.cdiv(width, BLOCK)
    row = (tl.program_id(0) // tiles).to(tl.int64)
    column = tl.program_id(0) % tiles * BLOCK + tl.arange(0, BLOCK)
    mask = column < width
    id = tl.load(ids + row).to(tl.int64)
    known = (id >= 0) & (id < vocabulary)
    numbers = tl.load(table + id * stride + column, mask=mask & known, other=float("nan"))
    tl.store(out + row * width + column, numbers, mask=mask)
