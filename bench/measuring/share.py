"""Which part of a plan is meant, as a command line says it; torch is not needed for that."""

from __future__ import annotations

import re
from dataclasses import dataclass

from attnlab.bench.errors import UsageError
from attnlab.bench.store.shards import MOST_SHARDS


@dataclass(frozen=True)
class Share:
    """Which part of a plan: `number` (from 1) of `of`."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def read_share(text: str) -> Share:
    """The share that `3/16` names; raises UsageError on another form, and on a number that is not among them."""
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip(), re.ASCII)
    if found is None:
        raise UsageError(f"got --shard {text!r}; expected I/N, such as 3/16 for the third of sixteen")
    number, of = map(int, found.groups())
    if not 1 <= of <= MOST_SHARDS:
        raise UsageError(f"got --shard {text}; expected 1 to {MOST_SHARDS:,} shards")
    if not 1 <= number <= of:
        raise UsageError(f"got --shard {text}; expected a number from 1 to {of}: shards are counted from 1")
    return Share(number, of)
