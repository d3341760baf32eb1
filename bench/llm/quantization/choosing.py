"""How codes are chosen for a weight: methods, each apart from the format that stores what it chooses."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch

from attnlab.bench.contract.discovery import Folder
from attnlab.bench.errors import ModelWarning, UsageError
from attnlab.bench.llm.quantization.coding import WeightFormat
from attnlab.bench.llm.quantization.weight import QuantizedWeight, checked_weight

if TYPE_CHECKING:
    from torch import Tensor

FEWEST_ROWS = 16  # of calibration activations
LARGEST = 1e15  # of calibration activations: sums of squares of larger ones may not fit in float32


@dataclass(frozen=True, eq=False)
class Chosen:
    """A quantised weight, and what x [..., K] is divided by beforehand, float32 [K]; None: by nothing.

    Whoever holds the layer before folds that division into it. notes: what is to be said of it, such as a Hessian that
    was damped.
    """

    weight: QuantizedWeight
    column_scale: Tensor | None = None
    notes: tuple[str, ...] = ()


def tell(chosen: Chosen, method: Method) -> None:
    """A ModelWarning for each note."""
    for note in chosen.notes:
        warnings.warn(f"{method.name}: {note}", ModelWarning, stacklevel=3)


class Choose(Protocol):
    """Chooses codes for weight [N, K] in float32, finite; activations [T, K] in float32, where a method needs them.

    Of a method that scales columns both are scaled already, and the chosen `column_scale` is filled in by `quantise`.
    """

    def __call__(self, weight: Tensor, format: WeightFormat, activations: Tensor | None) -> Chosen: ...


class ScaleColumns(Protocol):
    """Chooses what activations are divided by, [K], for all weights of one input together, as [N, K].

    tied: makes numbers [K] equal for columns that the layer before cannot divide apart; each candidate goes through it.
    """

    def __call__(self, weight: Tensor, format: WeightFormat, activations: Tensor, tied: Tied) -> Tensor: ...


Tied = Callable[["Tensor"], "Tensor"]


def untied(scale: Tensor) -> Tensor:
    return scale


@dataclass(frozen=True)
class Method:
    """A way to choose codes; a file under `methods` has one as `METHOD`.

    calibrated: whether it looks at activations. refuses(format): why it cannot choose for a format. column_scale: of
    a method that scales columns before it chooses codes.
    """

    name: str
    summary: str
    choose: Choose
    calibrated: bool = False
    refuses: Refuses = lambda format: None
    column_scale: ScaleColumns | None = None


class Refuses(Protocol):
    def __call__(self, format: WeightFormat) -> str | None: ...


METHODS: Folder[Method] = Folder("quantisation method", "attnlab.bench.llm.quantization.methods", "METHOD")


def quantise(
    weight: Tensor,
    format: WeightFormat,
    method: Method,
    activations: Tensor | None = None,
    column_scale: Tensor | None = None,
) -> Chosen:
    """A weight [N, K] in a format by a method; activations [T, K]: what the layer is given on calibration texts.

    column_scale: by what activations will be divided, [K], such as one that was found for several weights; else a
    method that scales columns searches its own. Raises UsageError where the weight cannot be stored or the activations
    are not of this layer.
    """
    wide, shown = _checked(weight, format, method, activations)
    if column_scale is None and method.column_scale is not None and shown is not None:
        column_scale = method.column_scale(wide, format, shown, untied)
    if column_scale is not None:
        wide, shown = wide * column_scale, None if shown is None else shown / column_scale
    chosen = method.choose(wide, format, shown)
    return replace(chosen, weight=chosen.weight.in_dtype(weight.dtype), column_scale=column_scale)


def column_scale_of(
    weights: Sequence[Tensor],
    format: WeightFormat,
    method: Method,
    activations: Tensor | None,
    tied: Tied = untied,
) -> Tensor | None:
    """By what the input of weights [n, K] is to be divided, [K]; None where the method scales no columns."""
    wide, shown = _checked(torch.cat([weight.float() for weight in weights]), format, method, activations)
    return None if method.column_scale is None or shown is None else method.column_scale(wide, format, shown, tied)


def _checked(
    weight: Tensor, format: WeightFormat, method: Method, activations: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    wide = checked_weight(weight, format)
    reason = method.refuses(format)
    if reason is not None:
        raise UsageError(f"method {method.name} with format {format.name}: {reason}")
    return wide, _checked_activations(activations, method, weight.shape[1]) if method.calibrated else None


def _checked_activations(x: Tensor | None, method: Method, k: int) -> Tensor:
    if x is None:
        raise UsageError(f"method {method.name} needs calibration activations [T, {k}]; got none")
    if x.ndim != 2 or x.shape[1] != k or x.shape[0] < FEWEST_ROWS:
        raise UsageError(
            f"method {method.name} got calibration activations {list(x.shape)}; expected [T, {k}], the width of the "
            f"weight, of {FEWEST_ROWS} tokens or more"
        )
    if not bool(torch.isfinite(x).all()):
        raise UsageError(f"method {method.name} got calibration activations that are NaN or infinite; mend the texts")
    if float(x.abs().max()) > LARGEST:
        raise UsageError(
            f"method {method.name} got calibration activations up to {float(x.abs().max()):.3g}; expected at most "
            f"{LARGEST:g}: mend the model or the texts"
        )
    return x.float()


def quantisation_method(name: str) -> Method:
    """The method of that name; raises UnknownName."""
    return METHODS.get(name)


def known_methods() -> dict[str, Method]:
    """Every method, by name."""
    return {name: METHODS.get(name) for name in sorted(METHODS.names())}
