"""`attnlab gate` in a repository of a user's own, for real: its processes, its exit codes, what it leaves behind.

The gate itself runs in this process where its end is not what is tested: importing torch once more takes seconds.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import site
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

KERNEL = '''
import time

import toy_operator
from attnlab.bench import implements


@implements("toy", name="mine")
def mine(inputs):
    """Twice the input, after a while."""
    time.sleep({seconds})
    return inputs.x * {factor}
'''
SUITE = """
[effort]
warmup_limit_s = 0.05
[[bench]]
operator = "toy"
implementations = ["mine"]
cases = ["N4"]
"""
GONE = '''

@implements("toy", name="gone")
def gone(inputs):
    """Twice the input."""
    return inputs.x * 2
'''
FEW_PAIRS = """
pairs = 6
most_pairs = 6
alpha = 0.5
[[threshold]]
quantity = "*"
report_only = true
[[threshold]]
quantity = "latency"
target = 0.03
"""
GATE = ("gate", "--suite", "suite.toml", "--plugin", "kernel.py", "--thresholds", "gate.toml", "--out", "../out")


@dataclass(frozen=True)
class Project:
    """A user's repository with a plugin, a suite and a file of thresholds."""

    root: Path
    environment: dict[str, str]
    cli: Callable[..., Any]

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def kernel(self, seconds: float = 0.002, factor: float = 2.0, before: str = "", behind: str = "") -> None:
        text = before + KERNEL.format(seconds=seconds, factor=factor) + behind
        (self.root / "kernel.py").write_text(text)

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a commit")

    def state(self) -> tuple[str, ...]:
        commands = (("status", "--porcelain"), ("worktree", "list"), ("branch", "-av"), ("stash", "list"))
        return tuple(self.git(*command) for command in commands)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "attnlab.bench", *GATE, *arguments]
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's background job ignores
        )

    def gate(self, *arguments: str) -> tuple[int, str, str]:
        ended = self.cli(*GATE, *arguments)
        return ended.code, ended.out, ended.err

    def folder(self) -> Path:
        (found,) = (self.root.parent / "out").iterdir()
        return found


@pytest.fixture
def project(
    tmp_path: Path,
    helpers: Path,
    user_environment: dict[str, str],
    cli: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Project]:
    root = tmp_path / "project"
    root.mkdir()
    own = {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    environment = {**user_environment, **own}
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        environment.pop(name, None)
        monkeypatch.delenv(name, raising=False)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(root)
    made = Project(root, environment, cli)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.git("config", "user.email", "somebody@example.org")
    made.git("config", "user.name", "Somebody")
    (root / "toy_operator.py").write_text((helpers / "toy_operator.py").read_text())
    (root / "suite.toml").write_text(SUITE)
    (root / "gate.toml").write_text(FEW_PAIRS)
    made.kernel()
    made.commit()
    yield made
    assert made.git("worktree", "list").count("\n") == 0


@pytest.mark.slow
def test_a_slower_commit_is_stopped_and_named(project: Project) -> None:
    """The working tree sleeps for twice as long; base and head import their own code although both are on the path."""
    project.kernel(seconds=0.004)
    before = project.state()
    code, out, err = project.gate("--base", "HEAD")
    assert code == 1, out + err
    assert out.strip().splitlines()[-3] == "Regression: toy/mine[N4] (latency)."
    assert "with uncommitted changes" in out
    assert project.state() == before
    folder = project.folder()
    stored = json.loads((folder / "gate.json").read_text())
    (row,) = stored["rows"]
    assert row["verdict"] == "slower"
    assert row["first"]["ratio"] == pytest.approx(1.75, abs=0.4)
    first, fresh = row["first"]["pairs"], row["confirmation"]["pairs"]
    assert (first, fresh >= 6) == (6, True)
    assert ET.parse(folder / "junit.xml").find(".//failure") is not None
    assert len((folder / "pairs.jsonl").read_text().splitlines()) == first + fresh, "what was measured is never deleted"
    for arm in ("base", "head"):
        assert (folder / arm / "run.json").is_file()


def test_it_fails_closed(project: Project) -> None:
    """One is wrong on head and one is not there; `gate/test_session.py` shows that either alone would do."""
    (project.root / "suite.toml").write_text(SUITE.replace('["mine"]', '["mine", "gone"]'))
    project.kernel(behind=GONE)
    project.commit()
    project.kernel(factor=3.0)
    before = project.state()
    code, out, err = project.gate("--base", "HEAD")
    assert code == 3, out + err
    assert "wrong or failing on head" in out + err
    assert "missing on head" in out + err
    assert project.state() == before


def test_a_base_that_does_not_import_fails_closed(project: Project) -> None:
    project.kernel(before="import no_such_module\n")
    project.commit()
    project.kernel()
    code, _out, err = project.gate("--base", "HEAD")
    assert code == 3
    assert "base HEAD" in err
    assert "no_such_module" in err
    assert "the gate fails closed" in err
    assert not list((project.root.parent / "out").iterdir()), "nothing was measured, nothing is left"


def test_a_plugin_that_base_has_not_is_new(project: Project) -> None:
    """Nothing can be compared then, so that the gate does not pass unless that is allowed by name."""
    project.git("rm", "--quiet", "--cached", "kernel.py")
    project.git("commit", "--quiet", "--message", "without it")
    code, out, _err = project.gate("--base", "HEAD")
    assert code == 3
    assert "toy/mine[N4]: new" in out
    assert "base has no plugin" in out
    code, out, _err = project.gate("--base", "HEAD", "--allow-new-baseline", "toy/*")
    assert code == 0
    assert "--allow-new-baseline 'toy/*' let through toy/mine[N4] (new)" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--base", "nowhere"), "has no revision 'nowhere'"),
        (("--base", "HEAD", "--head", "nowhere"), "has no revision 'nowhere'"),
        (("--base", "HEAD", "--suite", "none.toml"), "no such suite file"),
        (("--base", "HEAD", "--suite", "broken.toml"), "broken.toml:1: not TOML"),
        (("--base", "HEAD", "--suite", "stranger.toml"), "toy/stranger"),
    ],
)
def test_usage(arguments: tuple[str, ...], said: str, project: Project) -> None:
    (project.root / "broken.toml").write_text("[[bench]\n")
    (project.root / "stranger.toml").write_text('[[bench]]\noperator = "toy"\nimplementations = ["stranger"]\n')
    before = project.state()
    code, out, err = project.gate(*arguments)
    assert code == 2, out + err
    assert said in err
    assert project.state() == before


