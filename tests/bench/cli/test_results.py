"""attnlab results: import, export, merge and prune, as a user calls them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from attnlab.bench.analysis.frame import load
from attnlab.bench.reporters.page.commands import again
from attnlab.bench.store.run_folder import read_run, read_runs
from tests.helpers import foreign_files

SCHEMA_6 = Path(__file__).parents[1] / "store" / "fixtures" / "schema-6"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(foreign_files.pytest_benchmark()))
    return path


@pytest.fixture
def imported(cli, foreign: Path) -> Path:
    ended = cli("results", "import", foreign)
    assert ended.code == 0, ended.err
    (folder,) = Path("results").iterdir()
    assert ended.out == f"2 results in {folder}\n"
    return folder


def test_what_was_imported_is_told_apart_wherever_it_is_read(cli, imported: Path, tmp_path: Path) -> None:
    shown = cli("results", "show", imported)
    assert "pytest-benchmark:tests/test_sort.py  n=10" in shown.out
    assert "a: unchecked: imported from pytest-benchmark, and nothing here knows whether it is right" in shown.out
    assert "fastest" not in shown.out

    table = load("results")
    assert set(table["outcome"]) == {"unchecked"}
    assert list(table["median_ns"]) == pytest.approx([2e3, 5e3])
    assert set(table["imported"]) == {"pytest-benchmark 5.3.1, bench.json"}
    assert len(load("results", samples=True)) == 3

    assert cli("report", imported, "--format", "markdown", "--out", "page").code == 0
    page = Path("page/summary.md").read_text()
    assert "nothing here checked whether these results are right, so that none is recommended" in page
    assert "2.00 µs (unchecked)" in page
    assert "Which to use" not in page
    assert "imported from: pytest-benchmark 5.3.1, bench.json, SHA-256 " in page


def test_no_command_says_that_it_takes_an_imported_figure_again(cli, imported: Path) -> None:
    run = read_run(imported).run
    assert again(run, "pytest-benchmark:x", "test_sort", "n=10").startswith(
        "# pytest-benchmark measured it, and nothing"
    )


def test_imported_runs_have_a_history_and_ratios_but_no_verdict(cli, imported: Path, foreign: Path) -> None:
    data = foreign_files.pytest_benchmark() | {"datetime": "2026-02-01T12:00:00+00:00"}
    data["benchmarks"][1]["stats"]["median"] = 6e-6
    foreign.write_text(json.dumps(data))
    assert cli("results", "import", foreign).code == 0
    base, head = sorted(Path("results").iterdir())
    compared = cli("compare", base, head)
    assert compared.code == 0
    assert "unchecked  5.00 µs  6.00 µs        1.20×" in compared.out
    assert "nothing here knows whether it is right. There is no verdict." in compared.out
    lines = json.loads(cli("history", "pytest-benchmark:tests/test_sort.py", "results", "--json").out)["benchmarks"]
    assert [len(line["points"]) for one in lines for line in one["lines"]] == [2, 2]
    assert {line["conditions"]["imported"] for one in lines for line in one["lines"]} == {"pytest-benchmark"}


def test_what_is_unchecked_is_not_set_against_what_was_checked(cli, imported: Path) -> None:
    path = imported / "measurements.jsonl"
    checked = Path(shutil.copytree(imported, "checked"))
    text = path.read_text().replace('"unchecked"', '"passed"')
    (checked / "measurements.jsonl").write_text(text)
    ended = cli("compare", checked, imported)
    assert ended.code == 3
    assert "incomparable: head was imported and never checked, and the other side was checked" in ended.out


def test_what_is_left_out_of_an_import_is_told(cli, foreign: Path) -> None:
    data = foreign_files.pytest_benchmark()
    data["benchmarks"][0]["stats"]["data"] = [-1.0]
    foreign.write_text(json.dumps(data))
    ended = cli("results", "import", foreign)
    assert ended.code == 0
    assert "tests/test_sort.py::test_sort[10]: got sample -1.0 s, expected a time above zero; left out" in ended.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("import none.json", "none.json cannot be read: No such file or directory"),
        ("import bench.json --format avs", "unknown format 'avs'; did you mean 'asv'?"),
        ("import bench.json --format asv", "is no file of asv; expected a file of results of version 2"),
        ("import bench.json --started yesterday", "got --started 'yesterday'; expected a time such as"),
        ("export none --format csv --out x", "none does not exist; expected a run, or a folder of runs"),
        ("export results --format cvs --out x", "unknown format 'cvs'; did you mean 'csv'?"),
        ("export results --format csv --out bench.json", "bench.json exists already; take another --out"),
        ("export results --format bencher --out x --samples", "Bencher takes no samples; leave --samples out"),
        ("merge results", "got 1 run; expected two or more to merge"),
        ("prune --older-than soon", "got an age of 'soon'; expected a number above zero with h, d or w"),
        ("prune none --older-than 90d", "none is no folder; expected one of runs"),
        ("prune --older-than 90d --keep none.txt", "none.txt does not exist; what it would name is not known"),
        ("prune --older-than 90d --reports none", "none does not exist; what it would name is not known"),
    ],
)
def test_bad_input_is_told(cli, foreign: Path, arguments: str, told: str) -> None:
    shutil.copytree(SCHEMA_6, "results/20260101-120000-s")
    ended = cli("results", *arguments.split())
    assert ended.code == 2
    assert told in ended.err
    assert "Traceback" not in ended.err


def test_a_run_is_exported(cli, imported: Path) -> None:
    ended = cli("results", "export", "results", "--format", "csv", "--out", "out.csv")
    assert (ended.code, ended.out) == (0, "2 results in out.csv\n")
    ended = cli("results", "export", imported, "--format", "csv", "--samples", "--out", "samples.csv")
    assert (ended.code, ended.out) == (0, "3 samples in samples.csv\n")


def test_a_run_of_a_later_schema_is_told_and_the_rest_is_exported(cli, imported: Path) -> None:
    Path("results/later").mkdir()
    Path("results/later/run.json").write_text('{"schema_version": 99}')
    ended = cli("results", "export", "results", "--format", "csv", "--out", "out.csv")
    assert (ended.code, ended.out) == (0, "2 results in out.csv\n")
    assert "is of schema version 99" in ended.err
    assert "the other runs are read without it" in ended.err


def test_shards_are_merged(cli) -> None:
    lines = (SCHEMA_6 / "measurements.jsonl").read_text().splitlines(keepends=True)
    for name, part in (("a", lines[:2]), ("b", lines[2:])):
        shutil.copytree(SCHEMA_6, name)
        (Path(name) / "measurements.jsonl").write_text("".join(part))
    ended = cli("results", "merge", "a", "b", "--out", "merged")
    assert ended.code == 0, ended.err
    (folder,) = Path("merged").iterdir()
    assert ended.out == f"{len(lines)} measurements in {folder}\n"


def test_shards_that_were_measured_are_merged(cli, helpers: Path) -> None:
    for size in (4, 8):
        ended = cli("run", "toys", "--plugin", helpers / "toy_operator.py", "-a", f"n={size}", "--out", f"shard-{size}")
        assert ended.code in (0, 1), ended.err  # on a busy machine a result may be refused, and is merged all the same
    shards = [folder for size in (4, 8) for folder in Path(f"shard-{size}").iterdir()]
    ended = cli("results", "merge", *shards, "--out", "whole")
    assert ended.code == 0, ended.err
    (whole,) = read_runs("whole")
    assert {m.case["n"] for m in whole.measurements} == {4, 8}
    assert len(whole.measurements) == sum(len(read_run(shard).measurements) for shard in shards)
    assert {case for bench in whole.run.benches for case in bench.cases} == {"N4", "N8"}
    assert cli("report", "whole", "--format", "markdown", "--plugin", helpers / "toy_operator.py").code == 0


def test_nothing_is_removed_without_yes(cli) -> None:
    for name in ("20200101-000000-s", "20200202-000000-s"):
        folder = Path(shutil.copytree(SCHEMA_6, f"results/{name}"))
        record = json.loads((folder / "run.json").read_text()) | {"run_id": name, "started": "2020-01-01T00:00:00"}
        (folder / "run.json").write_text(json.dumps(record))
    Path("reports").mkdir()
    Path("reports/summary.md").write_text("20200202-000000-s")
    for more in ((), ("--dry-run", "--yes")):
        ended = cli("results", "prune", "--older-than", "90d", *more)
        assert ended.code == 0
        assert "remove  results/20200101-000000-s (" in ended.out
        assert "keep    results/20200202-000000-s: named in reports/summary.md" in ended.out
        assert "1 run would be removed, 1 kept. Nothing was: add --yes." in ended.out
        assert Path("results/20200101-000000-s").is_dir()
    ended = cli("results", "prune", "--older-than", "90d", "--yes")
    assert "removed results/20200101-000000-s (" in ended.out
    assert "1 run removed, 1 kept." in ended.out
    assert [path.name for path in Path("results").iterdir()] == ["20200202-000000-s"]
