"""List operators, implementations with their availability here, suites and metrics."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from attnlab.bench import text_table
from attnlab.bench.cli import _options
from attnlab.bench.errors import AttnlabError
from attnlab.bench.text import reason_of

if TYPE_CHECKING:
    from attnlab.bench.contract.registry import Implementation, Registry
    from attnlab.bench.store.machine import Device

TITLES = {
    "operator": "operators",
    "implementation": "implementations",
    "axis": "axes",
    "suite": "suites",
    "metric": "metrics",
}
PIPE_WIDTH = 200  # where there is no terminal to ask: lines long enough for grep


@dataclass(frozen=True)
class ListEntry:
    """One line of the list; reason says why it cannot be used here, or None."""

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
    from attnlab.bench.machine.environment import choose_device, describe_device

    device = describe_device(choose_device(options.device))
    entries = list(collect(_options.discovered(options.plugin), device))
    if options.json:
        print(json.dumps([asdict(entry) for entry in entries], indent=1))
    else:
        _show(entries, f"{device.kind} ({device.name})")
    return 0


def collect(registry: Registry, device: Device) -> Iterator[ListEntry]:
    """Everything that is registered."""
    from attnlab.bench.contract import needs
    from attnlab.bench.measure.suite import suite_names

    for operator in registry.operators:
        yield ListEntry("operator", operator.name, operator.summary)
        for one in sorted(registry.implementations(operator.name), key=lambda i: i.name):
            reason = needs.missing(one, device)
            yield ListEntry("implementation", one.key, one.summary, reason, _note(one, device))
        for name, axis in operator.case_type.axes().items():
            yield ListEntry("axis", f"{operator.name}.{name}", axis.help)
    for name in suite_names(registry):
        yield _suite(name, registry)
    for metric in registry.metrics:
        unit = f" [{metric.unit}]" if metric.unit else ""
        yield ListEntry("metric", metric.name, f"{metric.summary}{unit}")


def _note(one: Implementation, device: Device) -> str | None:
    try:
        untimed = one.untimed(device.kind)
    except Exception as error:  # noqa: BLE001 - foreign code; one implementation must not hide the others
        return f"untimed(device_kind) fails: {reason_of(error)}"
    return untimed or (f"unverified: {one.unverified}" if one.unverified else None)


def _suite(name: str, registry: Registry) -> ListEntry:
    from attnlab.bench.measure.suite import find_suite
    from attnlab.bench.measure.suite_file import load_suite

    try:
        return ListEntry("suite", name, load_suite(find_suite(name, registry), registry).description)
    except AttnlabError as error:
        return ListEntry("suite", name, "", reason=str(error))


def _show(entries: list[ListEntry], device: str) -> None:
    from rich.text import Text

    console = text_table.console(PIPE_WIDTH)
    console.print(f"on {device}\n", highlight=False, markup=False)
    for kind, title in TITLES.items():
        table = text_table.table(title)
        for column in ("name", "here", "what") if kind == "implementation" else ("name", "what"):
            table.add_column(column, overflow="fold", no_wrap=column == "name")
        for entry in (e for e in entries if e.kind == kind):
            what = entry.summary + (f" ({entry.note})" if entry.note else "")
            here = [entry.reason or "available"] if kind == "implementation" else []
            unusable = f"cannot be used: {entry.reason}" if entry.reason and not here else what
            table.add_row(*(Text(cell) for cell in (entry.name, *here, unusable)))
        console.print(table)
        console.print()
