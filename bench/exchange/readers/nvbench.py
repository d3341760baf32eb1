"""nvbench: what `--json` writes, and samples beside it after `--jsonbin`."""

from __future__ import annotations

import array
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnlab.bench import units
from attnlab.bench.exchange.foreign import (
    Collected,
    Contents,
    Unreadable,
    amount,
    count_of,
    mapping,
    nanoseconds,
    objects,
    shown,
    text_of,
    timed,
    unchecked,
    unknown_environment,
)
from attnlab.bench.store.machine import UNKNOWN, Device
from attnlab.bench.store.plain_file import plain_bytes
from attnlab.bench.store.records import Measurement, Outcome

SAMPLES = "nv/json/bin:nv/cold/sample_times"
BANDWIDTH = "nv/cold/bw/global/bytes_per_second"
METHODS = (
    ("nv/cold/time/gpu", "nv/cold/sample_size", "nvbench cold", "cold"),
    ("nv/cpu_only/time/cpu", "nv/cpu_only/sample_size", "nvbench cpu_only", UNKNOWN),
    ("nv/batch/time/gpu", "nv/batch/sample_size", "nvbench batch", "hot"),
)
"""How times are taken: the tags of a time and of the number of samples, a name for the clock, the state of the L2."""

Summaries = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Nvbench:
    """Isolated calls ("cold") where there are any. A mean without samples is one sample, the mean of all calls."""

    name: str = "nvbench"
    summary: str = "the JSON of --json or --jsonbin"

    def fits(self, data: Any) -> bool:
        return isinstance(data, dict) and {"devices", "benchmarks"} <= data.keys()

    def read(self, data: Any, path: Path) -> Contents:
        found = Collected()
        devices = {str(device.get("id")): _device(device) for _, device in objects(data["devices"], "device", found)}
        used: dict[str, Device] = {}
        for place, benchmark in objects(data["benchmarks"], "benchmark", found):
            name = text_of(benchmark.get("name")) or f"benchmark {place}"
            for at, state in objects(benchmark.get("states"), f"{name}, state", found):
                told = f"{name}, state {text_of(state.get('name')) or at}"
                device = devices.get(str(state.get("device")))
                read = _State(name, state, device.name if device and len(devices) > 1 else None, path, found)
                found.gather(told, read.results)
                if device:
                    used[device.name] = device
        version = mapping(mapping(mapping(data.get("meta")).get("version")).get("nvbench"))
        one = next(iter(used.values())) if len(used) == 1 else None
        several = Device("cuda", " and ".join(used)) if used else None
        environment = unknown_environment(device=one or several)
        return Contents(
            text_of(version.get("string")), None, environment, tuple(found.measurements), tuple(found.left_out)
        )


@dataclass(frozen=True)
class _State:
    """A benchmark with one combination of its axes, on one device: named where there are several."""

    benchmark: str
    state: Mapping[str, Any]
    device: str | None
    path: Path
    found: Collected

    def results(self) -> Iterator[Measurement]:
        values = self.state.get("axis_values")
        axes = {str(axis.get("name")): _value(axis) for _, axis in objects(values, "axis", self.found)}
        case = axes if self.device is None else {**axes, "device": self.device}
        yield unchecked(f"nvbench:{self.benchmark}", self.benchmark, case, **self._fields())

    def _fields(self) -> dict[str, Any]:
        if self.state.get("is_skipped"):
            reason = text_of(self.state.get("skip_reason")) or "nvbench does not say why"
            return {"outcome": Outcome.UNAVAILABLE, "reason": f"skipped: {reason}"}
        summaries = {
            str(one.get("tag")): {
                str(v.get("name")): _value(v) for _, v in objects(one.get("data"), "value", self.found)
            }
            for _, one in objects(self.state.get("summaries"), "summary", self.found)
        }
        known = [method for method in METHODS if any(f"{method[0]}/{kind}" in summaries for kind in ("median", "mean"))]
        if not known:
            raise Unreadable("it has no time")
        times, sizes, clock, cache = known[0]
        size = count_of(_number_in(summaries, sizes))
        reported = {}
        if BANDWIDTH in summaries:
            reported["gb_per_s"] = amount(_number_in(summaries, BANDWIDTH), "bytes a second") / units.GB
        samples = self._samples(summaries) if clock == METHODS[0][2] else []
        if not samples and f"{times}/median" in summaries:
            median = nanoseconds(_number_in(summaries, f"{times}/median"), "s", "median")
            return timed(clock, median_ns=median, samples=size, cache=cache) | {"reported": reported}
        if not samples:
            mean = nanoseconds(_number_in(summaries, f"{times}/mean"), "s", "mean")
            flags = ("its latency is the mean of all calls, as its file has neither samples nor a median",)
            one = timed(clock, [mean], calls_a_sample=size, cache=cache)
            return one | {"reported": reported, "flags": flags}
        return timed(clock, samples, cache=cache) | {"reported": reported}

    def _samples(self, summaries: Summaries) -> list[float]:
        """In ns, of the file beside this one that is named, as float32; [] where there is none."""
        named = summaries.get(SAMPLES, {}).get("filename")
        if not isinstance(named, str):
            return []
        folder = self.path.resolve().parent
        size = summaries[SAMPLES].get("size")
        try:
            file = (folder / named).resolve()
            if not file.is_relative_to(folder):
                raise ValueError
            raw = plain_bytes(file)
        except (OSError, ValueError):
            self.found.left_out.append(f"{self.benchmark}: its samples are not beside it, in {shown(named)}")
            return []
        if not raw or len(raw) != 4 * (count_of(size) or 0):
            self.found.left_out.append(f"{self.benchmark}: {shown(named)} holds {len(raw)} bytes, not {size} samples")
            return []
        values = array.array("f", raw)
        if sys.byteorder == "big":
            values.byteswap()
        return [nanoseconds(value, "s", "sample") for value in values]


def _value(named: Mapping[str, Any]) -> Any:
    """Numbers stand as text beside their type."""
    kind, value = named.get("type"), named.get("value")
    if isinstance(value, str) and kind in ("int64", "float64"):
        try:
            return int(value) if kind == "int64" else float(value)
        except ValueError:
            return value
    return value


def _number_in(summaries: Summaries, tag: str) -> Any:
    return summaries.get(tag, {}).get("value")


def _device(found: Mapping[str, Any]) -> Device:
    version = count_of(found.get("sm_version"))
    return Device(
        "cuda",
        text_of(found.get("name")) or UNKNOWN,
        capability=(version // 100, version % 100 // 10) if version else None,
        multiprocessors=count_of(found.get("number_of_sms")),
        memory_bytes=count_of(found.get("global_memory_size")),
        cache_bytes=count_of(found.get("l2_cache_size")),
    )


READER = Nvbench()
