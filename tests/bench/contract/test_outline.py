"""What is read off our files is what they register."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnlab.bench import discover, registry
from attnlab.bench.contract import outline
from attnlab.bench.reporters import REPORTERS

OURS = "attnlab."


def test_operators() -> None:
    known = discover().operators
    registered = [(o.name, o.summary) for o in known if known.module(o.name).startswith(OURS)]
    assert [(o.name, o.summary) for o in outline.operators()] == sorted(registered)


def test_implementations_and_their_needs() -> None:
    registered = [(i.operator, i.name, i.needs) for i in discover().all_implementations() if i.module.startswith(OURS)]
    declared = [(i.operator, i.name, i.needs) for i in outline.implementations()]
    assert len(declared) == len(set(declared)) == len(registered)
    assert set(declared) == set(registered)


def test_axes() -> None:
    for operator in discover().operators:
        if registry.operators.module(operator.name).startswith(OURS):
            assert sorted(outline.axes(operator.name)) == sorted(operator.case_type.axes()), operator.name


def test_metrics_suites_and_formats() -> None:
    known = discover()
    assert len(outline.metrics()) == len([n for n in known.metrics.names() if known.metrics.module(n).startswith(OURS)])
    ours = [name for name in known.suites.names() if known.suites.module(name).startswith(OURS)]
    assert outline.suites() == sorted(ours)
    assert outline.formats() == sorted(REPORTERS.names())


def test_it_is_all_only_where_nothing_else_registers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "count", lambda: 0)
    assert outline.is_all(())
    assert not outline.is_all(("mine.py",))
    monkeypatch.undo()
    discover()
    assert not outline.is_all(()), "this process may have registered more"
    monkeypatch.setattr(registry, "count", lambda: 0)
    info = tmp_path / "their_kernels-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-kernels\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[attnlab.implementations]\nfast = their_kernels.fast\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert not outline.is_all(())
