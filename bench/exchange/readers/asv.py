"""airspeed velocity: a file of results, with `benchmarks.json` beside the machine's folder for units and parameters."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnlab.bench.errors import StoreError
from attnlab.bench.exchange.foreign import (
    Collected,
    Contents,
    Unreadable,
    count_of,
    mapping,
    moment_of_ms,
    nanoseconds,
    number,
    shown,
    text_of,
    timed,
    unchecked,
    unknown_environment,
)
from attnlab.bench.store.json_text import values_of
from attnlab.bench.store.machine import Device, Environment
from attnlab.bench.store.records import Measurement, Outcome

VERSION = 2
LAYOUT = "benchmarks.json"
UNITS = {"time": "seconds", "timeraw": "seconds", "mem": "bytes", "peakmem": "bytes"}
"""Units by how a benchmark's name begins, where `benchmarks.json` does not say."""

CLOCK = "asv"
MOST_DIGITS = 19  # of a number that is written as text
MOST_CASES = 100_000  # of a benchmark: a few short lists have more combinations than fit in memory


@dataclass(frozen=True)
class Asv:
    """Times are medians of samples; samples themselves are there after `asv run --record-samples`."""

    name: str = "asv"
    summary: str = "a file of results of version 2, such as results/MACHINE/COMMIT-ENVIRONMENT.json"

    def fits(self, data: Any) -> bool:
        return isinstance(data, dict) and {"results", "commit_hash"} <= data.keys()

    def read(self, data: Any, path: Path) -> Contents:
        if data.get("version") != VERSION or not isinstance(data.get("result_columns"), list):
            raise StoreError(
                f"{path} is of version {shown(data.get('version'))} of asv's results, expected {VERSION}; "
                "bring it up to date by `asv update`"
            )
        known, told = _described(path)
        found = Collected(left_out=told)
        starts = []
        titles = list(map(str, data["result_columns"]))
        for name, values in mapping(data["results"]).items():
            columns = dict(zip(titles, values, strict=False)) if isinstance(values, list) else {}
            starts.append(moment_of_ms(columns.get("started_at")))
            read = _Benchmark(name, columns, mapping(known.get(name)))
            found.gather(name, read.results)
        started = min((start for start in starts if start), default=None) or moment_of_ms(data.get("date"))
        return Contents(None, started, _environment(data), tuple(found.measurements), tuple(found.left_out))


def _described(path: Path) -> tuple[Mapping[str, Any], list[str]]:
    """Benchmarks by name as `benchmarks.json` describes them, and what is wrong with it."""
    file = path.parent.parent / LAYOUT
    try:
        return mapping(values_of(file.read_text(encoding="utf-8"))), []
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError, RecursionError) as error:
        return {}, [f"{LAYOUT} cannot be read ({error}); units are taken from the names of benchmarks"]


@dataclass(frozen=True)
class _Benchmark:
    name: str
    columns: Mapping[str, Any]
    described: Mapping[str, Any]

    def results(self) -> Iterator[Measurement]:
        """One for each combination of parameters."""
        *parents, method = self.name.split(".")
        operator = ":".join(filter(None, ("asv", ".".join(parents))))
        axes = self._axes()
        cases = math.prod(map(len, axes.values()))
        result = self.columns.get("result")
        if result is not None and (not isinstance(result, list) or len(result) != cases):
            raise Unreadable(f"got {shown(result)}, expected a result for each of {cases} combinations")
        if cases > MOST_CASES:
            raise Unreadable(f"got parameters with {cases} combinations, expected {MOST_CASES} at most")
        for place, combination in enumerate(itertools.product(*axes.values())):
            case = dict(zip(axes, map(_plain, combination), strict=True))
            yield unchecked(operator, method, case, **self._of(None if result is None else result[place], place))

    def _axes(self) -> dict[str, Sequence[Any]]:
        values = self.columns.get("params") or []
        names = self.described.get("param_names")
        if not isinstance(values, list) or not all(isinstance(one, list) for one in values):
            raise Unreadable(f"got the parameters {shown(values)}, expected lists")
        if not isinstance(names, list) or len(names) != len(values):
            names = [f"param{number}" for number in range(len(values))]
        return dict(zip(map(str, names), values, strict=True))

    def _of(self, result: Any, place: int) -> dict[str, Any]:
        if result is None:
            return {"outcome": Outcome.FAILED, "reason": "asv has no result of it: it failed or ran out of time"}
        if isinstance(result, float) and math.isnan(result):
            return {"outcome": Outcome.UNAVAILABLE, "reason": "asv skipped it"}
        unit = self._unit()
        if unit != "seconds":
            value = number(result, "result")
            return {"untimed": f"it measures no time, but {value:g} {unit}"}
        recorded = self._column("samples", place)
        samples = [nanoseconds(one, "s", "sample") for one in recorded] if isinstance(recorded, list) else []
        repeated, calls = (count_of(self._column(name, place)) for name in ("stats_repeat", "stats_number"))
        return timed(CLOCK, samples, nanoseconds(result, "s", "result"), repeated, calls)

    def _unit(self) -> str:
        unit = text_of(self.described.get("unit")) or UNITS.get(self.name.rpartition(".")[2].partition("_")[0])
        if unit is None:
            raise Unreadable(f"its unit is not known; expected it in {LAYOUT} beside the machine's folder")
        return unit

    def _column(self, name: str, place: int) -> Any:
        column = self.columns.get(name)
        return column[place] if isinstance(column, list) and place < len(column) else None


def _plain(text: Any) -> Any:
    """A parameter, of which asv writes the repr: `"10"` is 10, `"'a'"` is "a"."""
    if not isinstance(text, str):
        return text
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, (int, float)) else text


def _environment(data: Mapping[str, Any]) -> Environment:
    params = mapping(data.get("params"))
    processor = text_of(params.get("cpu"))
    requirements = mapping(data.get("requirements"))
    return unknown_environment(
        device=Device("cpu", processor) if processor else None,
        processor=processor,
        cores=_whole(params.get("num_cpu")),
        memory_bytes=_whole(params.get("ram")),
        system=text_of(params.get("os")),
        python=text_of(data.get("python")),
        packages={str(name): str(version) for name, version in requirements.items() if version},
        variables={str(name): str(value) for name, value in mapping(data.get("env_vars")).items()},
        revision=text_of(data.get("commit_hash")),
    )


def _whole(value: Any) -> int | None:
    spelled = isinstance(value, str) and value.isdecimal() and len(value) <= MOST_DIGITS
    return count_of(int(value)) if spelled else count_of(value)


READER = Asv()
