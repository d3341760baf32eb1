"""The index of a folder: what is read again, what is told, and that it always says what the folders say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from attnlab.bench.analysis.frame import frame
from attnlab.bench.analysis.index import opening, segments
from attnlab.bench.analysis.index.index import Index
from attnlab.bench.analysis.index.manifest import MANIFEST_FILE, digest_of, read_manifest
from attnlab.bench.analysis.index.opening import opened, through_index
from attnlab.bench.analysis.index.table import frame_of
from attnlab.bench.errors import StoreError
from attnlab.bench.store.run_folder import read_runs

Read = Callable[[], list[str]]
SCHEMAS = [f"schema-{number}" for number in range(1, 8)]


def assert_true(folder: Path, told: list[str]) -> Index:
    """The index says what the folders say."""
    import pandas as pd

    index = opened(folder, told.append)
    assert index is not None
    pd.testing.assert_frame_equal(frame_of(index), frame(read_runs(folder)))
    return index


def place_of(folder: Path) -> Path:
    return folder / ".index"


def test_nothing_is_read_twice(results: Path, told: list[str], read: Read) -> None:
    assert_true(results, told)
    assert read() == SCHEMAS
    assert_true(results, told)
    assert read() == []
    assert told == []


def test_only_what_changed_is_read_again(results: Path, told: list[str], read: Read) -> None:
    assert_true(results, told)
    read()
    with (results / "schema-5" / "measurements.jsonl").open("a") as file:
        file.write((results / "schema-6" / "measurements.jsonl").read_text())
    (results / "schema-2").rename(results / "moved")
    shutil.rmtree(results / "schema-3")
    assert_true(results, told)
    assert read() == ["moved", "schema-5"]


def test_a_change_that_leaves_size_and_time_as_they_were_is_seen(results: Path, told: list[str], read: Read) -> None:
    assert_true(results, told)
    read()
    path = results / "schema-6" / "measurements.jsonl"
    before, text = path.stat(), path.read_text()
    path.write_text(text.replace('"naive"', '"evian"'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "evian" in set(frame_of(assert_true(results, told)).implementation)
    assert read() == ["schema-6"]


def test_what_changed_just_now_is_read_once_more(
    results: Path, told: list[str], read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next change may come within what the file system counts as the same moment."""
    monkeypatch.setattr("attnlab.bench.analysis.index.keys.SETTLED_NS", 10**12)
    assert_true(results, told)
    monkeypatch.setattr("attnlab.bench.analysis.index.keys.SETTLED_NS", 0)
    read()
    assert_true(results, told)
    assert read() == SCHEMAS
    assert_true(results, told)
    assert read() == []


def test_a_line_that_is_being_written_is_read_when_it_is_there(results: Path, told: list[str]) -> None:
    path = results / "schema-6" / "measurements.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    index = assert_true(results, told)
    (damage,) = [damage for run in index.runs for damage in run.damages]
    assert damage == next(damage for run in read_runs(results) for damage in run.damages)
    path.write_bytes(whole)
    index = assert_true(results, told)
    assert all(run.damages == () for run in index.runs)


def test_a_run_of_a_later_schema_and_a_damaged_one_cost_the_others_nothing(results: Path, told: list[str]) -> None:
    later = json.loads((results / "schema-1" / "run.json").read_text()) | {"schema_version": 99}
    (results / "schema-1" / "run.json").write_text(json.dumps(later))
    (results / "schema-2" / "run.json").write_text("{")
    directly: list[str] = []
    read_runs(results, directly.append)
    for _ in range(2):
        index = opened(results, told.append)
        assert index is not None
        assert [run.path.name for run in index.runs] == SCHEMAS[2:]
        assert told == directly
        assert len(told) == 2
        told.clear()


def test_where_no_run_can_be_read_it_is_told(results: Path, told: list[str]) -> None:
    for name in SCHEMAS:
        (results / name / "run.json").write_text("{")
    with pytest.raises(StoreError, match=r"schema-1/run\.json is damaged"):
        opened(results, told.append)


def damages(place: Path) -> dict[str, Callable[[], object]]:
    """Ways to spoil an index."""
    measurements, runs = (next(place.glob(f"*.{kind}.parquet")) for kind in ("measurements", "runs"))
    manifest = place / MANIFEST_FILE

    def flip(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)

    def of_version() -> None:
        body = manifest.read_bytes().partition(b"\n")[2].replace(b'"version":"', b'"version":"0')
        manifest.write_bytes(digest_of(body).encode() + b"\n" + body)

    def of_form() -> None:
        manifest.write_bytes(digest_of(b"[]").encode() + b"\n[]")

    return {
        "measurements cut": lambda: measurements.write_bytes(measurements.read_bytes()[:-1]),
        "measurements changed": lambda: flip(measurements),
        "measurements gone": measurements.unlink,
        "runs cut": lambda: runs.write_bytes(b""),
        "runs changed": lambda: flip(runs),
        "runs gone": runs.unlink,
        "manifest cut": lambda: manifest.write_bytes(manifest.read_bytes()[:-10]),
        "manifest changed": lambda: flip(manifest),
        "manifest empty": lambda: manifest.write_bytes(b""),
        "manifest of another version": of_version,
        "manifest of another form": of_form,
    }


def test_what_is_damaged_is_made_anew_and_told_once(results: Path, told: list[str], read: Read) -> None:
    index = assert_true(results, told)
    for name in damages(place_of(results)):
        for left in place_of(results).glob("*.parquet"):
            if left not in index.files():
                left.unlink()
        damages(place_of(results))[name]()
        read()
        index = assert_true(results, told)
        assert read() == SCHEMAS, name
        assert len(told) == 1, name
        assert told[0].startswith(f"the index of {results} "), name
        told.clear()
        opened(results, told.append)
        assert read() == told == [], name


