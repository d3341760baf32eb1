"""Commands that read stored runs: what is cut or damaged is told by its place, and never hidden."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

SCHEMA_1 = Path(__file__).parents[1] / "store" / "fixtures" / "schema-1"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of the first schema, under results/ of the current folder."""
    return Path(shutil.copytree(SCHEMA_1, tmp_path / "results" / "20260101-120000-s"))


@pytest.fixture
def damaged(run: Path) -> Path:
    """The same with a broken third line and a cut last one."""
    path = run / "measurements.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b'{"operator": 5}\n', *lines[2:]])[:-30])
    return run


def test_a_report_of_the_newest_run(cli, run: Path) -> None:
    ended = cli("report", "--format", "csv", "--json")
    assert ended.code == 0, ended.err
    (written,) = json.loads(ended.out)
    assert Path(written).is_relative_to("reports/20260101-120000-s")
    assert "sdpa_flash" in Path(written).read_text()


def test_a_report_of_damaged_results_names_the_lines_and_goes_on(cli, damaged: Path) -> None:
    ended = cli("report", damaged, "--format", "csv", "--json")
    assert ended.code == 0
    path = damaged / "measurements.jsonl"
    assert f"attnlab: {path}:3: unreadable measurement: " in ended.err
    assert f"attnlab: {path}:6: unreadable measurement: " in ended.err
    table = Path(json.loads(ended.out)[0]).read_text()
    assert "naive" in table
    assert "raising" not in table, "the last line was cut"


def test_a_report_that_cannot_be_written(cli, run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    ended = cli("report", run, "--out", "file/below")
    assert ended.code == 2
    assert "cannot write to file/below: Not a directory; take another folder with --out" in ended.err


def test_an_unknown_format(cli, run: Path) -> None:
    ended = cli("report", run, "--format", "cvs")
    assert ended.code == 2
    assert "unknown format 'cvs'; did you mean 'csv'?" in ended.err


def test_a_run_of_a_later_schema(cli, run: Path) -> None:
    (run / "run.json").write_text('{"schema_version": 99}')
    ended = cli("report", run)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert "is of schema version 99, and this attnlab reads up to" in ended.err


def test_all_samples_of_all_runs_in_one_file(cli, damaged: Path) -> None:
    pytest.importorskip("pyarrow", reason="package pyarrow is not installed")
    import pandas as pd

    ended = cli("results", "compact", "--out", "all.parquet")
    assert ended.code == 0, ended.err
    assert f"{damaged.relative_to(Path.cwd())}/measurements.jsonl:3: unreadable measurement: " in ended.err
    table = pd.read_parquet("all.parquet")
    assert ended.out == f"{len(table)} samples in all.parquet\n"
    latency = table[(table.quantity == "latency") & (table.clock == "wall")]
    assert set(latency.implementation) == {"naive", "sdpa_flash"}
    assert (latency.value > 0).all()


def test_nothing_is_overwritten(cli, run: Path) -> None:
    Path("all.parquet").write_text("mine")
    ended = cli("results", "compact", "--out", "all.parquet")
    assert ended.code == 2
    assert "all.parquet exists already; take another --out, nothing is overwritten" in ended.err
    assert Path("all.parquet").read_text() == "mine"


def test_a_file_that_cannot_be_written(cli, run: Path) -> None:
    ended = cli("results", "compact", "--out", "nowhere/all.parquet")
    assert ended.code == 2
    assert ended.err.startswith("attnlab: cannot write nowhere/all.parquet: ")
    assert ended.err.rstrip().endswith("take another --out")


def test_without_pyarrow_the_remedy_is_told(cli, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pyarrow" else real(name))
    ended = cli("results", "compact")
    assert ended.code == 2
    assert "package pyarrow is not installed; install attnlab with its extra 'parquet'" in ended.err


def test_a_report_never_imports_what_a_stored_run_names(cli, run: Path, tmp_path: Path) -> None:
    """Whoever sends a folder of results would run code on the machine of whoever reads it."""
    plugin = tmp_path / "sent.py"
    plugin.write_text("from pathlib import Path\nPath('ran').touch()\n")
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"plugins": [str(plugin)]}))
    lines = (run / "measurements.jsonl").read_text().replace('"operator":"attention"', '"operator":"theirs"')
    (run / "measurements.jsonl").write_text(lines)
    ended = cli("report", run, "--format", "csv")
    assert ended.code == 0, ended.err
    assert not (tmp_path / "ran").exists()
    assert (
        f"nothing here knows theirs, so the report has less to say of it; if you trust .*--plugin {plugin}".replace(
            ".*", "what the run was made with, name it: "
        )
        in ended.err
    )


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 99}', "[" * 100_000])
def test_one_damaged_run_costs_the_others_nothing(cli, run: Path, content: str) -> None:
    other = Path(shutil.copytree(run, run.with_name("20260101-130000-s")))
    record = json.loads((run / "run.json").read_text())
    (other / "run.json").write_text(json.dumps(record | {"run_id": other.name}))
    broken = run.with_name("20260102-120000-s")
    broken.mkdir()
    (broken / "run.json").write_text(content)
    for command in (("history", "--json"), ("results", "compact", "results"), ("compare", "results", "results")):
        ended = cli(*command)
        assert ended.code == 0, ended.err
        assert f"attnlab: {broken / 'run.json'}".replace(str(run.parents[1]) + "/", "") in ended.err
        assert "the other runs are read without it" in ended.err
    ended = cli("report", broken)
    assert ended.code == 2


@pytest.mark.parametrize("value", [-5.0, 0.0, 1e300])
def test_a_time_that_is_none_is_a_damaged_line(cli, run: Path, value: float) -> None:
    path = run / "measurements.jsonl"
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(first) | {"median_ns": value}), *rest]) + "\n")
    ended = cli("report", run, "--format", "csv,markdown")
    assert ended.code == 0
    assert f":1: unreadable measurement: got median_ns {value!r}, expected nanoseconds above zero" in ended.err


@pytest.mark.parametrize("run_id", ["../../evil", "/evil", "..", ""])
def test_nothing_is_written_elsewhere_whatever_a_run_says_of_its_id(
    cli, run: Path, tmp_path: Path, run_id: str
) -> None:
    record = json.loads((run / "run.json").read_text()) | {
        "run_id": str(tmp_path / "evil") if run_id == "/evil" else run_id
    }
    (run / "run.json").write_text(json.dumps(record))
    other = Path(shutil.copytree(run, run.with_name("other")))
    ended = cli("report", run, "--format", "csv")
    assert ended.code == 0, ended.err
    (report,) = (tmp_path / "reports").iterdir()
    assert [file.name for file in report.iterdir()] == ["results.csv"]
    ended = cli("results", "merge", run, other, "--out", "merged/deep")
    assert ended.code == 0, ended.err
    (merged,) = (tmp_path / "merged" / "deep").iterdir()
    assert json.loads((merged / "run.json").read_text())["run_id"] == merged.name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["merged", "reports", "results"]
