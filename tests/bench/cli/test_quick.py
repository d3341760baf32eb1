"""`attnlab run --quick`: a quick look is marked wherever it is shown, and never stands beside full runs unmarked."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from attnlab.bench.analysis.compare import compare
from attnlab.bench.analysis.history.lines import benchmark, tried
from attnlab.bench.stats.verdict import Verdict
from attnlab.bench.store.records import QUICK
from attnlab.bench.store.run_folder import StoredRun, read_run


@pytest.fixture(scope="module")
def looked(attnlab, helpers: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, StoredRun]:
    """What a quick look at the toys printed, and the run."""
    cwd = tmp_path_factory.mktemp("quick")
    ended = attnlab("run", "toy", "--plugin", helpers / "toy_operator.py", "--quick", "--impl", "plus", cwd=cwd)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.startswith("toy: 1 measurement in a quick look, of 1 implementation on 1 case\n")
    (folder,) = (cwd / "results").iterdir()
    return ended.stdout, read_run(folder)


def full(stored: StoredRun) -> StoredRun:
    """The same as a full run."""
    return replace(stored, run=replace(stored.run, effort={}, run_id="full"))


def test_it_checks_once_and_samples_little(looked: tuple[str, StoredRun]) -> None:
    _, stored = looked
    (m,) = stored.measurements
    names = [found.inputs for found in m.check.sets]
    assert set(names) == {"redrawn", "needles", "timed"}
    assert names.count("needles") == 1
    assert stored.run.effort["sampling_limit_s"] == 0.1
    assert m.turns == ()


def test_it_is_marked_in_the_run_and_in_what_is_shown(looked: tuple[str, StoredRun]) -> None:
    printed, stored = looked
    assert stored.run.quick
    assert stored.measurements[0].flags[0] == QUICK
    assert "a: a quick look: checked once, few samples (--quick)" in printed
    assert "This is a quick look: no gate takes it" in printed


def test_it_is_marked_in_a_report_and_in_the_table_of_a_stored_run(
    looked: tuple[str, StoredRun], cli, helpers: Path
) -> None:
    folder = looked[1].path
    plugin = ("--plugin", helpers / "toy_operator.py")
    assert "This is a quick look" in cli("results", "show", folder).out
    ended = cli("report", folder, "--out", "page", "--format", "markdown,csv", "--json", *plugin)
    assert ended.code == 0, ended.err
    for written in map(Path, json.loads(ended.out)):
        if written.suffix in (".md", ".csv"):
            assert "a quick look" in written.read_text(), written


def test_it_is_never_compared_with_a_full_run(looked: tuple[str, StoredRun], cli) -> None:
    quick = looked[1]
    (found,) = compare([quick], [full(quick)])
    assert found.verdict is Verdict.INCOMPARABLE
    assert found.reason == "different ways of measuring: a quick look and in full"
    ended = cli("compare", quick.path, quick.path)
    assert ended.code == 0
    assert "Quick looks (--quick): checked once, few samples." in ended.out


def test_it_has_a_line_of_its_own_in_history(looked: tuple[str, StoredRun]) -> None:
    quick = looked[1]
    (runs,) = tried([quick, full(quick)])
    found = benchmark(runs)
    assert found is not None
    assert sorted(str(line.conditions).endswith("quick looks") for line in found.lines) == [False, True]


def test_a_full_run_does_not_go_on_as_a_quick_look(looked: tuple[str, StoredRun], cli, helpers: Path) -> None:
    folder = looked[1].path
    ended = cli("run", "toy", "--plugin", helpers / "toy_operator.py", "--impl", "plus", "--resume", folder)
    assert ended.code == 2
    assert "is a run of 'toy' as a quick look (--quick), not in full" in ended.err
    assert "--quick" in ended.err.rpartition("resume it by its own command: ")[2]


def test_a_quick_look_takes_no_turns(cli) -> None:
    ended = cli("run", "attention", "--quick", "--turns", "3")
    assert ended.code == 2
    assert "got --turns 3 with --quick, which takes no turns; leave one of them out" in ended.err


@pytest.mark.parametrize("command", ["run mine.toml", "gate --base HEAD --suite mine.toml"])
def test_no_suite_asks_for_it_so_that_no_gate_takes_it(command: str, cli, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[effort]\nquick = 1\n[[bench]]\noperator = "attention"\n')
    ended = cli(*command.split())
    assert ended.code in (2, 3)
    assert re.search(r"unknown key of effort 'quick'|not a git repository|no git", ended.err + ended.out)
