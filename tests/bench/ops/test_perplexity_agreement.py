"""The comparison of perplexities: implementations agree on a toy, and one that does not is told."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "perplexity_agreement.py"
TOY = "toy-random-W32-n2-B2-fp32"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # which finding implementations may set
    spec = importlib.util.spec_from_file_location("attnlab_perplexity_agreement", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_a_toy(script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--case", TOY, "--impl", "naive,sdpa,llama_cpp"]) == 0
    told = capsys.readouterr().out
    assert "llama_cpp  " in told
    assert told.endswith("In float32 all agree within 0.100 %.\n")


def test_what_is_off_is_told(script: Any) -> None:
    right = script.Agreement(TOY, "naive", 20.0, 0.0, 0.0)
    wrong = script.Agreement(TOY, "sdpa", 20.03, 0.0015, 0.1)
    narrow = script.Agreement(TOY.replace("fp32", "bf16"), "sdpa", 20.03, 0.0015, 0.1)
    missing = script.Agreement(TOY, "llama_cpp", reason="not installed")
    assert script.agree([right, narrow, missing])
    assert not script.agree([right, wrong])
    assert not script.agree([missing])
