"""Profilers take a call apart."""

from __future__ import annotations

import torch

from attnlab.bench.profilers.torch_profile import kernel_times


def test_the_time_of_a_call_is_told_by_operation() -> None:
    a = torch.ones(64, 64)
    times = kernel_times(lambda: a @ a, torch.device("cpu"))
    assert times["aten::mm"] > 0
    assert all(nanoseconds > 0 for nanoseconds in times.values())
