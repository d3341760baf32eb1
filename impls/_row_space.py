"""The search space of kernels on rows: rows of a program, columns at a time, warps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from attnlab.bench import Configuration, Resources, Space
from attnlab.impls import _triton

if TYPE_CHECKING:
    from attnlab.kernels.triton.row_arguments import RowTiling

    BuiltIn = Callable[[Any], RowTiling]

ROWS = (1, 2, 4, 8, 16, 32)
BLOCKS = (256, 512, 1024, 2048, 4096, 8192)
WARPS = (1, 2, 4, 8)
WARP_THREADS = 32
NARROWEST_PART = 1024  # of a row that is reduced part by part


def row_space(
    axes: Mapping[str, tuple[int, ...]],
    built_in: BuiltIn,
    rows: Callable[[Any], int],
    width: Callable[[Any], int],
    shape: Callable[[Any], tuple[dict[str, int | str], dict[str, int]]],
    reduced: bool = False,
) -> Space:
    """The space over some fields of a kernel's `RowTiling`; the others stay as they are built in.

    rows(case), width(case): rows that a program may share, and numbers of one. reduced: rows are summed up, so that a
    program holds its numbers, in float32, until it knows the sum.
    """

    def cut(case: Any, chosen: Configuration) -> RowTiling:
        fields: dict[str, Any] = dict(chosen)
        return replace(built_in(case), **fields)

    def unfit(case: Any, chosen: Configuration) -> str | None:
        tiling = cut(case, chosen)
        if tiling.rows > 1 and tiling.rows >= 2 * rows(case):
            return "twice as many rows as there are, as half of them would do"
        if "block" in axes and tiling.block > min(axes["block"]) and tiling.block >= 2 * width(case):
            return "a block twice as wide as a row, as half of it would do"
        if reduced and tiling.block < min(NARROWEST_PART, width(case)):
            return f"parts of a row that are narrower than it and than {NARROWEST_PART} columns"
        if tiling.num_warps > 1 and WARP_THREADS * tiling.num_warps > tiling.rows * tiling.block:
            return "more threads than numbers"
        return None

    def least(case: Any, chosen: Configuration) -> Resources:
        tiling = cut(case, chosen)
        threads = WARP_THREADS * tiling.num_warps
        return Resources(registers=tiling.rows * tiling.block // threads if reduced else None, threads=threads)

    return Space(axes, default=lambda case: _triton.values(built_in(case), axes), shape=shape, unfit=unfit, least=least)


def norm_space(built_in: BuiltIn) -> Space:
    """That of rows which are normalised."""
    axes = {"rows": ROWS[:5], "block": (64, 128, *BLOCKS, 16384), "num_warps": (*WARPS, 16)}
    return row_space(axes, built_in, rows_of, width_of, matrix_shape, reduced=True)


def number_space(
    built_in: BuiltIn,
    shape: Callable[[Any], tuple[dict[str, int | str], dict[str, int]]] | None = None,
) -> Space:
    """That of matrices of whose numbers each is taken by itself."""
    axes = {"block": BLOCKS, "num_warps": WARPS}
    return row_space(axes, built_in, rows_of, width_of, shape or matrix_shape)


def head_space(
    built_in: BuiltIn, heads: Callable[[Any], int], shape: Callable[[Any], tuple[dict[str, int | str], dict[str, int]]]
) -> Space:
    """That of the heads of a token, each of which a program takes whole."""
    return row_space({"rows": ROWS, "num_warps": WARPS}, built_in, heads, lambda case: int(case.head_dim), shape)


def rows_of(case: Any) -> int:
    return int(case.rows)


def width_of(case: Any) -> int:
    return int(case.width)


def matrix_shape(case: Any) -> tuple[dict[str, int | str], dict[str, int]]:
    """What the best cut of a matrix [M, N] hangs on."""
    return {"dtype": case.dtype, "width": case.width}, {"rows": case.rows}
