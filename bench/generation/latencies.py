"""TTFT, ITL, ICL, TPOT, rates and goodput of requests, each by one definition, from their raw logs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.generation.events import RequestLog


def ttft_ns(request: RequestLog) -> float | None:
    """Time to first token: from the request's arrival to its first token."""
    return request.times_ns[0] - request.arrival_ns if request.times_ns else None


def end_to_end_ns(request: RequestLog) -> float | None:
    """From the request's arrival to its last token."""
    return request.times_ns[-1] - request.arrival_ns if request.times_ns else None


def icl_ns(request: RequestLog) -> list[float]:
    """Inter-chunk latencies: the gaps between arrivals, whatever number of tokens each brings."""
    return [b - a for a, b in zip(request.times_ns, request.times_ns[1:], strict=False)]


def largest_stall_ns(requests: Sequence[RequestLog]) -> float | None:
    """The longest that any request waited between two arrivals; None where none had two."""
    return max((gap for request in requests for gap in icl_ns(request)), default=None)


def itl_ns(request: RequestLog) -> list[float]:
    """Inter-token latencies: a chunk of k tokens after a gap is k samples of gap / k; their sum is the gaps' sum."""
    samples: list[float] = []
    for gap, before, after in zip(icl_ns(request), request.tokens, request.tokens[1:], strict=False):
        samples += [gap / (after - before)] * (after - before)
    return samples


def tpot_ns(request: RequestLog) -> float | None:
    """Time per output token after the first chunk: (end - first) / (n - k₁); None, not 0, where n = k₁."""
    if not request.times_ns or request.tokens[-1] == request.tokens[0]:
        return None
    return (request.times_ns[-1] - request.times_ns[0]) / (request.tokens[-1] - request.tokens[0])


def prefill_rate(request: RequestLog) -> float | None:
    """Prompt tokens per second until the first token."""
    first = ttft_ns(request)
    return units.per_second(request.prompt_tokens, first) if first else None


def span_ns(requests: Sequence[RequestLog]) -> float:
    """From the first arrival to the last token of all."""
    return max(r.times_ns[-1] for r in requests if r.times_ns) - min(r.arrival_ns for r in requests)


def output_rate(requests: Sequence[RequestLog]) -> float | None:
    """Tokens per second of all requests together, from the first arrival to the last token."""
    total = sum(r.tokens[-1] for r in requests if r.tokens)
    return units.per_second(total, span_ns(requests)) if total else None


@dataclass(frozen=True)
class Objectives:
    """What a request must keep to count: time to first token, and time per output token after it."""

    ttft_ns: float
    tpot_ns: float

    def met(self, request: RequestLog) -> bool:
        first, each = ttft_ns(request), tpot_ns(request)
        return first is not None and first <= self.ttft_ns and (each is None or each <= self.tpot_ns)


def goodput(requests: Sequence[RequestLog], objectives: Objectives) -> float | None:
    """Requests per second that meet every objective."""
    if not any(r.times_ns for r in requests):
        return None
    return units.per_second(sum(objectives.met(r) for r in requests), span_ns(requests))


def percentile(samples: Iterable[float], share: float) -> float | None:
    """The sample at that share of the sorted ones; None where fewer than five lie beyond it."""
    ordered = sorted(samples)
    beyond = (1 - share) * len(ordered)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if beyond >= LEAST_BEYOND - 1e-9 else None


LEAST_BEYOND = 5  # a 99th percentile of fewer than 500 samples would be little but its largest ones
