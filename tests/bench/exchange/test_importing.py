"""Files that are not what they say: refused with what is wrong, or what is good of them is kept and the rest named."""

from __future__ import annotations

import gzip
import importlib
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.errors import StoreError, UnknownName, UsageError
from attnlab.bench.exchange.importing import ImportedRun, import_file
from attnlab.bench.exchange.readers import READERS
from attnlab.bench.exchange.writers import WRITERS
from attnlab.bench.store.run_folder import read_run
from tests.helpers import foreign_files

FILES: dict[str, Callable[[], dict[str, Any]]] = {
    "pytest-benchmark": foreign_files.pytest_benchmark,
    "google-benchmark": foreign_files.google_benchmark,
    "asv": foreign_files.asv,
    "nvbench": foreign_files.nvbench,
    "vllm": foreign_files.vllm,
    "guidellm": foreign_files.guidellm,
    "aiperf": lambda: foreign_files.aiperf()[0],
}


def made(folder: Path, text: str | bytes, form: str = "auto") -> ImportedRun:
    path = folder / "file.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return import_file(path, folder / "results", form)


def test_there_is_a_file_for_every_reader() -> None:
    assert set(FILES) == set(READERS.names())


def test_the_help_names_every_format() -> None:
    for action, formats in (("import_", READERS), ("export", WRITERS)):
        told = importlib.import_module(f"attnlab.bench.cli._results.{action}").EPILOG
        assert all(name in told for name in formats.names())


@pytest.mark.parametrize("name", FILES)
def test_a_file_fits_one_format_alone(name: str) -> None:
    assert [reader.name for reader in READERS if reader.fits(FILES[name]())] == [name]


@pytest.mark.parametrize(
    ("text", "told"),
    {
        "nothing": ("", "is no JSON, or was cut"),
        "no JSON": ("latency: 3", "is no JSON, or was cut"),
        "binary": (b"\xff\xfe\x00", "is no JSON, or was cut"),
        "deep": ("[" * 100_000, "is no JSON, or was cut"),
        "cut": (json.dumps(foreign_files.pytest_benchmark())[:400], "is no JSON, or was cut"),
        "a number": ("3", "is of no format that is known; name one by --format"),
        "another object": ('{"version": 1}', "is of no format that is known"),
        "a list": ("[1, 2]", "is of no format that is known"),
        "no benchmarks": (
            json.dumps(foreign_files.pytest_benchmark() | {"benchmarks": []}),
            "holds no result of pytest-benchmark that can be read: its list of benchmarks is empty",
        ),
        "benchmarks that are none": (
            json.dumps(foreign_files.google_benchmark() | {"benchmarks": [3, None]}),
            "benchmark 0: got 3, expected a JSON object; benchmark 1: got None",
        ),
        "an older asv": (
            json.dumps(foreign_files.asv() | {"version": 1}),
            "is of version 1 of asv's results, expected 2; bring it up to date by `asv update`",
        ),
    }.values(),
)
def test_what_cannot_be_imported_is_told_and_nothing_is_written(tmp_path: Path, text: str | bytes, told: str) -> None:
    with pytest.raises((StoreError, UsageError)) as error:
        made(tmp_path, text)
    assert told in str(error.value)
    assert str(tmp_path / "file.json") in str(error.value)
    assert not (tmp_path / "results").exists()


def test_another_format_than_was_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is no file of asv; expected .*; it looks like one of nvbench"):
        made(tmp_path, json.dumps(foreign_files.nvbench()), "asv")
    with pytest.raises(UnknownName, match="unknown format 'avs'; did you mean 'asv'"):
        made(tmp_path, "{}", "avs")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read: No such file or directory"):
        import_file(tmp_path / "none.json", tmp_path / "results")
    with pytest.raises(StoreError, match="cannot be read: Is a directory"):
        import_file(tmp_path, tmp_path / "results")


def spoilt(**stats: Any) -> dict[str, Any]:
    data = foreign_files.pytest_benchmark()
    data["benchmarks"][1]["stats"] |= stats
    return data


@pytest.mark.parametrize(
    ("stats", "told"),
    [
        ({"data": [1e-6, math.nan]}, "got sample nan, expected a number"),
        ({"data": [1e-6, -1e-6]}, "got sample -1e-06 s, expected a time above zero"),
        ({"data": [1e-6, 0]}, "got sample 0 s, expected a time above zero"),
        ({"data": [1e-6, math.inf]}, "got sample inf, expected a number"),
        ({"data": ["1e-6"]}, "got sample '1e-6', expected a number"),
        ({"data": [True]}, "got sample True, expected a number"),
        ({"data": [10**400]}, "expected a number"),
        ({"median": None}, "got median None, expected a number"),
        ({"data": [], "median": -3}, "got median -3 s, expected a time above zero"),
    ],
)
def test_a_benchmark_that_cannot_be_is_named_and_the_others_are_kept(
    tmp_path: Path, stats: dict[str, Any], told: str
) -> None:
    done = made(tmp_path, json.dumps(spoilt(**stats)))
    assert done.results == 1
    (line,) = done.left_out
    assert line.startswith("tests/test_sort.py::test_sort[100]: ")
    assert told in line
    stored = read_run(done.folder)
    assert stored.run.imported is not None
    assert stored.run.imported.left_out == done.left_out, "the run says so too"
    assert [m.case_id for m in stored.measurements] == ["n=10"]


