"""Readers of files that other tools write: one format a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from attnlab.bench.contract.discovery import Folder
from attnlab.bench.exchange.foreign import Contents


class Reader(Protocol):
    """One format: `name` is that of the tool, `summary` says which file it is."""

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...

    def fits(self, data: Any) -> bool:
        """Whether the values of a JSON file look like this format's."""
        ...

    def read(self, data: Any, path: Path) -> Contents:
        """What a file that fits holds; path: where it lies, for formats of several files."""
        ...


READERS: Folder[Reader] = Folder("format", __name__, "READER")
