"""Makes stand-in packages importable for a test, and measures an implementation through the real check."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from attnlab.bench.contract.registry import Needs, discover
from attnlab.bench.measuring.harness import measure
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.store.records import Measurement

STAND_INS = Path(__file__).parent / "stand_ins"
FLASH = ("flash_attn", "flash_attn_interface", "fa3_fwd_interface", "fa3_fwd_config")
FAKED = (*FLASH, "flashinfer", "xformers", "plain_attention", "flash_interface", "llama_cpp", "vllm")


def forget_stand_ins() -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] in FAKED]:
        del sys.modules[module]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], ModuleType]]:
    """stand_in(folder, module): puts a folder of stand-ins on the path and returns one module of it."""

    def install(folder: str, module: str) -> ModuleType:
        forget_stand_ins()
        monkeypatch.syspath_prepend(str(STAND_INS))
        monkeypatch.syspath_prepend(str(STAND_INS / folder))
        return importlib.import_module(module)

    yield install
    forget_stand_ins()


@pytest.fixture
def measured() -> Callable[[str, str, str], Measurement]:
    """measured(operator, name, case id): the harness's measurement on the CPU, without the timing.

    The implementation is let onto any device, which is all that differs from a real run.
    """

    def run(operator: str, name: str, case_id: str) -> Measurement:
        registry = discover()
        contract = registry.operators.get(operator)
        implementation = dataclasses.replace(
            registry.implementations(operator).get(name),
            needs=Needs(),
            untimed=lambda device_kind: "checked only",
        )
        setup = Setup(device=torch.device("cpu"), clocks=(), ceilings=None)  # type: ignore[arg-type]
        return measure(contract, contract.case_type.parse(case_id), implementation, setup)

    return run
