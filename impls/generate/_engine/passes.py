"""Forward passes as they were timed, and as the log of a call has them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from attnlab.bench import ModelWeights, cache_bytes
from attnlab.bench.llm import Format, Layout, Pass


@dataclass(frozen=True)
class ForwardPass:
    """One pass of the model: its kind, what it took, rows that went in, and tokens of each sequence after it.

    new: how many of a sequence's tokens are of this pass. drafted, accepted: see `Pass`.
    """

    kind: str
    start_ns: int  # by the clock, so that passes of several engines can be put in order
    elapsed_ns: float
    rows: int
    lengths: tuple[int, ...]
    new: tuple[int, ...]
    drafted: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()


def finish_pass(
    kind: str, start_ns: int, device: torch.device, rows: int, lengths: Sequence[int], new: Sequence[int]
) -> ForwardPass:
    """Wait for the device -> the pass that began at `start_ns` and ends now."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elapsed_ns = float(time.perf_counter_ns() - start_ns)
    return ForwardPass(kind, start_ns, elapsed_ns, rows, tuple(lengths), tuple(new))


def log_of(passes: Sequence[ForwardPass], weights: ModelWeights, layout: Layout, format: Format) -> list[Pass]:
    """Passes with the bytes that each had to read: the weights, and the tokens in the cache."""
    each, log = weights.pass_nbytes, []
    for p in passes:
        tokens = cache_bytes(weights.config, layout, format, weights.dtype, p.lengths, p.new)
        log.append(Pass(p.kind, p.elapsed_ns, float(each + tokens), p.rows, p.drafted, p.accepted))
    return log
