"""SGLang's `bench_serving` over the chat API: a chunk with text is a token's place, `[DONE]` the end of a request."""

from __future__ import annotations

from attnlab.bench.analysis.peers.recorded import Figures, Objectives, Recorded, Stream, gaps, interpolated, rate

TOOL = "SGLang bench_serving"
SOURCE = "sglang/benchmark/metrics.py and backends/oai_chat_client.py, commits 1291c7f and 55c7579 (2026)"
WORDS = {
    "ttft_ns": "from when it is begun, not due, a new connection for each included; to the first chunk with text",
    "itl_ns": "each gap between chunks with text is one sample, however many tokens come",
    "itl_p99_ns": "the same gaps, interpolated",
    "tpot_ns": "(end of the stream − first text) / (tokens − 1): usage and `[DONE]` are waited for",
    "e2e_ns": "from when it is begun to the last line, `[DONE]` included",
    "output_tok_per_s": "over the time until the last stream is read to its end; without usage, of tokens asked for",
    "answered_per_s": "the same time",
    "goodput_per_s": "it has none",
}


def ttft_ns(stream: Stream) -> float:
    """0 of a stream without text, which it takes for an answer all the same."""
    return stream.texts[0].time_ns - stream.begun_ns if stream.texts else 0.0


def e2e_ns(stream: Stream) -> float:
    return stream.ended_ns - stream.begun_ns


def tpot_ns(stream: Stream) -> float | None:
    after = stream.length - 1
    return (e2e_ns(stream) - ttft_ns(stream)) / after if after > 0 else None


def figures(recorded: Recorded, objectives: Objectives) -> Figures:
    """Of a load that was recorded, each request on its connection as it was; it knows no objectives."""
    found = recorded.answered
    chunks = [gap for stream in found for gap in gaps([event.time_ns for event in stream.texts])]
    return Figures(
        interpolated([ttft_ns(stream) for stream in found], 0.5),
        interpolated(chunks, 0.5),
        interpolated(chunks, 0.99),
        interpolated([tpot for stream in found if (tpot := tpot_ns(stream)) is not None], 0.5),
        interpolated([e2e_ns(stream) for stream in found], 0.5),
        rate(sum(stream.length for stream in found), recorded.ended_ns),
        rate(len(found), recorded.ended_ns),
        None,
    )
