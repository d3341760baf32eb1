"""What an arm offers: its own suite, what the other's suite has besides, and which of its plugins are there."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from attnlab.bench.contract.registry import SUITES, registry
from attnlab.bench.gate.offering import find_own_suite, make_offers, present
from attnlab.bench.gate.rerooting import Rerooting
from attnlab.bench.store.machine import Device

CPU = Device("cpu", "a processor")
SUITE = (
    '[effort]\nwarmup_limit_s = 0.1\n[[bench]]\noperator = "toy"\nimplementations = ["times", "gone"]\ncases = ["N4"]\n'
)


@pytest.fixture
def turned(tmp_path: Path) -> Rerooting:
    return Rerooting(tmp_path / "repo", tmp_path / "base", SUITES.parents[1])


@pytest.fixture
def toy(helpers: Path, plugins_forgotten: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(helpers))
    from attnlab.bench.contract.registry import discover

    discover((str(helpers / "toy_operator.py"),))


def test_a_suite_of_the_harness_is_the_arms_own(toy: None, turned: Rerooting) -> None:
    """The harness is head's for both arms; a case that head drops from its own suite is still in base's."""
    assert find_own_suite("gate", registry, turned).absent
    place = turned.arm / "bench" / "suites" / "gate.toml"
    place.parent.mkdir(parents=True)
    place.write_text('[[bench]]\noperator = "toy"\ncases = ["N16"]\n')
    found = find_own_suite("gate", registry, turned)
    assert found.file == place
    assert [case.id for case in found.suite.benches[0].cases] == ["N16"]


def test_a_suite_that_is_missing_is_not_one_that_is_broken(turned: Rerooting, tmp_path: Path) -> None:
    missing = find_own_suite(str(tmp_path / "none.toml"), registry, turned)
    assert missing.absent
    (tmp_path / "broken.toml").write_text("[[bench")
    broken = find_own_suite(str(tmp_path / "broken.toml"), registry, turned)
    assert not broken.absent
    assert "not TOML" in (broken.error or "")


def test_offers_hold_every_axis_and_what_a_call_costs(toy: None, turned: Rerooting, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(SUITE + '[[bench]]\noperator = "vanished"\n')
    own = find_own_suite(str(tmp_path / "s.toml"), registry, turned)
    wanted = [["toy", "times", "N16"], ["toy", "gone", "N16"], ["vanished", "x", "N16"], ["toy", "plus", "M16"]]
    offers = make_offers(own, wanted, registry, CPU, turned, ())
    assert [(offer.key, offer.listed) for offer in offers.found] == [("toy/times[N4]", True), ("toy/times[N16]", False)]
    assert offers.found[0].values == {"n": 4}
    assert offers.found[0].operations == 4
    assert offers.found[0].bytes_moved == 32
    assert set(offers.unknown) == {"toy/gone", "vanished"}
    assert offers.settings.effort == {"warmup_limit_s": 0.1}


def test_plugins_by_name_are_looked_for_where_the_gate_runs(
    turned: Rerooting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "some_plugin.py").touch()
    (tmp_path / "some_package").mkdir()
    there, missing = present(("some_plugin", "some_package.absent", "absent_package.x"), turned)
    assert there == ("some_plugin",)
    assert missing == ("some_package.absent", "absent_package.x")


def test_what_has_no_source_counts_as_the_repositorys(toy: None, turned: Rerooting, tmp_path: Path) -> None:
    """Else a kernel that is registered as a `functools.partial` would never be compared."""
    made = registry.implementations("toy").get("times")
    registry.implementations("toy").add("partial", replace(made, name="partial", source="functools"), "here")
    try:
        own = find_own_suite(str(tmp_path / "none.toml"), registry, turned)
        (offer,) = make_offers(own, [["toy", "partial", "N4"]], registry, CPU, turned, ()).found
    finally:
        registry.remove_implementation("toy", "partial")
    assert offer.source == "functools"
