"""Reporters: what a report says is worked out once (`model`), then laid out by one format a file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from attnlab.bench.errors import UnknownName
from attnlab.bench.registry import Registry, registry
from attnlab.bench.reporters.model.report import Report, build_report
from attnlab.bench.store.jsonl import StoredRun


class Reporter(Protocol):
    """One format. `write` puts its files into an existing folder and returns their paths."""

    @property
    def name(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    def write(self, report: Report, folder: Path) -> list[Path]: ...


def reporters() -> dict[str, Reporter]:
    """Every format by name: each module of this package that has a REPORTER."""
    modules = [m for m in pkgutil.iter_modules(__path__) if not m.ispkg]
    found = [importlib.import_module(f"{__name__}.{module.name}").REPORTER for module in modules]
    return {reporter.name: reporter for reporter in found}


def write_report(
    runs: Sequence[StoredRun], folder: Path, formats: Sequence[str] | None = None, source: Registry = registry
) -> list[Path]:
    """Write a report of the runs in the given formats (all where None or none) and return the files.

    Operators and metrics that `source` knows are used: call `discover` first. Raises UnknownName for
    an unknown format, before anything is written, and OSError where the folder cannot be written.
    """
    known = reporters()
    for name in formats or ():
        if name not in known:
            raise UnknownName("format", name, known)
    report = build_report(runs, source)
    folder.mkdir(parents=True, exist_ok=True)
    return [path for name in formats or known for path in known[name].write(report, folder)]
