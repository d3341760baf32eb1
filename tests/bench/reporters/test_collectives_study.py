"""The study of collectives: bandwidth over the size of a message, a panel by ranks, dtype and reduction."""

from __future__ import annotations

from typing import Any

import pytest

from attnlab.bench.ops.all_reduce import ALL_REDUCE
from attnlab.bench.reporters.model.studies import studies
from attnlab.bench.reporters.model.words import plain


class Found:
    """A result with a bus bandwidth, as a study looks at it."""

    def __init__(self, case_id: str, implementation: str, bandwidth: float | None) -> None:
        case = ALL_REDUCE.case_type.parse(case_id)
        self.implementation, self.timed, self._bandwidth = implementation, bandwidth is not None, bandwidth
        measurement = type("Measured", (), {"case": case.values(), "case_id": case.id})
        self.row = type("Row", (), {"measurement": measurement})

    def number(self, metric: str) -> float | None:
        assert metric == "bus_gb_per_s"
        return self._bandwidth


RESULTS: list[Any] = [
    Found("S1048576-fp32", "gloo", 0.5),
    Found("S4096-fp32", "gloo", 0.01),
    Found("S4096-fp32", "naive", 0.002),
    Found("S1048576-fp32", "naive", None),
    Found("S4096-fp32-p4", "gloo", 0.03),
    Found("S65536-fp32-p4", "gloo", 0.02),
    Found("S65536-bf16-max", "gloo", 0.7),
]


def test_each_setting_with_two_sizes_is_a_panel_with_its_largest_bandwidth() -> None:
    (study,) = studies("all_reduce", RESULTS)
    (plot,) = study.plots
    assert [panel.title for panel in plot.panels] == ["2 ranks, float32, sum", "4 ranks, float32, sum"]
    (curve,) = plot.panels[0].curves
    assert (curve.name, [(point.x, point.y) for point in curve.points]) == ("gloo", [(4096.0, 0.01), (1048576.0, 0.5)])
    assert list(map(plain, study.sentences)) == [
        "Over 2 ranks, float32, sum, the largest bus bandwidth is 0.500 GB/s, by gloo on messages of 1.00 MiB.",
        "Over 4 ranks, float32, sum, the largest bus bandwidth is 0.0300 GB/s, by gloo on messages of 4.00 KiB.",
    ]


@pytest.mark.parametrize("operator", ["all_reduce", "reduce_scatter", "all_gather", "all_to_all"])
def test_of_one_size_nothing_is_said(operator: str) -> None:
    assert studies(operator, RESULTS[-1:]) == ()
    assert len(studies(operator, RESULTS)) == 1
