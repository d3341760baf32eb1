"""What the implementations on our Triton kernels share: their arguments, limits, and Triton's interpreter.

They import the kernels inside functions: Triton may not be installed, and takes long to import.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from attnlab.bench import AttentionCase, Configuration, DecodeCase, Resources, Unavailable

LARGEST_HEAD_DIM = 256  # of the kernels
LARGEST_CAP = 100  # of scores in float32
LARGEST_CAP_OF_HALVES = 3000  # in 16 bits
CHECK_RUNS = 6  # two draws and the needles, each run twice
INTERPRETER_LIMIT_S = 20.0  # for the check of one case
ROW_CHECK_RUNS = 16
PROGRAM_S = 0.003  # the interpreter's time for a program that reads some rows and writes them
TILE = 64  # the interpreter's time is stated for tiles of 64 × 64


def is_interpreted() -> bool:
    """Whether kernels are run by Triton's interpreter; it reads the variable where a kernel is defined."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def cap_limit(case: AttentionCase | DecodeCase) -> str | None:
    """Why a soft cap is not served: exponentials leave an error of it that grows with the cap."""
    most = LARGEST_CAP if case.dtype == "float32" else LARGEST_CAP_OF_HALVES
    if case.softcap is None or case.softcap <= most:
        return None
    return f"a soft cap of {case.softcap:g} in {case.dtype} is not served: {most} at most, beyond which it is not exact"


def limits(case: AttentionCase, tile_s: float) -> str | None:
    """What the kernels do not serve, or why the interpreter, at `tile_s` a tile, would take too long."""
    for name, size in (("head size", case.head_dim), ("value head size", case.v_head_dim)):
        if size > LARGEST_HEAD_DIM:
            return f"{name} {size} is not served: {LARGEST_HEAD_DIM} at most"
    if (reason := cap_limit(case)) is not None:
        return reason
    tiles = sum(case.mask.pairs(q, k) / TILE**2 + q // TILE + 1 for q, k in case.sequences) * case.q_heads
    return too_slow(CHECK_RUNS * tiles * tile_s)


def too_slow(needed_s: float) -> str | None:
    """Why a check that takes so long in the interpreter is not begun; None outside of it."""
    if not is_interpreted() or needed_s <= INTERPRETER_LIMIT_S:
        return None
    return (
        f"too large for Triton's interpreter, whose check is given {INTERPRETER_LIMIT_S:.0f} s: "
        f"take a smaller case, or a GPU"
    )


def too_many_programs(programs: int) -> str | None:
    """`too_slow` for a kernel on rows that is checked on eight sets of inputs at most, each twice."""
    return too_slow(ROW_CHECK_RUNS * programs * PROGRAM_S)


def require_device(tensor: Tensor) -> None:
    """Raise Unavailable for a tensor on the CPU without the interpreter."""
    if not tensor.is_cuda and not is_interpreted():
        raise Unavailable(
            "needs an NVIDIA GPU, or TRITON_INTERPRET=1 in the environment to run in Triton's interpreter"
        )


def untimed(device_kind: str) -> str | None:
    return "runs in Triton's interpreter, whose time means nothing" if device_kind == "cpu" else None


def values(tiling: Any, axes: Iterable[str]) -> dict[str, int | str]:
    """A tiling as a configuration."""
    return {name: int(getattr(tiling, name)) for name in axes}


def too_long(case: AttentionCase, block_m: int | str, block_n: int | str) -> str | None:
    """Why a tile of queries and keys is longer than any sequence has use for; None where it is not."""
    q_len, kv_len = max(case.sequences)
    for what, block, length in (("queries", block_m, q_len), ("keys", block_n, kv_len)):
        if int(block) > 16 and int(block) >= 2 * length:
            return f"a tile of {what} twice as long as there are any, as half of it would do"
    return None


def least(case: AttentionCase, chosen: Configuration) -> Resources:
    """What a program of the forward takes at least: tiles in flight but one, sums and scores of its queries."""
    block_m, block_n, warps = (int(chosen[name]) for name in ("block_m", "block_n", "num_warps"))
    buffers = max(1, int(chosen["num_stages"]) - 1)
    tile_bytes = block_n * (case.head_dim + case.v_head_dim) * case.torch_dtype.itemsize
    threads = 32 * warps
    return Resources(buffers * tile_bytes, block_m * (case.v_head_dim + block_n) // threads, threads)


def describe(tiling: Any) -> str:
    """A tiling in short: queries × keys of a tile, warps, tiles in flight, and how float32 is multiplied."""
    return f"{tiling.block_m}×{tiling.block_n} tiles, {tiling.num_warps} warps, {tiling.num_stages} stages"
