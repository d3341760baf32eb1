"""GuideLLM: a request has one inter-token latency, its mean, and weighs as much as it has tokens."""

from __future__ import annotations

from collections.abc import Sequence

from attnlab.bench.analysis.peers.recorded import Figures, Objectives, Recorded, Stream, rate

TOOL = "GuideLLM"
SOURCE = "guidellm 0.8.1: schemas/base/request_stats.py, schemas/base/statistics.py, benchmark/schemas/metrics.py"
WORDS = {
    "ttft_ns": "from sending, once connected, not from when it was due; to the first line with text",
    "itl_ns": "one value a request, (last text − first text) / (tokens − 1), weighed by its tokens",
    "itl_p99_ns": "over requests, so that a stall within a request is shared by its tokens",
    "tpot_ns": "(last text − sending) / tokens: the time to first token is in it",
    "e2e_ns": "from sending to the end of the stream",
    "output_tok_per_s": "over the time from the first request sent to the end of the last",
    "answered_per_s": "the same time",
    "goodput_per_s": "by its own TTFT and ITL, over the same time; an answer of one token is not judged",
}

Weighed = Sequence[tuple[float, float]]


def ttft_ns(stream: Stream) -> float:
    return stream.texts[0].time_ns - stream.sent_ns


def itl_ns(stream: Stream) -> float | None:
    """None of an answer of one token."""
    after = stream.length - 1
    return (stream.texts[-1].time_ns - stream.texts[0].time_ns) / after if after > 0 else None


def figures(recorded: Recorded, objectives: Objectives) -> Figures:
    """Of a load that was recorded, all of it measured; a stream without text is an error there."""
    found = [stream for stream in recorded.answered if stream.texts]
    itls = [(itl_ns(stream) or 0.0, stream.length - 1.0) for stream in found]
    begun_ns = min((stream.sent_ns for stream in found), default=0.0)
    lasted_ns = max((stream.ended_ns for stream in found), default=0.0) - begun_ns
    good = sum(_good(stream, objectives) for stream in found)
    return Figures(
        nearest([(ttft_ns(stream), 1.0) for stream in found], 0.5),
        nearest(itls, 0.5),
        nearest(itls, 0.99),
        nearest([((s.texts[-1].time_ns - s.sent_ns) / s.length, float(s.length)) for s in found if s.length], 0.5),
        nearest([(stream.ended_ns - stream.sent_ns, 1.0) for stream in found], 0.5),
        rate(sum(stream.length for stream in found), lasted_ns),
        rate(len(found), lasted_ns),
        rate(good, lasted_ns),
    )


def _good(stream: Stream, objectives: Objectives) -> bool:
    itl = itl_ns(stream)
    return itl is not None and itl <= objectives.tpot_ns and ttft_ns(stream) <= objectives.ttft_ns


def nearest(values: Weighed, share: float) -> float | None:
    """The least value with so much of the weight at or below it; all weigh alike where none weighs anything."""
    ordered = sorted(values)
    whole = sum(weight for _, weight in ordered)
    if not ordered:
        return None
    below = 0.0
    for value, weight in ordered:
        below += weight if whole > 0 else 1.0
        if below >= share * (whole if whole > 0 else len(ordered)) * (1 - 1e-12):
            return value
    return ordered[-1][0]
