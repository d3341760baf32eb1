"""Arms: worktrees that come and go, and git's state left as it was found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from attnlab.bench.errors import UsageError
from attnlab.bench.gate.checkouts import Arm, checked_out
from attnlab.bench.gate.checkouts import repository as repository_of

from .conftest import Repository


def test_both_revisions_lie_side_by_side(repository: Repository) -> None:
    first = repository.commit(a__txt="one")
    repository.commit(a__txt="two")
    before = repository.state()
    with checked_out(repository.root, "HEAD~1", "HEAD") as (base, head):
        assert (base.root / "a.txt").read_text() == "one"
        assert (head.root / "a.txt").read_text() == "two"
        assert base.revision == first
        assert base.label == f"base HEAD~1 ({first[:10]})"
        assert len({base.root, head.root, repository.root}) == 3
        roots = base.root, head.root
    assert repository.state() == before
    assert not any(root.parent.exists() for root in roots)


def test_the_working_tree_is_measured_as_it_lies_there(repository: Repository) -> None:
    repository.commit(a__txt="one")
    with checked_out(repository.root, "HEAD", "worktree") as (base, head):
        assert head.root == repository.root
        assert not head.dirty
        assert not base.dirty
    repository.write(a__txt="changed", b__txt="new")
    before = repository.state()
    with checked_out(repository.root, "HEAD", "worktree") as (base, head):
        assert head.dirty
        assert "with uncommitted changes" in head.label
        assert (base.root / "a.txt").read_text() == "one"
    assert repository.state() == before
    assert (repository.root / "a.txt").read_text() == "changed"


def test_its_own_results_are_no_changes(repository: Repository) -> None:
    repository.commit(a__txt="one")
    for name in ("results/x-gate-s/gate.json", "results/x-gate-s/base/run.json", "out/y-s/run.json"):
        repository.write(**{name: "{}"})
    repository.write(**{"results/x-gate-s/summary.md": "", "results/z/pairs.jsonl": ""})
    (repository.root / "src" / "__pycache__").mkdir(parents=True)
    (repository.root / "src" / "__pycache__" / "a.pyc").touch()
    assert not arm_of(repository).dirty
    repository.write(**{"results/x-gate-s/kernel.py": ""})
    assert arm_of(repository).dirty, "code is code, wherever it lies"


def test_what_is_ignored_is_no_change(repository: Repository) -> None:
    repository.commit(**{".gitignore": "built\n"})
    repository.write(built="")
    assert not arm_of(repository).dirty
    repository.write(other="")
    assert arm_of(repository).dirty


def arm_of(repository: Repository) -> Arm:
    with checked_out(repository.root, "HEAD", "worktree") as (_, head):
        return head


@pytest.mark.parametrize("revision", ["nowhere", "--help", "", "HEAD~99", "a b"])
def test_a_revision_that_does_not_exist(revision: str, repository: Repository) -> None:
    repository.commit()
    before = repository.state()
    with pytest.raises(UsageError, match=r"has no revision .*; give a branch, a tag or a commit"):
        checked_out(repository.root, revision, "HEAD").__enter__()
    assert repository.state() == before


def test_a_tree_is_no_revision(repository: Repository) -> None:
    repository.commit(a__txt="one")
    with pytest.raises(UsageError, match="has no revision"):
        checked_out(repository.root, "HEAD:a.txt", "HEAD").__enter__()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_worktrees_go_whatever_happens(error: type[BaseException], repository: Repository) -> None:
    repository.commit()
    before = repository.state()

    def fail() -> None:
        with checked_out(repository.root, "HEAD", "HEAD") as (base, _):
            (base.root / "litter.txt").write_text("left behind")
            raise error

    with pytest.raises(error):
        fail()
    assert repository.state() == before


def test_the_second_worktree_failing_takes_the_first_away(repository: Repository) -> None:
    repository.commit()
    before = repository.state()
    with pytest.raises(UsageError):
        checked_out(repository.root, "HEAD", "nowhere").__enter__()
    assert repository.state() == before


def test_a_repository_is_found_from_below(repository: Repository) -> None:
    repository.commit(deep="a")
    (repository.root / "sub" / "folder").mkdir(parents=True)
    assert repository_of(repository.root / "sub" / "folder") == repository.root.resolve()


def test_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UsageError, match="is in no git repository"):
        repository_of(tmp_path)


def test_no_git(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="the gate needs git"):
        repository_of(repository.root)


KILLED = """
import os, pathlib, signal, sys
from attnlab.bench.gate.checkouts import checked_out
with checked_out(pathlib.Path(sys.argv[1]), "HEAD", "HEAD"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_gate_clears_what_a_killed_one_left(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit(a__txt="one")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    repository.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "attnlab-base-mine" / "repo"))
    users = tmp_path / "unmounted" / "theirs"
    repository.git("worktree", "add", "--quiet", "--detach", str(users))
    shutil.rmtree(users.parent)
    before = repository.state()
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, str(repository.root)], check=False)
    first, *_ = sorted(temporary.glob("attnlab-base-*"))
    shutil.rmtree(first)  # as a clean-up of temporary files would
    assert repository.git("worktree", "list").count("attnlab-") == 3
    with checked_out(repository.root, "HEAD", "HEAD") as (base, _):
        assert repository.git("worktree", "list").count("attnlab-") == 3, "the user's and this gate's two"
        with checked_out(repository.root, "HEAD", "HEAD"):
            assert (base.root / "a.txt").exists(), "a living gate's stay"
    assert repository.state() == before, "the user's own, even one that is gone, are not touched"
    assert list(temporary.iterdir()) == []
