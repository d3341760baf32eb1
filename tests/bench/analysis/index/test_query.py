"""Questions in SQL: what they find, and that they can do nothing else."""

from __future__ import annotations

import io
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from attnlab.bench import UsageError, load, query
from attnlab.bench.analysis.frame import frame
from attnlab.bench.cli import main
from attnlab.bench.errors import StoreError, StoreWarning
from attnlab.bench.store.run_folder import read_run, read_runs
from tests.helpers.histories import measured, stored, write

ROOT = Path(__file__).parents[4]


def test_a_query_finds_what_the_table_has(results: Path) -> None:
    table = load(results)
    found = query("SELECT run_id, case_id, median_ns, q_len, bound FROM measurements ORDER BY ALL", results)
    expected = table[["run_id", "case_id", "median_ns", "q_len", "bound"]]
    expected = expected.sort_values(list(expected.columns), na_position="last").reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    runs = query("SELECT run, measurements, schema_version FROM runs ORDER BY run", results)
    assert list(runs.run) == [f"schema-{number}" for number in range(1, 8)]
    assert list(runs.measurements) == [len(frame([run])) for run in read_runs(results)]


def test_every_column_of_the_table_is_there(results: Path) -> None:
    described = query("DESCRIBE measurements", results)
    assert set(load(results).columns) <= set(described.column_name)
    types = dict(zip(described.column_name, described.column_type, strict=True))
    assert (types["q_len"], types["median_ns"], types["mask"], types["deterministic"]) == (
        "BIGINT",
        "DOUBLE",
        "VARCHAR",
        "BOOLEAN",
    )


def test_raw_samples_are_where_the_row_says(results: Path) -> None:
    found = query("SELECT run, byte_offset, byte_length, line, implementation FROM measurements", results)
    for row in found.itertuples():
        content = (results / str(row.run) / "measurements.jsonl").read_bytes()
        text = content[row.byte_offset : row.byte_offset + row.byte_length]
        assert json.loads(text)["implementation"] == row.implementation
        assert content.split(b"\n")[row.line - 1] == text


def test_one_run_is_asked_alone(results: Path) -> None:
    found = query("SELECT DISTINCT run FROM measurements", results / "schema-3")
    assert list(found.run) == ["schema-3"]
    assert query("SELECT count(*) AS n FROM runs", results / "schema-3").n[0] == 1


def test_axes_of_any_name(tmp_path: Path) -> None:
    case = {"Device": 1, "device": "x", '"; DROP': True, "n": 0.5, "": None, "number": [1], "q_len": 2}
    write([stored(0, [measured(1e6, case=case)]), stored(1, [measured(1e6, case={"q_len": "a"})])], tmp_path)
    found = query(
        'SELECT axis_Device, axis_device_, """; DROP", n, axis_, axis_number, q_len FROM measurements', tmp_path
    )
    rows = {tuple(None if isinstance(v, float) and math.isnan(v) else v for v in row) for row in found.to_numpy()}
    assert (1, "x", True, 0.5, None, "[1]", "2") in rows


REFUSED = {
    "COPY runs TO 'out.csv'": "got COPY; expected one SELECT",
    "CREATE TABLE x AS SELECT 1": "got CREATE; expected one SELECT",
    "SET enable_external_access = true": "got SET; expected one SELECT",
    "ATTACH 'x.db'": "got ATTACH",
    "INSTALL httpfs": "got LOAD",
    "SELECT 1; SELECT 2": "got SELECT, SELECT",
    "": "got nothing; expected one SELECT",
    "SELEC 1": "the query cannot be read: Parser Error",
    "SELECT nothing FROM runs": "the query fails: Binder Error",
    "SELECT * FROM read_text('/etc/passwd')": "the query fails: Permission Error",
    "SELECT * FROM '/etc/passwd'": "the query fails",
    "SELECT * FROM glob('*')": "the query fails: Permission Error",
    "SELECT * FROM secret_frame": "the query fails: Catalog Error",
    "SELECT 'x'::INTEGER": "the query fails: Conversion Error",
}


