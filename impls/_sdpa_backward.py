"""The backward pass of torch's SDPA alone: the forward runs once, as set-up, and its graph is kept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.ops.attention import AttentionCase
from attnlab.bench.ops.attention_backward import AttentionBackwardInputs
from attnlab.impls import _sdpa


@dataclass(frozen=True)
class Graph:
    """A forward pass kept for its backward: parts, q, k and v of each as leaves, and the output of each."""

    parts: tuple[_sdpa.Part, ...]
    leaves: list[Tensor]
    outs: list[Tensor]


class Backward:
    """An `attention_backward` implementation by autograd on one SDPA backend."""

    backend: str

    def prepare(self, case: AttentionCase, inputs: AttentionBackwardInputs) -> Graph:
        parts = _sdpa.parts(case, inputs, lower_right=inputs.q.is_cuda and self.backend == "flash")
        leaves = [_leaves(*triple) for triple in _sdpa.cut(inputs, parts)]
        with _sdpa.refusals(self.backend, leaves, parts), torch.enable_grad():
            outs = _sdpa.attend(self.backend, leaves, parts, inputs.scale)
        return Graph(parts, [leaf for triple in leaves for leaf in triple], outs)

    def run(self, inputs: AttentionBackwardInputs, graph: Graph) -> tuple[Tensor, Tensor, Tensor]:
        douts = [inputs.dout[:, :, part.rows] for part in graph.parts]
        grads = torch.autograd.grad(graph.outs, graph.leaves, douts, retain_graph=True)
        return (
            _sdpa.join(grads[0::3], graph.parts[0].rows.start),
            _sdpa.join(grads[1::3], 0),
            _sdpa.join(grads[2::3], 0),
        )


def _leaves(q: Tensor, k: Tensor, v: Tensor) -> _sdpa.Triple:
    return q.detach().requires_grad_(), k.detach().requires_grad_(), v.detach().requires_grad_()