def test_an_unknown_unit_is_named(tmp_path: Path) -> None:
    data = foreign_files.google_benchmark()
    for row in data["benchmarks"][:2]:
        row["time_unit"] = "fortnights"
    done = made(tmp_path, json.dumps(data))
    assert "got the unit 'fortnights' of real_time, expected one of ns, us, ms, s" in done.left_out[0]
    assert done.results == 3


def test_a_name_that_is_there_twice(tmp_path: Path) -> None:
    data = foreign_files.pytest_benchmark()
    data["benchmarks"].append(data["benchmarks"][0])
    done = made(tmp_path, json.dumps(data))
    assert done.results == 2
    assert done.left_out == (
        "pytest-benchmark:tests/test_sort.py test_sort n=10: it is there twice; the first is kept",
    )


def test_a_file_is_imported_once(tmp_path: Path) -> None:
    text = json.dumps(foreign_files.nvbench())
    first = made(tmp_path, text)
    with pytest.raises(StoreError, match=f"was imported before, as {first.folder}"):
        made(tmp_path, text)


@pytest.mark.parametrize("name", FILES)
def test_no_figure_of_a_file_that_lacks_it_is_zero(tmp_path: Path, name: str) -> None:
    stored = read_run(made(tmp_path, json.dumps(FILES[name]())).folder)
    e = stored.run.environment
    assert all(value != 0 for value in (e.cores, e.threads, e.memory_bytes, stored.run.seed))
    assert all(m.operations is None and m.bytes_moved is None and m.check is None for m in stored.measurements)
    assert all(value is None for m in stored.measurements for value in (m.ci_low_ns, m.ci_high_ns))


@pytest.mark.parametrize("name", FILES)
def test_every_prefix_of_a_file_is_told(tmp_path: Path, name: str) -> None:
    text = json.dumps(FILES[name]())
    for length in range(0, len(text), max(1, len(text) // 40)):
        with pytest.raises(StoreError, match="is no JSON, or was cut"):
            made(tmp_path, text[:length])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("wrong", [None, [None], {"a": None}])
def test_values_of_other_types_are_told(tmp_path: Path, name: str, wrong: Any) -> None:
    """Each value of the file's first two levels in turn; what is left is imported, or the file is refused."""
    outer = FILES[name]()
    for key in outer:
        for changed in (outer | {key: wrong}, *_inside(outer, key, wrong)):
            try:
                done = made(tmp_path, json.dumps(changed))
            except (StoreError, UsageError):
                continue
            read_run(done.folder)
            for file in done.folder.iterdir():
                file.unlink()
            done.folder.rmdir()


def _inside(outer: dict[str, Any], key: str, wrong: Any) -> list[dict[str, Any]]:
    inner = outer[key]
    if isinstance(inner, dict):
        return [outer | {key: inner | {name: wrong}} for name in inner]
    if isinstance(inner, list) and inner and isinstance(inner[0], dict):
        return [outer | {key: [inner[0] | {name: wrong}, *inner[1:]]} for name in inner[0]]
    return []


def _everywhere(value: Any, wrong: Any) -> list[Any]:
    """The value with `wrong` in the place of each value inside it in turn, at any depth."""
    places = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    found = []
    for key, inner in places:
        for changed in (wrong, *_everywhere(inner, wrong)):
            copied = value.copy()
            copied[key] = changed
            found.append(copied)
    return found


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("wrong", [10**400, -5, "9" * 5000, "/" + "x" * 5000, "\0", [[]], {}, math.nan, "9999-12-31"])
def test_whatever_stands_anywhere_is_read_or_told(tmp_path: Path, name: str, wrong: Any) -> None:
    """No other error, and no figure below zero."""
    for data in _everywhere(FILES[name](), wrong):
        if not READERS.get(name).fits(data):
            continue
        try:
            contents = READERS.get(name).read(data, tmp_path / "file.json")
        except StoreError:
            continue
        assert contents.started is None or contents.started.year < 9999
        for m in contents.measurements:
            assert all(value >= 0 for value in m.reported.values())
            assert all(not isinstance(value, int) or abs(value) < 2**63 for value in m.case.values())


def test_parameters_with_more_combinations_than_memory_are_told(tmp_path: Path) -> None:
    data = foreign_files.asv() | {"results": {"m.time_a": [None, [["1"] * 100] * 20], "m.time_b": [[1e-3], []]}}
    done = made(tmp_path, json.dumps(data))
    assert done.left_out == (f"m.time_a: got parameters with {100**20} combinations, expected 100000 at most",)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_any_encoding_of_json_is_read(tmp_path: Path, encoding: str) -> None:
    text = json.dumps(foreign_files.pytest_benchmark(), ensure_ascii=False).replace("test_sort[", "test_früh[")
    assert made(tmp_path, text.encode(encoding)).results == 2


def test_a_packed_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is packed by gzip; unpack it"):
        made(tmp_path, gzip.compress(b"{}"))


@pytest.mark.parametrize("make", [lambda path: os.mkfifo(path), lambda path: path.symlink_to("/dev/zero")])
def test_what_has_no_end_is_not_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "file.json")
    with pytest.raises(StoreError, match="cannot be read: it is no plain file"):
        import_file(tmp_path / "file.json", tmp_path / "results")
