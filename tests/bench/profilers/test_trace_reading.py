"""Traces are read as they were written: nesting, kernels, launches, gaps, memory and lines of the source."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.errors import MeasurementError
from attnlab.bench.profilers.chrome_trace import CALL_MARK, ChromeTrace, covered_ns, nested
from attnlab.bench.profilers.record import KERNEL, OPERATION, SPAN
from attnlab.bench.profilers.trace_reading import record_of

from .conftest import allocated, happened


def test_what_ran_on_a_gpu_is_told_by_call(gpu_events: list[dict[str, Any]]) -> None:
    found = record_of(ChromeTrace(gpu_events), None, on_gpu=True)
    assert found.calls == 2
    assert {part.name: part.time_ns for part in found.kind(KERNEL)} == {"gemm": 30_000, "softmax_kernel": 10_000}
    assert found.figure("time in kernels") == 40_000
    assert found.figure("gaps between kernels") == 5_000
    assert (found.figure("kernels"), found.figure("launches")) == (2, 2)
    assert found.figure("host time in launches") == 10_000
    assert found.figure("host time of a call") == 100_000
    assert found.figure("host time outside of operations") == 50_000


def test_an_operation_has_its_own_time_and_that_with_what_it_calls(gpu_events: list[dict[str, Any]]) -> None:
    parts = {part.name: part for part in record_of(ChromeTrace(gpu_events), None, on_gpu=True).kind(OPERATION)}
    assert (parts["aten::softmax"].time_ns, parts["aten::softmax"].total_ns) == (10_000, 30_000)
    assert parts["aten::_softmax"].count == 1


def test_a_kernel_is_placed_where_its_operation_was_called(gpu_events: list[dict[str, Any]]) -> None:
    lines = {"aten::mm": [("mine.py:3 in f",)], "aten::_softmax": [("mine.py:4 in f",)]}
    found = record_of(ChromeTrace(gpu_events), None, on_gpu=True, lines=lines)
    assert {part.name: part.source for part in found.kind(KERNEL)} == {
        "gemm": "mine.py:3",
        "softmax_kernel": "mine.py:4",
    }
    (table,) = found.listings
    assert [row[:3] for row in table.rows] == [
        ("mine.py:3 in f", "30.0 µs", "75.0 %"),
        ("mine.py:4 in f", "10.0 µs", "25.0 %"),
    ]


def test_spans_are_those_within_calls(gpu_events: list[dict[str, Any]]) -> None:
    outside = happened("set-up", "user_annotation", 120.0, 10.0)
    found = record_of(ChromeTrace([*gpu_events, outside]), None, on_gpu=True)
    assert [(span.name, span.total_ns, span.count) for span in found.kind(SPAN)] == [("prefill", 90_000, 1)]


def test_where_the_gpu_told_of_spans_they_are_as_long_as_there(gpu_events: list[dict[str, Any]]) -> None:
    there = [happened("prefill", "gpu_user_annotation", start + 30, 45.0, thread=7) for start in (0.0, 200.0)]
    found = record_of(ChromeTrace([*gpu_events, *there]), None, on_gpu=True)
    assert [(span.name, span.total_ns) for span in found.kind(SPAN)] == [("prefill", 45_000)]


def test_one_line_is_told_apart_from_another_of_the_same_operation() -> None:
    events = [
        happened(CALL_MARK, "user_annotation", 0.0, 100.0),
        happened("aten::mul", "cpu_op", 10.0, 10.0),
        happened("aten::mul", "cpu_op", 30.0, 30.0),
    ]
    lines = {"aten::mul": [("a.py:1 in f",), ("a.py:2 in f",)]}
    (table,) = record_of(ChromeTrace(events), None, on_gpu=False, lines=lines).listings
    assert [row[0] for row in table.rows] == ["a.py:2 in f", "a.py:1 in f"]
    assert table.rows[0][1] == "30.0 µs"


def test_lines_that_do_not_fit_the_calls_are_not_used() -> None:
    events = [happened(CALL_MARK, "user_annotation", 0.0, 9.0), happened("aten::mul", "cpu_op", 1.0, 2.0)]
    lines = {"aten::mul": [("a.py:1 in f",), ("a.py:2 in f",)]}
    assert record_of(ChromeTrace(events), None, on_gpu=False, lines=lines).listings == ()


def test_memory_is_told_over_the_call_and_by_operation() -> None:
    plain = [happened(CALL_MARK, "user_annotation", 0.0, 100.0), happened("aten::mul", "cpu_op", 10.0, 20.0)]
    deep = [
        *plain,
        happened("/somewhere/mine.py(7): f", "python_function", 5.0, 90.0),
        allocated(-5.0, 50, 1000),
        allocated(15.0, 300, 1300),
        allocated(40.0, -100, 1200),
        allocated(500.0, 9999, 11199),
    ]
    found = record_of(ChromeTrace(plain), ChromeTrace(deep), on_gpu=False)
    assert found.figure("memory allocated") == 300
    assert found.figure("peak of memory") == 300
    assert found.timelines[0].points == ((0.0, 0.0), (15_000.0, 300.0), (40_000.0, 200.0))
    (part,) = found.kind(OPERATION)
    assert part.bytes == 300
    assert part.source == "/somewhere/mine.py:7"


def test_a_compiled_graph_has_one_name_whatever_its_hash() -> None:
    events = [
        happened(CALL_MARK, "user_annotation", 0.0, 9.0),
        happened("## Call CompiledFxGraph fqp4mnp4s ##", "cpu_op", 1.0, 2.0),
    ]
    assert [event.name for event in ChromeTrace(events).operations] == ["compiled graph"]


def test_threads_are_not_nested_into_each_other() -> None:
    events = [happened("outer", "cpu_op", 0.0, 10.0), happened("other", "cpu_op", 1.0, 2.0, thread=2)]
    trace = ChromeTrace(events)
    first, other = nested(trace._events["cpu_op"])
    assert first.inner == []
    assert other.outer is None
    assert covered_ns([first, other]) == 10_000


@pytest.mark.parametrize(
    "written",
    [b"", b"not gzip", gzip.compress(b"{}", mtime=0), gzip.compress(b"[1, 2", mtime=0)],
    ids=["empty", "not gzip", "an empty object", "cut"],
)
def test_what_is_no_trace_is_refused(written: bytes, tmp_path: Path) -> None:
    path = tmp_path / "trace.json.gz"
    path.write_bytes(written)
    with pytest.raises(MeasurementError, match="cannot be read as a trace"):
        ChromeTrace.read(path)


def test_a_trace_is_read_from_a_file(gpu_events: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text(json.dumps({"traceEvents": gpu_events}))
    assert len(ChromeTrace.read(path).calls) == 2
