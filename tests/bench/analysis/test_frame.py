"""Runs on disk as DataFrames."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from attnlab.bench import load
from attnlab.bench.analysis.metrics import known_metrics
from attnlab.bench.store.run_folder import RunWriter

SYNTHETIC = runpy.run_path(str(Path(__file__).parents[1] / "reporters" / "synthetic.py"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two runs."""
    root = tmp_path_factory.mktemp("results")
    for run_id in ("first", "second"):
        stored = SYNTHETIC["stored_run"](run_id)
        writer = RunWriter.create(root, stored.run)
        for measurement in stored.measurements:
            writer.append(measurement)
        writer.close()
    return root


def test_one_row_a_measurement(folder: Path) -> None:
    table = load(folder / "first")
    assert len(table) == 110
    wanted = {"run_id", "operator", "implementation", "case_id", "q_len", "dtype", "mask", "outcome"}
    wanted |= {"reason", "median_ns", "ci_low_ns", "ci_high_ns", "device", "flags", "clock"}
    assert wanted | {metric.name for metric in known_metrics()} <= set(table.columns)
    shortest = table[(table.implementation == "sdpa_flash") & (table.q_len == 128)]
    flash = shortest[shortest.dtype == "float32"].iloc[0]
    assert flash.tflop_per_s == pytest.approx(0.0607, rel=1e-2)
    assert flash.peak_memory_bytes == 0.0
    assert flash.device == "Example Processor 9000"


def test_a_folder_of_runs(folder: Path) -> None:
    table = load(str(folder))
    assert table.groupby("run_id").size().to_dict() == {"first": 110, "second": 110}


def test_not_measured_is_missing_and_never_zero(folder: Path) -> None:
    table = load(folder / "first")
    speeds = ["median_ns", "ci_low_ns", "latency_ns", "speedup", "gb_per_s", "share_of_ceiling", "setup_ns"]
    silent = table[(table.outcome != "passed") | (table.implementation == "triton")]
    assert len(silent) > 30
    assert silent[speeds].isna().all(axis=None)
    assert table["share_of_published"].isna().all()
    assert table["share_of_published"].dtype == float
    assert table.loc[table.implementation == "naive", "reason"].isna().all()


def test_one_row_a_sample(folder: Path) -> None:
    table = load(folder / "first", samples=True)
    one = table[(table.implementation == "naive") & (table.q_len == 128) & (table.dtype == "bfloat16")]
    counts = one.fillna({"clock": "none"}).groupby(["quantity", "clock"]).size().to_dict()
    beside = {("setup", "wall"): 1, ("peak_memory", "none"): 1}
    assert counts == {("latency", "wall"): 8, ("latency", "cpu_time"): 8, **beside}
    wrong = table[(table.implementation == "mine") & (table["mask"] == "causal")]
    assert wrong.empty  # no figure of speed of a wrong result, raw ones neither


def test_an_axis_named_like_a_column_keeps_both(tmp_path: Path) -> None:
    stored = SYNTHETIC["stored_run"]()
    found = SYNTHETIC["timed"]("naive", SYNTHETIC["cases"]()[0])
    writer = RunWriter.create(tmp_path, stored.run)
    writer.append(replace(found, case={"device": "left", "clock": "right", "n": 4}))
    writer.close()
    row = load(tmp_path).iloc[0]
    assert (row.axis_device, row.axis_clock, row.n) == ("left", "right", 4)
    assert (row.device, row.clock) == ("Example Processor 9000", "wall")
    assert load(tmp_path, samples=True).iloc[0].axis_clock == "right"
