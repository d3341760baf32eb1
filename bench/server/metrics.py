"""What the server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from attnlab.bench.llm.generation.live import LiveCounters, LiveLimits

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Counted(Protocol):
    """Where the engine's own counters are."""

    @property
    def counters(self) -> LiveCounters: ...

    @property
    def limits(self) -> LiveLimits: ...


class ServerMetrics:
    """Counts and times of one server; each server has a registry of its own."""

    def __init__(self, counted: Counted) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_EngineCollector(counted))
        self.first_token = self._times("time_to_first_token", "From the request's arrival to its first token")
        self.between = self._times("inter_token_latency", "Between two tokens of one answer")
        self.whole = self._times("request_duration", "From the request's arrival to its last token")
        self.requests = Counter(
            "attnlab_requests", "Requests that ended, by why", ["finish_reason"], registry=self.registry
        )
        self.refused = Counter("attnlab_refused", "Requests refused, by status", ["status"], registry=self.registry)

    def _times(self, name: str, words: str) -> Histogram:
        return Histogram(f"attnlab_{name}_seconds", words, registry=self.registry, buckets=SECONDS)


class _EngineCollector(Collector):
    """The engine's counters, read when somebody asks."""

    def __init__(self, counted: Counted) -> None:
        self._counted = counted

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        now, limits = self._counted.counters, self._counted.limits
        gauges = (
            ("requests_running", "Requests that are computed", now.running),
            ("requests_waiting", "Requests that wait for room", now.waiting),
            ("cache_pages_used", "Pages of the key-value cache that some request uses", now.used_pages),
            ("cache_pages", "Pages of the key-value cache", limits.pages),
            ("cache_usage_ratio", "Share of the pages that is used", now.used_pages / limits.pages),
        )
        counts = (
            ("prompt_tokens", "Tokens of prompts that were read", now.prompt_tokens),
            ("cached_prompt_tokens", "Tokens of prompts whose keys and values were found", now.cached_tokens),
            ("generation_tokens", "Tokens of answers", now.answer_tokens),
            ("preemptions", "Requests that gave their pages up and began again", now.preemptions),
        )
        for name, words, value in gauges:
            yield GaugeMetricFamily(f"attnlab_{name}", words, value=value)
        for name, words, value in counts:
            yield CounterMetricFamily(f"attnlab_{name}", words, value=value)
