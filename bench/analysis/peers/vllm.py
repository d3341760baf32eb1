"""vLLM's `vllm bench serve`: a chunk is a token's place, and the first one counts whether or not it has text."""

from __future__ import annotations

from attnlab.bench.analysis.peers.recorded import Figures, Objectives, Recorded, Stream, gaps, interpolated, rate

TOOL = "vLLM bench serve"
SOURCE = "vllm/benchmarks/serve.py and lib/endpoint_request_func.py, commits 009e6d4 and 02cfb53 (2026)"
WORDS = {
    "ttft_ns": "from when it is begun, not due, connecting included; to the first chunk with a choice, a role too",
    "itl_ns": "each gap between chunks is one sample, however many tokens come; the chunks without text count",
    "itl_p99_ns": "the same gaps, interpolated",
    "tpot_ns": "(last chunk − first chunk) / (tokens − 1): the first chunk counts as one token",
    "e2e_ns": "from when it is begun to the last chunk with a choice",
    "output_tok_per_s": "over the time until the last stream is read to its end",
    "answered_per_s": "the same time",
    "goodput_per_s": "by its own TTFT and TPOT, over the same time",
}


def ttft_ns(stream: Stream) -> float:
    return stream.choices[0].time_ns - stream.begun_ns


def e2e_ns(stream: Stream) -> float:
    return stream.choices[-1].time_ns - stream.begun_ns


def tpot_ns(stream: Stream) -> float | None:
    """None of one token, which goodput takes for 0."""
    after = stream.length - 1
    return (e2e_ns(stream) - ttft_ns(stream)) / after if after > 0 else None


def figures(recorded: Recorded, objectives: Objectives) -> Figures:
    """Of a load that was recorded; a stream without any chunk is a failure here, as it is there."""
    found = [stream for stream in recorded.answered if stream.choices]
    chunks = [gap for stream in found for gap in gaps([event.time_ns for event in stream.choices])]
    each = [tpot_ns(stream) for stream in found]
    good = sum(
        ttft_ns(stream) <= objectives.ttft_ns and (tpot or 0.0) <= objectives.tpot_ns
        for stream, tpot in zip(found, each, strict=True)
    )
    return Figures(
        interpolated([ttft_ns(stream) for stream in found], 0.5),
        interpolated(chunks, 0.5),
        interpolated(chunks, 0.99),
        interpolated([tpot for tpot in each if tpot is not None], 0.5),
        interpolated([e2e_ns(stream) for stream in found], 0.5),
        rate(sum(stream.length for stream in found), recorded.ended_ns),
        rate(len(found), recorded.ended_ns),
        rate(good, recorded.ended_ns),
    )