@pytest.mark.parametrize("gone", ["all", MANIFEST_FILE])
def test_what_is_deleted_is_made_anew_without_a_word(results: Path, told: list[str], read: Read, gone: str) -> None:
    assert_true(results, told)
    read()
    shutil.rmtree(place_of(results)) if gone == "all" else (place_of(results) / gone).unlink()
    assert_true(results, told)
    assert read() == SCHEMAS
    assert told == []


def test_a_copied_folder_is_read_again(results: Path, told: list[str]) -> None:
    assert_true(results, told)
    copied = results.with_name("copied")
    shutil.copytree(results, copied)
    shutil.rmtree(copied / "schema-4")
    assert_true(copied, told)
    assert told == []


def test_a_segment_with_another_time_is_held_against_its_digest(results: Path, told: list[str], read: Read) -> None:
    assert_true(results, told)
    read()
    for file in place_of(results).glob("*.parquet"):
        os.utime(file)
    assert_true(results, told)
    assert read() == told == []


def test_where_nothing_can_be_written_the_index_lies_in_the_cache(results: Path, told: list[str], read: Read) -> None:
    place_of(results).write_text("no folder")
    index = assert_true(results, told)
    assert index.place.parent == opening.cache_folder() / "index"
    assert told == [f"{results} cannot be written to, so that its index lies in {index.place}"]
    read()
    assert_true(results, told)
    assert len(told) == 1
    assert read() == []


def test_a_folder_in_the_place_of_the_manifest(results: Path, told: list[str]) -> None:
    (place_of(results) / MANIFEST_FILE / "in it").mkdir(parents=True)
    index = assert_true(results, told)
    assert index.place.parent == opening.cache_folder() / "index"
    assert len(told) == 1


@pytest.mark.parametrize("name", [b"100%", b"%41", "früh".encode(), b"new\nline", b"a[b]*?", b"it's"])
def test_a_run_in_a_folder_of_any_name(results: Path, told: list[str], read: Read, name: bytes) -> None:
    (results / "schema-4").rename(results / os.fsdecode(name))
    index = assert_true(results, told)
    assert os.fsdecode(name) in {run.path.name for run in index.runs}
    read()
    assert_true(results, told)
    assert (read(), told) == ([], [])


def test_a_run_whose_folder_has_no_name_in_utf_8_is_read_from_there(results: Path, told: list[str]) -> None:
    (results / "schema-4").rename(results / os.fsdecode(b"\xff"))
    for _ in range(2):
        assert opened(results, told.append) is None, "no column holds the name"
    assert told == []
    manifest = read_manifest(place_of(results))
    assert manifest is not None
    assert {name for name, entry in manifest.runs.items() if entry.segment is None} == {os.fsdecode(b"\xff")}


def test_where_nothing_can_be_written_at_all_runs_are_read_one_by_one(
    results: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place_of(results).write_text("no folder")
    (results.parent / "cache").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(results.parent / "cache"))
    assert opened(results, told.append) is None
    assert len(told) == 1
    assert "its runs are read one by one" in told[0]


def test_an_index_that_fails_while_it_is_read_is_done_without(results: Path, told: list[str]) -> None:
    def late(index: Index) -> object:
        for file in index.files():
            file.unlink()
        return frame_of(index)

    assert through_index(results, told.append, late) is None
    assert len(told) == 1
    assert f"the index of {results} cannot be read" in told[0]


def test_without_duckdb_runs_are_read_one_by_one(results: Path) -> None:
    code = (
        "import importlib.util, sys\n"
        "sys.modules['duckdb'] = None\n"
        "plain = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'duckdb' else plain(name, *rest)\n"
        "from attnlab.bench.analysis.index import opening\n"
        "opening.SMALL_BYTES = 0\n"
        "from attnlab.bench import load, query, UsageError\n"
        f"print(len(load({str(results)!r})))\n"
        f"try:\n    query('SELECT 1', {str(results)!r})\n"
        "except UsageError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    count, said = done.stdout.splitlines()
    assert int(count) == len(frame(read_runs(results)))
    assert "pip install duckdb" in said
    assert not place_of(results).exists()


def test_small_folders_and_single_runs_are_read_as_they_are(
    results: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert opened(results / "schema-1", told.append) is None
    assert opened(results / "nowhere", told.append) is None
    monkeypatch.setattr(opening, "SMALL_BYTES", 4 << 20)
    assert opened(results, told.append) is None
    assert not place_of(results).exists()


def test_many_small_segments_become_one(results: Path, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MOST_SMALL", 2)
    sources = [results / name for name in SCHEMAS]
    hidden = [source.rename(results.parent / source.name) for source in sources]
    for source, here in zip(hidden, sources, strict=True):
        source.rename(here)
        assert_true(results, told)
        manifest = read_manifest(place_of(results))
        assert manifest is not None
        assert len(manifest.segments) <= 2
    shutil.rmtree(results / "schema-6")
    assert_true(results, told)
    assert told == []


def test_files_that_are_no_part_of_it_go_after_a_while(results: Path, told: list[str]) -> None:
    assert_true(results, told)
    left, fresh = (place_of(results) / name for name in ("0123.measurements.json", "4567.measurements.json"))
    left.write_text("{}")
    fresh.write_text("{}")
    os.utime(left, (0, 0))
    (results / "schema-1" / "run.json").touch()
    assert_true(results, told)
    assert not left.exists()
    assert fresh.exists()


def test_git_and_archives_leave_it_out(results: Path, told: list[str]) -> None:
    assert_true(results, told)
    assert (place_of(results) / ".gitignore").read_text() == "*\n"
    assert (place_of(results) / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")
