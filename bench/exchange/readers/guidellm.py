"""GuideLLM: the JSON of `guidellm run --output kind=json`, its figures for each load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
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
    moment_of_ms,
    number,
    objects,
    text_of,
    unchecked,
    unknown_environment,
)
from attnlab.bench.store.machine import UNKNOWN
from attnlab.bench.store.records import Measurement, TimingRecord

MS = float(units.NS_PER_MS)
P50, P95, MEAN = ("percentiles", "p50"), ("percentiles", "p95"), ("mean",)
REPORTED: dict[str, tuple[str, tuple[str, ...], float]] = {
    "ttft_ns": ("time_to_first_token_ms", P50, MS),
    "ttft_p95_ns": ("time_to_first_token_ms", P95, MS),
    "tpot_ns": ("inter_token_latency_ms", P50, MS),
    "output_tok_per_s": ("output_tokens_per_second", MEAN, 1.0),
    "answered_per_s": ("requests_per_second", MEAN, 1.0),
    "goodput_per_s": ("request_goodput", MEAN, 1.0),
}
"""By our metric: the file's, where in its summary of requests that were answered, and what it is multiplied with.

Its inter-token latency is one value a request, (last − first) / (n − 1), which is a time per output token here.
"""
NO_LOG = "the log of requests: of each it has the first and the last token alone; what GuideLLM worked out is kept"


@dataclass(frozen=True)
class GuideLlm:
    """Each load of a run is one result. When each token came is not in the file: there are no gaps between tokens."""

    name: str = "guidellm"
    summary: str = "the JSON of guidellm run --output kind=json"

    def fits(self, data: Any) -> bool:
        known = isinstance(data, dict) and isinstance(data.get("metadata"), dict) and "benchmarks" in data
        return known and "guidellm_version" in data["metadata"]

    def read(self, data: Any, path: Path) -> Contents:
        found = Collected([], [NO_LOG])
        loads = list(objects(data.get("benchmarks"), "benchmark", found))
        for place, load in loads:
            found.gather(f"benchmark {place}", partial(_results, mapping(data.get("config")), load))
        starts = [start for _, load in loads if (start := _started(load)) is not None]
        version = text_of(data["metadata"].get("guidellm_version"))
        left_out = tuple(found.left_out)
        return Contents(version, min(starts, default=None), unknown_environment(), tuple(found.measurements), left_out)


def _started(load: Mapping[str, Any]) -> datetime | None:
    start_s = load.get("start_time")
    found = moment_of_ms(1e3 * start_s) if isinstance(start_s, float) else None
    return found.astimezone(UTC) if found is not None else None


def _results(config: Mapping[str, Any], load: Mapping[str, Any]) -> Iterator[Measurement]:
    backend, metrics = mapping(config.get("backend")), mapping(load.get("metrics"))
    strategy = mapping(mapping(load.get("config")).get("strategy"))
    totals = mapping(metrics.get("request_totals"))
    reported = dict(_reported(metrics))
    if not reported:
        raise Unreadable(f"it has none of {', '.join(key for key, *_ in REPORTED.values())}")
    if totals.get("errored") is not None:
        reported["failed_requests"] = amount(totals["errored"], "number of failed requests")
    case = {
        "model": text_of(backend.get("model")) or UNKNOWN,
        "arrivals": _arrivals(strategy),
        "concurrency": strategy.get("streams"),
        "prompts": totals.get("total"),
    }
    yield unchecked(
        "guidellm:serve",
        text_of(backend.get("kind")) or "guidellm",
        {axis: value for axis, value in case.items() if value is not None},
        timing=TimingRecord("guidellm", UNKNOWN, None, None, None, None, None, UNKNOWN),
        reported=reported,
        untimed=SIDE_BY_SIDE,
    )


def _arrivals(strategy: Mapping[str, Any]) -> str:
    kind = text_of(strategy.get("type_")) or UNKNOWN
    return f"{kind}, {number(strategy['rate'], 'rate'):g} a second" if strategy.get("rate") is not None else kind


def _reported(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for metric, (key, place, scale) in REPORTED.items():
        value: Any = mapping(mapping(metrics.get(key)).get("successful"))
        for name in place:
            value = mapping(value).get(name)
        if value is not None:
            yield metric, amount(value, key) * scale


READER = GuideLlm()
