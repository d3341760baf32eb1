"""`--attnlab-gate`: verdicts as tests. What is measured is scripted here; `tests/bench/cli/test_gate.py` measures."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.errors import GateClosed
from attnlab.bench.gate.report import ArmRecord, GateReport
from attnlab.bench.gate.rows import GateRatio, GateRow, GroupRow, Standing
from attnlab.bench.machine.environment import describe_environment
from attnlab.bench.pytesting import gate as gate_tests
from attnlab.bench.stats.verdict import Verdict

RATIO = GateRatio(1.1, 1.08, 1.12, 8)


def row(implementation: str, case_id: str, verdict: Verdict | None, **more: Any) -> GateRow:
    standing = more.pop("standing", Standing.COMPARED)
    first = RATIO if standing is Standing.COMPARED else None
    return GateRow("toy", implementation, case_id, standing, 0.03, verdict=verdict, first=first, **more)


@dataclass
class Scripted:
    """Takes the place of a gate's measurement."""

    rows: tuple[GateRow, ...] = ()
    groups: tuple[GroupRow, ...] = ()
    error: Exception | None = None
    interrupted: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, repo: Path, base: Any, head: Any, ask: Any, out: Path, **more: Any) -> tuple[GateReport, Path]:
        self.asked.append({"base": base, "head": head, "ask": ask, "out": out, **more})
        if self.error is not None:
            raise self.error
        arm = ArmRecord("main", "abc", False, "base main (abc)")
        report = GateReport(
            run_id="gate",
            suite="toys",
            started="2026-01-01T00:00:00+00:00",
            command="pytest",
            seconds=1.0,
            base=arm,
            head=replace(arm, label="head worktree (abc)"),
            environment=describe_environment("cpu"),
            alpha=0.05,
            looks=(8,),
            rows=self.rows,
            groups=self.groups,
            interrupted=self.interrupted,
        )
        return report, out / "gate"


ALL_SAME = tuple(row(name, f"N{n}", Verdict.SAME) for name in ("plus", "times") for n in (4, 8, 16))


@pytest.fixture
def gate(sessions: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[pytest.RunResult, Scripted]]:
    """`pytest --attnlab toys.toml --attnlab-gate main …` in a repository with one commit."""
    for command in (
        ["init", "--quiet", "--initial-branch", "main"],
        ["-c", "user.name=S", "-c", "user.email=s@example.org", "commit", "--quiet", "--allow-empty", "-m", "one"],
    ):
        subprocess.run(["git", *command], cwd=sessions.pytester.path, check=True)

    def start(*arguments: str, base: str = "main", **script: Any) -> tuple[pytest.RunResult, Scripted]:
        scripted = Scripted(**({"rows": ALL_SAME} | script))
        monkeypatch.setattr(gate_tests, "run_gate", scripted)
        return sessions.suite("--attnlab-gate", base, *arguments, plugin="toy_operator.py"), scripted

    return start


Gate = Callable[..., tuple[pytest.RunResult, Scripted]]


def test_a_test_for_each_benchmark_and_one_for_the_rest(gate: Gate) -> None:
    result, scripted = gate("-v")
    result.assert_outcomes(passed=7)
    result.stdout.fnmatch_lines(["*toy/plus?N4? PASSED*", "*everything else PASSED*"])
    assert len(scripted.asked) == 1, "one gate for all tests"
    assert scripted.asked[0]["only"] is None
    assert (scripted.asked[0]["base"].asked, scripted.asked[0]["head"].asked) == ("main", "worktree")


def test_what_got_slower_fails_and_says_by_how_much(gate: Gate) -> None:
    slow = row("plus", "N8", Verdict.SLOWER, confirmation=RATIO)
    result, _ = gate(rows=tuple(slow if r.key == slow.key else r for r in ALL_SAME))
    result.assert_outcomes(passed=6, failed=1)
    result.stdout.fnmatch_lines(["*slower; +10.0 % (+8.0 to +12.0 %); confirmed on fresh processes*"])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(
    ("standing", "outcome"),
    [
        (Standing.WRONG, "failed"),
        (Standing.MISSING, "failed"),
        (Standing.INCOMPARABLE, "failed"),
        (Standing.TOO_LITTLE, "failed"),
        (Standing.NEW, "failed"),
        (Standing.REDEFINED, "failed"),
        (Standing.UNAVAILABLE, "skipped"),
    ],
)
def test_what_was_not_compared(standing: Standing, outcome: str, gate: Gate) -> None:
    other = row("plus", "N8", None, standing=standing, reason="for a reason")
    result, _ = gate("-rs", rows=tuple(other if r.key == other.key else r for r in ALL_SAME))
    result.assert_outcomes(**{"passed": 6, outcome: 1})
    result.stdout.fnmatch_lines(["*for a reason*"])


