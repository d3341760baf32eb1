"""The rooms of `bench`: each imports its own and those above it, and no chain of imports comes back to its start.

Imports inside functions and for types alone count as others do.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
HERE = "attnlab.bench"
ROOT = ("errors", "units", "text", "text_table", "html_table", "toml_file", "suites", "moved", "whole_file")
ROOMS = (
    "stats",
    "store",
    "contract",
    "machine",
    "ranks",
    "profilers",
    "llm",
    "serving",
    "ops",
    "server",
    "measuring",
    "cluster",
    "analysis",
    "exchange",
    "reporters",
    "gate",
    "tuning",
    "doctor",
    "notebook",
    "pytesting",
    "cli",
)
"""In the order of CONTRIBUTING's table: each may import those before it."""

Graph = Mapping[str, Set[str]]


def module_of(path: Path, root: Path) -> str:
    """Its name below `attnlab.bench`; "" is the edge itself."""
    name = ".".join(path.relative_to(root).with_suffix("").parts)
    return "" if name == "__init__" else name.removesuffix(".__init__")


def imported(node: ast.AST) -> Iterator[tuple[str, str | None]]:
    """What a statement imports of the harness: names below `attnlab.bench`, and what of them."""
    if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{HERE}."):
        for alias in node.names:
            yield (node.module or "")[len(HERE) :].lstrip("."), alias.name
    elif isinstance(node, ast.Import):
        for alias in node.names:
            if f"{alias.name}.".startswith(f"{HERE}."):
                yield alias.name[len(HERE) :].lstrip("."), None


def graph_of(root: Path) -> dict[str, set[str]]:
    """Each module, and the modules that it imports."""
    paths = {module_of(path, root): path for path in sorted(root.rglob("*.py"))}
    graph: dict[str, set[str]] = {}
    for module, path in paths.items():
        graph[module] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for base, name in imported(node):
                whole = ".".join(filter(None, (base, name)))
                graph[module].add(whole if whole in paths else base)
    return graph


def room_of(module: str) -> str:
    return module.partition(".")[0]


def place_of(module: str) -> int:
    """Where its room stands in the order: the root before all rooms, the edge and `python -m` after them."""
    room = room_of(module)
    if room in ROOT:
        return -1
    return len(ROOMS) if room in ("", "__main__") else ROOMS.index(room)


def wrong_ways(graph: Graph) -> list[str]:
    return [
        f"{module} imports {other}"
        for module, others in sorted(graph.items())
        for other in sorted(others)
        if place_of(other) > place_of(module)
    ]


def circles(graph: Graph) -> list[list[str]]:
    """Modules that import each other, straight or through others: what is left when all ends are taken away."""
    left = {module: set(others) for module, others in graph.items()}
    while ends := {m for m, others in left.items() if not others & left.keys()}:
        left = {m: others for m, others in left.items() if m not in ends}
    reached = {m: reachable(m, left) for m in left}
    groups = {frozenset({m} | {o for o in reached[m] if m in reached.get(o, ())}) for m in left if m in reached[m]}
    return sorted(sorted(group) for group in groups)


def reachable(start: str, graph: Graph) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        fresh = (graph.get(waiting.pop(), set()) & graph.keys()) - seen
        seen |= fresh
        waiting += fresh
    return seen


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return graph_of(BENCH)


def test_every_module_lies_in_a_room(graph: Graph) -> None:
    assert len(graph) > 300
    assert {room_of(module) for module in graph} == {*ROOT, *ROOMS, "", "__main__"}


def test_imports_go_one_way(graph: Graph) -> None:
    assert wrong_ways(graph) == []


def test_no_import_goes_round(graph: Graph) -> None:
    assert circles(graph) == []


def test_everything_that_is_imported_is_there(graph: Graph) -> None:
    """Nothing of ours leans on a name that only stands for a moved one."""
    missing = {other for others in graph.values() for other in others} - graph.keys()
    assert missing == set()


@pytest.mark.parametrize(
    "text",
    [
        "from attnlab.bench.gate import matching",
        "from attnlab.bench.gate.matching import pairs",
        "import attnlab.bench.gate.matching",
        "def late():\n    from attnlab.bench.gate.matching import pairs",
        "if TYPE_CHECKING:\n    from attnlab.bench.gate import matching",
    ],
)
def test_a_wrong_way_is_seen(text: str, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "gate").mkdir()
    (tmp_path / "store" / "records.py").write_text(text)
    (tmp_path / "gate" / "matching.py").write_text("")
    assert wrong_ways(graph_of(tmp_path)) == ["store.records imports gate.matching"]


def test_the_edge_is_the_last_of_all(tmp_path: Path) -> None:
    (tmp_path / "cli").mkdir()
    (tmp_path / "__init__.py").write_text("from attnlab.bench.cli.run import execute")
    (tmp_path / "cli" / "run.py").write_text("from attnlab.bench import load")
    assert wrong_ways(graph_of(tmp_path)) == ["cli.run imports "]


def test_circles_are_seen_and_what_hangs_on_them_is_not_part_of_them() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "end"}, "before": {"a"}, "end": set(), "self": {"self"}}
    assert circles(graph) == [["a", "b", "c"], ["self"]]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_can_be_imported_first(room: str) -> None:
    """None works only because another was imported before it."""
    code = f"import importlib; importlib.import_module('{HERE}.{room}')"
    assert subprocess.run([sys.executable, "-W", "error::DeprecationWarning:attnlab", "-c", code]).returncode == 0
