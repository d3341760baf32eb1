"""What tests an arm offers to the gate: those that use the fixture, as pytest collected them there."""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.errors import UsageError
from attnlab.bench.gate.messages import Offer
from attnlab.bench.measuring.fingerprint import content
from attnlab.bench.pytesting import marker
from attnlab.bench.pytesting.arms.order import FIXTURE
from attnlab.bench.store.records import CALLABLE
from attnlab.bench.text import one_line

PLAIN = (bool, int, float, str, bytes, type(None))


def benchmark_tests(items: Iterable[pytest.Item]) -> Iterator[pytest.Function]:
    """The tests that use the fixture."""
    return (item for item in items if isinstance(item, pytest.Function) and FIXTURE in item.fixturenames)


def name_of(item: pytest.Function, arm: Path) -> tuple[str, str]:
    """A test's name, such as `tests/bench_sort.py::test_sort`, and the id of its parameters, which may be empty."""
    case_id = _parameters(item)[0]
    within = item.nodeid.partition("::")[2].removesuffix(f"[{case_id}]")
    return f"{relative(item.path, arm)}::{within}", case_id


def relative(path: Path, arm: Path) -> str:
    """A path in the arm's checkout; as it is where it lies elsewhere."""
    return path.relative_to(arm).as_posix() if path.is_relative_to(arm) else path.as_posix()


def offer(item: pytest.Function, arm: Path) -> Offer:
    """A test as a benchmark."""
    name, case_id = name_of(item, arm)
    given = _given(item)
    return Offer(
        operator=CALLABLE,
        implementation=name,
        case_id=case_id,
        module=getattr(item.module, "__name__", ""),
        source=relative(item.path, arm) if item.path.is_relative_to(arm) else None,
        fingerprint=content(item.path),
        values=dict(_values(_parameters(item)[1])),
        operations=given.operations,
        bytes_moved=given.bytes,
        code=own_code(item.function),
        line=(item.location[1] or 0) + 1,
    )


def own_code(function: Any) -> str | None:
    """A hash of what a test does, whatever its layout, its comments and its parameters; None where it has no source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, SyntaxError, TypeError):
        return None
    (made,) = tree.body
    if isinstance(made, (ast.FunctionDef, ast.AsyncFunctionDef)):
        made.decorator_list = [one for one in made.decorator_list if "parametrize" not in ast.dump(one)]
        if ast.get_docstring(made) is not None:
            del made.body[0]
    return hashlib.sha256(ast.dump(made).encode()).hexdigest()[:16]


def _parameters(item: pytest.Function) -> tuple[str, Mapping[str, object]]:
    spec = getattr(item, "callspec", None)
    return ("", {}) if spec is None else (spec.id, spec.params)


def _values(parameters: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Parameters whose values can be told; of others an object's address is all that there is."""
    for name, value in parameters.items():
        if isinstance(value, PLAIN) or (isinstance(value, (tuple, list)) and all(isinstance(v, PLAIN) for v in value)):
            yield name, repr(value)


def _given(item: pytest.Item) -> marker.MarkerArguments:
    """What the marker says; a wrong one fails the test when it runs."""
    try:
        return marker.MarkerArguments.of(marker.read(item.iter_markers("attnlab")))
    except UsageError:
        return marker.MarkerArguments()


def first_error(text: str) -> str:
    """The line of a report that says what went wrong."""
    lines = [line for line in text.splitlines() if line.strip()]
    said = next((line[1:] for line in lines if line.startswith("E ")), lines[-1] if lines else "")
    return one_line(said)
