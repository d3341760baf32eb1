"""What implementations on torch's SDPA share: one backend pinned, masks ready made, one call a sequence."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.backends import cuda
from torch.nn.functional import pad, scaled_dot_product_attention

from attnlab.bench import AttentionCase, AttentionInputs, Mask, Unavailable
from attnlab.impls import _eager

SWITCHES: dict[str, tuple[Callable[[], bool], Callable[[bool], None]]] = {
    "math": (cuda.math_sdp_enabled, cuda.enable_math_sdp),
    "flash": (cuda.flash_sdp_enabled, cuda.enable_flash_sdp),
    "efficient": (cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp),
    "cudnn": (cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp),
}
HEADINGS = {"flash": "Flash attention", "efficient": "Memory efficient", "cudnn": "cuDNN attention"}
CHECKS = {
    "flash": cuda.can_use_flash_attention,
    "efficient": cuda.can_use_efficient_attention,
    "cudnn": cuda.can_use_cudnn_attention,
}  # each warns of why it says no, where asked to
REFUSALS = (
    "No available kernel",
    "No viable backend",
    "Invalid backend",
    "cuDNN Frontend error",
    "invalid dtype for bias",  # of a float32 bias beside halves, on CUDA
)
Triple = tuple[Tensor, Tensor, Tensor]  # q, k, v


@contextlib.contextmanager
def only(backend: str) -> Iterator[None]:
    """Leave SDPA one backend, so that it raises where that cannot serve; quicker than `sdpa_kernel`."""
    before = {name: enabled() for name, (enabled, _) in SWITCHES.items()}
    for name, (_, enable) in SWITCHES.items():
        enable(name == backend)
    try:
        yield
    finally:
        for name, (_, enable) in SWITCHES.items():
            enable(before[name])


SERVES: dict[str, Any] = {name: True for name in _eager.SERVES if name != "softcap"}
"""SDPA adds to scores, and changes them in no other way."""


@dataclass(frozen=True)
class Part:
    """One call of SDPA: some rows and the keys that they may see.

    `bias` is added to the scores, [rows, keys] or [1, Hq, rows, keys], or says causal bottom-right;
    `causal` is SDPA's own flag, which is top-left aligned and so used where rows and keys are as many.
    `sink`: the bias has one key more, of score 0 and value 0, whose bias is the head's sink.
    """

    rows: slice
    keys: slice
    bias: Tensor | None
    causal: bool
    sink: bool = False


def parts_of(case: AttentionCase, inputs: AttentionInputs, lower_right: bool) -> tuple[Part, ...]:
    """The calls that a case takes: one, or one for each packed sequence; rows without a key are in none."""
    from torch.nn.attention.bias import causal_lower_right  # brings the compiler along, which takes seconds

    calls, start, first_key = [], 0, 0
    for q_len, kv_len in case.sequences if case.packed else [(case.q_len, case.kv_len)]:
        seeing = case.mask.rows_with_keys(q_len, kv_len) if kv_len else 0
        rows, keys = slice(start + q_len - seeing, start + q_len), slice(first_key, first_key + kv_len)
        start, first_key = start + q_len, first_key + kv_len
        causal = case.mask.kind in ("causal", "window") and (case.mask.window or kv_len) >= kv_len
        bias: Tensor | None = None
        sink = inputs.sinks is not None
        if sink or inputs.bias or not case.mask.is_band:
            bias = _added(inputs, seeing, kv_len)
        elif causal and seeing < kv_len and lower_right:
            bias = causal_lower_right(seeing, kv_len)
        elif case.mask.is_causal and not (causal and seeing == kv_len):
            bias = _additive(case.mask, seeing, kv_len, inputs.q)
        calls.append(Part(rows, keys, bias, causal and bias is None, sink))
    return tuple(calls)


def _additive(mask: Mask, q_len: int, kv_len: int, like: Tensor) -> Tensor:
    """0 and -inf, [q_len, kv_len]; memory of its rows is padded, as the memory-efficient kernel wants it."""
    permitted = mask.permitted(torch.arange(q_len, device=like.device), q_len, kv_len)
    bias = like.new_zeros(q_len, -(-kv_len // 16) * 16)[:, :kv_len]
    return bias.masked_fill_(~permitted, float("-inf"))


def _added(inputs: AttentionInputs, q_len: int, kv_len: int) -> Tensor:
    """Mask, bias and sinks in one, [1, Hq or 1, q_len, kv_len], with a sink one key more; the rows are the last.

    A bias or a sink is in float32, which kernels take beside halves or refuse.
    """
    mask = _additive(inputs.mask, q_len, kv_len, inputs.q)[None, None]
    table, sinks = inputs.bias_table, inputs.sinks
    if table is not None:
        rows = torch.arange(q_len, device=table.device)
        distance = torch.arange(kv_len, device=table.device) - (rows[:, None] + kv_len - q_len)
        dense = inputs.bias.kind == "dense"
        mask = mask + (table[:, -q_len:] if dense else inputs.bias.of(table, distance, inputs.mask.is_causal))[None]
    if sinks is not None:
        heads = mask.expand(1, len(sinks), q_len, kv_len)
        mask = torch.cat([heads, sinks[None, :, None, None].expand(1, -1, q_len, 1)], -1)
    return mask


def attend(backend: str, qkv: Sequence[Triple], parts: Sequence[Part], scale: float) -> list[Tensor]:
    """The output of every part, [B, Hq, rows, Dv]."""
    with only(backend):
        return [
            scaled_dot_product_attention(
                *(q, k, v),
                attn_mask=part.bias,
                is_causal=part.causal,
                scale=scale,
                enable_gqa=q.shape[1] != k.shape[1],
            )
            for (q, k, v), part in zip(qkv, parts, strict=True)
        ]


def join(outs: Sequence[Tensor], places: Sequence[slice], length: int) -> Tensor:
    """Parts at their places of [B, H, length, D], one after another; zeros between, where rows have no key to see."""
    pieces, end = list[Tensor](), 0
    for out, place in (*zip(outs, places, strict=True), (outs[-1], slice(length, length))):
        if place.start > end:
            pieces.append(outs[0].new_zeros(*outs[0].shape[:2], place.start - end, outs[0].shape[3]))
        if place.stop > place.start:
            pieces.append(out)
        end = place.stop
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=2)


def cut(inputs: AttentionInputs, parts: Sequence[Part]) -> list[Triple]:
    """q, k and v of each part: views, but for norms and for the key that stands for a sink."""
    q, k = _eager.normed(inputs.q, inputs.q_norm), _eager.normed(inputs.k, inputs.k_norm)
    return [(q[:, :, p.rows], with_sink(k[:, :, p.keys], p), with_sink(inputs.v[:, :, p.keys], p)) for p in parts]


def with_sink(x: Tensor, part: Part) -> Tensor:
    """Keys or values [B, Hkv, S, D], with a sink a copy that has one of zeros more."""
    return pad(x, (0, 0, 0, 1)) if part.sink else x


def complaints(backend: str, qkv: Sequence[Triple], parts: Sequence[Part]) -> str:
    """What torch's own check of a backend says of the first part that it does not serve; empty where it says nothing.

    On CUDA torch 2.11 refuses with "Invalid backend" and no word of why; its check has the words.
    """
    with warnings.catch_warnings(record=True) as caught, only(backend):
        warnings.simplefilter("always")
        for (q, k, v), part in zip(qkv, parts, strict=True):
            mask = part.bias if type(part.bias) is Tensor else None  # torch serves its own causal biases without one
            asked = cuda.SDPAParams(q, k, v, mask, 0.0, part.causal, q.shape[1] != k.shape[1])
            if not CHECKS[backend](asked, debug=True):
                break
    return "; ".join(_text(str(w.message)) for w in caught)


@contextlib.contextmanager
def refusals(backend: str, qkv: Sequence[Triple] = (), parts: Sequence[Part] = ()) -> Iterator[None]:
    """Turn SDPA's refusal of these parts into Unavailable, with the reason that torch warns of or gives when asked."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except RuntimeError as error:
            if not any(sign in str(error) for sign in REFUSALS):
                raise
            reason = _reason(HEADINGS.get(backend, backend), [str(w.message) for w in caught])
            if not reason and backend in CHECKS:
                reason = complaints(backend, qkv, parts)
            raise Unavailable(f"torch: {reason or ' '.join(str(error).split())}") from None


def _reason(heading: str, messages: Sequence[str]) -> str:
    """What torch said of one kernel, in one line: it heads the complaints about each kernel with its name."""
    said, mine = [], False
    for message in messages:
        text = _text(message)
        if "not used because" in text:
            mine = text.startswith(heading)
        elif mine:
            said.append(text)
    return "; ".join(said)


def _text(message: str) -> str:
    """A warning of torch in one line, without its place in torch's source."""
    return " ".join(message.partition(" (Triggered internally")[0].split())


class Forward:
    """An `attention` implementation on one SDPA backend."""

    backend: str

    def prepare(self, case: AttentionCase, inputs: AttentionInputs) -> tuple[Part, ...]:
        on_gpu = inputs.q.is_cuda
        parts = parts_of(case, inputs, lower_right=on_gpu and self.backend in ("flash", "efficient"))
        with refusals(self.backend, cut(inputs, parts), parts):
            self.run(inputs, parts)
        return parts

    def run(self, inputs: AttentionInputs, parts: tuple[Part, ...]) -> Tensor:
        outs = attend(self.backend, cut(inputs, parts), parts, inputs.scale)
        return join(outs, [part.rows for part in parts], inputs.q.shape[2])
