"""What is written for other tools is read back: by the rules of each format, and against what was stored."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from attnlab.bench.analysis.csv_file import harmless
from attnlab.bench.analysis.frame import frame, samples_frame
from attnlab.bench.analysis.parquet import write_parquet
from attnlab.bench.errors import StoreError, UnknownName, UsageError
from attnlab.bench.exchange.importing import import_file
from attnlab.bench.exchange.writers import WRITERS, export
from attnlab.bench.llm.generation.events import calls_of
from attnlab.bench.llm.generation.latencies import ttft_ns
from attnlab.bench.store.records import Outcome
from attnlab.bench.store.run_folder import StoredRun, latest, read_run
from tests.helpers import foreign_files


@pytest.fixture
def imported(tmp_path: Path) -> Callable[[dict[str, Any]], StoredRun]:
    def made(data: dict[str, Any]) -> StoredRun:
        path = tmp_path / "file.json"
        path.write_text(json.dumps(data))
        return read_run(import_file(path, tmp_path / "results").folder)

    return made


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "' =1"),
        ("  =1", "'  =1"),
        ("＝1+1", "'＝1+1"),
        ("-3", "-3"),
        ("+1.5e-3", "+1.5e-3"),
        ("-.5", "-.5"),
        ("plain", "plain"),
        ("a=b", "a=b"),
        ("\u202e=1", "' =1"),
        (-3.0, -3.0),
        (None, None),
    ],
)
def test_no_cell_is_a_formula(given: object, written: object) -> None:
    assert harmless(given) == written


def rows_in(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_csv_has_every_figure(attention: StoredRun, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    assert export([attention], "csv", path) == f"{len(latest(attention.measurements))} results"
    table = frame([attention])
    rows = rows_in(path)
    assert list(rows[0]) == list(table.columns)
    for row, stored in zip(rows, table.to_dict("records"), strict=True):
        assert row["case_id"] == stored["case_id"]
        time_ns = stored["median_ns"]
        assert row["median_ns"] == ("" if math.isnan(time_ns) else str(time_ns)), "full precision, or nothing"


def test_formulas_in_names_axes_and_headings_are_harmless(
    imported: Callable[[dict[str, Any]], StoredRun], tmp_path: Path
) -> None:
    data = foreign_files.pytest_benchmark()
    bench = data["benchmarks"][0]
    bench |= {"group": "=HYPERLINK(1)", "fullname": "x.py::@evil", "params": {"=axis": "+1+1"}, "param": None}
    export([imported(data)], "csv", tmp_path / "out.csv")
    text = (tmp_path / "out.csv").read_text()
    row = rows_in(tmp_path / "out.csv")[0]
    assert row["implementation"] == "'@evil"
    assert row["'=axis"] == "'+1+1"
    assert row["operator"] == "pytest-benchmark:=HYPERLINK(1)", "it does not begin so"
    cells = [cell for line in csv.reader(text.splitlines()) for cell in line]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "@", "\t") and not cell[1:2].isdigit()]


@pytest.mark.parametrize("samples", [False, True])
def test_parquet_reads_back_as_it_was(
    attention: StoredRun, generation: StoredRun, tmp_path: Path, samples: bool
) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    runs = [attention] if samples else [attention, generation]
    export(runs, "parquet", tmp_path / "out.parquet", samples)
    table = samples_frame(runs) if samples else frame(runs)
    read = pd.read_parquet(tmp_path / "out.parquet")
    assert list(read.columns) == list(table.columns)
    value = "value" if samples else "median_ns"
    pd.testing.assert_series_equal(read[value], table[value])
    assert list(read["case_id"]) == list(table["case_id"])


def test_an_axis_of_several_types_becomes_text_in_parquet(
    imported: Callable[[dict[str, Any]], StoredRun], tmp_path: Path
) -> None:
    pd = pytest.importorskip("pandas")
    data = foreign_files.pytest_benchmark()
    data["benchmarks"][1]["params"] = {"n": "many"}
    export([imported(data)], "parquet", tmp_path / "out.parquet")
    assert list(pd.read_parquet(tmp_path / "out.parquet")["n"]) == ["10", "many"]


def test_what_parquet_has_no_type_for_becomes_text(tmp_path: Path) -> None:
    table = pd.DataFrame({"n": [2**63, 1], "m": [1, 2], "l": [[1, {"a": 2}], []], "d": [{}, {"a": 1}]}, dtype=object)
    write_parquet(table, tmp_path / "out.parquet")
    assert pd.read_parquet(tmp_path / "out.parquet").to_dict("list") == {
        "n": [str(2**63), "1"],
        "m": [1, 2],
        "l": ["[1, {'a': 2}]", "[]"],
        "d": ["{}", "{'a': 1}"],
    }


def test_bencher_gets_what_its_schema_asks_for(attention: StoredRun, tmp_path: Path) -> None:
    """https://bencher.dev/bmf.json: benchmarks of measures, each with a number, and numbers at its ends if any."""
    export([attention], "bencher", tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    passed = [m for m in latest(attention.measurements) if m.outcome is Outcome.PASSED]
    assert set(written) == {"/".join(m.key) for m in passed}, "nothing that is wrong or did not run"
    for measures in written.values():
        for name, measure in measures.items():
            assert 0 < len(name) <= 64
            assert "value" in measure
            assert set(measure) <= {"value", "lower_value", "upper_value"}
            assert all(isinstance(number, (int, float)) and math.isfinite(number) for number in measure.values())
    timed = next(m for m in passed if m.ci_low_ns)
    assert written["/".join(timed.key)]["latency"] == {
        "value": timed.median_ns,
        "lower_value": timed.ci_low_ns,
        "upper_value": timed.ci_high_ns,
    }


def test_bencher_takes_one_run_and_no_samples(attention: StoredRun, generation: StoredRun, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="got 2 runs; Bencher takes one a file"):
        export([attention, generation], "bencher", tmp_path / "out.json")
    with pytest.raises(UsageError, match="leave --samples out"):
        export([attention], "bencher", tmp_path / "out.json", samples=True)
    assert not (tmp_path / "out.json").exists()


def trace_of(runs: list[StoredRun], path: Path) -> dict[str, Any]:
    export(runs, "perfetto", path)
    return dict(json.loads(path.read_text()))


def test_slices_of_a_trace_lie_in_each_other_and_are_named(
    attention: StoredRun, generation: StoredRun, tmp_path: Path
) -> None:
    events = trace_of([attention, generation], tmp_path / "out.json")["traceEvents"]
    names = {(e["pid"], e["tid"]) for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    slices = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            assert event["dur"] >= 0
            assert event["ts"] >= 0
            slices[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    assert set(slices) <= names
    for (pid, thread), spans in slices.items():
        spans.sort()
        gaps = [after[0] - before[1] for before, after in pairwise(spans)]
        assert min(gaps, default=0.0) >= -1e-3, (pid, thread)  # in microseconds: Unix time has no more digits


def test_the_first_token_of_a_trace_is_when_the_log_says(generation: StoredRun, tmp_path: Path) -> None:
    events = trace_of([generation], tmp_path / "out.json")["traceEvents"]
    logged = [m for m in latest(generation.measurements) if m.outcome.may_have_speed and (m.launches or m.turns)]
    told = calls_of(logged[0])
    firsts = [e["dur"] * 1e3 for e in events if e["pid"] == 1 and e["name"] == "first token"]
    known = [time_ns for call in told for request in call if (time_ns := ttft_ns(request)) is not None]
    assert firsts[: len(known)] == pytest.approx(known)
    tokens = [e["args"]["tokens"] for e in events if e["ph"] == "X" and e["pid"] == 1 and e["tid"] == 1]
    assert max(tokens) == told[0][0].chunks[-1][1]


def test_bursts_of_a_trace_begin_when_they_did(attention: StoredRun, tmp_path: Path) -> None:
    trace = trace_of([attention], tmp_path / "out.json")
    started = trace["otherData"]["started_s"][attention.run.run_id]
    begins = {round(e["ts"]) for e in trace["traceEvents"] if e["ph"] == "X"}
    shown = [m for m in latest(attention.measurements) if m.outcome.may_have_speed]
    stored = [b.started_s for m in shown for launch in m.launches for b in launch.bursts]
    assert {round((s - started) * 1e6) for s in stored} <= begins


def test_a_trace_of_what_nobody_knows_the_start_of(
    imported: Callable[[dict[str, Any]], StoredRun], tmp_path: Path
) -> None:
    events = trace_of([imported(foreign_files.nvbench())], tmp_path / "out.json")["traceEvents"]
    (one,) = [e for e in events if e["ph"] == "X"]
    assert (one["ts"], one["dur"]) == (0.0, pytest.approx(12 * 1.25))
    assert one["args"]["when it began"] == "not known"
    assert one["cat"] == "unchecked"


def test_no_trace_shows_how_long_a_wrong_result_took(attention: StoredRun, tmp_path: Path) -> None:
    timed = next(m for m in attention.measurements if m.launches)
    wrong = timed.fail("wrong", outcome=Outcome.WRONG_VALUES)
    events = trace_of([replace(attention, measurements=(wrong,))], tmp_path / "out.json")["traceEvents"]
    assert events == []


@pytest.mark.parametrize("name", WRITERS.names())
def test_nothing_is_overwritten(attention: StoredRun, tmp_path: Path, name: str) -> None:
    (tmp_path / "out").write_text("kept")
    with pytest.raises(StoreError, match="exists already; take another --out, nothing is overwritten"):
        export([attention], name, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "kept"
    with pytest.raises(StoreError, match=r"cannot write .*; take another --out"):
        export([attention], name, tmp_path / "nowhere" / "out")


def test_an_unknown_format() -> None:
    with pytest.raises(UnknownName, match="unknown format 'cvs'; did you mean 'csv'"):
        export([], "cvs", Path("out"))
