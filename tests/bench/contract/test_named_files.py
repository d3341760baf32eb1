"""What a file holds that a case names is a part of what is measured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from attnlab.bench.cli._resume import _check_files
from attnlab.bench.contract.named_files import UNREADABLE, content, contents
from attnlab.bench.errors import StoreError
from attnlab.bench.ops._shared.caching import DecodeCase
from attnlab.bench.ops.attention.case import AttentionCase
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.contract import GENERATE
from attnlab.bench.store.records import Measurement, Outcome


def test_another_content_is_another_hash(tmp_path: Path) -> None:
    file = tmp_path / "t.txt"
    file.write_text("0 1 2")
    first = content(file)
    file.write_text("0 2 4")
    second = content(file)
    file.write_text("0 1 2")
    assert content(file) == first != second
    assert len(first) == 16


def test_a_folder_is_its_files_with_their_names(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "a.safetensors").write_bytes(b"1" * 10_000_000)
    first = content(tmp_path)
    with (tmp_path / "a.safetensors").open("r+b") as file:
        file.seek(7_654_321)
        file.write(b"2")
    second = content(tmp_path)
    (tmp_path / "a.safetensors").rename(tmp_path / "b.safetensors")
    assert len({first, second, content(tmp_path)}) == 3, "a byte anywhere, and a name"


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert content(tmp_path / "gone") == UNREADABLE


def test_cases_name_traces_and_captured_activations(tmp_path: Path) -> None:
    trace = tmp_path / "t.txt"
    trace.write_text("0\n1\n")
    case = GenerateCase(arrivals=f"trace@{trace}", requests=2)  # type: ignore[arg-type]
    assert contents(case) == {"arrivals": content(trace)}
    assert contents(GenerateCase()) == {}
    captured = {"q_heads": 9, "kv_heads": 3, "head_dim": 64, "inputs": "smollm2"}
    assert set(contents(AttentionCase(q_len=64, **captured))) == {"inputs"}  # type: ignore[arg-type]
    assert set(contents(DecodeCase(context=64, **captured))) == {"inputs"}  # type: ignore[arg-type]
    assert contents(AttentionCase()) == {}


def test_a_run_does_not_go_on_with_another_file(tmp_path: Path) -> None:
    trace = tmp_path / "t.txt"
    trace.write_text("0\n1\n")
    case = GenerateCase(arrivals=f"trace@{trace}", requests=2)  # type: ignore[arg-type]
    table = SimpleNamespace(get=lambda name: SimpleNamespace(source="nowhere", built_from=(), needs=None))
    operators = {GENERATE.name: GENERATE}
    registry: Any = SimpleNamespace(operators=operators, implementations=lambda name: table)
    m = Measurement("generate", "sdpa", case.values(), case.id, Outcome.PASSED, files=contents(case))
    _check_files([m], registry, tmp_path)
    trace.write_text("0\n2\n")
    with pytest.raises(StoreError, match="measured with another content of the file that arrivals=trace@"):
        _check_files([m], registry, tmp_path)
