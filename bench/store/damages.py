"""Lines of a run that could not be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from attnlab.bench.text import count

MOST_TOLD = 5  # lines of a run


@dataclass(frozen=True)
class Damage:
    """A line that could not be read, and why."""

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


def tell_damages(damages: Sequence[Damage], tell: Callable[[str], None]) -> None:
    """Say of a run which lines are left out, of many the first ones and how many more there are."""
    for damage in damages[:MOST_TOLD]:
        tell(f"{damage}; left out")
    if more := damages[MOST_TOLD:]:
        tell(f"{more[0].path}: {count(len(more), 'more line')} that cannot be read, left out")
