"""What this repository's own files declare, read off their text: names are known in a tenth of the time of importing.

Registering imports torch, which takes seconds. The registry is the truth; a test holds this against it.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from attnlab.bench.contract.plugins import ENTRY_POINT_GROUP
from attnlab.bench.contract.registry import OURS, SUITES, Needs, registry

BENCH = SUITES.parent
OF_OPERATORS = {"name", "summary", "case_type"}  # words of a call that makes one


@dataclass(frozen=True)
class DeclaredOperator:
    """An operator of a file under `bench/ops/`."""

    name: str
    summary: str


@dataclass(frozen=True)
class DeclaredImplementation:
    """An implementation of a file under `impls/`, with what it needs of the machine."""

    operator: str
    name: str
    needs: Needs


def is_all(plugins: Sequence[str]) -> bool:
    """Whether nothing but these files registers anything: no plugin, no entry point, and nothing in this process."""
    return not (plugins or registry.count() or importlib.metadata.entry_points(group=ENTRY_POINT_GROUP))


def operators() -> list[DeclaredOperator]:
    """By name."""
    calls = (call for file in _files(BENCH / "ops", "**/*.py") for call in _operators(file))
    found = (DeclaredOperator(*(_constant(call, word) for word in ("name", "summary"))) for call in calls)
    return sorted(found, key=lambda operator: operator.name)


def axes(operator: str) -> list[str]:
    """The names of an operator's axes: what is made by a call in its case, and in what that is derived from."""
    files = sorted((BENCH / "ops").rglob("*.py"))
    kinds = {kind.name: kind for file in files for kind in _tree(file).body if isinstance(kind, ast.ClassDef)}
    made = next(call for file in files for call in _operators(file) if _constant(call, "name") == operator)
    case = next(ast.unparse(given.value) for given in made.keywords if given.arg == "case_type")
    found: list[str] = []
    while case in kinds:
        lines = [line for line in kinds[case].body if isinstance(line, ast.AnnAssign)]
        found += [ast.unparse(line.target) for line in lines if isinstance(line.value, ast.Call)]
        case = ast.unparse(kinds[case].bases[0]) if kinds[case].bases else ""
    return list(dict.fromkeys(found))


def implementations() -> list[DeclaredImplementation]:
    """By file."""
    return [
        DeclaredImplementation(ast.literal_eval(call.args[0]), _constant(call, "name"), _needs(call))
        for root in roots()
        for file in _files(root, "*/*.py")
        for call in _calls(file)
        if ast.unparse(call.func) == "implements"
    ]


def roots() -> list[Path]:
    """The folders of implementations."""
    spec = importlib.util.find_spec(OURS)
    return [Path(path) for path in (spec.submodule_search_locations or ())] if spec else []


def metrics() -> list[str]:
    """Their files' names."""
    return [file.stem for file in _files(BENCH / "analysis" / "metrics", "*.py")]


def suites() -> list[str]:
    return sorted(path.stem for path in SUITES.glob("*.toml"))


def formats() -> list[str]:
    """The formats of reports."""
    return sorted(
        ast.literal_eval(line.value)
        for file in _files(BENCH / "reporters", "*.py")
        for kind in _tree(file).body
        if isinstance(kind, ast.ClassDef)
        for line in kind.body
        if isinstance(line, ast.AnnAssign) and ast.unparse(line.target) == "name" and line.value is not None
    )


def _files(root: Path, pattern: str) -> Iterator[Path]:
    for path in sorted(root.glob(pattern)):
        if not any(part.startswith("_") for part in path.relative_to(root).parts):
            yield path


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _calls(file: Path) -> Iterator[ast.Call]:
    """Calls at the top of a file, and as decorators there."""
    for line in _tree(file).body:
        decorators = line.decorator_list if isinstance(line, ast.ClassDef | ast.FunctionDef) else []
        values = [line.value] if isinstance(line, ast.Assign | ast.AnnAssign) else []
        yield from (call for call in (*decorators, *values) if isinstance(call, ast.Call))


def _operators(file: Path) -> Iterator[ast.Call]:
    """What makes an operator, by whichever function: it is given what each has to have."""
    return (call for call in _calls(file) if {given.arg for given in call.keywords} >= OF_OPERATORS)


def _constant(call: ast.Call, word: str) -> Any:
    return next(ast.literal_eval(given.value) for given in call.keywords if given.arg == word)


def _needs(call: ast.Call) -> Needs:
    declared = next((given.value for given in call.keywords if given.arg == "needs"), None)
    words = declared.keywords if isinstance(declared, ast.Call) else []
    return Needs(**{str(given.arg): ast.literal_eval(given.value) for given in words})
