"""What a gate writes for people and for CI: one format a file, found by its `OUTPUT`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from attnlab.bench.gate.records import GateReport


@dataclass(frozen=True)
class Samples:
    """Every sample of one benchmark on both arms, in nanoseconds."""

    base: tuple[float, ...]
    head: tuple[float, ...]


class Output(Protocol):
    """One format. `files` gives the text of each of its files by name."""

    @property
    def name(self) -> str: ...

    def files(self, report: GateReport, samples: Mapping[str, Samples]) -> dict[str, str]: ...


def outputs() -> dict[str, Output]:
    """Every format that writes files, by name."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    found = [module.OUTPUT for module in modules if hasattr(module, "OUTPUT")]
    return {output.name: output for output in found}
