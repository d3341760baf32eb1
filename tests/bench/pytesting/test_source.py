"""Which files of tests a gate asks its arms for."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnlab.bench.errors import SuiteError, UsageError
from attnlab.bench.gate.checkouts import Arm
from attnlab.bench.gate.messages import Offers
from attnlab.bench.gate.setting import Setting
from attnlab.bench.pytesting.arms.source import PytestProcesses, PytestSource
from attnlab.bench.store.machine import Ceilings

USES = "def test_one(attnlab_bench): ..."


@pytest.fixture
def arms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Arm, Arm]:
    """Base has `bench_old.py` and `helper.py` besides; head is the repository itself."""
    for arm, files in (("base", ("bench_a", "bench_old", "helper")), ("head", ("bench_a", "bench_new"))):
        (tmp_path / arm / "tests").mkdir(parents=True)
        for name in files:
            (tmp_path / arm / "tests" / f"{name}.py").write_text("X = 1" if name == "helper" else USES)
    monkeypatch.chdir(tmp_path / "head")
    return Arm("base", tmp_path / "base", "abc", "main"), Arm("head", tmp_path / "head", "def", "worktree")


def asked(arms: tuple[Arm, Arm], *tests: str) -> list[str]:
    repo = arms[1].root
    return [str(Path(test).relative_to(repo)) for test in PytestSource(tests).placed(repo, arms).tests]


def test_a_pattern_is_each_arms_own(arms: tuple[Arm, Arm]) -> None:
    assert asked(arms, "tests/bench_[ao]*.py")[0] == "tests/bench_[ao]*.py"


def test_a_benchmark_does_not_go_by_being_deleted(arms: tuple[Arm, Arm]) -> None:
    """A shell gives the files that head has."""
    assert asked(arms, "tests/bench_a.py", "tests/bench_new.py") == [
        "tests/bench_a.py",
        "tests/bench_new.py",
        "tests/bench_old.py",
    ]


@pytest.mark.parametrize(
    ("test", "said"),
    [("tests/none_*.py", "no such file in base main"), ("tests/bench_a.py::test_one", "got the id of a test")],
)
def test_what_is_not_there(test: str, said: str, arms: tuple[Arm, Arm]) -> None:
    with pytest.raises(UsageError, match=said):
        asked(arms, test)


def test_where_no_test_uses_the_fixture(arms: tuple[Arm, Arm], tmp_path: Path) -> None:
    setting = Setting(tmp_path, *arms, "cpu", Ceilings("a processor", 2, 1e10, {}, None, 0.0), 1.0, tmp_path, 0)
    processes = PytestProcesses(PytestSource(("tests",)), setting)
    with pytest.raises(SuiteError, match=r"no test of base or head uses the fixture attnlab_bench; x\.py is skipped"):
        processes.survey(Offers("", ()), Offers("", (), notes=("x.py is skipped",)))
    processes.survey(Offers("", ()), Offers("", (), broken={"x.py": "torn"}))
