"""What the attention launchers share on the host: the checks of their arguments and the shape of a tiling."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from attnlab.kernels.triton.attention_tiles import INTERPRETED

LOG2_E = math.log2(math.e)
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
LARGEST_HEAD_DIM = 256
BLOCK_REGISTERS = 65_536  # that a block of threads may have
MOST_REGISTERS = 255  # of a thread


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
    def meta(self) -> dict[str, Any]:
        """The kernel's arguments that say so."""
        meta: dict[str, Any] = {
            "BLOCK_M": self.block_m,
            "BLOCK_N": self.block_n,
            "PRECISION": self.precision,
            "num_warps": self.num_warps,
            "num_stages": self.num_stages,
        }
        if self.all_registers:
            meta["maxnreg"] = min(MOST_REGISTERS, BLOCK_REGISTERS // (32 * self.num_warps) // 8 * 8)
        return meta


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

    @property
    def group(self) -> int:
        """Query heads for each key-value head."""
        return self.q_heads // self.kv_heads

    def programs(self, rows: int, heads: int, block: int) -> int:
        """Programs of a flat grid over tiles of `block` rows: of q or of k, in so many heads (see `place`)."""
        tiles = rows // block + self.sequences if self.packed else triton.cdiv(rows, block) * self.sequences
        return tiles * heads

    def widths(self, *, whole: bool = False) -> dict[str, Any]:
        """The kernel's arguments that give the head sizes; whole: tiles of one part each."""
        sizes = (self.head_dim, self.v_head_dim)
        parts, v_parts = ((padded(size),) if whole else blocks(size) for size in sizes)
        return {"HEAD_DIM": sizes[0], "V_HEAD_DIM": sizes[1], "BLOCKS_D": parts, "BLOCKS_DV": v_parts}


def architecture() -> int:
    """Compute capability, times ten, that kernels are now compiled for; the interpreter takes sm_90's tilings."""
    if INTERPRETED.value:
        return 90
    return int(triton.runtime.driver.active.get_current_target().arch)


def padded(head_dim: int) -> int:
    """The power of two that holds a head, 16 or more as a dot needs."""
    return max(16, 1 << (head_dim - 1).bit_length())


def blocks(head_dim: int) -> tuple[int, ...]:
    """Columns of a tile's parts: 64 and 16 for a head size of 80; one part where two would hold no less.

    One for 130 as well: the pointers and masks of two that do not fit take more registers than there are.
    """
    half = padded(head_dim) // 2
    both = half + padded(head_dim - half)
    if half < 16 or both >= padded(head_dim) or (head_dim > 128 and both != head_dim):
        return (padded(head_dim),)
    return half, padded(head_dim - half)


def is_exact(head_dim: int, v_head_dim: int) -> bool:
    """Whether tiles are as wide as the heads: rows are then whole pieces of 16 bytes and loads mask no columns."""
    return sum(blocks(head_dim)) == head_dim and sum(blocks(v_head_dim)) == v_head_dim


def check(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float,
    causal: bool,
    window: int | None,
    cu_seqlens: Tensor | None,
    max_seqlen: int | None,
) -> Sizes:
    """Sizes of q [B, Hq, Sq, D], k [B, Hkv, Sk, D], v [B, Hkv, Sk, Dv]; ValueError where they do not fit."""
    _check_tensors(q, k, v)
    B, Hq, Sq, D = q.shape
    _, Hkv, Sk, Dv = v.shape
    expect(k.shape == (B, Hkv, Sk, D), f"k {_shape(k)} beside q {_shape(q)} and v {_shape(v)}",
            f"k of {[B, Hkv, Sk, D]}", "give k the batch and head size of q, the heads and length of v")  # fmt: skip
    expect(v.shape[0] == B, f"batches {B} of q and {v.shape[0]} of v", "one batch", "expand k and v")
    expect(Hkv > 0 and Hq % Hkv == 0, f"{Hq} query heads over {Hkv} key-value heads", "a multiple",
            "repeat or drop heads")  # fmt: skip
    for name, size in (("head size", D), ("value head size", Dv)):
        expect(1 <= size <= LARGEST_HEAD_DIM, f"{name} {size}", f"1 to {LARGEST_HEAD_DIM}", "split the head")
    expect(math.isfinite(scale) and scale > 0, f"scale {scale}", "a finite number above zero",
            "negate q for a negative scale")  # fmt: skip
    if window is not None:
        expect(causal, "a window without causal", "causal=True", "the window ends at the diagonal: pass causal")
        expect(window >= 1, f"window {window}", "at least 1 key", "pass None for no window")
    if cu_seqlens is None:
        expect(max_seqlen is None, "max_seqlen without cu_seqlens", "both or neither", "drop max_seqlen")
        return Sizes(B, Hq, Hkv, Sq, Sk, D, Dv, packed=False)
    expect(B == 1 and Sq == Sk, f"packed q {_shape(q)} and k {_shape(k)}", "batch 1 and equal lengths",
            "pack queries and keys alike, or call once a sequence")  # fmt: skip
    _check_pack(cu_seqlens, max_seqlen, q)
    return Sizes(cu_seqlens.numel() - 1, Hq, Hkv, Sq, Sk, D, Dv, packed=True)


def reach(window: int | None, keys: int) -> int:
    """A window as kernels take it: 0 for none, else no wider than `keys`, so that sums with it stay within 32 bits."""
    return 0 if window is None else min(window, max(1, keys))


def check_like(
    name: str, tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype, q: Tensor, *, dense: bool = False
) -> None:
    """ValueError unless a further argument has this shape and dtype, the device of q, and rows (or all) dense."""
    expect(tuple(tensor.shape) == shape, f"{name} {_shape(tensor)}", str(list(shape)), "pass the forward's own")
    expect(tensor.dtype == dtype, f"{name} of {tensor.dtype}", str(dtype), f"cast {name}")
    expect(tensor.device == q.device, f"{name} on {tensor.device}", f"the device of q, {q.device}", "move it")
    expect(not dense or tensor.is_contiguous(), f"{name} with gaps", "contiguous memory", "pass a contiguous copy")
    _check_rows(name, tensor)


def _check_tensors(q: Tensor, k: Tensor, v: Tensor) -> None:
    for name, tensor in (("q", q), ("k", k), ("v", v)):
        expect(tensor.dim() == 4, f"{name} {_shape(tensor)}", "[batch, heads, length, head size]", "unsqueeze")
        expect(tensor.dtype == q.dtype and tensor.dtype in DTYPES, f"{name} of {tensor.dtype}, q of {q.dtype}",
                f"one dtype of {', '.join(map(str, DTYPES))}", f"cast {name}")  # fmt: skip
        expect(tensor.device == q.device, f"{name} on {tensor.device}", f"the device of q, {q.device}", "move it")
        _check_rows(name, tensor)
    expect(q.device.type != "cpu" or bool(INTERPRETED.value), "tensors on cpu", "tensors on a GPU",
            "move them, or set TRITON_INTERPRET=1 before the import to run in the interpreter")  # fmt: skip


def _check_rows(name: str, tensor: Tensor) -> None:
    expect(tensor.shape[-1] == 1 or tensor.stride(-1) == 1 or tensor.numel() == 0,
            f"{name} with stride {tensor.stride(-1)} in its last axis", "stride 1",
            f"pass {name}.contiguous()")  # fmt: skip


def _check_pack(cu_seqlens: Tensor, max_seqlen: int | None, q: Tensor) -> None:
    """ValueError where lengths do not fit; reading them waits for the device, and is left out beside max_seqlen."""
    expect(cu_seqlens.dim() == 1 and cu_seqlens.numel() >= 2 and cu_seqlens.dtype == torch.int32,
            f"cu_seqlens {_shape(cu_seqlens)} of {cu_seqlens.dtype}", "[sequences + 1] of torch.int32",
            "pass cumulative lengths, beginning with 0")  # fmt: skip
    expect(cu_seqlens.device == q.device, f"cu_seqlens on {cu_seqlens.device}", f"{q.device}", "move it")
    expect(cu_seqlens.is_contiguous(), "cu_seqlens with gaps", "contiguous memory", "pass a contiguous copy")
    if cu_seqlens.device.type == "meta" or (max_seqlen is not None and cu_seqlens.device.type != "cpu"):
        return
    ends: list[int] = cu_seqlens.tolist()
    gaps = [after - before for before, after in itertools.pairwise(ends)]
    expect(ends[0] == 0 and ends[-1] == q.shape[2] and min(gaps) >= 0, f"cu_seqlens from {ends[0]} to {ends[-1]}",
            f"rising from 0 to {q.shape[2]}, the rows of q", "pass cumulative lengths of all rows")  # fmt: skip
    expect(max_seqlen is None or max_seqlen >= max(gaps), f"max_seqlen {max_seqlen}",
            f"at least {max(gaps)}", "pass the longest length, or None")  # fmt: skip


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))


def expect(fits: bool, got: str, expected: str, mend: str) -> None:
    if not fits:
        raise ValueError(f"got {got}; expected {expected}; {mend}")
