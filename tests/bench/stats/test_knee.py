"""Where a rising curve bends."""

from __future__ import annotations

from attnlab.bench.stats.knee import knee


def test_a_curve_that_flattens_has_its_knee_where_it_does() -> None:
    assert knee([(10, 100), (11, 200), (13, 380), (40, 400), (90, 405)]) == 2


def test_load_beyond_which_throughput_falls_has_one_too() -> None:
    assert knee([(10, 100), (12, 300), (60, 250)]) == 1


def test_a_straight_line_and_too_few_points_have_none() -> None:
    assert knee([(1, 1), (2, 2), (3, 3), (4, 4)]) is None
    assert knee([(1, 1), (2, 5)]) is None
    assert knee([(1, 1), (1, 5), (1, 6)]) is None
    assert knee([]) is None
