"""What a gate is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from attnlab.bench.gate.thresholds import Thresholds
from attnlab.bench.store.machine import Ceilings, Environment


@dataclass(frozen=True)
class Ask:
    """What is to be gated, and how.

    suite: a name, or a file's absolute path; one within the repository is each arm's own. notes: of the report.
    """

    suite: str
    plugins: tuple[str, ...]
    thresholds: Thresholds
    environment: Environment
    ceilings: Ceilings
    command: str
    strict: bool = False
    time_limit_s: float = 300.0
    against_itself: bool = False
    notes: tuple[str, ...] = ()
