"""`attnlab gate --static` in a repository of a user's own: revisions compared, verdicts written, bad input told."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

SUITE = """
[[bench]]
operator = "linear"
implementations = ["static_product"]
cases = ["M64-N64-K1040-bf16"]
"""
STAGES = ("= 64, 64, 64, 2, 4", "= 64, 64, 64, 12, 4")
KEY = "linear/static_product[M64-N64-K1040-bf16] sm_80"


@pytest.fixture
def repo(cli: Callable, helpers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a kernel and a suite, and a cache that nobody else has."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "repo"
    root.mkdir()
    (root / "kernel.py").write_text((helpers / "static_kernels.py").read_text(encoding="utf-8"), encoding="utf-8")
    (root / "mine.toml").write_text(SUITE, encoding="utf-8")
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "base"]):
        identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
        subprocess.run(["git", "-C", str(root), *identity, *command], check=True)
    monkeypatch.chdir(root)
    return root


def edit(repo: Path, old: str, new: str) -> None:
    kernel = repo / "kernel.py"
    text = kernel.read_text(encoding="utf-8")
    assert old in text
    kernel.write_text(text.replace(old, new), encoding="utf-8")


def test_a_gate_of_a_users_kernel(repo: Path, cli: Callable) -> None:
    """A fault is stopped in every format; the same again compiles nothing; what does not compile is told by line."""
    asked = ["gate", "--static", "--suite", "mine.toml", "--plugin", "kernel.py", "--arch", "80"]
    asked += ["--base", "HEAD", "--out", "out"]
    edit(repo, *STAGES)
    ended = cli(*asked, "--comment", "comment.md")
    assert ended.code == 1, ended.err
    assert f"worse: {KEY} _product\n  at kernel.py:" in ended.out
    assert "shared memory above the limit 0 B → " in ended.out
    (folder,) = (repo / "out").iterdir()
    stored = json.loads((folder / "static.json").read_text(encoding="utf-8"))
    assert [row["verdict"] for row in stored["rows"]] == ["worse"]
    suite = ET.parse(folder / "junit.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("errors"), suite.get("tests")) == ("1", "0", "1")
    assert "| **worse** |" in (repo / "comment.md").read_text(encoding="utf-8")
    assert "Regression" in (folder / "summary.md").read_text(encoding="utf-8")

    again = cli(*asked)
    assert (again.code, "nothing had to be compiled" in again.out) == (1, True)

    edit(repo, STAGES[1], STAGES[0])
    edit(repo, "acc = tl.dot(a, b, acc)\n    for", "acc = tl.dot(a, nothing, acc)\n    for")
    broken = cli(*asked)
    assert broken.code == 2
    line = (repo / "kernel.py").read_text(encoding="utf-8").splitlines().index(
        "        acc = tl.dot(a, nothing, acc)"
    ) + 1
    assert f"does not compile: {KEY}\n  at kernel.py:{line}" in broken.out
    assert "nothing is not defined" in broken.out


def test_a_budget_holds_without_a_base(repo: Path, cli: Callable) -> None:
    """What is written is held; what is unchanged is not compiled; a fault is stopped, and seen by `profile` too."""
    asked = ["gate", "--static", "--suite", "mine.toml", "--plugin", "kernel.py", "--out", "out"]
    asked += ["--budgets", "budgets.toml"]
    written = cli(*asked, "--arch", "80", "--write-budgets")
    assert written.code == 0, written.err
    assert KEY.partition("[")[0] in (repo / "budgets.toml").read_text(encoding="utf-8")
    held = cli(*asked)
    assert (held.code, "nothing had to be compiled" in held.out) == (0, True), held.err
    edit(repo, *STAGES)
    stopped = cli(*asked)
    assert stopped.code == 1
    assert f"worse: {KEY} _product" in stopped.out

    case = ["--case", "M64-N64-K1040-bf16", "--tool", "static", "--arch", "80", "--plugin", "kernel.py", "--unchecked"]
    seen = cli("profile", "linear", "--impl", "static_product", *case)
    assert "`_product` for sm_80 cannot be launched: it needs more shared memory" in seen.out
    assert (seen.code, seen.out.count("Try: Fewer stages, or smaller tiles.")) == (0, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--arch", "sm_91", "--base", "HEAD"], "unknown architecture 'sm_91'"),
        (["--base", "nowhere"], "has no revision 'nowhere'"),
        ([], "kernels/budgets.toml: cannot be read: No such file or directory; write one with"),
        (["--base", "HEAD", "--aa"], "--aa is of the gate that measures"),
        (["--base", "HEAD", "--budgets", "b.toml"], "compare with one of them"),
        (["--isolated"], "need a --base REV"),
        (["--base", "HEAD", "--rules", "none.toml"], "none.toml: cannot be read"),
    ],
)
def test_what_cannot_be_asked(options: list[str], said: str, repo: Path, cli: Callable) -> None:
    ended = cli("gate", "--static", *options)
    assert (ended.code, said in ended.err) == (2, True), ended.err


def test_options_of_the_static_gate_belong_to_it(repo: Path, cli: Callable) -> None:
    ended = cli("gate", "--base", "HEAD", "--suite", "quick", "--arch", "80")
    assert (ended.code, "--arch belongs to --static" in ended.err) == (2, True)
    ended = cli("gate", "--suite", "quick")
    assert (ended.code, "name --base REV" in ended.err) == (2, True)
