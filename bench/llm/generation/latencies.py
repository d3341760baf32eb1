"""TTFT, ITL, ICL, TPOT, rates and goodput of requests, each by one definition, from their raw logs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from attnlab.bench import units
from attnlab.bench.llm.generation.logs import RequestLog


def ttft_ns(request: RequestLog) -> float | None:
    """Time to first token: from the request's arrival to its first token; an event without a token is none."""
    known = request.answered and not request.numbers_only
    return request.chunks[0][0] - request.arrival_ns if known else None


def end_to_end_ns(request: RequestLog) -> float | None:
    """From the request's arrival to its last token."""
    return request.chunks[-1][0] - request.arrival_ns if request.answered else None


def icl_ns(request: RequestLog) -> list[float]:
    """Inter-chunk latencies: the gaps between arrivals, whatever number of tokens each brings."""
    return [after[0] - before[0] for before, after in pairwise(request.chunks)]


def largest_stall_ns(requests: Sequence[RequestLog]) -> float | None:
    """The longest that any request waited between two arrivals; None where none had two."""
    return max((gap for request in requests for gap in icl_ns(request)), default=None)


def itl_ns(request: RequestLog) -> list[float]:
    """Inter-token latencies: a chunk of k tokens after a gap is k samples of gap / k; their sum is the gaps' sum."""
    samples: list[float] = []
    for (time_ns, before), (next_ns, after) in pairwise(request.chunks):
        samples += [(next_ns - time_ns) / (after - before)] * (after - before)
    return samples


def tpot_ns(request: RequestLog) -> float | None:
    """Time per output token after the first chunk: (end - first) / (n - k₁); None, not 0, where n = k₁."""
    if len(request.chunks) < 2:
        return None
    (first_ns, first), (end_ns, last) = request.chunks[0], request.chunks[-1]
    return (end_ns - first_ns) / (last - first)


def prefill_rate(request: RequestLog) -> float | None:
    """Prompt tokens per second until the first token."""
    first = ttft_ns(request)
    return units.per_second(request.prompt_tokens, first) if first else None


def span_ns(requests: Sequence[RequestLog]) -> float | None:
    """From the first arrival to the last token of all; None where there is no token."""
    ends = [r.chunks[-1][0] for r in requests if r.chunks]
    return max(ends) - min([r.arrival_ns for r in requests]) if ends else None


def output_rate(requests: Sequence[RequestLog]) -> float | None:
    """Tokens per second of all requests together, from the first arrival to the last token."""
    return _rate(requests, sum(r.chunks[-1][1] for r in requests if r.answered))


def _rate(requests: Sequence[RequestLog], count: float) -> float | None:
    span = span_ns(requests)
    return units.per_second(count, span) if span else None


def offered_rate(requests: Sequence[RequestLog]) -> float | None:
    """Requests per second that come, from the first arrival to the last; None where all come at once."""
    arrivals = sorted(r.arrival_ns for r in requests)
    span = arrivals[-1] - arrivals[0] if arrivals else 0.0
    return units.per_second(len(arrivals) - 1, span) if span > 0 else None


def answered_rate(requests: Sequence[RequestLog]) -> float | None:
    """Requests per second that are answered to their end, from the first arrival to the last token."""
    return _rate(requests, sum(r.answered for r in requests))


@dataclass(frozen=True)
class Objectives:
    """What a request must keep to count: time to first token, and time per output token after it."""

    ttft_ns: float
    tpot_ns: float

    def met(self, request: RequestLog) -> bool:
        first, each = ttft_ns(request), tpot_ns(request)
        return first is not None and first <= self.ttft_ns and (each is None or each <= self.tpot_ns)


def goodput(requests: Sequence[RequestLog], objectives: Objectives) -> float | None:
    """Requests per second that meet every objective; one that failed meets none."""
    return _rate(requests, sum(objectives.met(r) for r in requests))


def percentile(samples: Iterable[float], share: float) -> float | None:
    """The sample at that share of the sorted ones; None where fewer than five lie beyond it."""
    known = list(samples)
    if (1 - share) * len(known) < LEAST_BEYOND - 1e-9:
        return None
    return sorted(known)[min(len(known) - 1, int(share * len(known)))]


LEAST_BEYOND = 5  # a 99th percentile of fewer than 500 samples would be little but its largest ones
