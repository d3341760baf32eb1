"""Loads: how they are spelled, and when requests come."""

from __future__ import annotations

import statistics
from itertools import pairwise
from pathlib import Path

import pytest

from attnlab.bench.errors import ImpossibleCase, ServiceError, TraceError
from attnlab.bench.serving.load import Load
from attnlab.bench.serving.traces import TraceRow, read_rows

SPELLED = ["concurrency:8", "fixed:2", "poisson:0_5", "gamma:2:0_25", "together", "trace@a_b%2F1"]


@pytest.mark.parametrize("text", SPELLED)
def test_what_is_spelled_is_read_back(text: str) -> None:
    load = Load.read(text)
    assert load.write() == text
    assert Load.read(load) is load


def test_a_dot_is_read_as_well() -> None:
    assert Load.read("gamma:2.5:0.25") == Load("gamma", per_second=2.5, shape=0.25)


@pytest.mark.parametrize(
    "text", ["", "8", "concurrency:0", "fixed:0", "poisson:-1", "gamma:2", "gamma:2:0", "trace@", "x"]
)
def test_what_is_no_load_is_refused(text: str) -> None:
    with pytest.raises(ImpossibleCase, match="expected concurrency:N"):
        Load.read(text)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "concurrency"},
        {"kind": "fixed"},
        {"kind": "poisson", "per_second": float("inf")},
        {"kind": "gamma", "per_second": 1, "shape": 0},
        {"kind": "rate"},
        {"kind": "together", "warm_up_s": -1},
        {"kind": "together", "warm_up_requests": -1},
        {"kind": "together", "stop_after_s": 0},
    ],
)
def test_fields_that_cannot_be_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ServiceError, match="got"):
        Load(**fields)  # type: ignore[arg-type]


def test_gaps_have_the_rate_and_the_burstiness_asked_for() -> None:
    for text, variation in (("fixed:20", 0.0), ("poisson:20", 1.0), ("gamma:20:0.25", 2.0), ("gamma:20:4", 0.5)):
        times = Load.read(text).times_s(4000, seed=3)
        gaps = [b - a for a, b in pairwise(times)]
        mean = statistics.fmean(gaps)
        assert times[0] == 0
        assert min(gaps) >= 0
        assert mean == pytest.approx(1 / 20, rel=0.12), text
        assert statistics.pstdev(gaps) / mean == pytest.approx(variation, rel=0.12, abs=1e-9), text


def test_times_hang_on_the_seed_alone() -> None:
    load = Load.read("gamma:5:0.5")
    assert load.times_s(9, 1) == load.times_s(9, 1) != load.times_s(9, 2)
    assert load.times_s(0, 1) == ()
    assert Load.read("concurrency:3").times_s(2, 1) == (0.0, 0.0)


MOONCAKE = (
    '{"timestamp": 500, "input_length": 1100, "output_length": 52, "hash_ids": [7, 8, 9]}\n\n'
    '{"timestamp": 1750, "input_length": 600, "output_length": 3, "hash_ids": [7, 10], '
    '"session_id": "s", "delay": 250}\n'
)


def test_a_public_trace_is_read(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(MOONCAKE)
    assert read_rows(path) == (
        TraceRow(0.0, 1100, 52, (7, 8, 9)),
        TraceRow(1.25, 600, 3, (7, 10), None, "s", 0.25),
    )
    assert Load("trace", path=str(path)).times_s(2, 0) == (0.0, 1.25)


def test_a_trace_of_our_own_words_is_read(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text('{"time_s": 2, "prompt_tokens": 5, "answer_tokens": 4, "prefix": "sys", "conversation": 1}')
    assert read_rows(path) == (TraceRow(0.0, 5, 4, None, "sys", "1"),)


def test_a_plain_list_of_times_is_read_as_generate_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    path.write_text("# seconds\n0.5\n0.75\n")
    assert [row.time_s for row in read_rows(path)] == [0.5, 0.75]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"timestamp": 2}\n{"timestamp": 1}', ":2: .*sort"),
        ('{"timestamp": 2}\nnot json', ":2: .*no JSON"),
        ('{"timestamp": 2}\n[1]', ":2: .*an object"),
        ('{"input_length": 2}', ":1: .*no time"),
        ('{"timestamp": -2}', ":1: .*0 or more"),
        ('{"timestamp": "2"}', ":1: .*0 or more"),
        ('{"timestamp": NaN}', ":1: .*0 or more"),
        ('{"timestamp": 1, "input_length": 0}', ":1: .*1 or more"),
        ('{"timestamp": 1, "hash_ids": [1.5]}', ":1: .*hash_ids"),
        ('{"timestamp": 1}', "1 requests for 2"),
        ("", "no times"),
    ],
)
def test_a_trace_that_cannot_be_is_refused_by_its_line(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(text)
    with pytest.raises(TraceError, match=word):
        read_rows(path, 2)


def test_a_trace_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="No such file"):
        read_rows(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe{}")
    with pytest.raises(TraceError, match="UTF-8"):
        read_rows(tmp_path / "binary")
    with pytest.raises(TraceError, match="no regular file"):
        read_rows(Path("/dev/zero"))
    with pytest.raises(TraceError, match="no regular file"):
        read_rows(tmp_path)
    with pytest.raises(TraceError, match="it is no path"):
        read_rows(tmp_path / "a\0b")
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate((1 << 30) + 1)  # without a block on the disk
    with pytest.raises(TraceError, match=r"expected 1\.00 GiB at most"):
        read_rows(large)


def test_no_more_of_a_trace_is_read_than_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text("0\n\n1 # one\n2\nnonsense\n")
    assert [row.time_s for row in read_rows(path, 3)] == [0, 1, 2]
    with pytest.raises(TraceError, match="trace:5: got 'nonsense'"):
        read_rows(path, 4)
