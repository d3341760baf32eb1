"""A plugin outside of the repository that brings all that one can, and imports nothing of attnlab but its edge."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench import PROFILERS, REPORTERS
from attnlab.bench.store.records import Outcome
from attnlab.bench.store.run_folder import read_run

EXTRAS = """
import toy_operator
from attnlab.bench import PROFILERS, REPORTERS, Profiler, ToolRecord


class Lines:
    name, suffix = "lines", ".txt"

    def write(self, report, folder):
        path = folder / f"report{self.suffix}"
        path.write_text("".join(f"{run.run_id}\\n" for run in report.runs))
        return [path]


REPORTERS.add(Lines.name, Lines(), __name__)
nothing = Profiler("nothing", "a profiler", lambda call: None, lambda call, folder: ToolRecord("nothing"))
PROFILERS.add("nothing", nothing, __name__)
"""


BROKEN = """
from attnlab.bench import REPORTERS


class Broken:
    name, suffix = "broken", ".txt"

    def write(self, report, folder):
        return report.no_such_thing


REPORTERS.add(Broken.name, Broken(), __name__)
"""


@pytest.fixture
def plugin(helpers: Path, tmp_path: Path, plugins_forgotten: None) -> Path:
    for name in ("toy_operator.py", "toys.toml"):
        shutil.copy(helpers / name, tmp_path / name)
    path = tmp_path / "outside.py"
    path.write_text(EXTRAS)
    yield path
    REPORTERS.discard("lines")
    REPORTERS.discard("broken")
    PROFILERS.discard("nothing")


def test_it_imports_the_edge_alone(plugin: Path) -> None:
    for name in ("outside.py", "toy_operator.py"):
        for node in ast.walk(ast.parse((plugin.parent / name).read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name for name in names if name.startswith("attnlab")} <= {"attnlab.bench"}


def test_all_that_it_brings_is_used(plugin: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    listed = cli("list", "--plugin", plugin, "--json")
    names = {entry["name"] for entry in json.loads(listed.out)}
    assert {"toy", "toy/plus", "toy/times", "calls_per_s", "toys"} <= names
    ran = cli("run", "toys", "--plugin", plugin, "--out", tmp_path / "results")
    assert ran.code == 0
    (folder,) = (tmp_path / "results").iterdir()
    measurements = read_run(folder).measurements
    assert {(m.implementation, m.outcome) for m in measurements} == {
        ("plus", Outcome.PASSED),
        ("times", Outcome.PASSED),
    }
    assert len(measurements) == 6
    written = tmp_path / "report"
    assert cli("report", folder, "--plugin", plugin, "--out", written, "--format", "lines,markdown").code == 0
    assert (written / "report.txt").read_text() == f"{folder.name}\n"
    assert "calls" in (written / "summary.md").read_text()
    plugin.with_name("broken.py").write_text(BROKEN)
    ended = cli("report", folder, "--plugin", plugin.with_name("broken.py"), "--out", written, "--format", "broken,csv")
    assert ended.code == 2
    assert f"reporter 'broken' of {plugin.with_name('broken.py')} fails (AttributeError: " in ended.err
    assert "mend it, or name other formats by --format" in ended.err
    assert (written / "results.csv").is_file(), "it costs the others nothing"
    assert PROFILERS.get("nothing").profile(None, written).empty
