"""Choosing a suite, and the record that a run starts with."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnlab.bench import discover
from attnlab.bench.contract.roofline import measured_light
from attnlab.bench.errors import UsageError
from attnlab.bench.machine import ceilings
from attnlab.bench.measuring.draft import choose_suite, draft_run
from attnlab.bench.measuring.suite import Suite
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.records import RunRecord

SUITE = Suite("mine", (), effort={"target": 0.5})


def test_a_suite_goes_by_name_by_file_or_by_operator(tmp_path: Path) -> None:
    registry = discover()
    file = tmp_path / "mine.toml"
    file.write_text('[[bench]]\noperator = "attention"\n[bench.axes]\nq_len = [64, 128]\n')
    assert choose_suite("quick", registry).name == "quick"
    assert [case.id for case in choose_suite(str(file), registry).benches[0].cases] == ["Sq64-bf16", "Sq128-bf16"]
    with_axes = choose_suite("attention", registry, {"q_len": "32"}, ("bf16-causal",))
    assert [case.id for case in with_axes.benches[0].cases] == ["Sq32-bf16-causal"]
    with pytest.raises(UsageError, match="--case goes with an operator, and 'quick' is a suite"):
        choose_suite("quick", registry, cases=("bf16",))


def test_a_run_that_is_timed_has_ceilings(ceilings_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(ceilings_cache))
    for timed in (True, False):
        run = draft_run(SUITE, (), "cpu", "attnlab run mine", ("p.py",), timed=timed)
        assert run.ceilings.rates["float32"] == 1e11, "known ones cost nothing"
    assert (run.suite, run.command, run.plugins, run.effort) == ("mine", "attnlab run mine", ("p.py",), {"target": 0.5})
    assert run.run_id.endswith("-mine")


def test_a_run_that_is_not_timed_measures_no_ceilings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(ceilings, "measure", lambda device: pytest.fail("measured"))
    run = draft_run(SUITE, (), "cpu", "pytest", timed=False)
    assert run.ceilings.rates == {}
    assert measured_light(run.ceilings, 8, 8, "float32") is None, "no share of what nobody knows"
    assert decode(RunRecord, encode(run)).ceilings.rates == {}
    assert list(tmp_path.iterdir()) == [], "nor does it look known to a later run"
