"""Storing new tokens by one copy a sequence and side, where they lie one after another."""

from __future__ import annotations

from attnlab.bench import AppendInputs, DecodeCase, implements
from attnlab.impls import _cache

Places = tuple[tuple[slice, slice], ...]  # sequences and positions that one copy fills


@implements("kv_append", name="slices", serves=_cache.STORED)
class Slices:
    """Plain copies into contiguous caches of the dtype itself; one for all sequences where they are equally long."""

    def supports(self, case: DecodeCase) -> str | None:
        if case.placing.paged or case.placing.wraps:
            return f"layout {case.layout} is not served: new tokens must lie one after another"
        return _cache.format_limits(case)

    def prepare(self, case: DecodeCase, inputs: AppendInputs) -> Places:
        starts = [length - case.q_len for length in case.lengths]
        if len(set(starts)) == 1:
            return ((slice(None), slice(starts[0], starts[0] + case.q_len)),)
        return tuple((slice(n, n + 1), slice(start, start + case.q_len)) for n, start in enumerate(starts))

    def run(self, inputs: AppendInputs, places: Places) -> None:
        for side, x in _cache.new_tokens(inputs):
            tokens = x.transpose(1, 2)  # [B, Sq, Hkv, D], as the plane has them
            for sequences, positions in places:
                side.planes["data"][sequences, positions].copy_(tokens[sequences])
