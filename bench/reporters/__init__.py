"""Reporters: what a report says is worked out once (`model`), then laid out by one format a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from attnlab.bench.contract.discovery import Folder
from attnlab.bench.contract.registry import Registry, registry
from attnlab.bench.reporters.model.report import Report, build_report
from attnlab.bench.store.run_folder import StoredRun


class Reporter(Protocol):
    """One format. `write` puts its files into an existing folder and returns their paths."""

    @property
    def name(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    def write(self, report: Report, folder: Path) -> list[Path]: ...


REPORTERS: Folder[Reporter] = Folder("format", __name__, "REPORTER")


def write_report(
    runs: Sequence[StoredRun], folder: Path, formats: Sequence[str] | None = None, source: Registry = registry
) -> list[Path]:
    """Write a report of the runs in the given formats (all where None or none) and return the files.

    Operators and metrics that `source` knows are used: call `discover` first. Raises UnknownName for
    an unknown format, before anything is written, and OSError where the folder cannot be written.
    """
    chosen = [REPORTERS.get(name) for name in formats or REPORTERS.names()]
    report = build_report(runs, source)
    folder.mkdir(parents=True, exist_ok=True)
    return [path for reporter in chosen for path in reporter.write(report, folder)]
