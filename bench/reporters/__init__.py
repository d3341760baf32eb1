"""Reporters: what a report says is worked out once (`model`), then laid out by one format a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from attnlab.bench.contract.discovery import Folder
from attnlab.bench.contract.registry import Registry, registry
from attnlab.bench.errors import PluginError
from attnlab.bench.reporters.model.report import Report, build_report
from attnlab.bench.store.collector import paused_collector, set_aside
from attnlab.bench.store.run_folder import StoredRun
from attnlab.bench.text import reason_of


class Reporter(Protocol):
    """One format. `write` puts its files into an existing folder and returns their paths."""

    @property
    def name(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    def write(self, report: Report, folder: Path) -> list[Path]: ...


REPORTERS: Folder[Reporter] = Folder("format", __name__, "REPORTER")


def write_report(
    runs: Sequence[StoredRun],
    folder: Path,
    formats: Sequence[str] | None = None,
    source: Registry = registry,
    earlier: Sequence[StoredRun] = (),
) -> list[Path]:
    """Write a report of the runs in the given formats (all where None or none) and return the files.

    earlier: runs that these are set among, for their history and what moved since the last one. Operators and metrics
    that `source` knows are used: call `discover` first. Raises UnknownName for an unknown format, before anything is
    written, OSError where the folder cannot be written, and PluginError where a reporter fails, after the other formats
    are written.
    """
    chosen = [REPORTERS.get(name) for name in formats or REPORTERS.names()]
    with paused_collector():
        report = build_report(runs, source, earlier)
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    faults: list[tuple[str, Exception]] = []
    for reporter in chosen:
        try:
            with set_aside():
                paths += reporter.write(report, folder)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - a plugin's reporter is foreign code
            faults.append((reporter.name, error))
    if faults:
        told = "; ".join(f"reporter {name!r} of {REPORTERS.source(name)} fails ({reason_of(e)})" for name, e in faults)
        raise PluginError(f"{told}; mend it, or name other formats by --format") from faults[0][1]
    return paths
