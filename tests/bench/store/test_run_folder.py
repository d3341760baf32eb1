"""A run's folder: nothing is lost, overwritten or dropped in silence."""

from __future__ import annotations

import gc
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from attnlab.bench.errors import StoreError
from attnlab.bench.store.machine import Ceilings, Device, Environment
from attnlab.bench.store.records import BenchRecord, Measurement, Outcome, RunRecord
from attnlab.bench.store.run_folder import RunWriter, check_writable, latest, read_run, read_runs
from attnlab.bench.text import LONGEST_BLOCK, LONGEST_REASON

FIXTURE = Path(__file__).parent / "fixtures" / "schema-5"

ENVIRONMENT = Environment(
    device=Device("cpu", "processor"),
    processor="processor",
    cores=2,
    affinity=(0, 1),
    threads=2,
    memory_bytes=1 << 34,
    system="Linux",
    python="3.11",
    packages={"torch": "2.13"},
    governor=None,
    load_average=0.5,
    variables={},
    revision=None,
    dirty=None,
)
RUN = RunRecord(
    run_id="20260101-000000-mine",
    suite="mine",
    started="2026-01-01T00:00:00+00:00",
    command="attnlab run mine",
    benches=(BenchRecord("toy", ("plus",), None, ("N4", "N8")),),
    environment=ENVIRONMENT,
    ceilings=Ceilings("processor", 2, 1e10, {"float32": 1e11}, None, 0.0),
    seed=0,
)
FIRST = Measurement("toy", "plus", {"n": 4}, "N4", Outcome.PASSED, median_ns=1.5)
SECOND = Measurement("toy", "plus", {"n": 8}, "N8", Outcome.FAILED, reason="a fault, “quoted” and more")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run with two measurements."""
    writer = RunWriter.create(tmp_path / "results", RUN)
    writer.append(FIRST)
    writer.append(SECOND)
    writer.close()
    return writer.folder


def lines(folder: Path) -> list[bytes]:
    return (folder / "measurements.jsonl").read_bytes().splitlines(keepends=True)


def test_what_was_written_is_read(folder: Path) -> None:
    stored = read_run(folder)
    assert stored.run == RUN
    assert stored.measurements == (FIRST, SECOND)
    assert stored.damages == ()
    assert len(lines(folder)) == 2, "one line each"


def test_each_measurement_is_on_disk_before_the_next(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path, RUN)
    for count, measurement in enumerate((FIRST, SECOND), start=1):
        writer.append(measurement)
        assert len(read_run(writer.folder).measurements) == count
    writer.close()


def test_runs_of_one_second_get_a_folder_and_an_id_each(tmp_path: Path) -> None:
    writers = [RunWriter.create(tmp_path, RUN) for _ in range(3)]
    assert [w.folder.name for w in writers] == [RUN.run_id, f"{RUN.run_id}-2", f"{RUN.run_id}-3"]
    assert [read_run(w.folder).run.run_id for w in writers] == [w.folder.name for w in writers]


def test_a_folder_that_is_there_is_not_touched(tmp_path: Path) -> None:
    taken = tmp_path / RUN.run_id
    taken.mkdir()
    (taken / "notes.txt").write_text("mine")
    RunWriter.create(tmp_path, RUN)
    assert [path.name for path in taken.iterdir()] == ["notes.txt"]


def test_a_cut_last_line_is_told_and_the_next_starts_on_its_own(folder: Path) -> None:
    path = folder / "measurements.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    (damage,) = read_run(folder).damages
    assert str(damage).startswith(f"{path}:2: unreadable measurement: ")
    writer = RunWriter(folder)
    writer.append(SECOND)
    writer.close()
    stored = read_run(folder)
    assert stored.measurements == (FIRST, SECOND)
    assert [d.line for d in stored.damages] == [2], "what was cut stays told"


def test_a_last_line_without_its_end_is_whole(folder: Path) -> None:
    path = folder / "measurements.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    RunWriter(folder).close()
    assert read_run(folder).measurements == (FIRST, SECOND)
    assert read_run(folder).damages == ()


DAMAGED = {
    "cut": b'{"operator": "toy", "impl',
    "no JSON": b"garbage",
    "no object": b"[1, 2]",
    "no text": b"\xff\xfe\x00\x01",
    "nested without end": b"[" * 200_000,
    "without version": b"{}",
    "of version 0": b'{"schema_version": 0}',
    "of no version": b'{"schema_version": true}',
    "unknown outcome": json.dumps(
        {
            "schema_version": 1,
            "operator": "toy",
            "implementation": "x",
            "case": {},
            "case_id": "N4",
            "outcome": "splendid",
        }
    ).encode(),
    "text for a number": json.dumps(
        {
            "schema_version": 1,
            "operator": "toy",
            "implementation": "x",
            "case": {},
            "case_id": "N4",
            "outcome": "passed",
            "median_ns": "fast",
        }
    ).encode(),
    "a number of 500 digits": b'{"schema_version": 1, "operator": "toy", "implementation": "x", "case": {}, '
    b'"case_id": "N4", "outcome": "passed", "median_ns": ' + b"9" * 500 + b"}",
    "missing keys": b'{"schema_version": 1, "operator": "toy"}',
    "unknown keys": b'{"schema_version": 1, "colour": "blue"}',
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_middle_line_is_told_by_its_place(folder: Path, name: str) -> None:
    first, second = lines(folder)
    (folder / "measurements.jsonl").write_bytes(first + DAMAGED[name] + b"\n" + second)
    stored = read_run(folder)
    assert stored.measurements == (FIRST, SECOND)
    (damage,) = stored.damages
    assert str(damage).startswith(f"{folder / 'measurements.jsonl'}:2: unreadable measurement: ")


def test_a_line_of_a_later_schema_is_told(folder: Path) -> None:
    with (folder / "measurements.jsonl").open("ab") as file:
        file.write(b'{"schema_version": 99, "new": "things"}\n')
    (damage,) = read_run(folder).damages
    assert damage.line == 3
    assert "is of schema version 99, and this attnlab reads up to" in damage.reason


def rewrite(folder: Path, text: str) -> None:
    (folder / "run.json").write_text(text)


def test_a_run_of_a_later_schema_is_refused_clearly(folder: Path) -> None:
    rewrite(folder, json.dumps({"schema_version": 99, "new": "things"}))
    with pytest.raises(StoreError, match=r"run\.json is of schema version 99, .* reads up to \d+; update attnlab"):
        read_run(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "{}", '{"schema_version": 1}', '{"schema_version": "1"}', "[" * 200_000]
)
def test_a_damaged_run_is_named(folder: Path, text: str) -> None:
    rewrite(folder, text)
    with pytest.raises(StoreError, match=r"run\.json is damaged: .*; restore it, or run the suite again"):
        read_run(folder)


def test_a_run_without_measurements_is_empty(folder: Path) -> None:
    (folder / "measurements.jsonl").unlink()
    assert read_run(folder).measurements == ()


@pytest.mark.parametrize("name", ["run.json", "measurements.jsonl"])
def test_a_folder_in_a_files_place_is_told(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(StoreError, match=f"{name} cannot be read: Is a directory"):
        read_run(folder)


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match=r"holds no run: run\.json is missing"):
            read_run(path)


def test_a_run_that_is_being_written_is_not_written_by_another(folder: Path) -> None:
    writer = RunWriter(folder)
    with pytest.raises(StoreError, match="is being written by another process"):
        RunWriter(folder)
    writer.close()
    RunWriter(folder).close()


def test_a_full_disk_is_told(folder: Path) -> None:
    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(28, "No space left on device")

    writer = RunWriter(folder)
    writer.close()
    writer._file = Full()  # type: ignore[assignment]
    with pytest.raises(StoreError, match="No space left on device; what was measured before is kept"):
        writer.append(FIRST)


def test_a_place_where_nothing_can_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for make in (check_writable, lambda path: RunWriter.create(path, RUN), RunWriter):
        with pytest.raises(StoreError, match=r"cannot write to .*; take another folder with --out"):
            make(tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "kept"


def test_of_two_measurements_of_one_thing_the_last_counts() -> None:
    again = replace(SECOND, outcome=Outcome.PASSED, reason=None)
    assert latest([FIRST, SECOND, again]) == [FIRST, again]


def test_a_folder_of_runs_is_read_oldest_first(tmp_path: Path) -> None:
    for name, started in (("b", "2026-01-02"), ("a", "2026-01-03"), ("c", "2026-01-01")):
        RunWriter.create(tmp_path, replace(RUN, run_id=name, started=started)).close()
    (tmp_path / "notes").mkdir()
    assert [stored.run.run_id for stored in read_runs(tmp_path)] == ["c", "b", "a"]
    assert [stored.run.run_id for stored in read_runs(tmp_path / "b")] == ["b"]


def test_a_folder_without_runs_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist; expected a run, or a folder of runs"):
        read_runs(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="holds no run"):
        read_runs(tmp_path)


@pytest.mark.parametrize(("name", "amount"), [("operations", -5), ("bytes_moved", -1), ("bytes_written", 10**300)])
def test_an_amount_that_is_none_is_damage(tmp_path: Path, name: str, amount: int) -> None:
    folder = tmp_path / "run"
    shutil.copytree(FIXTURE, folder)
    path = folder / "measurements.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(lines[0]) | {name: amount}), *lines[1:]]))
    stored = read_run(folder)
    assert len(stored.measurements) == len(lines) - 1
    assert f"got {name} " in stored.damages[0].reason


def test_a_lost_result_that_was_stored_with_its_time_is_read_without(folder: Path) -> None:
    """As gates of earlier versions stored how it had been timed."""
    passed, failed = map(json.loads, lines(folder))
    timing = {"clock": "wall", "cache": "warm", "copies": 2, "warmup_calls": 1, "warmup_ns": 1.0}
    timing |= {"warmup_stable": True, "samples": 3, "stopped": "after 3 live pairs"}
    old = [passed, failed | {"timing": timing, "median_ns": 2.0, "ci_low_ns": 1.0, "schema_version": 4}]
    (folder / "measurements.jsonl").write_text("\n".join(map(json.dumps, old)))
    stored = read_run(folder)
    assert stored.damages == ()
    assert stored.measurements == (FIRST, replace(SECOND, schema_version=4))


def test_a_lost_result_with_a_time_is_damage(folder: Path) -> None:
    """Nothing of today writes it."""
    passed, failed = map(json.loads, lines(folder))
    (folder / "measurements.jsonl").write_text("\n".join(map(json.dumps, [passed, failed | {"median_ns": 2.0}])))
    stored = read_run(folder)
    assert stored.measurements == (FIRST,)
    assert "median_ns" in stored.damages[0].reason


@pytest.mark.parametrize("ceilings", [{"bandwidth": 0.0}, {"rates": {"float32": -1.0}}, {"cache_bandwidth": 0}])
def test_a_device_that_can_do_nothing_is_damage(tmp_path: Path, ceilings: dict[str, object]) -> None:
    folder = tmp_path / "run"
    shutil.copytree(FIXTURE, folder)
    data = json.loads((folder / "run.json").read_text())
    data["ceilings"] |= ceilings
    (folder / "run.json").write_text(json.dumps(data))
    with pytest.raises(StoreError, match=r"is damaged: got .*, expected a rate above zero"):
        read_run(folder)


def test_what_a_stored_run_says_is_short_and_printable(tmp_path: Path) -> None:
    """A reason of 1 MB, halves of surrogates, and what a terminal would obey."""
    folder = tmp_path / "run"
    shutil.copytree(FIXTURE, folder)
    path = folder / "measurements.jsonl"
    lines = path.read_text().splitlines()
    said = {
        "reason": "caf\udce9 " + "r" * 1_000_000,
        "detail": "\x1b[2J" + "d" * 10_000_000,
        "flags": ["\u202ef"] * 1000,
    }
    path.write_text("\n".join([json.dumps(json.loads(lines[0]) | said), *lines[1:]]))
    (m, *_) = read_run(folder).measurements
    assert len(m.reason or "") <= LONGEST_REASON
    assert (m.reason or "").startswith("caf\\udce9 rr")
    assert len(m.detail or "") <= LONGEST_BLOCK
    assert len(m.flags) <= 20
    assert all(text.replace("\n", "").isprintable() for text in (m.reason, m.detail, *m.flags) if text)


@pytest.mark.parametrize("name", ["run.json", "measurements.jsonl"])
def test_a_pipe_or_a_device_is_not_read(folder: Path, name: str) -> None:
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        (folder / name).unlink()
        make(folder / name)
        with pytest.raises(StoreError, match=f"{name} cannot be read: it is no plain file"):
            read_run(folder)


@pytest.mark.parametrize("on", [True, False])
def test_the_collector_is_left_as_it_was(folder: Path, on: bool) -> None:
    before = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        read_runs(folder.parent)
        with pytest.raises(StoreError):
            read_runs(folder / "nowhere")
        assert gc.isenabled() is on
    finally:
        (gc.enable if before else gc.disable)()