def test_an_inconclusive_verdict_passes(gate: Gate) -> None:
    unsure = row("plus", "N8", Verdict.INCONCLUSIVE)
    result, _ = gate(rows=tuple(unsure if r.key == unsure.key else r for r in ALL_SAME))
    result.assert_outcomes(passed=7)


def test_what_head_lost_fails_the_rest(gate: Gate) -> None:
    result, _ = gate(rows=(*ALL_SAME, row("gone", "N8", None, standing=Standing.MISSING)))
    result.assert_outcomes(passed=6, failed=1)
    result.stdout.fnmatch_lines(["*missing on head: toy/gone?N8?*"])


def test_what_only_bases_suite_has_fails_the_rest_where_it_is_slower(gate: Gate) -> None:
    result, _ = gate(rows=(*ALL_SAME, row("dropped", "N8", Verdict.SLOWER, uncovered="head's suite lacks it")))
    result.assert_outcomes(passed=6, failed=1)
    result.stdout.fnmatch_lines(["*slower: toy/dropped?N8?; head's suite lacks it: toy/dropped?N8?*"])


def test_a_benchmark_whose_test_was_deselected_fails_the_rest(gate: Gate) -> None:
    """Such as by a conftest.py of head's: what is measured is judged, by one test or another."""
    slow = row("plus", "N8", Verdict.SLOWER)
    rows = tuple(slow if r.key == slow.key else r for r in ALL_SAME)
    result, scripted = gate("--deselect", "toys.toml::toy/plus[N8]", rows=rows)
    result.assert_outcomes(passed=5, failed=1, deselected=1)
    assert scripted.asked[0]["only"] is None
    result.stdout.fnmatch_lines(["*slower: toy/plus?N8?*"])


def test_what_is_allowed_by_name_is_skipped_with_the_option_that_allowed_it(gate: Gate) -> None:
    other = row("plus", "N8", None, standing=Standing.NEW, allowed_by="--allow-new-baseline 'toy/*'")
    result, _ = gate("-rs", rows=tuple(other if r.key == other.key else r for r in ALL_SAME))
    result.assert_outcomes(passed=6, skipped=1)
    result.stdout.fnmatch_lines(["*allowed by --allow-new-baseline 'toy/*'*"])


def test_a_slower_group_fails_the_rest(gate: Gate) -> None:
    result, _ = gate(groups=(GroupRow("toy/plus", Verdict.SLOWER, RATIO, RATIO),))
    result.assert_outcomes(passed=6, failed=1)
    result.stdout.fnmatch_lines(["*slower: toy/plus, all cases*"])


def test_only_what_is_selected_is_measured(gate: Gate) -> None:
    result, scripted = gate("-k", "plus and N4")
    result.assert_outcomes(passed=1, deselected=6)
    assert scripted.asked[0]["only"] == frozenset({"toy/plus[N4]"})


def test_collecting_measures_nothing(gate: Gate) -> None:
    result, scripted = gate("--collect-only")
    assert result.ret == 0
    assert scripted.asked == []


def test_a_gate_that_is_closed_fails_every_test_with_its_reason(gate: Gate) -> None:
    result, scripted = gate(error=GateClosed("base main (abc) cannot be measured: ImportError: no kernel"))
    result.assert_outcomes(failed=7)
    result.stdout.fnmatch_lines(["*ImportError: no kernel*"])
    assert len(scripted.asked) == 1, "it is not tried again for each test"


def test_an_interrupt_ends_the_session(gate: Gate) -> None:
    with pytest.raises(KeyboardInterrupt):  # which the inner session hands on
        gate(interrupted=True)


def test_a_file_of_thresholds_that_is_missing(gate: Gate) -> None:
    result, scripted = gate("--attnlab-thresholds", "none.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *none.toml: cannot be read*"])
    assert scripted.asked == []


def test_xdist_is_refused(gate: Gate, sessions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with sessions.forgetting():
        result = sessions.pytester.runpytest_inprocess(
            *("-p", "no:hypothesispytest", "-n", "1", "--attnlab", "toys.toml"),
            *("--attnlab-plugin", "toy_operator.py", "--attnlab-gate", "main"),
        )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *run it without xdist*"])


def test_a_revision_that_does_not_exist(gate: Gate) -> None:
    result, _ = gate(base="nowhere")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: attnlab: * has no revision 'nowhere'*"])


@pytest.mark.parametrize("option", [["--attnlab-gate", "main"], ["--attnlab-thresholds", "x.toml"]])
def test_options_that_need_another(option: list[str], pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:hypothesispytest", *option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