@pytest.mark.parametrize("sql", REFUSED)
def test_what_is_no_question_is_refused(sql: str, query_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(query_folder)
    secret_frame = pd.DataFrame({"a": [1]})
    query("SELECT 1", query_folder)
    before = sorted(query_folder.parent.rglob("*"))
    with pytest.raises(UsageError) as error:
        query(sql, query_folder)
    assert REFUSED[sql] in str(error.value)
    assert "LINE 1" not in str(error.value)
    assert sorted(query_folder.parent.rglob("*")) == before
    assert len(secret_frame) == 1


@pytest.fixture(scope="module")
def query_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs that is indexed, for questions that change nothing."""
    folder = tmp_path_factory.mktemp("asked") / "results"
    shutil.copytree(ROOT / "tests" / "bench" / "store" / "fixtures" / "schema-6", folder / "schema-6")
    query("SELECT 1", folder)
    return folder


def test_where_there_are_no_runs_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        query("SELECT 1", tmp_path / "nowhere")
    with pytest.raises(StoreError, match="holds no run"):
        query("SELECT 1", tmp_path)


def test_a_run_that_no_column_can_hold_is_told(tmp_path: Path) -> None:
    write([stored(0, [measured(1e6, case={"n": 2**70})]), stored(1, [measured(1e6, case={"n": 1})])], tmp_path)
    run = read_runs(tmp_path)[0].run
    (tmp_path / run.run_id / "run.json").write_text(
        (tmp_path / run.run_id / "run.json").read_text().replace('"seed": 7', f'"seed": {2**70}')
    )
    with pytest.warns(StoreWarning, match="no column can"):
        found = query("SELECT n FROM measurements", tmp_path)
    assert list(found.n) == [1]
    assert len(load(tmp_path)) == 2, "the table has both"


def test_the_command(query_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored_run = read_run(query_folder / "schema-6")
    sql = "SELECT implementation, median_ns, outcome = 'passed' AS good FROM measurements ORDER BY line"
    ask = ["results", "query", sql, "--results", str(query_folder)]
    names = [m.implementation for m in stored_run.measurements]
    assert main(ask) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["implementation", "median_ns", "good"]
    assert [line.split()[0] for line in shown[1:]] == names
    assert main([*ask, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["median_ns"] for row in rows] == [m.median_ns for m in stored_run.measurements]
    assert main([*ask, "--format", "csv"]) == 0
    csv = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert list(csv.implementation) == names
    out = tmp_path / "it's.parquet"
    assert main([*ask, "--format", "parquet", "--out", str(out)]) == 0
    assert list(pd.read_parquet(out).implementation) == names
    assert main([*ask, "--format", "parquet", "--out", str(out)]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert main([*ask, "--format", "parquet"]) == 2
    assert main(["results", "query", "SELECT x FROM runs", "--results", str(query_folder)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_what_a_terminal_would_obey_is_not_printed(query_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT chr(27) || '[2J' AS a, chr(8238) AS b"
    assert main(["results", "query", sql, "--results", str(query_folder)]) == 0
    assert capsys.readouterr().out.replace("\n", "").isprintable()


def test_headings_are_no_formulas_and_no_two_are_alike(query_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Axes of any name are columns."""
    ask = ["results", "query", 'SELECT 1 AS "=1+1", 2 AS a, 3 AS a, 4 AS a_1', "--results", str(query_folder)]
    assert main([*ask, "--format", "csv"]) == 0
    assert capsys.readouterr().out == "'=1+1,a,a_1,a_1_1\n1,2,3,4\n"
    assert main([*ask, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"=1+1": 1, "a": 2, "a_1": 3, "a_1_1": 4}]


def test_a_table_without_end_is_cut_and_told(query_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "query", "SELECT * FROM range(1000000000000)", "--results", str(query_folder)]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 10_001
    assert "the first 10000 rows are shown; for all: --format csv" in shown.err


def test_a_query_that_fails_late_leaves_no_file(query_folder: Path, tmp_path: Path) -> None:
    sql = "SELECT CASE WHEN range < 5000 THEN 1 ELSE error('late') END FROM range(10000)"
    ask = ["results", "query", sql, "--results", str(query_folder), "--format", "csv"]
    assert main([*ask, "--out", str(tmp_path / "out.csv")]) == 2
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_a_query_without_end(query_folder: Path) -> None:
    endless = "WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i FROM t) SELECT count(*) FROM t"
    code = f"""
import os, signal, threading
from attnlab.bench import query
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a process in the background has not
query("SELECT 1", {str(query_folder)!r})
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
query({endless!r}, {str(query_folder)!r})
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "KeyboardInterrupt"


def test_docs_list_every_column(results: Path) -> None:
    text = (ROOT / "docs" / "store.md").read_text(encoding="utf-8")
    for view in ("measurements", "runs"):
        names = set(query(f"DESCRIBE {view}", results).column_name)
        axes = {name for run in read_runs(results) for m in run.measurements for name in m.case}
        missing = [name for name in sorted(names - axes) if f"`{name}`" not in text]
        assert not missing, view
