"""Google Benchmark: what `--benchmark_format=json` and `--benchmark_out` write."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from attnlab.bench import units
from attnlab.bench.exchange.foreign import (
    Collected,
    Contents,
    Unreadable,
    amount,
    count_of,
    moment,
    nanoseconds,
    objects,
    text_of,
    timed,
    unchecked,
    unknown_environment,
)
from attnlab.bench.store.records import Measurement, Outcome

AGGREGATE = re.compile(r"_(mean|median|stddev|cv|BigO|RMS)$")  # of files that do not say what a row is
NUMBER = re.compile(r"-?\d+(\.\d+)?")
ARGUMENT = "arg"
BUILD = "library_build_type"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class GoogleBenchmark:
    """A repetition is a sample, the mean of its iterations; aggregates are used where repetitions were not written."""

    name: str = "google-benchmark"
    summary: str = "the JSON of --benchmark_out, with repetitions or with aggregates alone"

    def fits(self, data: Any) -> bool:
        return isinstance(data, dict) and isinstance(data.get("context"), dict) and "benchmarks" in data

    def read(self, data: Any, path: Path) -> Contents:
        context = data["context"]
        found = Collected()
        grouped: dict[str, list[Row]] = {}
        for place, row in objects(data["benchmarks"], "benchmark", found):
            name = text_of(row.get("run_name")) or AGGREGATE.sub("", text_of(row.get("name")) or f"benchmark {place}")
            grouped.setdefault(name, []).append(row)
        program = Path(text_of(context.get("executable")) or "").name
        operator = f"{self.name}:{program}" if program else self.name
        flags = ("its library was built for debugging",) if context.get(BUILD) == "debug" else ()
        for name, rows in grouped.items():
            found.gather(name, partial(_results, operator, name, rows, flags))
        loads = context.get("load_avg")
        environment = unknown_environment(
            cores=count_of(context.get("num_cpus")),
            load_average=loads[0] if isinstance(loads, list) and loads and isinstance(loads[0], float) else None,
        )
        version = text_of(context.get("library_version"))
        started = moment(context.get("date"), "%Y-%m-%d %H:%M:%S")
        return Contents(version, started, environment, tuple(found.measurements), tuple(found.left_out))


def _results(operator: str, name: str, rows: Sequence[Row], flags: tuple[str, ...]) -> Iterator[Measurement]:
    implementation, case = _parts(name)
    for told, outcome in (("error", Outcome.FAILED), ("skip", Outcome.UNAVAILABLE)):
        said = [text_of(row.get(f"{told}_message")) for row in rows if row.get(_MARKS[told])]
        if said:
            reason = said[0] or "it does not say why"
            yield unchecked(operator, implementation, case, outcome=outcome, reason=reason)
            return
    runs = [row for row in rows if not _aggregate(row)]
    fields = _timed(name, rows, runs)
    yield unchecked(operator, implementation, case, flags=flags, reported=_reported(runs), **fields)


_MARKS = {"error": "error_occurred", "skip": "skipped"}


def _aggregate(row: Row) -> bool:
    kind = row.get("run_type")
    return kind == "aggregate" if kind else AGGREGATE.search(str(row.get("name"))) is not None


def _timed(name: str, rows: Sequence[Row], runs: Sequence[Row]) -> dict[str, Any]:
    clock = next((kind for kind in ("manual_time", "process_time") if kind in name.split("/")), "real_time")
    if runs:
        samples = [_time_ns(row, "real_time") for row in runs]
        return timed(clock, samples, calls_a_sample=count_of(runs[0].get("iterations")))
    medians = [r for r in rows if "median" in (r.get("aggregate_name"), str(r.get("name")).rpartition("_")[2])]
    if not medians:
        raise Unreadable("it has neither repetitions nor their median")
    repetitions = count_of(medians[0].get("repetitions")) or count_of(medians[0].get("iterations"))
    return timed(clock, median_ns=_time_ns(medians[0], "real_time"), samples=repetitions)


def _time_ns(row: Row, field: str) -> float:
    return nanoseconds(row.get(field), str(row.get("time_unit")), field)


def _reported(runs: Sequence[Row]) -> dict[str, float]:
    """Figures beside the time; none of aggregates, of which the median of each is not written."""
    found: dict[str, float] = {}
    cpu = [row for row in runs if row.get("cpu_time")]
    if runs and len(cpu) == len(runs):
        found["cpu_time_ns"] = statistics.median(_time_ns(row, "cpu_time") for row in cpu)
    rates = [amount(row["bytes_per_second"], "bytes_per_second") for row in runs if "bytes_per_second" in row]
    if rates and len(rates) == len(runs):
        found["gb_per_s"] = statistics.median(rates) / units.GB
    return found


def _parts(name: str) -> tuple[str, dict[str, Any]]:
    """`BM_sort<int>/1024/threads:4` -> `BM_sort<int>`, {"arg0": 1024, "threads": 4}."""
    first, *rest = name.split("/")
    case: dict[str, Any] = {}
    for part in rest:
        key, colon, value = part.rpartition(":")
        if colon:
            case[key] = _number(value)
        elif NUMBER.fullmatch(part):
            case[f"arg{sum(key.startswith(ARGUMENT) for key in case)}"] = _number(part)
        elif not case:
            first = f"{first}/{part}"
        else:
            case[part] = True
    return first, case


def _number(text: str) -> Any:
    if not NUMBER.fullmatch(text):
        return text
    return float(text) if "." in text else int(text)


READER = GoogleBenchmark()
