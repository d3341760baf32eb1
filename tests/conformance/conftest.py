"""Takes a registered implementation through the whole check, as a run does, without the timing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from attnlab.bench import availability
from attnlab.bench.axes import Case
from attnlab.bench.environment import describe_device
from attnlab.bench.harness import Setup, measure
from attnlab.bench.registry import discover
from attnlab.bench.store.records import Measurement, Outcome

Conform = Callable[[str, str, Case, str], tuple[Outcome, str | None]]


@pytest.fixture(scope="session")
def expectations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where oracle and yardstick of a case are kept, so that its implementations share them."""
    return tmp_path_factory.mktemp("expectations")


@pytest.fixture
def conform(expectations: Path, monkeypatch: pytest.MonkeyPatch) -> Conform:
    """conform(operator, name, case, device kind) -> the outcome, and its reason unless it passed."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)  # the interpreter has a process of its own

    def run(operator: str, name: str, case: Case, kind: str) -> tuple[Outcome, str | None]:
        registry = discover()
        implementation = registry.implementations(operator).get(name)
        reason = availability.missing(implementation, describe_device(kind))
        if reason is not None:
            return Outcome.UNAVAILABLE, reason
        checked = dataclasses.replace(implementation, untimed=lambda device_kind: "checked only")
        setup = Setup(torch.device(kind), clocks=(), ceilings=None, shared_folder=expectations)  # type: ignore[arg-type]
        found: Measurement = measure(registry.operators.get(operator), case, checked, setup)
        return found.outcome, found.reason

    return run
