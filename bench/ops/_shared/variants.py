"""What models add to attention: soft caps, sinks, biases and norms of queries and keys, as axes and as inputs.

With s = scale · q·k (q and k normed first, where the case says so), cap c, bias b and sink z of the head:

    t = c · tanh(s / c) + b        weight = exp(t) / (exp(z) + Σ exp(t))

The sum goes over the keys that the mask permits. Each part is left out where its axis is at its default.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from attnlab.bench.contract.axes import axis
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.biases import Bias, alibi_slopes
from attnlab.bench.llm.head_norm import NORM_EPS
from attnlab.bench.llm.masks import Places

if TYPE_CHECKING:
    from attnlab.bench.ops._shared.attending import AttendingCase

NONE = "none"
SINKS = (NONE, "zero", "learned")
QK_NORMS = (NONE, "rms")
SEED = 20_240_518  # of all draws of a case: sinks, biases and norms are weights, which stay from call to call
NORM_WEIGHT = 1.5  # of queries and of keys, about: scores stand out by its square
LARGEST_CAP = 1_000_000  # beyond it a cap changes no score
SINKS_REACH = 1.5  # of learned sinks, to both sides of the logarithm of the number of keys
RELATIVE_SIZE = 2.0  # of the numbers in a table of buckets and in a dense bias


class Variant(Protocol):
    """Inputs that say how scores become weights."""

    @property
    def softcap(self) -> float | None: ...

    @property
    def sinks(self) -> Tensor | None: ...

    @property
    def bias(self) -> Bias: ...

    @property
    def bias_table(self) -> Tensor | None: ...


def _read_softcap(value: Any) -> float | None:
    text = str(value).replace(":", ".")
    if text == NONE:
        return None
    if not re.fullmatch(r"\d+(\.\d{1,3})?", text) or not 0 < float(text) <= LARGEST_CAP:
        raise ImpossibleCase(
            f"got a soft cap of {value!r}; expected none, or a number above 0 with at most three decimals, such as 50, "
            f"up to {LARGEST_CAP}"
        )
    return float(text)


def _written_softcap(cap: float | None) -> str:
    return NONE if cap is None else f"{cap:.3f}".rstrip("0").rstrip(".")


def _one_of(values: tuple[str, ...], what: str) -> Any:
    def read(value: Any) -> str:
        if str(value) not in values:
            raise ImpossibleCase(f"unknown {what} {value!r}; expected {', '.join(values[:-1])} or {values[-1]}")
        return str(value)

    return read


def softcap_axis() -> Any:
    """The cap c of scores, which are c · tanh(score / c) before bias and mask (Gemma 2)."""
    return axis(
        prefix="cap",
        pattern=r"\d+(?::\d{1,3})?",
        read=_read_softcap,
        write=_written_softcap,
        help="soft cap of scores, such as 50",
        default=None,
        opt_in=True,
    )


def sinks_axis() -> Any:
    """A logit a head in the softmax's denominator: learned (gpt-oss), or zero ("softmax off by one")."""
    return axis(
        prefix="sink_",
        pattern="|".join(SINKS[1:]),
        read=_one_of(SINKS, "sinks"),
        help="a logit a head in the denominator: none, zero, learned",
        default=NONE,
        opt_in=True,
    )


BIASES = r"alibi|relative:\d+"


def bias_axis(pattern: str = rf"{BIASES}|dense", read: Callable[[Any], Bias] = Bias.read) -> Any:
    """What is added to scores by head and distance, see `Bias`."""
    dense = ", dense" if "dense" in pattern else ""
    return axis(
        prefix="bias_",
        pattern=pattern,
        read=read,
        help=f"added to scores: none, alibi, relative:BUCKETS{dense}",
        default=Bias(),
        opt_in=True,
    )


def qk_norm_axis() -> Any:
    """RMSNorm of each head's queries and keys before they are multiplied (Qwen3, Gemma 3)."""
    return axis(
        prefix="qk_",
        pattern="|".join(QK_NORMS[1:]),
        read=_one_of(QK_NORMS, "norm of queries and keys"),
        help="norm of each head's queries and keys beforehand: none, rms",
        default=NONE,
        opt_in=True,
    )


def drawn_sinks(case: AttendingCase) -> Tensor | None:
    """Sinks [Hq], float32 numbers of the dtype: about as heavy as all keys together, so that one forgotten shows.

    Those of a case lie equally far apart, in a drawn order: two that were exchanged would not show if they were alike.
    """
    if case.sinks == NONE:
        return None
    if case.sinks == "zero":
        return torch.zeros(case.q_heads)
    longest = max(2, *(kv_len for _, kv_len in case.sequences))
    apart = torch.linspace(-SINKS_REACH, SINKS_REACH, case.q_heads) if case.q_heads > 1 else torch.zeros(1)
    made = apart[torch.randperm(case.q_heads, generator=_generator(1))] + torch.tensor(float(longest)).log()
    return made.to(case.torch_dtype).float()


