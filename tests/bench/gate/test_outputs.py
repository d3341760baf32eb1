"""What a gate writes: for people, for CI, and for the tools that read their own formats."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from attnlab.bench.analysis.compare import compare
from attnlab.bench.errors import StoreError
from attnlab.bench.gate.allowances import Allowances
from attnlab.bench.gate.collection import BenchmarkResults
from attnlab.bench.gate.outputs import OUTPUTS, words
from attnlab.bench.gate.outputs.comment import render as comment
from attnlab.bench.gate.outputs.github import annotate, summarise, workflow_commands
from attnlab.bench.gate.outputs.markdown import render as markdown
from attnlab.bench.gate.outputs.terminal import lines
from attnlab.bench.gate.quantities import quantities
from attnlab.bench.gate.report import ErrorRates, GateReport
from attnlab.bench.gate.rows import GateRatio, GroupRow
from attnlab.bench.gate.storing import read_gate, write_gate
from attnlab.bench.stats.verdict import Verdict
from attnlab.bench.store.records import Outcome
from attnlab.bench.store.run_folder import read_run
from attnlab.bench.text import printable

from .conftest import CEILINGS, ArmScript, Gated, Kernel, offer

Make = Callable[..., Gated]


@pytest.fixture
def gate(gated: Make) -> tuple[GateReport, list[BenchmarkResults]]:
    """One of each: same, slower, new, wrong, reconfigured."""
    base = {"same": Kernel(), "slow": Kernel(parts={"mm": 1e5}), "bad": Kernel(), "tiled": Kernel(configuration="a")}
    head = {
        "same": Kernel(),
        "slow": Kernel(1.1e6, parts={"mm": 2e5}),
        "bad": Kernel(outcome=Outcome.WRONG_VALUES, reason="out: 50% <off>, & \x01more"),
        "tiled": Kernel(configuration="b"),
        "fresh": Kernel(),
    }
    allow = Allowances(new_baseline=("toy/fresh*",))
    made = gated(ArmScript(base), ArmScript(head), looks=(12,), allow=allow)
    report = made.run()
    return report, list(made.session.collected.values())


Gate = tuple[GateReport, list[BenchmarkResults]]


def test_what_got_slower_comes_with_the_command_that_takes_it_apart(gate: Gate) -> None:
    sides = {"base": replace(gate[0].base, asked="main"), "head": replace(gate[0].head, asked="worktree")}
    report = replace(gate[0], command="attnlab gate --base main --suite s --plugin 'my kernel.py'", **sides)
    command = "attnlab profile toy --impl slow --case N8 --base main --plugin 'my kernel.py'"
    assert words.commands(report) == [command]
    assert f"Take it apart: {command}" in list(lines(report))
    assert all(f"Take it apart: `{command}`" in written for written in (markdown(report), comment(report)))
    of_two_commits = replace(report, head=replace(report.head, asked="v1"))
    assert words.commands(of_two_commits) == [], "it profiles the working tree"


def test_the_terminal_says_what_matters_first(gate: Gate) -> None:
    text = list(lines(gate[0]))
    first = [line.split("  ")[0] for line in text[3:] if line and not line.startswith(" ")]
    assert first[:5] == ["wrong or failing on head", "slower", "same", "same", "new"]
    joined = "\n".join(text)
    assert "what moved: mm, 100 µs → 200 µs" in joined
    assert re.search(r"confirmed on fresh processes: \+(9|10)\.\d %", joined)
    assert "configuration changed: a → b; reported, not gated" in joined
    assert text[-1] == "Regression: toy/slow[N8] (latency, mean latency)."


@pytest.mark.parametrize("width", [40, 80])
def test_lines_of_a_terminal_are_folded(gate: Gate, width: int) -> None:
    text = list(lines(gate[0], width))
    longest = max(len(word) for line in text for word in line.split())
    assert all(len(line) <= max(width, longest + 14) for line in text)  # a name is never broken
    whole = " ".join(" ".join(lines(gate[0])).split())
    for told in ("what moved: mm, 100 µs → 200 µs", "configuration changed: a → b; reported, not gated"):
        assert told in whole
        assert told in " ".join(" ".join(text).split())


def test_markdown_for_a_jobs_summary(gate: Gate) -> None:
    text = markdown(gate[0])
    assert text.startswith("## Regression: toy/slow")
    assert "| **slower** | `toy/slow[N8]` |" in text
    assert "&lt;off&gt;" in text
    assert "attnlab gate --base main --suite s.toml" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1


def test_annotations_are_for_failures_only(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    annotate(gate[0])
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert re.match(r"::error file=kernels\.py,title=slower%3A toy/slow\[N8\]::\+(9|10)\.\d %25", said[0])
    assert "50%25 <off>" in said[1]
    assert list(workflow_commands(replace(gate[0], against_itself=True))) == []


def test_the_summary_is_appended_where_the_runner_says(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "summary"
    path.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    summarise(gate[0])
    assert path.read_text() == "before\n" + markdown(gate[0])
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    summarise(gate[0])


def test_junit_has_a_case_a_verdict(gate: Gate) -> None:
    text = OUTPUTS.get("junit").files(gate[0], {})["junit.xml"]
    (suite,) = ET.fromstring(text)
    found = {f"{case.get('classname')} {case.get('name')}": [child.tag for child in case] for case in suite}
    assert (found.pop("toy.slow N8 mean latency"), found.pop("toy.tiled N8 configuration")) == (
        ["failure"],
        ["system-out"],
    )
    assert {tag for name in list(found) if name.endswith("latency") for tag in found.pop(name)} == {"system-out"}
    assert found == {
        "toy.bad N8": ["error"],
        "toy.slow N8": ["failure"],
        "toy.same N8": ["system-out"],
        "toy.tiled N8": ["system-out"],
        "toy.fresh N8": ["skipped"],
    }
    counts = [suite.get(key) for key in ("tests", "failures", "errors", "skipped")]
    assert counts == ["12", "2", "1", "1"]
    assert "<off>, & ?more" in str(suite.find("testcase/error").get("message"))  # type: ignore[union-attr]


def test_junit_of_a_strict_gate(gate: Gate) -> None:
    unsure = tuple(replace(r, verdict=Verdict.INCONCLUSIVE) if r.implementation == "same" else r for r in gate[0].rows)
    for strict, wanted in ((True, "failure"), (False, "system-out")):
        text = OUTPUTS.get("junit").files(replace(gate[0], rows=unsure, strict=strict), {})["junit.xml"]
        case = next(c for c in ET.fromstring(text)[0] if c.get("classname") == "toy.same")
        assert case[0].tag == wanted


def test_groups_stand_in_every_output(gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    group = GroupRow("toy/many", Verdict.SLOWER, GateRatio(1.05, 1.03, 1.07, 8), GateRatio(1.05, 1.03, 1.07, 8))
    report = replace(gate[0], rows=(), groups=(group,))
    assert "toy/many, all cases (geometric mean)" in "\n".join(lines(report))
    assert "toy/many" in markdown(report)
    assert 'classname="toy/many"' in OUTPUTS.get("junit").files(report, {})["junit.xml"]
    assert [line for line in workflow_commands(report) if "toy/many" in line]
    assert report.exit_code == 1


def test_benchers_metric_format(gate: Gate) -> None:
    """Measures by benchmark, each a value with optional bounds, all numbers."""
    data = json.loads(OUTPUTS.get("bencher").files(gate[0], {})["bencher.json"])
    assert set(data) == {"toy/same[N8]", "toy/slow[N8]", "toy/tiled[N8]"}
    for measures in data.values():
        assert {"latency", "ratio-to-base"} <= set(measures)
        assert set(measures) <= {"latency", "ratio-to-base", *quantities()}
        for metric in measures.values():
            assert set(metric) <= {"value", "lower_value", "upper_value"}
            assert all(isinstance(value, float) for value in metric.values())
    slow = data["toy/slow[N8]"]
    assert slow["ratio-to-base"]["lower_value"] < slow["ratio-to-base"]["value"] == pytest.approx(1.1, rel=0.01)


def test_a_gate_is_stored_and_read_back(gate: Gate, tmp_path: Path) -> None:
    report, collected = gate
    paths = write_gate(tmp_path, report, collected, (), CEILINGS)
    assert {path.name for path in paths} == {
        "gate.json",
        "summary.md",
        "comment.md",
        "junit.xml",
        "bencher.json",
        "pytest-benchmark-base.json",
        "pytest-benchmark-head.json",
    }
    told = [replace(row, reason=None if row.reason is None else printable(row.reason)) for row in report.rows]
    assert read_gate(tmp_path) == replace(report, rows=tuple(told))
    head = read_run(tmp_path / "head")
    slow = next(m for m in head.measurements if m.implementation == "slow")
    assert len(slow.launches) == 22, "12 pairs, and 10 fresh ones that decided"
    assert slow.median_ns == pytest.approx(1.1e6, rel=0.01)
    assert head.run.environment.revision == "head0123456789"
    bad = next(m for m in head.measurements if m.implementation == "bad")
    assert (bad.outcome, bad.median_ns) == (Outcome.WRONG_VALUES, None)


def test_both_arms_compare_as_interleaved_runs(gate: Gate, tmp_path: Path) -> None:
    report, collected = gate
    write_gate(tmp_path, report, collected, (), CEILINGS)
    found = compare([read_run(tmp_path / "base")], [read_run(tmp_path / "head")])
    verdicts = {c.implementation: c.verdict for c in found}
    assert verdicts["slow"] is Verdict.SLOWER
    assert verdicts["same"] is Verdict.SAME
    assert verdicts["bad"] is Verdict.INCOMPARABLE


def test_pytest_benchmark_compares_our_files(gate: Gate, tmp_path: Path) -> None:
    """By its own command, which reads what we wrote and shows both arms with their medians."""
    pytest.importorskip("pytest_benchmark")
    report, collected = gate
    write_gate(tmp_path, report, collected, (), CEILINGS)
    files = [str(tmp_path / f"pytest-benchmark-{arm}.json") for arm in ("base", "head")]
    command = [sys.executable, "-m", "pytest_benchmark", "compare", *files, "--columns=median", "--sort=name"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "toy/slow[N8]" in done.stdout
    assert "1.10" in done.stdout.replace(",", "")


def test_what_was_achieved_is_shown(gate: Gate) -> None:
    achieved = (
        ErrorRates("toy/same[N8]", 16, 0.012, 0.01, 0.015, 0, 2000, 0.0015, 0.031),
        ErrorRates("toy/slow[N8]", 16, 0.9, 0.8, 1.0, 3, 2000, 0.004, None),
    )
    report = replace(gate[0], achieved=achieved, against_itself=True)
    for text in ("\n".join(lines(report)), markdown(report)):
        assert "0 of 2000" in text
        assert "3.10 %" in text
        assert "1.20 % (1.00 to 1.50 %)" in text
        assert "none below twice the time" in text
        assert "false alarm" in text


def test_an_offer_prints_as_its_key() -> None:
    assert offer("quick").key == "toy/quick[N8]"


@pytest.mark.parametrize("text", ["", "[" * 100_000, "{}", '{"schema_version": 1, "more": 2}', "null", "\udcff"])
def test_a_damaged_gate_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "gate.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(StoreError, match=r"gate\.json is damaged: "):
        read_gate(tmp_path)
