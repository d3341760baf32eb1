"""Metric `cached_share`: how much of the prompts a server had in its prefix cache."""

from __future__ import annotations

from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation.events import calls_of
from attnlab.bench.llm.generation.served import CACHED, loads_of
from attnlab.bench.store.records import Measurement


def of(measurement: Measurement) -> float | None:
    cached = tokens = 0
    for requests, load in zip(calls_of(measurement), loads_of(measurement), strict=False):
        for request, way in zip(requests, load.deliveries, strict=False):
            if request.answered and way.cached_tokens is not None:
                cached += way.cached_tokens
                tokens += request.prompt_tokens
    return cached / tokens if tokens else None


METRIC = Metric(
    name="cached_share",
    label="cached",
    unit="share",
    direction="neither",
    summary="Share of the tokens of all prompts that the server says it had in its prefix cache.",
    formula="cached tokens / tokens of prompts, of requests whose usage tells both",
    compute=of_measurement(of),
    rank=27,
    needs=(CACHED,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
