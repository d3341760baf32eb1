"""`attnlab run --plan`, and the time left: what a run will take is told before it begins, and measures nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def test_a_plan_measures_and_writes_nothing(cli, tmp_path: Path) -> None:
    ended = cli("run", "attention", "--impl", "naive,sdpa_flash,flash_attn", "-a", "q_len=64,128", "--plan")
    assert (ended.code, ended.err) == (0, "")
    what, time, memory = ended.out.splitlines()
    assert what == "attention: 4 measurements, of 2 implementations on 2 cases; 2 more cannot be taken here"
    assert time.startswith("time: about ")
    assert "turns in fresh processes" in time
    assert memory.startswith("memory: up to ")
    assert memory.endswith("are free now")
    assert list(tmp_path.iterdir()) == []


def test_a_plan_for_machines(cli) -> None:
    ended = cli("run", "quick", "--plan", "--json")
    told = json.loads(ended.out)
    assert ended.err == ""
    assert told["measurements"] > 40
    assert told["unavailable"] > 40
    assert 30 < told["seconds"] < 1000
    assert 0 < told["bytes"] < told["memory_bytes"]


def test_what_is_beyond_memory_is_told(cli) -> None:
    ended = cli("run", "attention", "--impl", "naive", "-a", "q_len=262144", "--plan")
    assert ended.code == 0
    assert "1 of 1 measurement may be ended by the limit of time (--time-limit)" in ended.out
    assert "time: about 2 min" in ended.out, "no step takes longer than its limit"
    beyond = ended.out.splitlines()[-1]
    assert beyond.startswith("beyond memory: attention Sq262144-bf16 takes up to ")
    assert "of it only where all intermediates are kept" in beyond
    assert "ends as out_of_memory, and the run goes on" in beyond


def test_of_what_cannot_run_at_all_there_is_nothing_to_plan(cli) -> None:
    ended = cli("run", "attention", "--impl", "flash_attn", "--device", "cpu", "--plan")
    assert (ended.code, ended.out) == (3, "attention: nothing to measure; 1 more cannot be taken here\n")


def test_ceilings_that_are_not_known_take_time(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    ended = cli("run", "attention", "--impl", "naive", "--plan")
    assert "measuring the ceilings 30 s" in ended.out
    assert not (tmp_path / "none").exists(), "they are not measured for a plan"
