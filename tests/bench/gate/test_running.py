"""Thresholds that lie in the repository are base's, and what differs is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnlab.bench.gate.allowances import Allowances
from attnlab.bench.gate.ask import Ask
from attnlab.bench.gate.checkouts import Arm, placed
from attnlab.bench.gate.running import with_bases_thresholds
from attnlab.bench.gate.suite_source import SuiteSource
from attnlab.bench.gate.thresholds import load_thresholds

from .conftest import CEILINGS, ENVIRONMENT


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    for name in ("repo", "base"):
        (tmp_path / name).mkdir()
    return tmp_path / "repo"


def asked(repo: Path, of_base: str | None, of_head: str) -> Ask:
    file = repo / "gate.toml"
    file.write_text(of_head)
    base = Arm("base", repo.parent / "base", "abc", "main")
    if of_base is not None:
        (base.root / "gate.toml").write_text(of_base)
    ask = Ask((SuiteSource("s.toml"),), load_thresholds(file), ENVIRONMENT, CEILINGS, "attnlab gate")
    return with_bases_thresholds(ask, file, repo, base)


def test_head_does_not_loosen_what_it_is_judged_by(repo: Path) -> None:
    ask = asked(repo, "target = 0.03\n", 'target = 0.9\nallow_removed = ["toy/old*"]\n')
    assert ask.thresholds.target == 0.03
    assert ask.thresholds.allowances == Allowances(removed=("toy/old*",)), "what is named is head's to name"
    (note,) = ask.notes
    assert "gate.toml differs between base and head (target 0.03 → 0.9): base's counts here" in note


def test_equal_thresholds_are_no_news(repo: Path) -> None:
    assert asked(repo, "target = 0.05\n", "target = 0.05\n").notes == ()


def test_a_file_that_base_has_not(repo: Path) -> None:
    ask = asked(repo, None, "target = 0.5\n")
    assert ask.thresholds.target == 0.5
    assert "the thresholds are head's" in ask.notes[0]


def test_a_file_from_outside_the_repository_is_the_same_for_both(repo: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.toml"
    outside.write_text("target = 0.5\n")
    ask = Ask((SuiteSource("s.toml"),), load_thresholds(outside), ENVIRONMENT, CEILINGS, "attnlab gate")
    base = Arm("base", tmp_path / "base", "abc", "main")
    assert with_bases_thresholds(ask, outside, repo, base) == ask


def test_a_file_that_is_a_link_is_each_arms_own(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.toml").touch()
    (tmp_path / "folder").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "suite.toml").symlink_to("a.toml")
    assert placed(tmp_path / "folder" / "suite.toml") == tmp_path.resolve() / "real" / "suite.toml"
