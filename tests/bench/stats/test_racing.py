"""Who is hopeless in a race, and how often that is said of the best."""

from __future__ import annotations

import numpy as np
import pytest

from attnlab.bench.stats.racing import Race, Rule, best_of, shown_faster

RUNS = 400


def rounds_of(rule: Rule, centre: float, noise: float = 0.02, seed: int = 0) -> list[float]:
    return list(centre + noise * np.random.default_rng(seed).standard_t(3, rule.rounds))


def test_a_far_slower_one_is_out_at_the_first_look() -> None:
    rule = Rule(8)
    race = Race(rule)
    first = rule.looks.pairs[0]
    assert race.look({"slow": rounds_of(rule, 1.0)[:first], "like": rounds_of(rule, 0.0)[:first]}) == {"slow"}


def test_it_is_held_against_the_best_so_far_and_not_against_the_reference() -> None:
    rule = Rule(8)
    race = Race(rule)
    first = rule.looks.pairs[0]
    level = rounds_of(rule, 0.0, seed=1)[:first]
    assert race.look({"level": level}) == set()
    assert race.look({"fast": rounds_of(rule, -0.5)[:first]}) == set()
    assert race.look({"level": level}) == {"level"}


def test_within_the_margin_nobody_is_sent_away() -> None:
    rule = Rule(8)
    race = Race(rule)
    assert race.look({"near": [0.04] * rule.looks.pairs[0]}) == set()
    assert race.look({"far": [0.06] * rule.looks.pairs[0]}) == {"far"}


def test_the_first_look_has_as_many_rounds_as_its_level_needs() -> None:
    for members in (1, 5, 50):
        rule = Rule(members)
        first = rule.looks.pairs[0]
        assert 2.0**-first <= rule.looks.level(first, rule.alpha / 2 / members) < 2.0 ** (1 - first) * 2


@pytest.mark.parametrize("members", [3, 10])
def test_the_best_is_sent_away_as_seldom_as_promised(members: int) -> None:
    """All are equal, without a margin, and at a level that is high enough to be seen: the worst case."""
    rule = Rule(members, alpha=0.5, margin=0.0)
    source, lost = np.random.default_rng(members), 0
    for _ in range(RUNS):
        race = Race(rule)
        values = 0.05 * (source.standard_t(2, (members, rule.rounds)) - source.standard_t(2, rule.rounds))
        alive = set(range(members))
        for look in rule.looks.pairs:
            alive -= {int(name) for name in race.look({str(n): list(values[n, :look]) for n in alive})}
        lost += 0 not in alive
    assert lost / RUNS <= 0.5
    assert lost, "a rule that never sends anybody away keeps every promise"


def test_faster_is_who_the_rounds_show_to_be_so() -> None:
    ratios = {"fast": [-0.1, -0.2, -0.1, -0.15, -0.3, -0.1, -0.12, -0.2], "level": [0.1, -0.1] * 4}
    assert shown_faster(ratios) == {"fast"}
    assert shown_faster({name: values[:3] for name, values in ratios.items()}) == set(), "three rounds show nothing"
    assert best_of(ratios, {"fast", "level"}) == "fast"
    assert best_of(ratios, set()) is None
