"""What a gate is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from attnlab.bench.gate.source import Source
from attnlab.bench.gate.thresholds import Thresholds
from attnlab.bench.store.machine import Ceilings, Environment


@dataclass(frozen=True)
class Ask:
    """What is to be gated, and how. notes: of the report."""

    sources: tuple[Source, ...]
    thresholds: Thresholds
    environment: Environment
    ceilings: Ceilings
    command: str
    strict: bool = False
    time_limit_s: float = 300.0
    against_itself: bool = False
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What is gated, in words."""
        return ", ".join(source.label for source in self.sources)

    @property
    def stem(self) -> str:
        """For the name of a folder."""
        return "-".join(source.stem for source in self.sources)

    @property
    def plugins(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(plugin for source in self.sources for plugin in source.plugins))
