"""Where a result passes a ceiling that was measured low, the ceiling is measured again and judges it anew."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from attnlab.bench.analysis.metrics import rows_of
from attnlab.bench.cli.run import _raise_ceilings
from attnlab.bench.doctor import raising
from attnlab.bench.doctor.raising import doubts, raised
from attnlab.bench.errors import StoreError
from attnlab.bench.machine import ceilings
from attnlab.bench.measuring.draft import draft_run
from attnlab.bench.measuring.suite import Suite
from attnlab.bench.store.machine import Ceilings, Device, Load
from attnlab.bench.store.records import SCHEMA_VERSION, Measurement, Outcome, TimingRecord
from attnlab.bench.store.run_folder import RunWriter, read_run

LOW = Load(1.0, 0.0, 100.0, 3, "other processes kept 1.0 cores busy")


def ceiling(rate: float, load: Load | None = None) -> Ceilings:
    rates = dict.fromkeys(("float32", "bfloat16", "float16"), rate)
    return Ceilings("here", 1, 1e13, rates, None, 1e9, 1e13, 1e14, load=load)


@pytest.fixture
def low(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Device]:
    """An empty cache of a user whose machine measures low ones first, and high ones then; what was measured so far."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    measured: list[Device] = []

    def measure(device: Device) -> Ceilings:
        measured.append(device)
        return ceiling(1.0, LOW) if len(measured) == 1 else ceiling(1e15)

    monkeypatch.setattr(ceilings, "measure", measure)
    return measured


@pytest.fixture
def writer(low: list[Device], tmp_path: Path) -> Iterator[RunWriter]:
    """A run with low ceilings and a result that passes them: 5 MFLOP in 10 ms, where 1 FLOP a second was measured."""
    timing = TimingRecord("wall", "warm", 2, 10, 1e6, True, 3, "target")
    result = Measurement(
        "attention",
        "mine",
        {"dtype": "float32"},
        "c",
        Outcome.PASSED,
        timing=timing,
        operations=5_000_000,
        bytes_moved=1000,
        bytes_written=0,
        median_ns=1e7,
    )
    writer = RunWriter.create(tmp_path, draft_run(Suite("s", ()), (), "cpu", "attnlab run s"))
    writer.append(result)
    yield writer
    writer.close()


def test_a_run_measures_what_is_passed_again(
    low: list[Device], writer: RunWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_run(writer.folder)
    assert doubts(before.run, before.measurements) == 1
    _raise_ceilings(writer)
    assert capsys.readouterr().err == "attnlab: 1 result above measured ceilings: measuring these again\n"
    stored = read_run(writer.folder)
    assert (stored.run.ceilings.rates["float32"], stored.run.ceilings.disturbed) == (1e15, None)
    assert replace(stored.run, ceilings=before.run.ceilings) == before.run
    assert stored.measurements == before.measurements
    assert sorted(path.name for path in writer.folder.iterdir()) == ["measurements.jsonl", "run.json"]
    assert len(low) == 2
    (row,) = rows_of(stored.run, stored.measurements)
    assert row.measurement.flags == ()
    path = ceilings.cache_path(stored.run.environment.device, stored.run.environment.threads)
    assert '"float32": 1000000000000000.0' in path.read_text(), "the cached file is raised"
    _raise_ceilings(writer)
    assert len(low) == 2, "nothing passes them now"


def test_what_still_passes_is_told(
    monkeypatch: pytest.MonkeyPatch, writer: RunWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(raising, "measure_again", lambda device: ceiling(2.0, LOW))
    _raise_ceilings(writer)
    assert "attnlab: 1 result still above them, as the report says" in capsys.readouterr().err


def test_a_lower_measurement_changes_nothing(monkeypatch: pytest.MonkeyPatch, writer: RunWriter) -> None:
    run = replace(read_run(writer.folder).run, ceilings=ceiling(5e11), schema_version=3)
    monkeypatch.setattr(raising, "measure_again", lambda device: ceiling(1e9, LOW))
    found = raised(run)
    assert found.ceilings == run.ceilings
    assert found.schema_version == SCHEMA_VERSION, "the ceilings of now have fields of now"


def test_an_old_run_never_gets_lower_ones(monkeypatch: pytest.MonkeyPatch, writer: RunWriter) -> None:
    """It is judged by what the machine could do then and now, even where the cache believes the lower rates of now."""
    old = replace(ceiling(5e11), measured_at_s=0.0)
    run = replace(read_run(writer.folder).run, ceilings=old)
    monkeypatch.setattr(raising, "measure_again", lambda device: ceiling(1e9))
    assert raised(run).ceilings.rates["float32"] == 5e11


def test_a_record_that_cannot_be_written_leaves_the_one_that_was(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = read_run(writer.folder).run
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match="cannot write to"):
        writer.rewrite(replace(run, seed=99))
    assert read_run(writer.folder).run == run
    assert sorted(path.name for path in writer.folder.glob("run.json*")) == ["run.json"]
