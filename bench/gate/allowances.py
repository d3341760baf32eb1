"""What may be lost or new without closing the gate, by name; each use is told."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from attnlab.bench.gate.records import GateRow, Standing


class Allowance(Enum):
    """An option that lets something through."""

    REMOVED = "--allow-removed"
    NEW_BASELINE = "--allow-new-baseline"


NEEDED = {
    Standing.MISSING: Allowance.REMOVED,
    Standing.WRONG: Allowance.REMOVED,
    Standing.NEW: Allowance.NEW_BASELINE,
    Standing.REDEFINED: Allowance.NEW_BASELINE,
}


@dataclass(frozen=True)
class Allowances:
    """Shell patterns on benchmark keys such as `attention/naive*`; an opening bracket stands for itself.

    removed: what may be missing, wrong or failing on head. new_baseline: what base may not have, not have right, or
    have with another meaning.
    """

    removed: tuple[str, ...] = ()
    new_baseline: tuple[str, ...] = ()

    def patterns(self, allowance: Allowance) -> tuple[str, ...]:
        return self.removed if allowance is Allowance.REMOVED else self.new_baseline

    def find(self, key: str, allowance: Allowance) -> str | None:
        """The first that lets this benchmark through, as `--allow-removed 'attention/naive*'`; None where none does."""
        found = next((p for p in self.patterns(allowance) if key_fits(key, p)), None)
        return None if found is None else _spelled(allowance, found)

    def applied(self, row: GateRow) -> GateRow:
        """The row, marked where an allowance lets it through."""
        needed = NEEDED.get(row.standing)
        return row if needed is None or row.allowed_by else replace(row, allowed_by=self.find(row.key, needed))

    def notes(self, rows: Sequence[GateRow]) -> Iterator[str]:
        """What each pattern let through, and what it was not needed for."""
        for allowance in Allowance:
            for pattern in dict.fromkeys(self.patterns(allowance)):
                spelled = _spelled(allowance, pattern)
                used = [f"{row.key} ({row.standing.value})" for row in rows if row.allowed_by == spelled]
                if used:
                    yield f"{spelled} let through {', '.join(used)}"
                elif any(key_fits(row.key, pattern) for row in rows):
                    yield f"{spelled} was not needed, and can be left out"
                else:
                    yield f"{spelled} fits no benchmark, and can be left out"


def key_fits(key: str, pattern: str) -> bool:
    """Whether a benchmark's key fits a shell pattern, in which an opening bracket stands for itself."""
    return fnmatch.fnmatchcase(key, pattern.replace("[[]", "[").replace("[", "[[]"))


def _spelled(allowance: Allowance, pattern: str) -> str:
    return f"{allowance.value} {pattern!r}"
