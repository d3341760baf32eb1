"""What adapters to other engines share: the cases that they refuse, and the bytes of their passes."""

from __future__ import annotations

from collections.abc import Sequence

from attnlab.bench import GenerateCase, cache_bytes, pass_bytes
from attnlab.bench.llm import SAME, Pass


def limits(
    case: GenerateCase,
    methods: Sequence[str],
    layout: str = "contiguous_bhsd",
    batchings: Sequence[str] = ("static",),
    weights: str = SAME,
) -> str | None:
    """None, or what an engine with one layout of its cache, in the case's dtype, does not serve."""
    if case.weights != weights:
        return f"weights {case.weights} are not served: {weights} only"
    if case.decoding.method not in methods:
        return f"decoding {case.decoding.method} is not served: {', '.join(methods)} only"
    if case.layout != layout or case.cache != SAME:
        return f"layout {case.layout} with cache {case.cache} is not served: {layout} in the dtype only"
    if case.batching not in batchings:
        return f"{case.batching} batching is not served: a batch is filled, then served to its end"
    return None


def pass_of(
    case: GenerateCase,
    kind: str,
    elapsed_ns: float,
    rows: int,
    lengths: Sequence[int],
    drafted: tuple[int, ...] = (),
    accepted: tuple[int, ...] = (),
) -> Pass:
    """A pass with the bytes that it had to read: the weights, and the tokens of sequences that are so long after it.

    rows: tokens that went in, as many of each sequence.
    """
    dtype = case.torch_dtype
    new = [rows // len(lengths)] * len(lengths)
    cached = cache_bytes(case.config, case.placing, case.format, dtype, lengths, new)
    read = pass_bytes(case.config, dtype, case.weights) + cached
    return Pass(kind, elapsed_ns, float(read), rows, drafted, accepted)


def cache_size(case: GenerateCase) -> float:
    """Bytes of a cache that holds what the last token of a full batch sees: in a layer with a window, the window."""
    lengths = [case.total] * case.batch
    return float(cache_bytes(case.config, case.placing, case.format, case.torch_dtype, lengths))
