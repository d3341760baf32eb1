"""AIPerf: `profile_export_aiperf.json` of `aiperf profile`, with each request of `profile_export.jsonl` beside it."""

from __future__ import annotations

import itertools
import json
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
    mapping,
    moment,
    number,
    objects,
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

MS = float(units.NS_PER_MS)
RECORDS = "profile_export.jsonl"
REPORTED: dict[str, tuple[str, str, float]] = {
    "ttft_ns": ("time_to_first_token", "p50", MS),
    "ttft_p95_ns": ("time_to_first_token", "p95", MS),
    "tpot_ns": ("inter_token_latency", "p50", MS),
    "icl_ns": ("inter_chunk_latency", "p50", MS),
    "output_tok_per_s": ("output_token_throughput", "avg", 1.0),
    "answered_per_s": ("request_throughput", "avg", 1.0),
    "goodput_per_s": ("goodput", "avg", 1.0),
    "failed_requests": ("error_request_count", "avg", 1.0),
}
"""By our metric: the file's, which of its statistics, and what it is multiplied with.

Its inter-token latency is one value a request, (last − first) / (n − 1), which is a time per output token here.
"""


@dataclass(frozen=True)
class AiPerf:
    """One load. Where its records lie beside it and each chunk was a token, figures are worked out from them."""

    name: str = "aiperf"
    summary: str = f"profile_export_aiperf.json of aiperf profile; with {RECORDS} beside it each request's log"

    def fits(self, data: Any) -> bool:
        return isinstance(data, dict) and "aiperf_version" in data and "input_config" in data

    def read(self, data: Any, path: Path) -> Contents:
        found = Collected()
        found.gather("the load", partial(_results, data, path.with_name(RECORDS), found))
        started = moment(data.get("start_time"))
        version = text_of(data.get("aiperf_version"))
        left_out = tuple(found.left_out)
        return Contents(version, started, unknown_environment(), tuple(found.measurements), left_out)


def _results(data: Mapping[str, Any], records: Path, found: Collected) -> Iterator[Measurement]:
    config = mapping(data.get("input_config"))
    models = [one for _, one in objects(mapping(config.get("models")).get("items"), "model", found)]
    phases = [one for _, one in objects(config.get("phases"), "phase", found)]
    phase = phases[-1] if phases else {}
    reported = dict(_reported(data))
    if not reported:
        raise Unreadable(f"it has none of {', '.join(key for key, *_ in REPORTED.values())}")
    log = _log(records, found)
    started = moment(data.get("start_time"))
    begun_s = started.timestamp() if started else float("nan")
    case = {
        "model": text_of(models[0].get("name")) if models else UNKNOWN,
        "arrivals": text_of(phase.get("type")),
        "rate": phase.get("rate"),
        "concurrency": phase.get("concurrency"),
        "prompts": mapping(data.get("request_count")).get("avg"),
    }
    yield unchecked(
        "aiperf:serve",
        text_of(mapping(config.get("endpoint")).get("type")) or "aiperf",
        {axis: value for axis, value in case.items() if value is not None},
        timing=TimingRecord("aiperf", UNKNOWN, None, None, None, None, None, UNKNOWN),
        launches=(Launch(0, (Burst(begun_s, series_of(log)),)),) if log is not None else (),
        reported=reported,
        untimed=SIDE_BY_SIDE,
    )


def _reported(data: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for metric, (key, statistic, scale) in REPORTED.items():
        value = mapping(data.get(key)).get(statistic)
        if value is not None:
            yield metric, amount(value, key) * scale


def _log(path: Path, found: Collected) -> CallLog | None:
    """The requests as they came; None where the records are not there, or do not say when each token came."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        records = [mapping(json.loads(line)) for line in lines if line.strip()]
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        found.left_out.append(f"the log of requests: {RECORDS}: {error}; what AIPerf worked out is kept")
        return None
    try:
        first_ns = min(map(_due_ns, records), default=0)
        log = CallLog(tuple(_request(one, first_ns) for one in records))
        if (wrong := fault(log)) is not None:
            raise Unreadable(wrong)
    except Unreadable as error:
        found.left_out.append(f"the log of requests: {error}; what AIPerf worked out is kept")
        return None
    return log


def _time_ns(record: Mapping[str, Any], *names: str) -> int:
    """The first of these that the file has, to the nanosecond, which a float of Unix time does not hold."""
    told = mapping(record.get("metadata"))
    found = next((told[name] for name in names if told.get(name) is not None), None)
    number(found, "time of a request")
    return int(found) if found is not None else 0


def _due_ns(record: Mapping[str, Any]) -> int:
    """When its sending was asked for, which is as near to when it was due as the file comes."""
    return _time_ns(record, "credit_issued_ns", "request_start_ns")


def _request(record: Mapping[str, Any], first_ns: int) -> RequestLog:
    start_ns, metrics = _time_ns(record, "request_start_ns") - first_ns, mapping(record.get("metrics"))

    def value(name: str) -> Any:
        return mapping(metrics.get(name)).get("value")

    arrival_ns = float(_due_ns(record) - first_ns)
    prompt = int(amount(value("input_sequence_length") or 0, "length of a prompt"))
    if record.get("error") or value("time_to_first_token") is None:
        return RequestLog(arrival_ns, prompt, (), (), failure=FAILED)
    told = value("inter_chunk_latency")
    gaps: Sequence[Any] = told if isinstance(told, list) else ()
    steps = [number(one, "gap") * MS for one in (value("time_to_first_token"), *gaps)]
    by_server = value("usage_completion_tokens")
    tokens = value("output_sequence_length") if by_server is None else by_server
    if len(steps) != tokens:
        raise Unreadable(f"{shown(tokens)} tokens came in {len(steps)} pieces, so that it is not known when each did")
    times = tuple(start_ns + since for since in itertools.accumulate(steps))
    return RequestLog(arrival_ns, prompt, times, tuple(range(1, len(times) + 1)))


READER = AiPerf()
