"""What models add to the scores of attention, as launchers are told it and as kernels take it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attnlab.kernels.triton.device import LOG2_E
from attnlab.kernels.triton.launch_checks import check_beside, check_dense_rows, expect

BIASES = ("none", "slopes", "distances", "dense")
EXACT_DISTANCES = 2**24  # whole numbers that float32 holds


@dataclass(frozen=True)
class Scoring:
    """How scores s become weights: t = c · tanh(s / c) + b, weight = exp(t) / (exp(z) + Σ exp(t)).

    softcap: c, a number above zero. sinks: z, float32 [Hq]. bias: numbers of b, by `bias_kind`:

    slopes      float32 [Hq]: b is minus the slope times the distance between query and key (ALiBi)
    distances   float32 [Hq, Sq + Sk - 1]: b of the distances, key less query, from -(Sk - 1) to Sq - 1
    dense       float32, float16 or bfloat16 [Hq, Sq, Sk], for every sequence of a batch; not of packed ones
    """

    softcap: float | None = None
    sinks: Tensor | None = None
    bias: Tensor | None = None
    bias_kind: str = "none"


PLAIN = Scoring()


@dataclass(frozen=True)
class Shaping:
    """What of it a kernel is compiled for; plain: scores are only scaled."""

    capped: bool
    bias: str
    sinks: bool
    plain: bool


class Extras(NamedTuple):
    """What of it a kernel is given; None what it is not compiled for.

    cap: in base 2. steep: what a score is multiplied by in base 2, so that two to its power is exp(2 s / c). bias: of
    distances, the pointer to distance 0. strides: of the bias, of head and row. table: of the mask.
    """

    cap: Any
    steep: Any
    sinks: Any
    bias: Any
    bias_strides: Any
    table: Any


def shaping(scoring: Scoring) -> Shaping:
    capped, biased = scoring.softcap is not None, scoring.bias_kind != "none"
    return Shaping(capped, scoring.bias_kind, scoring.sinks is not None, not capped and not biased)


def extras(scoring: Scoring, kv_len: int, table: Tensor | None) -> Extras:
    """Of a checked scoring, for sequences of at most `kv_len` keys."""
    cap, bias = scoring.softcap, scoring.bias
    if bias is not None and scoring.bias_kind == "distances":
        bias = bias[:, max(0, kv_len - 1) :]
    return Extras(
        None if cap is None else cap * LOG2_E.value,
        None if cap is None else 2 / cap,
        scoring.sinks,
        bias,
        None if bias is None else bias.stride()[: max(1, bias.dim() - 1)],
        table,
    )


def check_scoring(scoring: Scoring, q_len: int, kv_len: int, packed: bool, q: Tensor) -> None:
    """ValueError unless it is of queries q [B, Hq, Sq, D] and so many keys."""
    cap, heads = scoring.softcap, q.shape[1]
    fits = cap is None or (math.isfinite(cap) and cap > 0)
    expect(fits, f"a soft cap of {cap}", "a finite number above zero, or None", "leave it out for no cap")
    if scoring.sinks is not None:
        _check_numbers("sinks", scoring.sinks, (heads,), (torch.float32,), q)
    kind, bias = scoring.bias_kind, scoring.bias
    expect(kind in BIASES, f"a bias of kind {kind!r}", ", ".join(BIASES), "name one of these")
    if bias is None or kind == "none":
        got = f"a bias of kind {kind} {'without' if bias is None else 'beside'} numbers"
        expect(bias is None and kind == "none", got, "both or neither", "pass bias and bias_kind")
        return
    expect(not (packed and kind == "dense"), "a dense bias beside cu_seqlens", "one of both", "bias by distance")
    exact = kind != "slopes" or kv_len < EXACT_DISTANCES
    expect(exact, f"slopes over {kv_len} keys", f"less than {EXACT_DISTANCES}", "bias by distance")
    shapes = {"slopes": (heads,), "distances": (heads, max(0, q_len + kv_len - 1)), "dense": (heads, q_len, kv_len)}
    dtypes = (torch.float32, torch.float16, torch.bfloat16) if kind == "dense" else (torch.float32,)
    _check_numbers(f"bias of kind {kind}", bias, shapes[kind], dtypes, q)


def _check_numbers(name: str, x: Tensor, shape: tuple[int, ...], dtypes: tuple[torch.dtype, ...], q: Tensor) -> None:
    got = f"{name} {list(x.shape)} of {x.dtype} for {q.shape[1]} query heads"
    wanted = f"{list(shape)} of {' or '.join(map(str, dtypes))}"
    expect(tuple(x.shape) == shape and x.dtype in dtypes, got, wanted, "pass one number for each")
    check_beside(name, x, q)
    check_dense_rows(name, x)
