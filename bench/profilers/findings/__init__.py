"""What a profile says in words: what bounds a call, what it takes longest for, what may help, with evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attnlab.bench.profilers.findings.bound import bound, ceiling
from attnlab.bench.profilers.findings.facts import Facts
from attnlab.bench.profilers.findings.hardware import hardware, host, processor
from attnlab.bench.profilers.findings.memory import fresh_memory, moved_bytes
from attnlab.bench.profilers.findings.parts import longest, spans
from attnlab.bench.profilers.profiles import CaseProfile
from attnlab.bench.profilers.record import ProfileFinding
from attnlab.bench.store.machine import Ceilings

FINDERS: tuple[Callable[[Facts], Iterator[ProfileFinding]], ...] = (
    bound,
    ceiling,
    longest,
    spans,
    moved_bytes,
    fresh_memory,
    host,
    hardware,
    processor,
)


def findings(case: CaseProfile, ceilings: Ceilings) -> list[ProfileFinding]:
    """What bounds the call first, then what it takes time for, then what the tools say themselves."""
    facts = Facts.of(case, ceilings)
    found = [finding for finder in FINDERS for finding in finder(facts)]
    return [*found, *(finding for record in case.records for finding in record.findings)]
