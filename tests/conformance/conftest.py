"""Takes a registered implementation through the whole check, as a run does, without the timing."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import pytest
import torch

from attnlab.bench.contract import needs
from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.registry import discover
from attnlab.bench.machine.environment import describe_device
from attnlab.bench.measuring.harness import measure
from attnlab.bench.measuring.judging.court import Court
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.store.records import Measurement, Outcome

Conform = Callable[[str, str, Case, str], tuple[Outcome, str | None]]


@pytest.fixture(scope="session")
def courts() -> Callable[[str], Court]:
    """One judge a device: oracle and yardstick of a case are computed once for all of its implementations."""
    return functools.cache(lambda kind: Court(torch.device(kind)))


@pytest.fixture
def conform(courts: Callable[[str], Court], monkeypatch: pytest.MonkeyPatch) -> Conform:
    """conform(operator, name, case, device kind) -> the outcome, and its reason unless it passed."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)  # the interpreter has a process of its own

    def run(operator: str, name: str, case: Case, kind: str) -> tuple[Outcome, str | None]:
        registry = discover()
        implementation = registry.implementations(operator).get(name)
        reason = needs.missing(implementation, describe_device(kind))
        if reason is not None:
            return Outcome.UNAVAILABLE, reason
        checked = dataclasses.replace(implementation, untimed=lambda device_kind: "checked only")
        setup = Setup(torch.device(kind), clocks=(), ceilings=None, court=courts(kind))  # type: ignore[arg-type]
        found: Measurement = measure(registry.operators.get(operator), case, checked, setup)
        return found.outcome, found.reason

    return run
