"""pytest-benchmark: what `--benchmark-json` and its storage write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from attnlab.bench.exchange.foreign import (
    Collected,
    Contents,
    Unreadable,
    count_of,
    mapping,
    moment,
    nanoseconds,
    objects,
    text_of,
    timed,
    unchecked,
    unknown_environment,
)
from attnlab.bench.store.machine import UNKNOWN, Device, Environment
from attnlab.bench.store.records import Measurement


@dataclass(frozen=True)
class PytestBenchmark:
    """Times in seconds a call. A test is an implementation, its parameters are the case, its group is the operator."""

    name: str = "pytest-benchmark"
    summary: str = "the JSON of --benchmark-json, --benchmark-save and --benchmark-autosave"

    def fits(self, data: Any) -> bool:
        return isinstance(data, dict) and {"machine_info", "benchmarks"} <= data.keys()

    def read(self, data: Any, path: Path) -> Contents:
        found = Collected()
        for place, item in objects(data["benchmarks"], "benchmark", found):
            name = text_of(item.get("fullname")) or text_of(item.get("name"))
            found.gather(name or f"benchmark {place}", partial(_results, self.name, name, item))
        return Contents(
            text_of(data.get("version")),
            moment(data.get("datetime")),
            _environment(mapping(data["machine_info"]), mapping(data.get("commit_info"))),
            tuple(found.measurements),
            tuple(found.left_out),
        )


def _results(tool: str, name: str | None, item: Mapping[str, Any]) -> Iterator[Measurement]:
    if name is None:
        raise Unreadable("it has no name")
    file, _, test = name.rpartition("::")
    parameters, parameter = item.get("params"), text_of(item.get("param"))
    case = parameters if isinstance(parameters, dict) else {"param": parameter} if parameter else {}
    group = text_of(item.get("group")) or file
    function = test.removesuffix(f"[{parameter}]") if parameter else test
    yield unchecked(f"{tool}:{group}" if group else tool, function, case, **_timed(item))


def _timed(item: Mapping[str, Any]) -> dict[str, Any]:
    stats = mapping(item.get("stats"))
    raw = stats.get("data")
    samples = [nanoseconds(value, "s", "sample") for value in raw] if isinstance(raw, list) else []
    median = None if samples else nanoseconds(stats.get("median"), "s", "median")
    clock = text_of(mapping(item.get("options")).get("timer")) or UNKNOWN
    return timed(clock, samples, median, count_of(stats.get("rounds")), count_of(stats.get("iterations")))


def _environment(machine: Mapping[str, Any], commit: Mapping[str, Any]) -> Environment:
    cpu = mapping(machine.get("cpu"))
    processor = text_of(cpu.get("brand_raw")) or text_of(cpu.get("brand")) or text_of(machine.get("processor"))
    revision = text_of(commit.get("id"))
    known = revision not in (None, "unversioned", UNKNOWN)
    return unknown_environment(
        device=Device("cpu", processor) if processor else None,
        processor=processor,
        cores=count_of(cpu.get("count")),
        system=" ".join(filter(None, (text_of(machine.get("system")), text_of(machine.get("release"))))),
        python=text_of(machine.get("python_version")),
        revision=revision if known else None,
        dirty=commit.get("dirty") if known and isinstance(commit.get("dirty"), bool) else None,
    )


READER = PytestBenchmark()