def drawn_bias(case: AttendingCase, q_len: int, kv_len: int) -> Tensor | None:
    """The numbers of a bias: slopes and tables of buckets in float32, a dense bias in the case's dtype."""
    shape = case.bias.table_shape(case.q_heads, q_len, kv_len)
    if shape is None:
        return None
    if case.bias.kind == "alibi":
        return torch.tensor(alibi_slopes(case.q_heads))
    made = RELATIVE_SIZE * torch.randn(shape, generator=_generator(2))
    return made.to(case.torch_dtype) if case.bias.kind == "dense" else made


def drawn_norm(case: AttendingCase, side: int) -> Tensor | None:
    """Weights [D] in the case's dtype of the norm of queries (side 0) or keys (side 1)."""
    if case.qk_norm == NONE:
        return None
    made = NORM_WEIGHT + 0.5 * torch.rand(case.head_dim, generator=_generator(3 + side))
    return made.to(case.torch_dtype)


def drawn(case: AttendingCase, q_len: int, kv_len: int, device: torch.device) -> dict[str, Any]:
    """What the case adds to plain attention, by the names of the inputs' fields; k_norm apart, as caches hold normed
    keys."""
    tensors = {
        "sinks": drawn_sinks(case),
        "bias_table": drawn_bias(case, q_len, kv_len),
        "q_norm": drawn_norm(case, 0),
    }
    placed = {name: None if tensor is None else tensor.to(device) for name, tensor in tensors.items()}
    return {"softcap": case.softcap, "bias": case.bias, **placed}


def bytes_of(case: AttendingCase, q_len: int, kv_len: int, norms: int = 2) -> int:
    """Of sinks and of the numbers of a bias, and of so many norms' weights, read once each."""
    element = case.torch_dtype.itemsize
    shape = case.bias.table_shape(case.q_heads, q_len, kv_len)
    bias = math.prod(shape) * (element if case.bias.kind == "dense" else 4) if shape else 0
    sinks = 4 * case.q_heads if case.sinks != NONE else 0
    return bias + sinks + (norms * case.head_dim * element if case.qk_norm != NONE else 0)


def _generator(which: int) -> torch.Generator:
    return torch.Generator().manual_seed(SEED + which)


def normed(x: Tensor, weight: Tensor | None, compute: torch.dtype, rounded: torch.dtype) -> Tensor:
    """Rows [..., D] over their root mean square, times the weight [D], in `compute`.

    In less than float64 the result is rounded to that other dtype, as code does that hands it to a product.
    """
    if weight is None:
        return x.to(compute)
    wide = x.to(compute)
    made = wide * (wide.square().mean(-1, keepdim=True) + NORM_EPS).rsqrt() * weight.to(compute)
    return made if compute is torch.float64 else made.to(rounded).to(compute)


def biased(scores: Tensor, inputs: Variant, places: Places, rows: Tensor, causal: bool) -> tuple[Tensor, Tensor | None]:
    """Scaled scores [B, Hkv, G, R, Sk] with cap and bias; and the cap's slope at each, None without one."""
    slope = None
    if inputs.softcap is not None:
        share = (scores / inputs.softcap).tanh()
        scores, slope = inputs.softcap * share, 1 - share.square()
    if inputs.bias_table is not None:
        table = inputs.bias_table.to(scores.dtype)
        dense = inputs.bias.kind == "dense"
        bias = table[:, rows] if dense else inputs.bias.of(table, places.distance, causal)
        scores = scores + bias.unflatten(0, scores.shape[-4:-2])
    return scores, slope


def weighed(scores: Tensor, sinks: Tensor | None) -> Tensor:
    """Softmax over the last axis of [..., Hkv, G, R, Sk] with the sinks [Hq] in its denominator."""
    if sinks is None:
        return scores.softmax(-1)
    column = _by_head(sinks, scores).expand(*scores.shape[:-1], 1)
    return torch.cat([scores, column], -1).softmax(-1)[..., :-1]


def rounded_as(p: Tensor, inputs: Variant, dtype: torch.dtype) -> Tensor:
    """Weights as large as their rounding to the dtype goes by: below its least normal number all are rounded alike.

    Beside a sink all that a row gives to its keys may be as small; without one some weight is large.
    """
    return p if inputs.sinks is None else torch.where(p > 0, p.clamp_min(torch.finfo(dtype).tiny), p)


def log_sum(scores: Tensor, sinks: Tensor | None) -> Tensor:
    """Logarithm of that denominator, [..., Hkv, G, R]."""
    total = scores.logsumexp(-1)
    return total if sinks is None else torch.logaddexp(total, _by_head(sinks, scores)[..., 0])


def _by_head(sinks: Tensor, scores: Tensor) -> Tensor:
    """[Hkv, G, 1, 1]"""
    return sinks.to(scores.dtype).view(*scores.shape[-4:-2], 1, 1)
