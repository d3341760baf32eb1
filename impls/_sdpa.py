"""What implementations on torch's SDPA share: one backend pinned, masks ready made, one call a sequence."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.backends import cuda
from torch.nn.functional import scaled_dot_product_attention

from attnlab.bench import AttentionCase, AttentionInputs, Mask, Unavailable

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
REFUSALS = ("No available kernel", "No viable backend", "Invalid backend", "cuDNN Frontend error")
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


@dataclass(frozen=True)
class Part:
    """One call of SDPA: some rows and the keys that they may see.

    `bias` is added to the scores, [rows, keys] in the inputs' dtype, or says causal bottom-right;
    `causal` is SDPA's own flag, which is top-left aligned and so used where rows and keys are as many.
    """

    rows: slice
    keys: slice
    bias: Tensor | None
    causal: bool


def parts_of(case: AttentionCase, inputs: AttentionInputs, lower_right: bool) -> tuple[Part, ...]:
    """The calls that a case takes: one, or one for each packed sequence; rows without a key are in none."""
    from torch.nn.attention.bias import causal_lower_right  # brings the compiler along, which takes seconds

    calls, start = [], 0
    for q_len, kv_len in case.sequences if case.packed else [(case.q_len, case.kv_len)]:
        seeing = case.mask.rows_with_keys(q_len, kv_len)
        rows, keys = slice(start + q_len - seeing, start + q_len), slice(start, start + kv_len)
        causal = case.mask.is_causal and (case.mask.window or kv_len) >= kv_len
        bias: Tensor | None = None
        if causal and seeing < kv_len and lower_right:
            bias = causal_lower_right(seeing, kv_len)
        elif case.mask.is_causal and not (causal and seeing == kv_len):
            bias = _additive(case.mask, seeing, kv_len, inputs.q)
        calls.append(Part(rows, keys, bias, causal and bias is None))
        start += q_len
    return tuple(calls)


def _additive(mask: Mask, q_len: int, kv_len: int, like: Tensor) -> Tensor:
    """0 and -inf, [q_len, kv_len]; memory of its rows is padded, as the memory-efficient kernel wants it."""
    permitted = mask.permitted(torch.arange(q_len, device=like.device), q_len, kv_len)
    bias = like.new_zeros(q_len, -(-kv_len // 16) * 16)[:, :kv_len]
    return bias.masked_fill_(~permitted, float("-inf"))


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


def join(outs: Sequence[Tensor], blind: int) -> Tensor:
    """The parts one after another, [B, H, S, D], behind `blind` rows of zeros that had no key to see."""
    if blind:
        zeros = outs[0].new_zeros(*outs[0].shape[:2], blind, outs[0].shape[3])
        outs = [zeros, *outs]
    return outs[0] if len(outs) == 1 else torch.cat(list(outs), dim=2)


def cut(inputs: AttentionInputs, parts: Sequence[Part]) -> list[Triple]:
    """Views of q, k and v, one triple for each part."""
    return [(inputs.q[:, :, p.rows], inputs.k[:, :, p.keys], inputs.v[:, :, p.keys]) for p in parts]


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
        return join(attend(self.backend, cut(inputs, parts), parts, inputs.scale), parts[0].rows.start)
