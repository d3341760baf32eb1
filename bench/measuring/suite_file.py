"""Reads a suite's TOML file; what is wrong in it is told by file and line."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from attnlab.bench.contract.axes import Case, sweep, unique
from attnlab.bench.contract.registry import Registry
from attnlab.bench.errors import ImpossibleCase, SuiteError, UnknownName, UsageError
from attnlab.bench.machine.clocks.clock import CACHES, COLD
from attnlab.bench.measuring.server_tables import read_servers
from attnlab.bench.measuring.suite import Bench, Suite, with_axes
from attnlab.bench.ops.serve import servers as known_servers
from attnlab.bench.serving.service import Service
from attnlab.bench.store.records import SERVE
from attnlab.bench.toml_file import TomlFile, is_number, is_whole, read_toml

TOP_KEYS = ("description", "effort", "cache", "servers", "bench")
BENCH_KEYS = ("operator", "implementations", "baseline", "axes", "cases", "rounds")
MOST_ROUNDS = 1000


def load_suite(
    path: Path, registry: Registry, overrides: Mapping[str, Any] | None = None, lenient: bool = False
) -> Suite:
    """Read a suite; `overrides` take the place of axes in every case of it.

    Where `lenient`, implementations need not be known and benches of unknown operators are left out: a
    suite may be of another revision than the registry.

    Raises SuiteError with file and line, and UnknownName or ImpossibleCase where an override is at
    fault. A bench of which no case is possible with the overrides is left out, and `notes` says so.
    """
    text, data = read_toml(path, "give the path of a suite", SuiteError)
    file = _SuiteFile(path, text)
    file.no_other_keys(data, TOP_KEYS, "a suite")
    tables = file.expect(data, "bench", list, "one or more [[bench]] tables")
    if not tables or not all(isinstance(table, dict) for table in tables):
        raise file.wrong("bench", "expected one [[bench]] table or more, each with its operator")
    named = [table["operator"] for table in tables if isinstance(table.get("operator"), str)]
    strange = dict.fromkeys(name for name in named if name not in registry.operators)
    benches = [
        file.bench(table, number, registry, lenient)
        for number, table in enumerate(tables)
        if not lenient or table.get("operator") not in named or table["operator"] not in strange
    ]
    servers = read_servers(file, data.get("servers"))
    if not lenient:
        file.refuse_unknown_servers(benches, servers)
    changed, notes = _overridden(benches, registry, overrides or {})
    return Suite(
        name=path.stem,
        benches=tuple(changed),
        description=file.expect(data, "description", str, "a text") or "",
        effort=file.effort(file.expect(data, "effort", dict, "a table") or {}),
        notes=tuple(notes),
        cache=file.cache(file.expect(data, "cache", str, '"cold" or "hot"')),
        unknown_operators=tuple(strange),
        servers=servers,
    )


def _overridden(
    benches: list[Bench], registry: Registry, overrides: Mapping[str, Any]
) -> tuple[list[Bench], list[str]]:
    """The benches with other axes, and notes on cases that are not possible with them."""
    if not overrides:
        return benches, []
    kept: list[Bench] = []
    refused: list[ImpossibleCase] = []
    notes: list[str] = []
    for bench in benches:
        case_type = registry.operators.get(bench.operator).case_type
        for name, values in overrides.items():
            for value in values if isinstance(values, list) else [values]:
                case_type.read_value(name, value)
        cases: list[Case] = []
        errors: list[ImpossibleCase] = []
        for case in bench.cases:
            try:
                cases += with_axes([case], overrides)
            except ImpossibleCase as error:
                errors.append(error)
        if not cases:
            refused.append(errors[0])
            notes.append(f"a bench of the suite is left out: {errors[0]}")
            continue
        kept.append(replace(bench, cases=tuple(unique(cases))))
        if errors:
            notes.append(
                f"{len(errors)} of {len(bench.cases)} cases of a bench are left out, the first since {errors[0]}"
            )
    if not kept:
        raise refused[0]
    return kept, notes


def _line(place: str) -> int:
    """Of `file:line`."""
    return int(place.rpartition(":")[2])


@dataclass(frozen=True)
class _SuiteFile(TomlFile):
    tables = "bench"
    error = SuiteError

    def bench(self, table: Mapping[str, Any], number: int, registry: Registry, lenient: bool) -> Bench:
        """The bench of the file's table of that number, counted from 0."""
        self.no_other_keys(table, BENCH_KEYS, "a bench", number)
        name = self.expect(table, "operator", str, "an operator's name", number)
        if name is None:
            raise self.wrong("bench", 'a [[bench]] lacks its operator = "attention"', number)
        listed = self.names(table, "implementations", number)
        baseline = self.expect(table, "baseline", str, "an implementation's name", number)
        axes = self.expect(table, "axes", dict, "a table of axes", number) or {}
        ids = self.names(table, "cases", number) or []
        rounds = self.expect(table, "rounds", int, "a whole number of rounds", number) or 0
        if not 0 <= rounds <= MOST_ROUNDS:
            raise self.unexpected("rounds", rounds, f"1 to {MOST_ROUNDS}, or no rounds at all", number)
        try:
            case_type = registry.operators.get(name).case_type
            known = registry.implementations(name)
            for implementation in () if lenient else (*(listed or ()), *([baseline] if baseline else ())):
                known.get(implementation)
        except UnknownName as error:
            raise SuiteError(f"{self.at_word(error.name, number)}: {error}") from error
        if baseline and listed is not None and baseline not in listed:
            message = f"baseline {baseline!r} is not among the implementations; add it to them"
            raise self.wrong("baseline", message, number)
        cases = [self._case(case_type, text, number) for text in ids]
        if axes or not cases:
            cases += self._sweep(case_type, axes, number)
        return Bench(name, tuple(unique(cases)), tuple(listed) if listed else None, baseline, rounds)

    def refuse_unknown_servers(self, benches: Sequence[Bench], servers: Mapping[str, Service]) -> None:
        """Raise SuiteError where a case names a server that neither the file nor the command line has."""
        known = {known_servers.EMBEDDED, *servers, *known_servers.known()}
        for number, bench in enumerate(benches):
            for case in bench.cases:
                name = getattr(case, "server", None) if bench.operator == SERVE else None
                if name is not None and name not in known:
                    place = max(self.at_word(name, number), self.at_word(case.id, number), key=_line)
                    error = UnknownName("server", name, known)
                    raise SuiteError(f"{place}: {error}; add a table [servers.{name}] with its url")

    def _case(self, case_type: type[Case], text: str, number: int) -> Case:
        try:
            return case_type.parse(text)
        except UsageError as error:
            raise SuiteError(f"{self.at_word(text, number)}: {error}") from error

    def _sweep(self, case_type: type[Case], axes: Mapping[str, Any], number: int) -> list[Case]:
        try:
            return sweep(case_type, axes)
        except UnknownName as error:
            raise self.wrong(error.name, str(error), number) from error
        except ImpossibleCase as error:
            named = re.match(r"axis (\w+): ", str(error))
            raise self.wrong(named.group(1) if named else "axes", str(error), number) from error

    def effort(self, table: Mapping[str, Any]) -> dict[str, float]:
        from attnlab.bench.measuring.timing import Effort

        keys = tuple(f.name for f in fields(Effort) if f.name != "quick")  # a suite is measured in full, by gates too
        self.no_other_keys(table, keys, "effort")
        for key, value in table.items():
            if key == "turns":
                if not is_whole(value) or not 0 <= value <= MOST_ROUNDS:
                    raise self.unexpected(key, value, f"0 to {MOST_ROUNDS} rounds")
            elif not is_number(value) or not 0 < value < math.inf:
                raise self.unexpected(key, value, "a number above zero")
        return dict(table)

    def cache(self, value: str | None) -> str:
        if value is not None and value not in CACHES:
            raise self.unexpected("cache", value, '"cold" or "hot", of a GPU\'s L2')
        return value or COLD

    def names(self, table: Mapping[str, Any], key: str, number: int) -> list[str] | None:
        """A list of texts, not empty; None where the key is absent."""
        value = self.expect(table, key, list, "a list of texts", number)
        if value is None or (value and all(isinstance(item, str) for item in value)):
            return value
        raise self.unexpected(key, value, f"one text or more, or no {key} at all", number)
