"""vLLM: what `vllm bench serve --save-result` writes; with `--save-detailed` each request's log."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from attnlab.bench import units
from attnlab.bench.exchange.foreign import (
    SIDE_BY_SIDE,
    Collected,
    Contents,
    Unreadable,
    amount,
    moment,
    number,
    shown,
    text_of,
    unchecked,
    unknown_environment,
)
from attnlab.bench.llm.generation.events import series_of
from attnlab.bench.llm.generation.logs import FAILED, CallLog, RequestLog
from attnlab.bench.llm.generation.rules import fault
from attnlab.bench.store.machine import UNKNOWN
from attnlab.bench.store.records import Burst, Launch, Measurement, TimingRecord

MS = units.seconds_to_ns(1e-3)
REPORTED = {
    "median_ttft_ms": ("ttft_ns", MS),
    "p95_ttft_ms": ("ttft_p95_ns", MS),
    "median_itl_ms": ("itl_ns", MS),
    "p99_itl_ms": ("itl_p99_ns", MS),
    "median_tpot_ms": ("tpot_ns", MS),
    "output_throughput": ("output_tok_per_s", 1.0),
    "request_throughput": ("answered_per_s", 1.0),
    "request_goodput": ("goodput_per_s", 1.0),
    "failed": ("failed_requests", 1.0),
    "spec_decode_acceptance_length": ("acceptance_length", 1.0),
    "spec_decode_acceptance_rate": ("acceptance_rate", 0.01),
}
"""Figures of the file, with the metric that has the same definition and what they are multiplied with."""

DETAILS = ("start_times", "ttfts", "itls", "input_lens", "output_lens")


@dataclass(frozen=True)
class Vllm:
    """One run of the server is one result. Where the file has each request's log, figures are worked out from that."""

    name: str = "vllm"
    summary: str = "the JSON of vllm bench serve --save-result, --save-detailed or --append-result"

    def fits(self, data: Any) -> bool:
        first = data[0] if isinstance(data, list) and data else data
        return isinstance(first, dict) and "request_throughput" in first and "total_input_tokens" in first

    def read(self, data: Any, path: Path) -> Contents:
        found = Collected()
        runs = [one for one in (data if isinstance(data, list) else [data]) if isinstance(one, dict)]
        for place, run in enumerate(runs):
            found.gather(f"run {place}", partial(_results, run, found))
        starts = [start for run in runs if (start := moment(run.get("date"), "%Y%m%d-%H%M%S"))]
        started = min(starts, default=None)
        return Contents(None, started, unknown_environment(), tuple(found.measurements), tuple(found.left_out))


def _results(run: Mapping[str, Any], found: Collected) -> Iterator[Measurement]:
    rate, limit = run.get("request_rate"), run.get("max_concurrency")
    case = {
        "model": text_of(run.get("model_id")) or UNKNOWN,
        "arrivals": "all at once" if rate in ("inf", None) else f"{number(rate, 'request_rate'):g} a second",
        "concurrency": limit,
        "prompts": run.get("num_prompts"),
    }
    reported = dict(_reported(run))
    if not reported:
        raise Unreadable(f"it has none of {', '.join(REPORTED)}")
    series = series_of(log) if (log := _log(run, found)) else ()
    launches = (Launch(0, (Burst(_started(run), series),)),) if series else ()
    timing = TimingRecord("vllm bench serve", UNKNOWN, None, None, None, None, None, UNKNOWN)
    implementation = text_of(run.get("label")) or text_of(run.get("backend")) or "vllm"
    known = {axis: value for axis, value in case.items() if value is not None}
    yield unchecked(
        "vllm:serve",
        implementation,
        known,
        timing=timing,
        launches=launches,
        reported=reported,
        untimed=SIDE_BY_SIDE,
    )


def _started(run: Mapping[str, Any]) -> float:
    started = moment(run.get("date"), "%Y%m%d-%H%M%S")
    return started.timestamp() if started else float("nan")


def _reported(run: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, (metric, scale) in REPORTED.items():
        if run.get(key) is not None:
            yield metric, amount(run[key], key) * scale


def _log(run: Mapping[str, Any], found: Collected) -> CallLog | None:
    """The requests as they came; None where the file has no details, or they do not say when each token came."""
    columns = [run.get(name) for name in DETAILS]
    if not all(isinstance(column, list) for column in columns):
        return None
    whole = [column for column in columns if isinstance(column, list)]
    requests = len(whole[0])
    queued = run.get("queue_times")
    waits = queued if isinstance(queued, list) and len(queued) == requests else [0.0] * requests
    errors = run.get("errors")
    failures = errors if isinstance(errors, list) and len(errors) == requests else [""] * requests
    if any(len(column) != requests for column in whole):
        found.left_out.append("the log of requests: its lists are not of one length; what vLLM worked out is kept")
        return None
    try:
        rows = zip(*whole, waits, failures, strict=True)
        first = min((number(start, "start time") - number(wait, "wait") for start, *_, wait, _ in rows), default=0.0)
        log = CallLog(tuple(_request(first, *row) for row in zip(*whole, waits, failures, strict=True)))
        if (wrong := fault(log)) is not None:
            raise Unreadable(wrong)
    except Unreadable as error:
        found.left_out.append(f"the log of requests: {error}; what vLLM worked out is kept")
        return None
    return log


def _request(
    first_s: float, start: Any, ttft: Any, itls: Any, prompt: Any, output: Any, wait: Any, error: Any
) -> RequestLog:
    sent = number(start, "start time") - first_s
    arrival_ns = units.seconds_to_ns(sent - number(wait, "wait"))
    tokens = int(amount(prompt, "length of a prompt"))
    if error:
        return RequestLog(arrival_ns, tokens, (), (), failure=FAILED)
    gaps: Sequence[Any] = itls if isinstance(itls, list) else ()
    steps = [number(one, "gap") for one in (ttft, *gaps)]
    if len(steps) != output:
        raise Unreadable(f"{shown(output)} tokens came in {len(steps)} pieces, so that it is not known when each did")
    times = [units.seconds_to_ns(sent + since) for since in itertools.accumulate(steps)]
    return RequestLog(arrival_ns, tokens, tuple(times), tuple(range(1, len(times) + 1)))


READER = Vllm()
