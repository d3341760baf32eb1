"""What the launchers of attention share on the host: the checks of their arguments and the shape of a tiling."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from attnlab.kernels.triton.attention_masks import Mask, check_mask
from attnlab.kernels.triton.attention_scoring import PLAIN, Scoring, Shaping, check_scoring, shaping
from attnlab.kernels.triton.head_widths import Width
from attnlab.kernels.triton.launch_checks import (
    DTYPE_NAMES,
    DTYPES,
    check_beside,
    check_contiguous,
    check_dense_rows,
    check_device,
    check_groups,
    check_head_dim,
    check_scale,
    expect,
)

BLOCK_REGISTERS = 65_536  # that a block of threads may have
MOST_REGISTERS = 255  # of a thread


@dataclass(frozen=True)
class Plan:
    """What a kernel is compiled for."""

    mask: str
    causal: bool
    near: bool
    packed: bool
    unequal: bool  # packs of queries and of keys
    shaping: Shaping
    head: Width
    v_head: Width
    block_m: int  # queries of a tile
    block_n: int  # keys of a tile
    precision: str


@dataclass(frozen=True)
class Tiling:
    """How a kernel cuts its work and how it is compiled."""

    block_m: int  # queries of a tile
    block_n: int  # keys of a tile
    num_warps: int
    num_stages: int  # tiles in flight
    precision: str = "ieee"  # of float32 dots: "ieee" (no tensor cores) or "tf32x3"
    # All that its warps may have, and not as many as let a second block run beside it, for which the assembler spills.
    all_registers: bool = False

    @property
    def options(self) -> dict[str, int]:
        """What the compiler is given."""
        options = {"num_warps": self.num_warps, "num_stages": self.num_stages}
        if self.all_registers:
            options["maxnreg"] = register_limit(self.num_warps)
        return options

    def plan(self, widths: tuple[Width, Width], sizes: Sizes, mask: Mask, scoring: Scoring) -> Plan:
        """This tiling for heads of these widths, what a query may see, and how scores become weights."""
        kinds = mask.kind, mask.causal, mask.near, sizes.packed, sizes.unequal, shaping(scoring)
        return Plan(*kinds, *widths, self.block_m, self.block_n, self.precision)


@dataclass(frozen=True)
class Sizes:
    """The sizes of one attention, checked."""

    sequences: int  # batch, or the packed sequences
    q_heads: int
    kv_heads: int
    q_len: int  # all rows of q; of one sequence, unless packed
    kv_len: int
    head_dim: int
    v_head_dim: int
    packed: bool
    unequal: bool = False  # packed keys have cumulative lengths of their own

    @property
    def group(self) -> int:
        """Query heads for each key-value head."""
        return self.q_heads // self.kv_heads

    def programs(self, rows: int, heads: int, block: int) -> int:
        """Programs of a flat grid over tiles of `block` rows: of q or of k, in so many heads (see `place`)."""
        tiles = rows // block + self.sequences if self.packed else triton.cdiv(rows, block) * self.sequences
        return tiles * heads


def check(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float,
    mask: Mask,
    scoring: Scoring = PLAIN,
    cu_seqlens: Tensor | None = None,
    cu_seqlens_k: Tensor | None = None,
    max_seqlen: int | None = None,
) -> Sizes:
    """Sizes of q [B, Hq, Sq, D], k [B, Hkv, Sk, D], v [B, Hkv, Sk, Dv]; ValueError where they do not fit."""
    _check_tensors(q, k, v)
    B, Hq, Sq, D = q.shape
    _, Hkv, Sk, Dv = v.shape
    check_scale(scale)
    check_mask(mask, Sq, Sk, cu_seqlens is not None, q)
    check_scoring(scoring, Sq, Sk, cu_seqlens is not None, q)
    if cu_seqlens is None:
        alone = max_seqlen is None and cu_seqlens_k is None
        expect(alone, "max_seqlen or cu_seqlens_k without cu_seqlens", "all or none", "pass cu_seqlens, or drop them")
        return Sizes(B, Hq, Hkv, Sq, Sk, D, Dv, packed=False)
    got = f"packed q {list(q.shape)} and k {list(k.shape)}"
    fits = B == 1 and (Sq == Sk or cu_seqlens_k is not None)
    expect(fits, got, "batch 1 and equal lengths, or cu_seqlens_k", "pack q and k alike, or pass cu_seqlens_k")
    _check_pack("cu_seqlens", cu_seqlens, Sq, max_seqlen, max_seqlen, q)
    if cu_seqlens_k is not None:
        _check_pack("cu_seqlens_k", cu_seqlens_k, Sk, max_seqlen, None, q)
        got = f"{cu_seqlens.numel()} numbers in cu_seqlens and {cu_seqlens_k.numel()} in cu_seqlens_k"
        expect(cu_seqlens.numel() == cu_seqlens_k.numel(), got, "as many", "pass a length of keys for each sequence")
    return Sizes(cu_seqlens.numel() - 1, Hq, Hkv, Sq, Sk, D, Dv, packed=True, unequal=cu_seqlens_k is not None)


def register_limit(num_warps: int) -> int:
    """The most registers that each thread of a block of so many warps may have."""
    return min(MOST_REGISTERS, BLOCK_REGISTERS // (32 * num_warps) // 8 * 8)


def gathers(mask: Mask, scoring: Scoring) -> bool:
    """Whether each score, or each of a tile with a mask, has a number of its own to load."""
    return mask.kind == "tree" or scoring.bias_kind in ("distances", "dense")


def strides(tensor: Tensor) -> tuple[int, ...]:
    """Of batch, head and row, as kernels take them; the last axis is dense."""
    return tensor.stride()[:3]


def reach(window: int | None, keys: int) -> int:
    """A window as kernels take it: 0 for none, else no wider than `keys`, so that sums with it stay within 32 bits."""
    return 0 if window is None else min(window, max(1, keys))


def check_like(name: str, tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype, q: Tensor) -> None:
    """ValueError unless a further argument has this shape and dtype, the device of q, and dense rows."""
    expect(tuple(tensor.shape) == shape, f"{name} {list(tensor.shape)}", str(list(shape)), "pass the forward's own")
    expect(tensor.dtype == dtype, f"{name} of {tensor.dtype}", str(dtype), f"cast {name}")
    check_beside(name, tensor, q)
    check_dense_rows(name, tensor)


def _check_tensors(q: Tensor, k: Tensor, v: Tensor) -> None:
    for name, x in (("q", q), ("k", k), ("v", v)):
        expect(x.dim() == 4, f"{name} {list(x.shape)}", "[batch, heads, length, head size]", "unsqueeze")
        fits = x.dtype == q.dtype and x.dtype in DTYPES
        expect(fits, f"{name} of {x.dtype}, q of {q.dtype}", f"one dtype of {DTYPE_NAMES}", f"cast {name}")
        check_beside(name, x, q)
        check_dense_rows(name, x)
    check_device("q", q)
    B, Hq, _, D = q.shape
    _, Hkv, Sk, Dv = v.shape
    got = f"k {list(k.shape)} beside q {list(q.shape)} and v {list(v.shape)}"
    mend = "give k the batch and head size of q, the heads and length of v"
    expect(k.shape == (B, Hkv, Sk, D), got, f"k of {[B, Hkv, Sk, D]}", mend)
    expect(v.shape[0] == B, f"batches {B} of q and {v.shape[0]} of v", "one batch", "expand k and v")
    check_groups(Hq, Hkv)
    check_head_dim("head size", D)
    check_head_dim("value head size", Dv)


def _check_pack(name: str, ends: Tensor, rows: int, max_seqlen: int | None, longest: int | None, q: Tensor) -> None:
    """ValueError where lengths do not fit; reading them waits for the device, and is left out beside max_seqlen.

    longest: what none of them may pass.
    """
    got = f"{name} {list(ends.shape)} of {ends.dtype}"
    fits = ends.dim() == 1 and ends.numel() >= 2 and ends.dtype == torch.int32
    expect(fits, got, "[sequences + 1] of torch.int32", "pass cumulative lengths, beginning with 0")
    check_beside(name, ends, q)
    check_contiguous(name, ends)
    if ends.device.type == "meta" or (max_seqlen is not None and ends.device.type != "cpu"):
        return
    read: list[int] = ends.tolist()
    gaps = [after - before for before, after in itertools.pairwise(read)]
    rises = read[0] == 0 and read[-1] == rows and min(gaps) >= 0
    expect(rises, f"{name} from {read[0]} to {read[-1]}", f"rising from 0 to {rows}, the rows packed", "pass all rows")
    enough = longest is None or longest >= max(gaps)
    expect(enough, f"max_seqlen {longest}", f"at least {max(gaps)}", "pass the longest length, or None")
