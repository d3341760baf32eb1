"""A few rows times a weight in codes on a CPU, at the speed of reading them: compiles and calls quantized_rows.c."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from attnlab.kernels.cpu.row_numbers import DTYPES, MOST_ROWS, compiled, function, target, variants

SOURCE = Path(__file__).with_suffix(".c")
BLOCK = 32  # columns whose codes of 4 bits lie together
MOST_COLUMNS = {"int8_dynamic": 131_072, "int4": 524_288}
"""Of int8_dynamic more products of codes may not fit in a sum of 32 bits, of int4 more steps of groups on a stack."""
Planes = Mapping[str, Tensor]


@dataclass(frozen=True)
class Form:
    """How a weight is stored: int8, with or without activations in int8; int4 in groups of so many columns."""

    kind: str
    group: int = 0
    asymmetric: bool = False

    @property
    def most_columns(self) -> int | None:
        """How wide a weight may be; None: as wide as memory is."""
        return MOST_COLUMNS.get(self.kind)

    @property
    def defined(self) -> tuple[str, ...]:
        """As the source in C has it."""
        if self.kind != "int4":
            return ("-DINT8", *(("-DDYNAMIC",) if self.kind == "int8_dynamic" else ()))
        return ("-DINT4", f"-DGROUP={self.group}", *(("-DASYMMETRIC",) if self.asymmetric else ()))

    def planes(self, n: int, k: int) -> dict[str, tuple[torch.dtype, tuple[int, int]]]:
        """Dtype and shape of each plane of a weight [n, k]."""
        if self.kind != "int4":
            return {"codes": (torch.int8, (n, k)), "scale": (torch.float32, (n, 1))}
        steps = ("scale", "minimum") if self.asymmetric else ("scale",)
        groups = (torch.float16, (n, k // self.group))
        return {"codes": (torch.uint8, (n, k // 2)), **dict.fromkeys(steps, groups)}


FORMS = {
    "int8": Form("int8"),
    "int8_dynamic": Form("int8_dynamic"),
    **{
        f"int4_g{size}{'_asym' if asymmetric else ''}": Form("int4", size, asymmetric)
        for size in (32, 64, 128)
        for asymmetric in (False, True)
    },
}
"""What is served, by the names of the formats."""


@functools.cache
def quantized_rows(rows: int, dtype: torch.dtype, form: str, variant: str | None = None) -> Callable[..., Tensor]:
    """A function (x [rows, K], planes of a weight [N, K], bias [N] or None) -> [rows, N], for one form of FORMS.

    Its fourth argument may be what `shape_of` gave of the same planes, so that a call does not look at them again.
    variant: one of `variants()`, the best of them where left out. Compiles, in a second, once in a process. Rows of x
    must be dense, planes contiguous. Sums are in float32, of int8_dynamic in int32 (K at most 131,072). The function
    works in as many threads as torch does. Raises ValueError on what is not served, NoCompiler where it cannot be
    compiled here.
    """
    kernel = quantized_function(rows, dtype, form, variant)

    def call(x: Tensor, planes: Planes, bias: Tensor | None = None, shape: tuple[int, int] | None = None) -> Tensor:
        n, k = shape or shape_of(planes, form)
        _check_rows(x, bias, (rows, n, k), dtype)
        out = torch.empty(rows, n, dtype=dtype)
        bias_at = None if bias is None else bias.data_ptr()
        if kernel(
            x.data_ptr(), *_pointers(planes), bias_at, out.data_ptr(), n, k, x.stride(0), torch.get_num_threads()
        ):
            raise MemoryError(f"no memory for {rows} rows of {k} numbers")
        return out

    return call


@functools.cache
def quantized_function(rows: int, dtype: torch.dtype, form: str, variant: str | None = None) -> Callable[..., int]:
    """The function in C itself, which takes pointers; otherwise as `quantized_rows`."""
    if not 1 <= rows <= MOST_ROWS or dtype not in DTYPES or form not in FORMS:
        raise ValueError(
            f"got {rows} rows of {dtype} and a weight in {form}; expected 1 to {MOST_ROWS} of "
            f"{', '.join(map(str, DTYPES))}, and {', '.join(FORMS)}; split or cast x"
        )
    return function(_library(rows, dtype, form, variant), "quantized_rows", pointers=6, longs=3)


@functools.cache
def dequantised_rows(dtype: torch.dtype, form: str, variant: str | None = None) -> Callable[[Planes, Tensor], Tensor]:
    """A function (planes of a weight [N, K], out [N, K]) -> out, filled with what the codes stand for.

    Worked out in float32 and rounded once to `dtype`. Otherwise as `quantized_rows`.
    """
    kernel = function(_library(1, dtype, form, variant), "dequantised_rows", pointers=4, longs=2, result=None)

    def call(planes: Planes, out: Tensor) -> Tensor:
        n, k = shape_of(planes, form)
        if out.shape != (n, k) or out.dtype != dtype or not out.is_contiguous() or out.device.type != "cpu":
            raise ValueError(f"got {list(out.shape)} of {out.dtype} to fill; expected dense [{n}, {k}] of {dtype}")
        kernel(*_pointers(planes), out.data_ptr(), n, k, torch.get_num_threads())
        return out

    return call


@functools.cache
def _library(rows: int, dtype: torch.dtype, form: str, variant: str | None) -> object:
    defined = (f"-DROWS={rows}", f"-D{DTYPES[dtype]}", *FORMS[form].defined)
    return compiled(SOURCE, "-O3", *target(variant or variants()[0]), *defined)


def _pointers(planes: Planes) -> tuple[int | None, ...]:
    minimum = planes.get("minimum")
    return planes["codes"].data_ptr(), planes["scale"].data_ptr(), None if minimum is None else minimum.data_ptr()


def shape_of(planes: Planes, form: str) -> tuple[int, int]:
    """N and K of a weight in one form of FORMS. Raises ValueError on planes that are none."""
    of = FORMS[form]
    n, width = planes["codes"].shape
    k = 2 * width if of.kind == "int4" else width
    if k % (of.group or 1):
        raise ValueError(f"got {k} columns in {form}; expected a multiple of {of.group}")
    if of.most_columns is not None and k > of.most_columns:
        raise ValueError(f"got {k} columns in {form}; expected at most {of.most_columns}")
    for name, (dtype, shape) in of.planes(n, k).items():
        plane = planes.get(name)
        fits = plane is not None and plane.dtype == dtype and plane.shape == shape
        if plane is None or not fits or not plane.is_contiguous() or plane.device.type != "cpu":
            got = "none" if plane is None else f"{list(plane.shape)} of {plane.dtype} on {plane.device.type}"
            raise ValueError(
                f"got plane {name} {got} of a weight in {form}; expected {list(shape)} of {dtype} on the CPU, "
                f"contiguous; copy it"
            )
    return n, k


def _check_rows(x: Tensor, bias: Tensor | None, sizes: tuple[int, int, int], dtype: torch.dtype) -> None:
    rows, n, k = sizes
    if x.shape != (rows, k) or x.dtype != dtype or x.device.type != "cpu" or (k > 1 and x.stride(1) != 1):
        raise ValueError(
            f"got x {list(x.shape)} of {x.dtype}; expected [{rows}, {k}] of {dtype} on the CPU with dense rows; "
            f"cast or copy it"
        )
    if bias is not None and not (bias.shape == (n,) and bias.dtype == dtype and bias.is_contiguous()):
        raise ValueError(f"got a bias {list(bias.shape)} of {bias.dtype}; expected [{n}] of {dtype}; cast or copy it")
