"""Of several calls those are taken that other work did not keep waiting."""

from __future__ import annotations

from attnlab.bench.profilers.chrome_trace import ChromeTrace
from attnlab.bench.profilers.disturbed import least_disturbed

from .conftest import BUSY, QUIET, Event


def test_calls_that_were_kept_waiting_are_left_out() -> None:
    assert least_disturbed([5.0, 1.0, 6.0], [QUIET, BUSY, QUIET]) == ([0, 2], None)


def test_where_all_were_kept_waiting_the_quickest_are_taken_and_it_is_told() -> None:
    taken, why = least_disturbed([5.0, 1.0, 6.0, 2.0] * 2, [BUSY] * 8)
    assert taken == [1, 5]
    assert why == "its threads waited for a core 90.0 % of the time, summed over them"
    assert least_disturbed([5.0], [BUSY])[0] == [0]


def test_a_trace_of_some_calls_has_what_happened_in_them(gpu_events: list[Event]) -> None:
    second = ChromeTrace(gpu_events).of_calls([1])
    assert [call.begin_ns for call in second.calls] == [200_000.0]
    assert {event.begin_ns for event in second.operations} == {210_000.0, 240_000.0, 245_000.0}
    assert [kernel.name for kernel in second.kernels] == ["gemm", "softmax_kernel"]
