"""What a gate writes for people and for CI: one format a file, found by its `OUTPUT`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from attnlab.bench.contract.discovery import Folder
from attnlab.bench.gate.report import GateReport


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


OUTPUTS: Folder[Output] = Folder("format of verdicts", __name__, "OUTPUT")
"""Every format that writes files."""
