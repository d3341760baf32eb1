"""What may be lost or new without closing the gate, by name; each use is told."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from attnlab.bench.gate.rows import GateRow, Standing, VerdictRow


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
DROPPED = "head's suite no longer has it; it was measured all the same"
NO_SUITE = "base has no such suite, so what it would have covered is not known"
OTHER_TEST = "the test's own code is not what it was, and may ask for other work; it was measured all the same"
UNCOVERED = {
    DROPPED: Allowance.REMOVED,
    NO_SUITE: Allowance.NEW_BASELINE,
    OTHER_TEST: Allowance.NEW_BASELINE,
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
        """The row, it and its quantities marked where an allowance lets them through."""
        own = tuple(replace(q, allowed_by=self._through(q)) for q in row.quantities)
        return replace(row, allowed_by=self._through(row), quantities=own)

    def _through(self, found: VerdictRow) -> str | None:
        """What lets it through; of a quantity a pattern on `benchmark#quantity`, or one on the benchmark."""
        needed = _needed(found)
        if needed is None or found.allowed_by:
            return found.allowed_by
        return self.find(found.key, needed) or self.find(found.benchmark, needed)

    def notes(self, rows: Sequence[GateRow]) -> Iterator[str]:
        """What each pattern let through or was not needed for, and how what is closed could be let through."""
        judged = [found for row in rows for found in row.judged]
        for allowance in Allowance:
            closed = [found.key for found in judged if found.closed and _needed(found) is allowance]
            if closed:
                more = f" (and {len(closed) - 1} more)" if len(closed) > 1 else ""
                yield f"where that is meant, it is let through by name: {allowance.value} {closed[0]!r}{more}"
            for pattern in dict.fromkeys(self.patterns(allowance)):
                spelled = _spelled(allowance, pattern)
                used = [f"{found.title} ({found.standing.value})" for found in judged if found.allowed_by == spelled]
                if used:
                    yield f"{spelled} let through {', '.join(used)}"
                elif any(key_fits(found.key, pattern) for found in judged):
                    yield f"{spelled} was not needed, and can be left out"
                else:
                    yield f"{spelled} fits no benchmark, and can be left out"


def _needed(found: VerdictRow) -> Allowance | None:
    """What would let this through; None where nothing would, or it needs nothing."""
    uncovered = found.uncovered if isinstance(found, GateRow) else None
    return NEEDED.get(found.standing) or UNCOVERED.get(uncovered or "")


def key_fits(key: str, pattern: str) -> bool:
    """Whether a benchmark's key fits a shell pattern, in which an opening bracket stands for itself."""
    return fnmatch.fnmatchcase(key, pattern.replace("[[]", "[").replace("[", "[[]"))


def _spelled(allowance: Allowance, pattern: str) -> str:
    return f"{allowance.value} {pattern!r}"