def test_nothing_to_measure(project: Project) -> None:
    ended = project.cli("gate", "--base", "HEAD")
    assert ended.code == 2
    assert "name --suite SUITE, --pytest TEST, or both" in ended.err
    ended = project.cli("gate", "--base", "HEAD", "--pytest", "tests/none_*.py")
    assert ended.code == 2
    assert "no such file in base HEAD" in ended.err
    ended = project.cli("gate", "--base", "HEAD", "--suite", "suite.toml", "--comment", "nowhere/c.md")
    assert ended.code == 2
    assert "there is no folder nowhere" in ended.err


def test_no_repository(cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    ended = cli("gate", "--base", "main", "--suite", "quick")
    assert ended.code == 2
    assert "is in no git repository" in ended.err


def test_an_arm_that_cannot_be_built_fails_closed(project: Project) -> None:
    code, _, err = project.gate("--base", "HEAD", "--prepare", 'echo building $ATTNLAB_ARM; test "$ATTNLAB_ARM" = head')
    assert code == 3
    assert "base HEAD" in err
    assert "ended with exit code 1" in err
    assert "building base" in err


BENCH = """
import time

import pytest
from nap import nap

made = []


@pytest.fixture(scope="session")
def seconds():
    made.append(1)
    return 0.002


def test_slower(attnlab_bench, seconds):
    assert attnlab_bench(nap, seconds) == seconds
    assert made == [1]


def test_same(attnlab_bench, seconds):
    attnlab_bench(time.sleep, seconds)
    assert made == [1], "the session's fixture is shared"


@pytest.mark.parametrize("name", [{names}])
def test_named(attnlab_bench, name):
    assert attnlab_bench(str.upper, name) == {upper}
"""
NAP = "import time\n\n\ndef nap(seconds):\n    time.sleep({factor} * seconds)\n    return seconds\n"


@pytest.mark.slow
def test_benchmarks_of_tests_are_gated(project: Project) -> None:
    """One is slower, one is the same, one has another id on head; pairs are real."""

    def write(factor: float, names: str, upper: str) -> None:
        (project.root / "tests").mkdir(exist_ok=True)
        (project.root / "nap.py").write_text(NAP.format(factor=factor))
        (project.root / "tests" / "bench_nap.py").write_text(BENCH.format(names=names, upper=upper))

    write(1.0, '"a", "b"', "name.upper()")
    project.commit()
    write(2.0, '"a", "c"', "name.upper()")
    before = project.state()
    tests, comment = ("--pytest", "tests/bench_*.py"), project.root.parent / "comment.md"
    ended = project.cli(
        "gate", "--base", "HEAD", *tests, "--thresholds", "gate.toml", "--out", "../out", "--comment", comment
    )
    assert ended.code == 1, ended.out + ended.err
    assert ended.out.count("Regression: tests/bench_nap.py::test_slower (latency).") == 1
    rows = {
        row["implementation"] + row["case_id"]: row
        for row in json.loads((project.folder() / "gate.json").read_text())["rows"]
    }
    found = {
        name.removeprefix("tests/bench_nap.py::test_"): (row["standing"], row["verdict"]) for name, row in rows.items()
    }
    assert found["slower"] == ("compared", "slower")
    assert found["same"] in [("compared", "same"), ("compared", "inconclusive")]
    assert (found["namedb"], found["namedc"]) == (("missing on head", None), ("new", None))
    assert rows["tests/bench_nap.py::test_slower"]["first"]["ratio"] == pytest.approx(1.75, abs=0.4)
    assert "`tests/bench_nap.py:" in comment.read_text()
    assert project.state() == before
    again = project.cli("compare", project.folder() / "base", project.folder() / "head")
    assert "bench_nap.py::test_slower" in again.out
    assert again.code == 0


TINY = """
import json, os, pathlib
version, *paths = json.loads(pathlib.Path("tiny.json").read_text())
(site,) = pathlib.Path(os.environ["ATTNLAB_ENV"]).glob("lib/python*/site-packages")
(site / "tests.pth").write_text("\\n".join(paths))
(site / "tiny.py").write_text(f"FACTOR = {version}")
(site / f"tiny-{version}.dist-info").mkdir(exist_ok=True)
(site / f"tiny-{version}.dist-info" / "METADATA").write_text(f"Name: tiny\\nVersion: {version}\\n")
"""


@pytest.mark.slow
def test_each_arm_has_an_environment_of_its_own(project: Project) -> None:
    """The kernel is the same; the package that it multiplies with is wrong in base's version, and right in head's."""
    packages = sorted({str(Path(torch.__file__).parents[1]), *site.getsitepackages()})

    def pin(version: float) -> None:
        (project.root / "tiny.json").write_text(json.dumps([version, *packages]))

    project.kernel(before="import tiny\n")
    text = (project.root / "kernel.py").read_text()
    (project.root / "kernel.py").write_text(text.replace("inputs.x * 2.0", "inputs.x * tiny.FACTOR"))
    (project.root / "build.py").write_text(TINY)
    pin(3.0)
    project.commit()
    pin(2.0)
    project.commit()
    asked = ("--base", "HEAD~1", "--head", "HEAD", "--isolated", "--prepare", "python build.py")
    code, out, err = project.gate(*asked)
    assert code == 3, out + err
    assert "base: wrong_values" in out
    assert "head: " not in out.partition("base: wrong_values")[2].splitlines()[0]
    assert "environments of base and head: tiny 3.0 → 2.0." in out
    kept = Path(os.environ["XDG_CACHE_HOME"], "attnlab", "environments")
    assert len(list(kept.glob("prepared-*/attnlab-environment.json"))) == 2
    stored = json.loads((project.folder() / "base" / "run.json").read_text())
    assert stored["environment"]["packages"]["torch"] == importlib.metadata.version("torch")


SETUP = """
from setuptools import setup

setup(
    name="mine", version="1", package_dir={"mine.ops": "ops"}, packages=["mine.ops"],
    entry_points={"attnlab.implementations": ["mine = mine.ops.kernel"]},
)
"""


@pytest.mark.slow
def test_each_arm_of_an_editable_install_runs_its_own_code(project: Project, tmp_path: Path) -> None:
    """A package found by its entry point, whose import hook points into the working tree.

    Base is wrong and head is right: with head's code in both arms they would be the same, with base's both wrong.
    """
    ops = project.root / "ops"
    ops.mkdir()
    (ops / "toy_operator.py").write_text((project.root / "toy_operator.py").read_text())
    (project.root / "setup.py").write_text(SETUP)
    for name in ("kernel.py", "toy_operator.py"):
        (project.root / name).unlink()

    def kernel(factor: float) -> None:
        text = KERNEL.format(seconds=0.001, factor=factor)
        (ops / "kernel.py").write_text(text.replace("import toy_operator", "from mine.ops import toy_operator"))

    kernel(factor=3.0)
    project.commit()
    kernel(factor=2.0)
    site, start = tmp_path / "site", tmp_path / "start"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), "--editable", str(project.root)], check=True, capture_output=True)
    start.mkdir()
    (start / "sitecustomize.py").write_text(f"import site\nsite.addsitedir({str(site)!r})\n")
    (project.root / ".gitignore").write_text("*.egg-info\nbuild\n")
    command = [
        sys.executable,
        "-m",
        "attnlab.bench",
        "gate",
        "--base",
        "HEAD",
        "--suite",
        "suite.toml",
        "--out",
        "../out",
    ]
    environment = {**project.environment, "PYTHONPATH": str(start)}
    done = subprocess.run(command, cwd=project.root, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "base: wrong_values" in done.stdout
    assert "head: " not in done.stdout
    assert "No verdict: toy/mine[N4]: new; the gate fails closed." in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_gate_that_is_ended_leaves_nothing_but_what_it_measured(number: signal.Signals, project: Project) -> None:
    before = project.state()
    process = project.start("--base", "HEAD")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("pair 1"):
            break
    time.sleep(0.5)  # into the second pair
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=100)
    assert process.returncode == (130 if number == signal.SIGINT else 128 + number), out + err
    assert project.state() == before
    folder = project.folder()
    if number == signal.SIGINT:
        assert "Interrupted" in out
        (row,) = json.loads((folder / "gate.json").read_text())["rows"]
        assert row["standing"] == "measured too little"
        assert row["base_ns"] > 1e6
    else:
        assert len((folder / "pairs.jsonl").read_text().splitlines()) >= 1
