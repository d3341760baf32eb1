"""A suite on a simulated cluster, against what can be worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from attnlab.bench.errors import UsageError
from attnlab.bench.measuring.forecast.cluster import Cluster, NodeKind, read_cluster
from attnlab.bench.measuring.forecast.simulation import counts_upto, forecast_nodes, play

SURE = NodeKind(slow_share=0.0, start_s=0.0, hours_between_failures=math.inf)


def cluster(*nodes: NodeKind, attempts: int = 3) -> Cluster:
    return Cluster(nodes, spread=0.0, attempts=attempts)


def test_sure_nodes_take_the_longest_bundle_first_each_the_next() -> None:
    seconds = [3.0, 7.0, 2.0, 6.0, 2.0]
    played = play(seconds, cluster(replace(SURE, count=2)), seed=0)
    assert played.seconds == 11.0, "7 + 2 + 2 beside 6 + 3"
    assert (played.held_s, played.measured_s) == (22.0, 20.0)
    assert (played.again, played.missing, played.price) == (0, 0, None)
    assert play(seconds, cluster(SURE), seed=1).seconds == sum(seconds)


def test_nodes_are_held_from_when_they_come_and_paid_for_by_the_hour() -> None:
    slow = replace(SURE, count=3, start_s=60.0, slow_share=1.0, slow_factor=2.0, price=3.6)
    played = play([100.0] * 6, cluster(slow), seed=0)
    assert played.seconds == 60.0 + 2 * 200.0
    assert played.held_s == 3 * 460.0
    assert played.price == pytest.approx(3.6 * 3 * 460.0 / 3600)
    fast = replace(slow, slow_share=0.0, speed=4.0)
    assert play([100.0] * 6, cluster(fast), seed=0).seconds == 60.0 + 2 * 25.0


def test_no_number_of_nodes_is_faster_than_the_longest_bundle() -> None:
    assert play([5.0, 1.0, 1.0], cluster(replace(SURE, count=100)), seed=0).seconds == 5.0


def test_begun_again_until_it_is_through_takes_what_the_formula_says() -> None:
    """A task of T seconds that begins anew at each failure of rate r: (e^rT - 1) (1 / r + what a failure costs)."""
    work_s, hours, lost_s = 1800.0, 0.5, 900.0
    failing = replace(SURE, hours_between_failures=hours, notice_s=lost_s, repair_s=lost_s)
    rate = 1 / (3600 * hours)
    expected = (math.exp(rate * work_s) - 1) * (1 / rate + lost_s)
    takes = [play([work_s], cluster(failing, attempts=1000), seed).seconds for seed in range(4000)]
    mean = sum(takes) / len(takes)
    deviation = (sum((one - mean) ** 2 for one in takes) / len(takes)) ** 0.5
    assert abs(mean - expected) < 4 * deviation / len(takes) ** 0.5


def test_what_fails_too_often_is_missing_and_dead_nodes_end_it() -> None:
    failing = replace(SURE, count=2, hours_between_failures=0.001)
    played = play([3600.0] * 3, cluster(failing, attempts=2), seed=0)
    assert (played.again, played.missing, played.measured_s) == (3, 3, 0.0)
    dying = replace(failing, repair_s=math.inf)
    played = play([3600.0] * 3, cluster(dying, attempts=9), seed=0)
    assert played.missing == 3
    assert played.held_s < 600, "the dead are not held"


def test_every_bundle_is_measured_or_missing_whatever_happens() -> None:
    nodes = (
        replace(SURE, count=5, hours_between_failures=0.2, notice_s=30.0, repair_s=200.0, queue_s=100.0),
        NodeKind(count=2, slow_share=0.5),
    )
    seconds = [float(20 + 37 * k % 400) for k in range(60)]
    for seed in range(50):
        played = play(seconds, Cluster(nodes, spread=0.0, attempts=4), seed)
        slowest = 1.5 * sum(seconds)
        assert sum(seconds) * (60 - played.missing) / 60 * 0.3 < played.measured_s <= slowest
        assert played.held_s >= played.measured_s
        assert played.missing == 0 or played.again >= 3


def test_a_time_is_right_on_average_however_far_estimates_are_off() -> None:
    found = [play([10.0] * 50, Cluster((SURE,), spread=0.4), seed).seconds for seed in range(200)]
    assert sum(found) / len(found) == pytest.approx(500.0, rel=0.02)


def test_draws_give_a_median_and_a_range() -> None:
    found = forecast_nodes([10.0] * 40, Cluster((replace(SURE, count=4),), spread=0.4))
    assert found.nodes == 4
    assert found.draws == 200
    assert 90 < found.seconds.low < found.seconds.middle < found.seconds.high < 150
    assert 0.7 < found.busy < 1
    assert found.price is None
    assert forecast_nodes([1.0] * 50_000, Cluster((SURE,)), draws=2).draws == 2


def test_numbers_of_nodes_to_set_side_by_side() -> None:
    assert counts_upto(1) == [1]
    assert counts_upto(4) == [1, 4]
    assert counts_upto(64) == [1, 4, 16, 64]
    assert counts_upto(100) == [1, 4, 16, 64, 100]


def test_fewer_nodes_keep_the_shares_of_their_kinds() -> None:
    whole = cluster(replace(SURE, name="a", count=48), replace(SURE, name="b", count=16))
    assert [(kind.name, kind.count) for kind in whole.of(16).nodes] == [("a", 12), ("b", 4)]
    assert [(kind.name, kind.count) for kind in whole.of(1).nodes] == [("a", 1)]
    assert whole.of(64) == whole
    assert all(whole.of(n).count == n for n in range(1, 65))


def test_a_file_says_what_nodes_there_are(tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text(
        'device = "cuda"\nattempts = 5\n[[nodes]]\nname = "spot"\ncount = 48\nhours_between_failures = 20\n'
        "price = 1.5\n[[nodes]]\ncount = 16\nrepair_s = inf\n"
    )
    found = read_cluster(str(file))
    assert (found.device, found.attempts, found.count) == ("cuda", 5, 64)
    assert found.nodes[0] == NodeKind("spot", 48, hours_between_failures=20.0, price=1.5)
    assert found.nodes[1] == NodeKind("nodes 2", 16, repair_s=math.inf)
    assert read_cluster("64") == Cluster((NodeKind(count=64),))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected one \\[\\[nodes\\]\\] table or more"),
        ("nodes = 3", "got nodes = 3; expected one or more"),
        ("[[nodes]]\nname = 'a'", "got count = None; expected a whole number of nodes"),
        ("[[nodes]]\ncount = 0", "bad.toml:2: got count = 0"),
        ("[[nodes]]\ncount = true", "got count = True"),
        ("[[nodes]]\ncount = 99_999\n[[nodes]]\ncount = 2", "expected at most 100,000 nodes in all"),
        ("[[nodes]]\ncount = 1\nspeed = 0", "bad.toml:3: got speed = 0; expected a number above zero"),
        ("[[nodes]]\ncount = 1\nslow_share = 2", "expected a share from 0 to 1"),
        ("[[nodes]]\ncount = 1\nslow_factor = 0.5", "expected a number of 1 or more"),
        ("[[nodes]]\ncount = 1\nstart_s = inf", "expected a number of 0 or more"),
        ("[[nodes]]\ncount = 1\nstart_s = nan", "expected a number of 0 or more"),
        ("[[nodes]]\ncount = 1\nprice = 'x'", "expected a number of 0 or more"),
        ("[[nodes]]\ncount = 1\nprise = 1", "did you mean 'price'"),
        ("device = 'tpu'\n[[nodes]]\ncount = 1", "bad.toml:1: got device = 'tpu'"),
        ("spread = -1\n[[nodes]]\ncount = 1", "got spread = -1; expected 0 to 3"),
        ("attempts = 0\n[[nodes]]\ncount = 1", "got attempts = 0; expected 1 to 100"),
        ("[[nodes", "not TOML"),
    ],
)
def test_a_wrong_file_is_told_by_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_cluster(str(file))


@pytest.mark.parametrize("text", ["0", "100001", "-3", "many", "no/such.toml"])
def test_what_are_no_nodes(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected 1 to|expected a number of nodes|cannot be read"):
        read_cluster(text)


@pytest.mark.parametrize(
    "kind",
    [NodeKind("late", 4, queue_s=1e18), NodeKind("short", 4, hours_between_failures=1e-12, repair_s=0.0, queue_s=1e6)],
)
def test_what_fails_over_and_over_before_it_is_used_ends(kind: NodeKind) -> None:
    played = play([60.0] * 3, Cluster((kind,), spread=0.0), 1)
    lost = 3 if kind.name == "short" else 0
    assert (played.missing, played.again) == (lost, 2 * lost), "each is begun three times at most"
