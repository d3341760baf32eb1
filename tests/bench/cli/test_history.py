"""`attnlab history`: what it prints and writes, and what it says of bad input."""

from __future__ import annotations

import json
import runpy
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

foreign = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "helpers" / "foreign_files.py")))
h = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "helpers" / "histories.py")))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Twenty runs of two implementations under results/ of the current folder; torch slowed one of them."""
    runs = [
        replace(run, measurements=(*run.measurements, h.measured(m, "naive")))
        for run, m in zip(h.upgraded(), h.medians_ns(20, seed=1), strict=True)
    ]
    h.write(runs, tmp_path / "results")
    return tmp_path / "results"


def test_words_come_first_and_name_the_cause(cli, results: Path) -> None:
    ended = cli("history")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0] == "2 benchmarks over 20 runs, 2026-01-01 to 2026-01-20: 1 changed."
    (cause,) = [line for line in lines if line.startswith("From ")]
    assert cause.startswith("From 20260112-120000-quick to 20260113-120000-quick: package torch 2.12.0 → 2.13.0")
    assert f"more time: attention/sdpa_flash/{h.CASE}" in ended.out
    (row,) = [line for line in lines if line.startswith("attention/naive/")]
    assert row.split()[1] == "20"
    assert row.rstrip().endswith(" none")
    for name in ("attention-sdpa_flash.png", "attention-sdpa_flash.svg", "attention-naive.png"):
        assert f"reports/history/{name}" in lines
        assert (Path("reports/history") / name).stat().st_size > 1000


def test_json(cli, results: Path) -> None:
    ended = cli("history", "attention/sdpa_flash", results, "--out", "plots", "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["plots"] == ["plots/attention-sdpa_flash.png", "plots/attention-sdpa_flash.svg"]
    (one,) = told["benchmarks"]
    assert one["name"] == f"attention/sdpa_flash/{h.CASE}"
    (line,) = one["lines"]
    assert line["points"][0]["median_ns"] == h.medians_ns(20)[0]
    (change,) = line["changes"]
    assert (change["before"], change["after"]) == ("20260112-120000-quick", "20260113-120000-quick")
    assert change["p_value"] <= 0.01
    assert change["differences"][0] == {
        "what": "package torch",
        "before": "2.12.0",
        "after": "2.13.0",
        "only_here": True,
    }


@pytest.mark.parametrize(
    "arguments",
    [["attention/naive"], [f"attention/naive/{h.CASE}"], ["--impl", "naive"], ["attention", "--impl", "naive"]],
    ids=" ".join,
)
def test_benchmarks_are_chosen_by_name(cli, results: Path, arguments: list[str]) -> None:
    ended = cli("history", *arguments, "--case", h.CASE, "--json")
    assert ended.code == 0, ended.err
    assert [one["implementation"] for one in json.loads(ended.out)["benchmarks"]] == ["naive"]


def test_a_folder_may_stand_alone(cli, results: Path) -> None:
    shutil.move(results, "elsewhere")
    ended = cli("history", "elsewhere")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("2 benchmarks over 20 runs")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["atention"], "unknown benchmark 'atention'; did you mean 'attention'?"),
        (["attention/sdpa_flsh"], "unknown benchmark 'attention/sdpa_flsh'; did you mean 'attention/sdpa_flash'?"),
        (["attention/naive/Sq51-bf16"], f"did you mean 'attention/naive/{h.CASE}'?"),
        (["--impl", "naiv"], "unknown implementation 'naiv'; did you mean 'naive'?"),
        (["--case", "Sq512-bf16-causl"], f"unknown case 'Sq512-bf16-causl'; did you mean '{h.CASE}'?"),
        (["attention", "nowhere"], "nowhere does not exist; expected a run, or a folder of runs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_unknown_names(cli, results: Path, arguments: list[str], error: str) -> None:
    ended = cli("history", *arguments)
    assert ended.code == 2
    assert error in ended.err
    assert ended.err.count("\n") == 1


def test_no_runs(cli, tmp_path: Path) -> None:
    ended = cli("history")
    assert ended.code == 2
    assert "results does not exist" in ended.err
    (tmp_path / "results").mkdir()
    assert "results holds no run" in cli("history").err


def test_one_run(cli, tmp_path: Path) -> None:
    h.write([h.stored(0, [h.measured(1e6)])], tmp_path / "results")
    ended = cli("history")
    assert ended.code == 2
    assert "results holds one run, 20260101-120000-quick, and a history needs two or more" in ended.err


def test_a_copy_of_a_run_counts_once(cli, tmp_path: Path) -> None:
    h.write([h.stored(n, [h.measured(1e6)]) for n in range(2)], tmp_path / "results")
    shutil.copytree("results/20260101-120000-quick", "results/z-copy")
    ended = cli("history")
    assert ended.out.startswith("1 benchmark over 2 runs")
    assert "is run 20260101-120000-quick as " in ended.err


def test_few_runs_say_so(cli, tmp_path: Path) -> None:
    h.write([h.stored(n, [h.measured(1e6 * (1 + n))]) for n in range(9)], tmp_path / "results")
    ended = cli("history")
    assert ended.code == 0, ended.err
    assert "1 line of 1 with fewer than 10 runs: too few to tell a change." in ended.out
    assert "none changed" in ended.out


def test_nothing_was_timed(cli, tmp_path: Path) -> None:
    h.write([h.stored(n, [h.measured(None)]) for n in range(2)], tmp_path / "results")
    ended = cli("history")
    assert ended.code == 2
    assert "none of 1 benchmarks chosen has a time in 2 runs of results" in ended.err


def test_damaged_lines_are_told_and_the_rest_is_shown(cli, results: Path) -> None:
    path = next(results.glob("*/measurements.jsonl"))
    path.write_text(path.read_text() + '{"operator": 5}\n')
    ended = cli("history")
    assert ended.code == 0
    assert ":3: unreadable measurement: " in ended.err
    assert "over 20 runs" in ended.out


def test_a_break_is_told_with_its_cause(cli, tmp_path: Path) -> None:
    runs = [h.stored(n, [h.measured(1e6)], h.environment(threads=1 + n // 5)) for n in range(10)]
    h.write(runs, tmp_path / "results")
    ended = cli("history")
    assert ended.code == 0, ended.err
    assert "1 line broken from 20260105-120000-quick to 20260106-120000-quick: threads 1 → 2" in ended.out


def test_a_name_with_brackets_stays_as_it_is(cli, tmp_path: Path) -> None:
    h.write([h.stored(n, [h.measured(1e6, "my[bold]one")]) for n in range(2)], tmp_path / "results")
    assert "attention/my[bold]one/" in cli("history").out


def test_plots_that_cannot_be_written(cli, results: Path) -> None:
    Path("file").write_text("kept")
    ended = cli("history", "--out", "file/below")
    assert ended.code == 2
    assert "cannot write to file/below: " in ended.err
    assert ended.err.rstrip().endswith("take another folder with --out")


def test_a_report_of_one_run_has_the_history_of_a_folder(cli, results: Path) -> None:
    newest = sorted(results.iterdir())[-1]
    ended = cli("report", newest, "--history", results, "--format", "markdown,plots", "--out", "report")
    assert ended.code == 0, ended.err
    written = {Path(line).name: Path(line) for line in ended.out.splitlines()}
    assert "history.png" in written
    summary = written["summary.md"].read_text(encoding="utf-8")
    assert "### History on this machine" in summary
    assert "### Since the last run" in summary
    assert cli("report", newest, "--history", "nowhere").code == 2


@pytest.fixture
def served(cli, tmp_path: Path) -> Path:
    """Runs of a server as another tool stored them, without a time of a call."""
    for day, ttft in enumerate((100.0, 101.0, 150.0), start=1):
        stored = foreign.vllm(detailed=False) | {"date": f"2026010{day}-120000", "median_ttft_ms": ttft}
        (tmp_path / f"{day}.json").write_text(json.dumps(stored))
        assert cli("results", "import", tmp_path / f"{day}.json", "--out", tmp_path / "served").code == 0
    return tmp_path / "served"


def test_what_has_no_time_is_followed_by_its_first_metric(cli, served: Path) -> None:
    ended = cli("history", served)
    assert ended.code == 0, ended.err
    (row,) = [line for line in ended.out.splitlines() if line.startswith("vllm:serve/")]
    assert ": TTFT " in row
    assert row.split()[-7:] == ["100", "ms", "150", "ms", "too", "few", "runs"]
    (one,) = json.loads(cli("history", served, "--json").out)["benchmarks"]
    assert (one["metric"], one["unit"]) == ("ttft_ns", "ns")
    assert [point["value"] for point in one["lines"][0]["points"]] == [1e8, 1.01e8, 1.5e8]


def test_a_metric_is_chosen(cli, served: Path, results: Path) -> None:
    (one,) = json.loads(cli("history", served, "--metric", "output_tok_per_s", "--json").out)["benchmarks"]
    expected = foreign.vllm(detailed=False)["output_throughput"]
    assert [point["value"] for point in one["lines"][0]["points"]] == [expected] * 3
    ended = cli("history", served, "--metric", "latency_ns")
    assert ended.code == 2
    assert "none of 1 benchmarks chosen has latency_ns in 3 runs" in ended.err
    ended = cli("history", "--metric", "ttft_ns", results)
    assert ended.code == 2
    ended = cli("history", served, "--metric", "ttft")
    assert ended.code == 2
    assert "unknown metric 'ttft'; did you mean 'ttft_ns'?" in ended.err


def test_a_machine_that_is_not_told_is_said_plainly(cli, served: Path, tmp_path: Path) -> None:
    newest = sorted(served.glob("*/"))[-1]
    assert cli("report", newest, "--history", served, "--out", tmp_path / "r", "--format", "markdown").code == 0
    summary = (tmp_path / "r" / "summary.md").read_text(encoding="utf-8")
    assert "`vllm:serve` was measured on a machine that is not told: 1 of 1" in summary
    assert "History on a machine that is not told" in summary
    assert "unknown" not in summary.replace("version unknown", "")
