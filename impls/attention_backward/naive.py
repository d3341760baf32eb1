"""The backward pass of attention as its formulas say, with the whole score matrix in memory."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import AttentionBackwardInputs, Case, implements
from attnlab.impls import _eager
from attnlab.impls._heads import as_heads, as_rows


@implements("attention_backward", name="naive", serves=_eager.SERVES)
class Naive:
    """Eager formulas of dq, dk and dv with the whole score matrix in memory."""

    def prepare(self, case: Case, inputs: AttentionBackwardInputs) -> _eager.Matrix:
        return _eager.matrix(case, inputs)

    def run(self, inputs: AttentionBackwardInputs, matrix: _eager.Matrix) -> tuple[Tensor, Tensor, Tensor]:
        heads, q_len, kv_heads, dtype = *inputs.q.shape[1:3], inputs.k.shape[1], inputs.q.dtype
        forward = (inputs.q, inputs.out, inputs.lse[..., None])
        q, out, lse, dout = (as_rows(x, kv_heads) for x in (*forward, inputs.dout))  # [B, Hkv, G·Sq, …]
        scores = _eager.scored(inputs.q, inputs.k, inputs.scale, inputs.softcap, None)  # [B, Hq, Sq, Sk]
        biased = scores if matrix.bias is None else scores + matrix.bias
        p = (as_rows(biased, kv_heads) - lse).exp()  # [B, Hkv, G·Sq, Sk]; a sink counts in lse
        if matrix.forbidden is not None:
            as_heads(p, heads, q_len).masked_fill_(matrix.forbidden, 0.0)
        delta = (dout.float() * out.float()).sum(-1, keepdim=True)  # [B, Hkv, G·Sq, 1]
        ds = p * (dout.float() @ inputs.v.float().mT - delta) * inputs.scale
        if inputs.softcap is not None:
            ds *= 1 - (as_rows(scores, kv_heads) / inputs.softcap).square()  # the slope of the cap
        ds, p = ds.to(dtype), p.to(dtype)
        return as_heads(ds @ inputs.k, heads, q_len), ds.mT @ q, p.mT @ dout  # the products sum over a group's heads
