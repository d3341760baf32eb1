"""A committed file of what kernels cost, to hold them against where there is no base.

Kernels whose source and compiler are those that the file was written from are not compiled again.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attnlab.bench.gate.static.figures import QUANTITIES, CaseFigures, KernelFigures
from attnlab.bench.toml_file import TomlFile, is_number, read_toml

FILE = Path("kernels/budgets.toml")
VERSION = 1  # of what is read of a kernel: where it is another, all are compiled again
KEYS = ("digest", "version", "suite", "targets", "sources", "unserved", "kernels")
WRITE = "attnlab gate --static --write-budgets"
HEAD = """\
# What these kernels cost, as compilers made them; nothing here was measured on a device.
# `attnlab gate --static --write-budgets` writes this file, `attnlab gate --static` holds kernels against it.
"""


@dataclass(frozen=True)
class Budget:
    """sources: hashes by implementation. cases: by their keys."""

    suite: str
    targets: tuple[str, ...]
    sources: Mapping[str, str] = field(default_factory=dict)
    cases: Mapping[str, CaseFigures] = field(default_factory=dict)
    version: int = VERSION

    def holds(self, case: CaseFigures | None, sources: str | None, compilers: Mapping[str, str]) -> bool:
        """Whether a case's figures are those of this source and these compilers, so that nothing need be compiled.

        compilers: versions by name.
        """
        if case is None or self.version != VERSION or case.sources is None or case.sources != sources:
            return False
        return all(compilers.get(kernel.compiler.split()[0]) == kernel.compiler for kernel in case.kernels)


def written(suite: str, targets: Sequence[str], cases: Sequence[CaseFigures]) -> str:
    """A budget as TOML, a line a kernel."""
    hashes = {case.key.partition("[")[0]: case.sources for case in cases if case.sources}
    lines = [HEAD, f"version = {VERSION}", f"suite = {_quoted(suite)}"]
    lines += [f"targets = [{', '.join(map(_quoted, targets))}]", "", "[sources]"]
    lines += [f"{_quoted(name)} = {_quoted(digest)}" for name, digest in hashes.items()]
    lines += ["", "[unserved]"]
    lines += [f"{_quoted(case.key)} = {_quoted(case.unserved)}" for case in cases if case.unserved]
    lines += ["", "[kernels]"]
    for case in cases:
        if case.kernels:
            lines += [f"{_quoted(case.key)} = [", *(f"  {{ {_kernel(kernel)} }}," for kernel in case.kernels), "]"]
    text = "\n".join(lines) + "\n"
    return text.replace("version", f"digest = {_quoted(_digest(tomllib.loads(text)))}\nversion", 1)


def _digest(data: Mapping[str, Any]) -> str:
    """Of all that a file says but its own digest."""
    said = {key: value for key, value in data.items() if key != "digest"}
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _kernel(kernel: KernelFigures) -> str:
    told = [f"name = {_quoted(kernel.name)}", f"compiler = {_quoted(kernel.compiler)}"]
    return ", ".join([*told, *(f"{name} = {_number(value)}" for name, value in kernel.values.items())])


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(value)


def _quoted(text: str) -> str:
    plain = re.sub(r"[\x00-\x1f\x7f]", " ", text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"'


def load_budget(path: Path, edited: bool = False) -> Budget:
    """Read a file of budgets. Raises UsageError, with file and line, where it is none.

    edited: it may be another than was written, for it is written anew. Else its figures are believed without compiling,
    and a line that is missing or was changed by hand would let a kernel pass.
    """
    text, data = read_toml(path, f"write one with `{WRITE}`")
    file = _BudgetFile(path, text)
    budget = file.read(data)
    if not edited:
        file.check_digest(data)
    return budget


@dataclass(frozen=True)
class _BudgetFile(TomlFile):
    tables = "kernels"

    def check_digest(self, data: Mapping[str, Any]) -> None:
        """UsageError where the file is not as it was written."""
        told = self.expect(data, "digest", str, "a text")
        if told is None:
            raise self.wrong("version", f'the file lacks its digest = "…"; write it anew: {WRITE}')
        if told != _digest(data):
            raise self.wrong(
                "digest",
                f"got digest {told}; expected {_digest(data)}, of what the file says: it was edited by hand, cut or "
                f"merged; write it anew: {WRITE}",
            )

    def read(self, data: Mapping[str, Any]) -> Budget:
        self.no_other_keys(data, KEYS, "budgets")
        sources = self._texts(data, "sources")
        unserved = self._texts(data, "unserved")
        cases = {key: self._case(key, rows, sources) for key, rows in self._table(data, "kernels").items()}
        for key, reason in unserved.items():
            cases[key] = CaseFigures(key, unserved=reason, sources=sources.get(key.partition("[")[0]))
        targets = data.get("targets")
        if not isinstance(targets, list) or not all(isinstance(one, str) for one in targets):
            raise self.unexpected("targets", targets, 'targets such as ["sm_90"]')
        version = self.expect(data, "version", int, "a whole number") or 0
        suite = self.expect(data, "suite", str, "a suite's name or file")
        if suite is None:
            raise self.wrong("suite", 'the file lacks its suite = "kernels"')
        return Budget(suite, tuple(targets), sources, cases, version)

    def _table(self, data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        table: Mapping[str, Any] = self.expect(data, key, dict, "a table") or {}
        return table

    def _texts(self, data: Mapping[str, Any], key: str) -> dict[str, str]:
        table = self._table(data, key)
        for name, value in table.items():
            if not isinstance(value, str):
                raise self.unexpected(name, value, "a text")
        return dict(table)

    def _case(self, key: str, rows: Any, sources: Mapping[str, str]) -> CaseFigures:
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self.unexpected(key, rows, "a list of kernels, each with its name, compiler and figures")
        kernels = tuple(KernelFigures(*self._own(row, key), dict(self._figures(row))) for row in rows)
        return CaseFigures(key, kernels, sources=sources.get(key.partition("[")[0]))

    def _own(self, row: Mapping[str, Any], key: str) -> tuple[str, str]:
        name, compiler = row.get("name"), row.get("compiler")
        if not (isinstance(name, str) and isinstance(compiler, str) and compiler):
            raise self.wrong(key, f"a kernel of {key} lacks its name or its compiler; write the file anew")
        return name, compiler

    def _figures(self, row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
        for name, value in row.items():
            if name in ("name", "compiler"):
                continue
            self.no_other_keys({name: value}, tuple(QUANTITIES), "a kernel")
            if not is_number(value):
                raise self.unexpected(name, value, "a number")
            yield name, float(value)
