"""A gate's verdicts as a comment on a pull request."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from attnlab.bench.gate.outputs import OUTPUTS
from attnlab.bench.gate.outputs.comment import LONGEST, mark, render
from attnlab.bench.gate.outputs.github import workflow_commands
from attnlab.bench.gate.outputs.plain import BREAK, code, prose
from attnlab.bench.gate.report import GateReport
from attnlab.bench.gate.rows import GateRow, KernelMove
from attnlab.bench.stats.verdict import Verdict

from .conftest import ArmScript, Gated, Kernel

RUNNER = {"SERVER_URL": "https://git.example", "REPOSITORY": "some/where", "SHA": "0a" * 20}
BARS = re.compile(r"(?<!\\)\|")


@pytest.fixture
def report(gated: Callable[..., Gated], monkeypatch: pytest.MonkeyPatch) -> GateReport:
    """One slower, one the same, one gone."""
    for name in RUNNER:
        monkeypatch.delenv(f"GITHUB_{name}", raising=False)
    base = {"same": Kernel(), "slow": Kernel(parts={"mm": 1e5}), "gone": Kernel()}
    head = {"same": Kernel(), "slow": Kernel(1.1e6, parts={"mm": 2e5})}
    made: GateReport = gated(ArmScript(base), ArmScript(head), looks=(12,)).run()
    lines = {"slow": 12, "same": None, "gone": 3}
    return replace(made, rows=tuple(replace(row, line=lines[row.implementation]) for row in made.rows))


def test_the_verdict_comes_first_and_what_is_the_same_is_folded(report: GateReport) -> None:
    text = render(report)
    first, second, *_ = text.splitlines()
    assert first == mark(report)
    assert second == r"**Regression: toy/slow\[N8\] (latency, mean latency).**"
    shown, _, folded = text.partition("<details>")
    assert "| **slower** | `toy/slow[N8]`<br>`kernels.py:12` | +" in shown
    assert "what moved: mm, 100 µs → 200 µs" in shown
    assert "| **missing on head** | `toy/gone[N8]`<br>`kernels.py:3` |" in shown
    assert "toy/same" not in shown
    assert "<summary>1 more: the same, or not to be had on either side</summary>" in folded
    assert "| same | `toy/same[N8]`<br>`kernels.py` |" in folded
    assert text.rstrip().endswith("Again: `attnlab gate --base main --suite s.toml`")
    assert {len(BARS.findall(line)) for line in text.splitlines() if line.startswith("|")} == {6}
    assert OUTPUTS.get("comment").files(report, {}) == {"comment.md": text}


def test_on_a_runner_places_are_links(report: GateReport, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in RUNNER.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    link = f"[`kernels.py:12`](https://git.example/some/where/blob/{'0a' * 20}/kernels.py#L12)"
    assert link in render(report)


def test_annotations_stand_at_the_line(report: GateReport) -> None:
    slower, gone = workflow_commands(report)
    assert slower.startswith("::error file=kernels.py,line=12,title=slower%3A toy/slow[N8]::")
    assert gone.startswith("::error file=kernels.py,line=3,title=missing on head%3A toy/gone[N8]::")


def test_a_comment_has_room_for_any_number_of_benchmarks(report: GateReport) -> None:
    slow, same = (next(row for row in report.rows if row.implementation == name) for name in ("slow", "same"))
    many = tuple(
        replace(row, implementation=f"{row.implementation}{number}-{'long' * 60}")
        for row in (slow, same)
        for number in range(1500)
    )
    text = render(replace(report, rows=many, notes=("note " * 200,) * 500, command="x" * 9000))
    assert len(text) <= LONGEST
    assert text.count("</details>") == text.count("<details>") == 2
    assert re.search(r"\d{4} more rows are in `summary.md`", text)
    assert "Again: `" in text
    assert text.startswith("<!-- attnlab-gate ")


def test_an_earlier_comment_of_the_same_suite_is_found_by_its_mark(report: GateReport) -> None:
    assert mark(report) == mark(replace(report, rows=(), run_id="another"))
    assert mark(report) != mark(replace(report, suite="other.toml"))
    assert "--" not in mark(replace(report, suite="--> <script>"))[4:-3]


NAMES = ("a|b", "a`b", "``", "<img src=x>", "@somebody", "line\nbreak", "x\u202ey", "#12", "n" * 300, "-->")


@pytest.mark.parametrize("raw", NAMES)
def test_names_are_no_markup_and_call_nobody(raw: str, report: GateReport) -> None:
    row = GateRow("toy", raw, "N8", report.rows[0].standing, 0.03, raw, Verdict.SLOWER, moved=KernelMove(raw, 1e5, 2e5))
    text = render(replace(report, rows=(row,), notes=(raw,)))
    (line,) = (line for line in text.splitlines() if "toy/" in line and line.startswith("|"))
    assert len(BARS.findall(line)) == 6
    outside = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", text.replace(mark(report), ""))
    assert "@somebody" not in outside
    assert "<img" not in outside
    assert not re.search(r"#12\b", outside)
    assert "\u202e" not in text


def test_prose_and_code() -> None:
    assert prose("see @me, #12 and https://x.y") == rf"see @{BREAK}me, \#{BREAK}12 and https://{BREAK}x.y"
    assert prose("me@example.org") == f"me@{BREAK}example.org"
    assert code("a`b") == "``a`b``"
    assert code("`") == "`` ` ``"
    assert (code("a|b"), code("a|b", cell=False)) == ("`a\\|b`", "`a|b`")
    assert code("") == "` `"


GH = """#!/bin/sh
case "$*" in
    *--jq*) echo "$MARK" > asked; echo "$EXISTING" ;;
    *) echo "$*" > did ;;
esac
"""


@pytest.mark.parametrize(
    ("existing", "did"),
    [
        ("", "--method POST repos/some/where/issues/7/comments --field body=@comment.md"),
        ("12\n13", "--method PATCH repos/some/where/issues/comments/12 --field body=@comment.md"),
    ],
)
def test_the_workflow_replaces_the_comment_of_the_last_gate(
    existing: str, did: str, report: GateReport, tmp_path: Path
) -> None:
    """The script of docs/gate.yml with a stand-in for GitHub's command line."""
    yaml = pytest.importorskip("yaml", reason="package PyYAML is not installed")
    workflow = yaml.safe_load((Path(__file__).parents[3] / "docs" / "gate.yml").read_text())
    job = workflow["jobs"]["comment"]
    assert (workflow["permissions"], job["permissions"]) == ({}, {"pull-requests": "write"})
    assert workflow["jobs"]["gate"]["permissions"] == {"contents": "read"}
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    (tmp_path / "comment.md").write_text(render(report))
    own = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_REPOSITORY": "some/where", "NUMBER": "7"}
    script = job["steps"][-1]["run"]
    subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env={**own, "EXISTING": existing}, check=True)
    assert (tmp_path / "asked").read_text().strip() == mark(report)
    assert (tmp_path / "did").read_text().strip() == f"api --silent {did}"
