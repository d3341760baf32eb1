"""Tools' own files and our log as recorded loads: a definition, applied to its tool's file, gives its figures."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from attnlab.bench.analysis.peers import aiperf, files, guidellm, vllm
from attnlab.bench.analysis.peers.of_log import recorded
from attnlab.bench.analysis.peers.recorded import Figures, Objectives
from attnlab.bench.serving.endpoint import Kind, Usage
from attnlab.bench.serving.failures import Failure
from attnlab.bench.serving.log import Arrivals, Served, ServedLog

MS = 1e6
GOOD = Objectives(50 * MS, 50 * MS)
HELPERS = Path(__file__).parents[3] / "helpers"


def helper(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"attnlab_tests_{name}", HELPERS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def foreign() -> Any:
    return helper("foreign_files")


def same(own: Figures, made: Figures, *but: str) -> None:
    for f in fields(Figures):
        if f.name not in but and getattr(own, f.name) is not None:
            assert getattr(made, f.name) == pytest.approx(getattr(own, f.name), rel=1e-6), f.name


def test_guidellm_by_its_own_file(foreign: Any, tmp_path: Path) -> None:
    path = tmp_path / "guidellm.json"
    path.write_text(json.dumps(foreign.guidellm()), encoding="utf-8")
    load, own = files.of_guidellm(path)
    assert (len(load.streams), len(load.answered), own.goodput_per_s) == (3, 2, None)
    assert [round(stream.due_ns / MS) for stream in load.streams] == [0, 490, 100]
    made = guidellm.figures(load, GOOD)
    same(own, made, "tpot_ns")
    assert made.tpot_ns == pytest.approx(140 / 11 * MS)  # of 12.7 and 24, weighed by 11 and 10
    assert made.goodput_per_s == pytest.approx(1 / 0.75)


def test_aiperf_by_its_own_files(foreign: Any, tmp_path: Path) -> None:
    told, records = foreign.aiperf()
    (tmp_path / "profile_export_aiperf.json").write_text(json.dumps(told), encoding="utf-8")
    lines = "".join(f"{json.dumps(record)}\n" for record in records)
    (tmp_path / "profile_export.jsonl").write_text(lines, encoding="utf-8")
    load, own = files.of_aiperf(tmp_path)
    same(own, aiperf.figures(load, GOOD))
    assert [stream.due_ns for stream in load.streams] == [-MS, 99 * MS]


def test_our_log_as_other_tools_see_it() -> None:
    kinds: tuple[Kind, ...] = ("role", "text", "keep_alive", "text", "other", "usage", "done")
    times = tuple(int(n * MS) for n in (30, 40, 45, 60, 61, 62, 63))
    arrivals = Arrivals(times, (1,) * 7, kinds, (0, 2, 2, 5, 5, 5, 5))
    answered = Served(0, 0, int(5 * MS), int(64 * MS), int(8 * MS), arrivals=arrivals, text="a b", usage=Usage(7, 5))
    refused = Served(1, int(9 * MS), int(9 * MS), int(9 * MS), failure=Failure("refused", "no"))
    broken = Served(2, 0, 0, int(70 * MS), int(1 * MS), arrivals=arrivals, failure=Failure("cut", "gone"))
    load = recorded(ServedLog((answered, refused, broken), 0, int(80 * MS)), lambda text: len(text.split()))
    assert len(load.streams) == 2  # what was never sent is no stream
    (stream,) = load.answered
    assert [event.time_ns / MS for event in stream.texts] == [40, 60]
    assert [event.time_ns / MS for event in stream.choices] == [30, 40, 60, 61]
    assert (stream.begun_ns / MS, stream.sent_ns / MS, stream.told_tokens, stream.own_tokens) == (5, 8, 5, 2)
    assert vllm.figures(load, GOOD).ttft_ns == 25 * MS
    assert load.ended_ns == 80 * MS
