"""A case of operator `linear`: shape, dtype, and how the weight is stored."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from attnlab.bench.contract.axes import axis, dtype_axis, size
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.generation.stored import SAME
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.sources import PACKAGED
from attnlab.bench.llm.models.weights import layer_shapes
from attnlab.bench.llm.quantization.choosing import known_methods, quantisation_method
from attnlab.bench.llm.quantization.coding import WeightFormat, known_weight_formats, weight_format
from attnlab.bench.llm.quantization.recipe import PROJECTIONS
from attnlab.bench.ops._shared.typed import TypedCase

CAPTURED_PATTERN = rf"smollm2:\d+:(?:{'|'.join(PROJECTIONS)})"
RTN = "rtn"  # the method of old: each number by itself


def _read_bias(value: Any) -> bool:
    if value not in ("bias", "none", True, False):
        raise ImpossibleCase(f"got {value!r}; expected bias or none")
    return value in ("bias", True)


def _read_format(value: Any) -> str:
    return SAME if value == SAME else weight_format(str(value)).name


def _read_source(value: Any) -> str:
    if not re.fullmatch(rf"normal|outliers|{CAPTURED_PATTERN}", str(value)):
        raise ImpossibleCase(
            f"got {value!r}; expected one of normal, outliers, or smollm2:LAYER:PROJECTION with a projection of "
            f"{', '.join(PROJECTIONS)}"
        )
    return str(value)


def _read_method(value: Any) -> str:
    return quantisation_method(str(value)).name


@dataclass(frozen=True)
class LinearCase(TypedCase):
    """One shape and dtype for linear."""

    kind = "linear"

    m: int = size("M", help="rows of x: tokens", default=1)
    n: int = size("N", help="rows of the weight: columns of the output", default=4096)
    k: int = size("K", help="columns of x and of the weight", default=4096)
    dtype: str = dtype_axis()
    bias: bool = axis(
        pattern="bias",
        read=_read_bias,
        write=lambda there: "bias" if there else "none",
        help="bias or none",
        default=False,
    )
    inputs: str = axis(
        pattern=rf"normal|outliers|{CAPTURED_PATTERN}",
        read=_read_source,
        default="normal",
        help="source of data: normal, outliers, or smollm2:LAYER:PROJECTION, a layer's own weight and activations",
    )
    format: str = axis(
        prefix="f_",
        pattern="|".join((SAME, *known_weight_formats())),
        read=_read_format,
        default=SAME,
        help=f"how the weight is stored: {SAME}, in the dtype; {', '.join(known_weight_formats())}",
        opt_in=True,
    )
    method: str = axis(
        prefix="by_",
        pattern="|".join(known_methods()),
        read=_read_method,
        default=RTN,
        help=f"how its codes are chosen: {', '.join(known_methods())}",
    )

    def validate(self) -> None:
        if self.captured is not None:
            self._validate_captured(*self.captured)
        if self.format == SAME:
            if self.method != RTN:
                raise ImpossibleCase(f"got method={self.method} with format={SAME}; expected a format to choose for")
            return
        format = weight_format(self.format)
        reason = format.codec.refuses(self.n, self.k) or quantisation_method(self.method).refuses(format)
        if reason is not None:
            raise ImpossibleCase(f"got format={self.format} by method={self.method}: {reason}")

    def _validate_captured(self, layer: int, projection: str) -> None:
        config = PUBLISHED[PACKAGED]
        n, k = layer_shapes(config)[projection]
        if layer >= config.layers or (self.n, self.k) != (n, k) or self.bias:
            raise ImpossibleCase(
                f"got inputs={self.inputs} with n={self.n}, k={self.k} and {'a' if self.bias else 'no'} bias; expected "
                f"n={n}, k={k}, no bias and a layer of 0 to {config.layers - 1}"
            )

    @property
    def captured(self) -> tuple[int, str] | None:
        """The layer and projection whose weight and activations are taken."""
        _, _, place = self.inputs.partition(":")
        layer, _, projection = place.partition(":")
        return (int(layer), projection) if place else None

    @property
    def rows(self) -> int:
        return self.m

    @property
    def stored_as(self) -> WeightFormat | None:
        """The format of the weight; None where it is in the dtype."""
        return None if self.format == SAME else weight_format(self.format)
