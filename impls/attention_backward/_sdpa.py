"""The backward pass of torch's SDPA: its flash kernels alone, and autograd where the forward has to be run again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import AttentionBackwardInputs, AttentionCase, Unavailable
from attnlab.impls import _sdpa

HEAD_MULTIPLE = 8  # of FlashAttention-2's head sizes; SDPA fills others up in front of the operator
Three = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Kernel:
    """One call of a flash kernel's backward. extras: what it takes beside the tensors, from a forward on this shape."""

    part: _sdpa.Part
    extras: tuple[Any, ...]


class Flash:
    """The operator that autograd calls for SDPA's flash kernels, on the forward's output and log-sum-exp as given."""

    def prepare(self, case: AttentionCase, inputs: AttentionBackwardInputs) -> tuple[Kernel, ...]:
        on_gpu = inputs.q.is_cuda
        if on_gpu and case.head_dim % HEAD_MULTIPLE:
            raise Unavailable(
                f"head size {case.head_dim} is not served by the kernel: multiples of {HEAD_MULTIPLE} only"
            )
        parts = _sdpa.parts_of(case, inputs, lower_right=on_gpu)
        qkv = _sdpa.cut(inputs, parts)
        with _sdpa.refusals("flash", qkv, parts):
            _sdpa.attend("flash", qkv, parts, inputs.scale)
        extras = [
            _extras(*triple, part, inputs.scale) if on_gpu else () for triple, part in zip(qkv, parts, strict=True)
        ]
        kernels = tuple(Kernel(part, extra) for part, extra in zip(parts, extras, strict=True))
        self.run(inputs, kernels)
        return kernels

    def run(self, inputs: AttentionBackwardInputs, kernels: tuple[Kernel, ...]) -> Three:
        grads = [_gradients(inputs, kernel) for kernel in kernels]
        return _join(grads, [kernel.part for kernel in kernels], inputs)


def _causal(part: _sdpa.Part) -> bool:
    """Whether a part is causal to the kernels, bottom-right: a bias that is no plain tensor says just that."""
    return part.causal or (part.bias is not None and type(part.bias) is not Tensor)


def _extras(q: Tensor, k: Tensor, v: Tensor, part: _sdpa.Part, scale: float) -> tuple[Any, ...]:
    """Cumulative lengths, longest lengths and the state of a dropout that there is none of, as a forward gives them."""
    forward = torch.ops.aten._scaled_dot_product_flash_attention
    _, _, starts_q, starts_k, longest_q, longest_k, seed, offset, _ = forward(q, k, v, 0.0, _causal(part), scale=scale)
    return starts_q, starts_k, longest_q, longest_k, 0.0, _causal(part), seed, offset


def _gradients(inputs: AttentionBackwardInputs, kernel: Kernel) -> Three:
    part = kernel.part
    dout, q, out = (x[:, :, part.rows] for x in (inputs.dout, inputs.q, inputs.out))
    k, v = (_sdpa.with_sink(x[:, :, part.keys], part) for x in (inputs.k, inputs.v))
    forward = (dout, q, k, v, out, inputs.lse[:, :, part.rows])
    if inputs.q.is_cuda:
        grads = torch.ops.aten._scaled_dot_product_flash_attention_backward(
            *forward, *kernel.extras, scale=inputs.scale
        )
    else:
        grads = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            *forward, 0.0, part.causal, attn_mask=part.bias, scale=inputs.scale
        )
    dq, dk, dv = grads
    return (dq, dk[:, :, :-1], dv[:, :, :-1]) if part.sink else (dq, dk, dv)


class Autograd:
    """Autograd on one SDPA backend that keeps more than `out` and `lse`: its forward is run in each call, and timed."""

    backend: str

    def prepare(self, case: AttentionCase, inputs: AttentionBackwardInputs) -> tuple[_sdpa.Part, ...]:
        parts = _sdpa.parts_of(case, inputs, lower_right=False)
        with _sdpa.refusals(self.backend, _sdpa.cut(inputs, parts), parts):
            self.run(inputs, parts)
        return parts

    def run(self, inputs: AttentionBackwardInputs, parts: tuple[_sdpa.Part, ...]) -> Three:
        leaves = [_leaves(*triple) for triple in _sdpa.cut(inputs, [replace(part, sink=False) for part in parts])]
        with torch.enable_grad():
            widened = [
                (q, _sdpa.with_sink(k, part), _sdpa.with_sink(v, part))
                for (q, k, v), part in zip(leaves, parts, strict=True)
            ]
            outs = _sdpa.attend(self.backend, widened, parts, inputs.scale)
        douts = [inputs.dout[:, :, part.rows] for part in parts]
        grads = torch.autograd.grad(outs, [leaf for triple in leaves for leaf in triple], douts)
        return _join(list(zip(grads[0::3], grads[1::3], grads[2::3], strict=True)), parts, inputs)

    def configuration(self, case: AttentionCase) -> str:
        return "with its forward"


def _join(grads: Sequence[Three], parts: Sequence[_sdpa.Part], inputs: AttentionBackwardInputs) -> Three:
    dq, dk, dv = zip(*grads, strict=True)
    rows, keys = [part.rows for part in parts], [part.keys for part in parts]
    q_len, kv_len = inputs.q.shape[2], inputs.k.shape[2]
    return _sdpa.join(dq, rows, q_len), _sdpa.join(dk, keys, kv_len), _sdpa.join(dv, keys, kv_len)


def _leaves(q: Tensor, k: Tensor, v: Tensor) -> _sdpa.Triple:
    return q.detach().requires_grad_(), k.detach().requires_grad_(), v.detach().requires_grad_()
