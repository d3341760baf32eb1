"""Rows of a table by token id, in Triton."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from attnlab.kernels.triton.launch_checks import check_beside, check_contiguous, expect
from attnlab.kernels.triton.row_arguments import check_matrix

BLOCK = 1024


def embedding(ids: Tensor, table: Tensor) -> Tensor:
    """Rows ids [M] (int64 or int32) of table [V, N] -> [M, N]; NaN for an id that is none, for ids are not read here.

    Rows of the table may lie apart; raises ValueError on arguments that do not fit, before any launch.
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
    block = min(BLOCK, triton.next_power_of_2(width))
    with torch.cuda.device_of(table):
        _rows[(len(ids) * triton.cdiv(width, block),)](
            ids, table, out, table.stride(0), vocabulary, width, BLOCK=block, num_warps=max(1, block // 256)
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
