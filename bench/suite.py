"""Suites: TOML files that name operators, implementations, a baseline and the cases of a sweep."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench.axes import Case, sweep, unique
from attnlab.bench.errors import SuiteError, UnknownName, UsageError
from attnlab.bench.registry import Registry

if TYPE_CHECKING:
    from attnlab.bench.timing import Effort

FOLDER = Path(__file__).parent / "suites"
TOP_KEYS = ("description", "effort", "bench")
BENCH_KEYS = ("operator", "implementations", "baseline", "axes", "cases")


@dataclass(frozen=True)
class Bench:
    """One table of a suite. implementations is None where every one that the operator has is meant."""

    operator: str
    cases: tuple[Case, ...]
    implementations: tuple[str, ...] | None = None
    baseline: str | None = None


@dataclass(frozen=True)
class Suite:
    """A named set of benches; effort overrides the harness's defaults by name of its fields."""

    name: str
    benches: tuple[Bench, ...]
    description: str = ""
    effort: Mapping[str, float] = field(default_factory=dict)


def suite_names(registry: Registry) -> list[str]:
    return sorted([path.stem for path in FOLDER.glob("*.toml")] + registry.suites.names())


def find_suite(name: str, registry: Registry) -> Path:
    """The file of a suite, by name or path; raises UnknownName."""
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise SuiteError(f"{path}: no such suite file; `attnlab list` names those that come along")
        return path
    if name in registry.suites:
        return registry.suites.get(name)
    path = FOLDER / f"{name}.toml"
    if not path.is_file():
        raise UnknownName("suite or operator", name, [*suite_names(registry), *registry.operators.names()])
    return path


def load_suite(path: Path, registry: Registry, overrides: Mapping[str, Any] | None = None) -> Suite:
    """Read a suite; `overrides` replace axes of every bench. Raises SuiteError with file and line."""
    text = _read(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        raise SuiteError(f"{path}:{line.group(1) if line else 1}: not TOML: {error}") from error
    reader = _Reader(path, text)
    reader.known(data, TOP_KEYS, "suite")
    tables = data.get("bench")
    if not isinstance(tables, list) or not tables:
        raise SuiteError(
            f"{path}:1: got no [[bench]] table; expected at least one with an operator and its axes"
        )
    effort = data.get("effort", {})
    reader.effort(effort)
    benches = tuple(reader.bench(table, registry, overrides or {}) for table in tables)
    return Suite(path.stem, benches, str(data.get("description", "")), effort)


def operator_suite(
    name: str, registry: Registry, overrides: Mapping[str, Any], cases: tuple[str, ...]
) -> Suite:
    """A suite of one operator on the cases of a command line: its default case where none is given."""
    case_type = registry.operators.get(name).case_type
    chosen: list[Case] = [case_type.parse(text) for text in cases]
    if overrides or not cases:
        chosen += sweep(case_type, overrides)
    return Suite(name, (Bench(name, tuple(unique(chosen))),))


def make_effort(suite: Suite) -> Effort:
    """The effort that a suite asks for, defaults where it is silent."""
    from attnlab.bench.timing import Effort

    return Effort(**suite.effort)  # type: ignore[arg-type]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SuiteError(
            f"{path}:1: not TOML: it is no UTF-8 text ({error.reason} at byte {error.start})"
        ) from error
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read: {error.strerror}") from error


@dataclass(frozen=True)
class _Reader:
    path: Path
    text: str

    def at(self, key: str) -> str:
        """`file:line` of a key, as near as its first mention tells."""
        for number, line in enumerate(self.text.splitlines(), start=1):
            if re.match(rf"\s*\[*\s*(?:[\w.]+\.)?[\"']?{re.escape(key)}[\"']?\s*[\]=]", line):
                return f"{self.path}:{number}"
        return f"{self.path}:1"

    def known(self, table: Mapping[str, Any], keys: tuple[str, ...], what: str) -> None:
        for key in table:
            if key not in keys:
                raise SuiteError(f"{self.at(key)}: {UnknownName(f'key of a {what}', key, keys)}")

    def effort(self, table: Mapping[str, Any]) -> None:
        from attnlab.bench.timing import Effort

        self.known(table, tuple(f.name for f in fields(Effort)), "effort")
        for key, value in table.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
                raise SuiteError(f"{self.at(key)}: got {key} = {value!r}; expected a number above zero")

    def bench(self, table: Mapping[str, Any], registry: Registry, overrides: Mapping[str, Any]) -> Bench:
        self.known(table, BENCH_KEYS, "bench")
        if "operator" not in table:
            raise SuiteError(
                f'{self.at("bench")}: a [[bench]] lacks its operator, such as operator = "attention"'
            )
        name = table["operator"]
        try:
            case_type = registry.operators.get(name).case_type
            known = registry.implementations(name)
            for implementation in table.get("implementations", ()):
                known.get(implementation)
            if "baseline" in table:
                known.get(table["baseline"])
            axes = {**table.get("axes", {}), **overrides}
            cases = [case_type.parse(text) for text in table.get("cases", ())]
            if axes or not cases:
                cases += sweep(case_type, axes)
        except UnknownName as error:
            raise SuiteError(f"{self.at_value(error.name)}: {error}") from error
        except UsageError as error:
            raise SuiteError(f"{self.at('axes')}: {error}") from error
        listed = table.get("implementations")
        return Bench(name, tuple(unique(cases)), tuple(listed) if listed else None, table.get("baseline"))

    def at_value(self, value: str) -> str:
        """`file:line` where a word stands, as a key or as a value."""
        for number, line in enumerate(self.text.splitlines(), start=1):
            if re.search(rf"(?<![\w-]){re.escape(str(value))}(?![\w-])", line.partition("#")[0]):
                return f"{self.path}:{number}"
        return f"{self.path}:1"
