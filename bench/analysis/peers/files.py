"""What GuideLLM and AIPerf wrote of a load: its streams as far as the files tell them, and the tools' own figures.

Each tool's definitions, applied to its own streams, must give its own figures: that is how the definitions are held to
what the tools do.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from attnlab.bench import units
from attnlab.bench.analysis.peers.recorded import Event, Figures, Recorded, Stream

MS = float(units.NS_PER_MS)


def of_guidellm(path: Path) -> tuple[Recorded, Figures]:
    """Of its JSON (`--output kind=json`), the first benchmark. Of a stream it tells the first and the last text alone.

    Raises KeyError where the file is of another version than 0.8.
    """
    found = json.loads(path.read_text(encoding="utf-8"))["benchmarks"][0]
    metrics, requests = found["metrics"], found["requests"]
    begun_s = float(found["scheduler_metrics"]["request_start_time"])
    good = [_guidellm_stream(one, begun_s, failed=False) for one in requests["successful"]]
    bad = [_guidellm_stream(one, begun_s, failed=True) for one in requests["errored"]]
    streams = tuple(stream for stream in (*good, *bad) if stream is not None)
    ended_ns = units.seconds_to_ns(float(found["scheduler_metrics"]["request_end_time"]) - begun_s)

    def median(name: str, scale: float, key: str = "p50") -> float:
        return float(metrics[name]["successful"]["percentiles"][key]) * scale

    goodput = metrics["request_goodput"]
    told = Figures(
        median("time_to_first_token_ms", MS),
        median("inter_token_latency_ms", MS),
        median("inter_token_latency_ms", MS, "p99"),
        median("time_per_output_token_ms", MS),
        median("request_latency", units.seconds_to_ns(1.0)),
        float(metrics["output_tokens_per_second"]["successful"]["mean"]),
        float(metrics["requests_per_second"]["successful"]["mean"]),
        None if goodput is None else float(goodput["successful"]["mean"]),
    )
    return Recorded(streams, ended_ns), told


def _guidellm_stream(one: Mapping[str, Any], begun_s: float, failed: bool) -> Stream | None:
    """None of a request that was never sent."""
    timings = one["info"]["timings"]
    start_s, end_s = timings["request_start"], timings["request_end"] or timings["resolve_end"]
    if start_s is None or end_s is None:
        return None
    times = [timings["first_token_iteration"], timings["last_token_iteration"]]
    tokens = one["output_metrics"]["total_tokens"]
    counts = [1, tokens or timings["token_iterations"] or 1]
    events = tuple(
        Event(units.seconds_to_ns(time - begun_s), True, count)
        for time, count in zip(times, counts, strict=True)
        if time is not None
    )
    start_ns = units.seconds_to_ns(start_s - begun_s)
    due_s = timings["targeted_start"]
    return Stream(
        start_ns if due_s is None else units.seconds_to_ns(due_s - begun_s),
        start_ns,
        start_ns,
        events,
        units.seconds_to_ns(end_s - begun_s),
        one["input_metrics"]["total_tokens"] or 0,
        tokens,
        failed=failed,
    )


def of_aiperf(folder: Path) -> tuple[Recorded, Figures]:
    """Of its artifact folder (`--export-level records`): `profile_export.jsonl` and `profile_export_aiperf.json`.

    Raises KeyError where the files are of another version than 0.13.
    """
    told = json.loads((folder / "profile_export_aiperf.json").read_text(encoding="utf-8"))
    lines = (folder / "profile_export.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines if line.strip()]
    begun, ended = (datetime.fromisoformat(told[name]).timestamp() for name in ("start_time", "end_time"))
    begun_ns = min(int(one["metadata"]["request_start_ns"]) for one in records)
    streams = tuple(_aiperf_stream(one, begun_ns) for one in records)

    def value(name: str, key: str = "p50", scale: float = MS) -> float | None:
        return float(told[name][key]) * scale if name in told else None

    figures = Figures(
        value("time_to_first_token"),
        value("inter_token_latency"),
        value("inter_token_latency", "p99"),
        value("inter_token_latency"),
        value("request_latency"),
        value("output_token_throughput", "avg", 1.0),
        value("request_throughput", "avg", 1.0),
        value("goodput", "avg", 1.0),
    )
    return Recorded(streams, units.seconds_to_ns(ended - begun)), figures


def _aiperf_stream(one: Mapping[str, Any], begun_ns: int) -> Stream:
    meta, metrics = one["metadata"], one["metrics"]
    start_ns = float(int(meta["request_start_ns"]) - begun_ns)

    def value(name: str) -> Any:
        return metrics[name]["value"] if name in metrics else None

    first_ms, gaps_ms = value("time_to_first_token"), value("inter_chunk_latency") or []
    length = int(value("output_sequence_length") or 0)
    times = [] if first_ms is None else itertools.accumulate([first_ms, *gaps_ms])
    events = tuple(Event(start_ns + time * MS, True, number) for number, time in enumerate(times, start=1))
    return Stream(
        float(int(meta.get("credit_issued_ns") or meta["request_start_ns"]) - begun_ns),
        start_ns,
        start_ns,
        events,
        float(int(meta["request_end_ns"]) - begun_ns),
        int(value("input_sequence_length") or 0),
        int(value("usage_completion_tokens") or length),
        length,
        failed=bool(one.get("error")),
    )
