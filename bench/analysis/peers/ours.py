"""Our own definitions on the same recorded load, to stand beside those of other tools."""

from __future__ import annotations

from attnlab.bench.analysis.peers.recorded import Figures, Objectives, Recorded, Stream
from attnlab.bench.llm.generation import latencies
from attnlab.bench.llm.generation.logs import FAILED, RequestLog
from attnlab.bench.llm.generation.measured import median

TOOL = "attnlab"
SOURCE = "docs/definitions.md"


def log_of(stream: Stream) -> RequestLog:
    """As the run stores it: the events that brought text, with the tokens by then; the last has those of the usage."""
    counts = [event.tokens for event in stream.texts]
    if counts and stream.told_tokens is not None:
        counts[-1] = stream.told_tokens
    times = tuple(event.time_ns for event in stream.texts)
    failure = FAILED if stream.failed else None
    return RequestLog(stream.due_ns, stream.prompt_tokens, times, tuple(counts), failure=failure)


def figures(recorded: Recorded, objectives: Objectives) -> Figures:
    logs = [log_of(stream) for stream in recorded.streams]
    gaps = [gap for log in logs for gap in latencies.itl_ns(log)]
    kept = latencies.Objectives(objectives.ttft_ns, objectives.tpot_ns)
    return Figures(
        median(value for log in logs if (value := latencies.ttft_ns(log)) is not None),
        median(gaps),
        latencies.percentile(gaps, 0.99),
        median(value for log in logs if (value := latencies.tpot_ns(log)) is not None),
        median(value for log in logs if (value := latencies.end_to_end_ns(log)) is not None),
        latencies.output_rate(logs),
        latencies.answered_rate(logs),
        latencies.goodput(logs, kept),
    )
