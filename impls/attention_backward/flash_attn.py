"""The backward pass of FlashAttention-2 alone, by autograd over the package flash-attn."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench import implements
from attnlab.bench.ops.attention import AttentionCase
from attnlab.bench.ops.attention_backward import AttentionBackwardInputs
from attnlab.bench.registry import Needs
from attnlab.impls import _flash_interface


@dataclass(frozen=True)
class Graph:
    """A forward pass kept for its backward: q, k and v as leaves, and the output."""

    leaves: tuple[Tensor, ...]
    out: Tensor


@implements(
    "attention_backward",
    name="flash_attn",
    needs=Needs(device="cuda", capability=(8, 0), packages=("flash_attn.flash_attn_interface",)),
    unverified="flash-attn 2.8.3, torch.autograd.grad through flash_attn_func(q, k, v, softmax_scale=…, causal=…, …)",
)
class FlashAttn:
    """FlashAttention-2's backward, the package flash-attn; its forward runs once, as set-up."""

    def supports(self, case: AttentionCase) -> str | None:
        return _flash_interface.limits(case)

    def prepare(self, case: AttentionCase, inputs: AttentionBackwardInputs) -> Graph:
        module = importlib.import_module("flash_attn.flash_attn_interface")
        call = _flash_interface.call_for(module, case, inputs, no_limit=-1)
        q, k, v = (x.detach().requires_grad_() for x in (inputs.q, inputs.k, inputs.v))
        with torch.enable_grad():
            return Graph((q, k, v), _flash_interface.run(q, k, v, call))

    def run(self, inputs: AttentionBackwardInputs, graph: Graph) -> tuple[Tensor, ...]:
        return torch.autograd.grad(graph.out, graph.leaves, inputs.dout, retain_graph=True)
