"""List operators, implementations with their availability here, suites and metrics."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass

from attnlab.bench.cli import _options


@dataclass(frozen=True)
class Entry:
    """One line of the list; reason says why an implementation cannot run here, or None."""

    kind: str
    name: str
    summary: str
    reason: str | None = None
    note: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _options.add_plugin(parser)
    _options.add_device(parser)
    _options.add_json(parser)


def execute(options: argparse.Namespace) -> int:
    from attnlab.bench.environment import choose_device, describe_device
    from attnlab.bench.registry import discover

    registry = discover(tuple(options.plugin))
    device = describe_device(choose_device(options.device))
    entries = collect(registry, device)
    if options.json:
        json.dump([asdict(entry) for entry in entries], sys.stdout, indent=1)
        print()
    else:
        _show(entries, f"{device.kind} ({device.name})")
    return 0


def collect(registry, device) -> list[Entry]:  # type: ignore[no-untyped-def]
    """Everything that is registered."""
    from attnlab.bench import availability
    from attnlab.bench.suite import find_suite, load_suite, suite_names

    entries = []
    for operator in registry.operators:
        entries.append(Entry("operator", operator.name, operator.summary))
        for one in sorted(registry.implementations(operator.name), key=lambda i: i.name):
            note = one.untimed(device.kind) or (f"unverified: {one.unverified}" if one.unverified else None)
            entries.append(
                Entry("implementation", one.key, one.summary, availability.missing(one, device), note)
            )
        for name, axis in operator.case_type.axes().items():
            entries.append(Entry("axis", f"{operator.name}.{name}", axis.help))
    for name in suite_names(registry):
        suite = load_suite(find_suite(name, registry), registry)
        entries.append(Entry("suite", name, suite.description))
    for metric in registry.metrics:
        unit = f" [{metric.unit}]" if metric.unit else ""
        entries.append(Entry("metric", metric.name, f"{metric.summary}{unit}"))
    return entries


def _show(entries: list[Entry], device: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=not sys.stdout.isatty())
    console.print(f"on {device}", highlight=False)
    for kind, title in (
        ("operator", "operators"),
        ("implementation", "implementations"),
        ("axis", "axes"),
        ("suite", "suites"),
        ("metric", "metrics"),
    ):
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for column in ("name", "here", "what") if kind == "implementation" else ("name", "what"):
            table.add_column(column, overflow="fold", no_wrap=column == "name")
        for entry in (e for e in entries if e.kind == kind):
            what = entry.summary + (f" ({entry.note})" if entry.note else "")
            here = [entry.reason or "available"] if kind == "implementation" else []
            table.add_row(entry.name, *here, what)
        console.print(table, highlight=False, markup=False)
        console.print()
