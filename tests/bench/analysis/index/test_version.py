"""The version of an index changes with all the code that says what stands in it."""

from __future__ import annotations

import runpy
from pathlib import Path

from attnlab.bench.analysis.index import version

BENCH = Path(__file__).parents[4] / "bench"
ROOMS = runpy.run_path(str(BENCH.parent / "tests" / "bench" / "test_rooms.py"))


def test_all_that_makes_rows_is_part_of_the_version() -> None:
    graph = ROOMS["graph_of"](BENCH)
    waiting = {name for name in graph if name.startswith("analysis.metrics") or name == "analysis.index.segments"}
    met: set[str] = set()
    while waiting:
        met |= waiting
        waiting = {name for module in waiting for name in graph.get(module, ()) if name in graph} - met
    made_by = {file for name in version.MADE_BY for file in version.files_in(version.BENCH / name)}
    files = {module: version.BENCH / module.replace(".", "/") for module in met if module}
    known = {module for module, path in files.items() if {path.with_suffix(".py"), path / "__init__.py"} & made_by}
    assert sorted(files.keys() - known) == []


def test_every_part_is_there() -> None:
    assert all((version.BENCH / name).exists() for name in version.MADE_BY)
    assert version.index_version() == version.index_version()
