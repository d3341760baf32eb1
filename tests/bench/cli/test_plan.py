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


def test_a_plan_for_nodes(cli, tmp_path: Path) -> None:
    ended = cli("run", "attention", "--impl", "naive,sdpa_flash", "-a", "q_len=64,128,256", "--plan", "--nodes", "16")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == "attention: 6 measurements, of 2 implementations on 3 cases"
    assert lines[3].startswith("3 bundles, ")
    assert lines[3].endswith(" of one node; nodes as this machine")
    assert lines[4].startswith("time on 16 nodes: about ")
    assert lines[5] == "4 nodes would be as fast, within a tenth"
    assert [line.split()[0] for line in lines[6:10]] == ["nodes", "1", "4", "16"]
    assert lines[10].startswith("the longest bundle takes ")
    assert "it is begun 3 times at most; ready after 1 min" in lines[11]
    assert list(tmp_path.iterdir()) == []


def test_a_laptop_plans_for_gpus(cli, tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text('device = "cuda"\n[[nodes]]\ncount = 2\nrepair_s = inf\nprice = 3\n')
    ended = cli("run", "attention", "--impl", "flash_attn", "--plan", "--nodes", str(file), "--json")
    told = json.loads(ended.out)["cluster"]
    assert (ended.code, told["bundles"]) == (0, 1), "no package is asked for"
    assert told["assumed"]["nodes"][0]["repair_s"] is None
    assert [row["nodes"] for row in told["nodes"]] == [1, 2]
    assert told["nodes"][0]["price"]["middle"] > 0
    ended = cli("run", "rmsnorm", "--impl", "native", "--plan", "--nodes", str(file))
    assert (ended.code, ended.out) == (3, "no bundle is left to measure\n"), "it serves the CPU only"


def test_nodes_without_a_plan_or_without_work(cli) -> None:
    ended = cli("run", "attention", "--nodes", "4")
    assert (ended.code, ended.out) == (2, "")
    assert "got --nodes without --plan" in ended.err
    ended = cli("run", "attention", "--impl", "flash_attn", "--device", "cpu", "--plan", "--nodes", "4")
    assert (ended.code, ended.out.splitlines()[-1]) == (3, "no bundle is left to measure")
