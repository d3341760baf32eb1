"""Which shipped tilings of our attention kernels spill registers, compiled here for GPUs that are not here.

    python benchmarks/spills.py [--sm 80,90,100] [--head-dims 16,130,128:64] [--dtypes bfloat16] [--masks causal,window]

A line for each kernel that spills: instructions that read or write local memory, and registers of a thread. Without
arguments it takes every head size from 16 to 256 in steps of 2, some hours of one core.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from attnlab.bench.profilers.triton_aot import KernelReport, target
from attnlab.kernels.triton.attention_backward import attention_backward
from attnlab.kernels.triton.attention_forward import attention_forward

MASKS = {"full": {}, "causal": {"causal": True}, "window": {"causal": True, "window": 256}, "packed": {"causal": True}}
ROWS = 1000


def kernels(sm: int, head_dim: int, v_head_dim: int, mask: str, dtype: torch.dtype) -> list[KernelReport]:
    """Forward and backward of 8 query heads over 2, as they are launched."""

    def meta(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    arguments = {"scale": 0.1, **MASKS[mask]}
    if mask == "packed":
        arguments["cu_seqlens"] = meta(4, dtype=torch.int32)
    q, out, lse = meta(1, 8, ROWS, head_dim), meta(1, 8, ROWS, v_head_dim), meta(1, 8, ROWS, dtype=torch.float32)
    k, v = meta(1, 2, ROWS, head_dim), meta(1, 2, ROWS, v_head_dim)
    with target(sm) as compiled:
        attention_forward(q, k, v, **arguments)
        attention_backward(out, q, k, v, out, lse, **arguments)
    return compiled.reports


def pairs(text: str) -> Iterator[tuple[int, int]]:
    for part in text.split(","):
        head_dim, _, v_head_dim = part.partition(":")
        yield int(head_dim), int(v_head_dim or head_dim)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sm", default="80,90,100", help="compute capabilities, times ten")
    parser.add_argument("--head-dims", default=",".join(map(str, range(16, 257, 2))), help="sizes, or size:value size")
    parser.add_argument("--dtypes", default="bfloat16,float16", help="bfloat16, float16, float32")
    parser.add_argument("--masks", default=",".join(MASKS), help=", ".join(MASKS))
    given = parser.parse_args()
    tried = spilling = 0
    for sm, sizes, mask, dtype in itertools.product(
        map(int, given.sm.split(",")), pairs(given.head_dims), given.masks.split(","), given.dtypes.split(",")
    ):
        for report in kernels(sm, *sizes, mask, getattr(torch, dtype)):
            tried += 1
            if report.spills:
                spilling += 1
                where = f"sm_{sm} {sizes[0]}:{sizes[1]} {dtype} {mask}"
                print(f"{where} {report.name}: {report.spills} spills, {report.registers} registers", flush=True)
    print(f"{spilling} of {tried} kernels spill")


if __name__ == "__main__":
    main()
