"""AIPerf: a request has one inter-token latency, its mean, and an answer the length that AIPerf's tokenizer finds."""

from __future__ import annotations

from attnlab.bench.analysis.peers.recorded import Figures, Objectives, Recorded, Stream, interpolated, rate

TOOL = "AIPerf"
SOURCE = "aiperf 0.13.0: aiperf/metrics/types/*.py and docs/metrics-reference.md"
WORDS = {
    "ttft_ns": "from when it is begun, not due, connecting included; to the first chunk with text",
    "itl_ns": "one sample a request: (last text − first text) / (tokens − 1), which is its TPOT",
    "itl_p99_ns": "over requests, so that a stall within a request is shared by its tokens",
    "tpot_ns": "its ITL",
    "e2e_ns": "from when it is begun to the last chunk with text",
    "output_tok_per_s": "by its own tokenizer, over its whole phase, until the last stream is read to its end",
    "answered_per_s": "the same time",
    "goodput_per_s": "by its own TTFT and ITL, over the same time; an answer of one token has no ITL and is never good",
}


def ttft_ns(stream: Stream) -> float:
    return stream.texts[0].time_ns - stream.begun_ns


def e2e_ns(stream: Stream) -> float:
    return stream.texts[-1].time_ns - stream.begun_ns


def length(stream: Stream) -> int:
    return stream.length if stream.own_tokens is None else stream.own_tokens


def itl_ns(stream: Stream) -> float | None:
    """None of an answer of one token."""
    after = length(stream) - 1
    return (e2e_ns(stream) - ttft_ns(stream)) / after if after > 0 else None


def figures(recorded: Recorded, objectives: Objectives) -> Figures:
    """Of a load that was recorded; a stream without text has no figures."""
    found = [stream for stream in recorded.answered if stream.texts]
    each = [itl_ns(stream) for stream in found]
    known = [itl for itl in each if itl is not None]
    good = sum(
        itl is not None and itl <= objectives.tpot_ns and ttft_ns(stream) <= objectives.ttft_ns
        for stream, itl in zip(found, each, strict=True)
    )
    return Figures(
        interpolated([ttft_ns(stream) for stream in found], 0.5),
        interpolated(known, 0.5),
        interpolated(known, 0.99),
        interpolated(known, 0.5),
        interpolated([e2e_ns(stream) for stream in found], 0.5),
        rate(sum(length(stream) for stream in found), recorded.ended_ns),
        rate(len(found), recorded.ended_ns),
        rate(good, recorded.ended_ns),
    )
