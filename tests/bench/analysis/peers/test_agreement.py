"""The script that sets our figures beside other tools': its tables, and that it sees a tool that does otherwise."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from attnlab.bench.analysis.peers import guidellm
from attnlab.bench.analysis.peers.recorded import Event, Figures, Recorded, Stream

SCRIPT = Path(__file__).parents[4] / "benchmarks" / "serving_agreement.py"
MS = 1e6
LOAD = Recorded(
    (Stream(0, 0, 0, (Event(20 * MS, True, 1), Event(50 * MS, True, 4)), 51 * MS, 9, 4),),
    60 * MS,
)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("attnlab_serving_agreement", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_tool_that_does_otherwise_is_seen(script: ModuleType) -> None:
    own = guidellm.figures(LOAD, script.OBJECTIVES)
    assert script.held("guidellm", [script.Told(LOAD, own)]) == "8 figures, off by 0 % at most"
    assert own.ttft_ns is not None
    other = replace(own, ttft_ns=1.01 * own.ttft_ns)
    assert script.held("guidellm", [script.Told(LOAD, other)]).endswith("NOT as defined: TTFT")


def test_the_table_is_beside_ours(script: ModuleType) -> None:
    ours = script.by("ours", LOAD)
    theirs = script.middle([guidellm.figures(LOAD, script.OBJECTIVES)])
    lines = script.table({"attnlab": ours, "GuideLLM": theirs}, "attnlab").splitlines()
    assert lines[0] == "| figure | attnlab | GuideLLM |"
    assert "| TPOT | 10.0 ms | 12.5 ms (+25.0 %) |" in lines
    assert "| ITL p99 | – | 10.0 ms |" in lines  # of three gaps there is none of ours


def test_rounds_are_summed_up_by_their_medians(script: ModuleType) -> None:
    one = Figures(*(float(n) for n in range(8)))
    assert script.middle([one, replace(one, ttft_ns=4.0), replace(one, ttft_ns=None)]).ttft_ns == 2.0


def test_no_two_prompts_begin_alike(script: ModuleType) -> None:
    plan = script.Plan("http://127.0.0.1:1", "m", 40, 1.0, 5, 4, Path())
    made = [text for tool in ("ours", "aiperf") for turn in (0, 1) for text in script.prompts(plan, tool, turn)]
    assert len({text[:8] for text in made}) == len(made) == 160
    assert made[:40] == script.prompts(plan, "ours", 0)
