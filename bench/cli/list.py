"""List operators with how much can run here, or all of one; implementations, axes, suites and metrics."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from attnlab.bench import text_table, units
from attnlab.bench.cli import _options
from attnlab.bench.cli._entries import ListEntry
from attnlab.bench.cli._usage import check_name
from attnlab.bench.errors import AttnlabError
from attnlab.bench.text import count, one_line, reason_of

if TYPE_CHECKING:
    from rich.console import Console

    from attnlab.bench.cli._counts import OperatorCounts
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


ALL = "all"
KINDS = (*TITLES.values(), ALL)
WHAT = "operator or kind of thing"
HEADINGS = ("operator", "runs here", "cannot", "what")
LONGEST, LEAST_ROOM = 200, 20  # characters of what an operator is, and of room for it beside the rest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="?",
        metavar="WHAT",
        help="an operator, of which all is listed; operators, implementations, axes, suites or metrics; or all",
    )
    _options.add_plugin(parser)
    _options.add_device(parser)
    _options.add_json(parser)


def execute(options: argparse.Namespace) -> int:
    from attnlab.bench.contract import outline

    alone = outline.is_all(options.plugin)
    if alone and options.what is not None:
        check_name(WHAT, options.what, [*KINDS, *(operator.name for operator in outline.operators())])
    if alone:
        from attnlab.bench.machine.environment import device_at_sight

        device = device_at_sight(options.device)
        if device is not None:
            return _without_torch(options, device)
    return _from_registry(options)


def _without_torch(options: argparse.Namespace, device: Device) -> int:
    """Counts are read off our files; what else is listed was kept from the last time that they were as they are."""
    from attnlab.bench.cli._counts import outlined
    from attnlab.bench.cli._kept_list import keep_list, kept_list
    from attnlab.bench.contract import outline

    if options.what is None and not options.json:
        _show_short(outlined(device), len(outline.metrics()), len(outline.suites()), device)
        return 0
    entries = kept_list(device)
    if entries is None:
        entries = list(collect(_options.discovered(()), device))
        keep_list(entries, device)
    _tell(entries, options, device)
    return 0


def _from_registry(options: argparse.Namespace) -> int:
    """What is registered; importing all of it takes seconds, most of them for torch."""
    from attnlab.bench.cli._counts import counted
    from attnlab.bench.machine.environment import choose_device, describe_device

    device = describe_device(choose_device(options.device))
    registry = _options.discovered(options.plugin)
    if options.what is not None:
        check_name(WHAT, options.what, [*KINDS, *registry.operators.names()])
    elif not options.json:
        _show_short(counted(registry, device), len(registry.metrics.names()), len(registry.suites.names()), device)
        return 0
    _tell(list(collect(registry, device)), options, device)
    return 0


def _tell(entries: Sequence[ListEntry], options: argparse.Namespace, device: Device) -> None:
    asked = [entry for entry in entries if _is_asked(entry, options.what)]
    if options.json:
        print(json.dumps([asdict(entry) for entry in asked], indent=1))
    else:
        _show(asked, device)


def _is_asked(entry: ListEntry, what: str | None) -> bool:
    if what is None or what == ALL:
        return True
    if what in KINDS:
        return TITLES[entry.kind] == what
    return entry.name == what if entry.kind == "operator" else re.split("[/.]", entry.name)[0] == what


def collect(registry: Registry, device: Device) -> Iterator[ListEntry]:
    """Everything that is registered."""
    from attnlab.bench.contract import needs
    from attnlab.bench.measuring.suite import suite_names

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
    from attnlab.bench.measuring.suite import find_suite
    from attnlab.bench.measuring.suite_file import load_suite

    try:
        return ListEntry("suite", name, load_suite(find_suite(name, registry), registry).description)
    except AttnlabError as error:
        return ListEntry("suite", name, "", reason=str(error))


def _show_short(operators: Sequence[OperatorCounts], metrics: int, suites: int, device: Device) -> None:
    _headed(device)
    width = text_table.terminal_width()
    rows = [(o.name, str(o.here), str(o.elsewhere or units.MISSING)) for o in operators]
    taken = sum(max(map(text_table.width_of, column)) + 2 for column in zip(HEADINGS[:-1], *rows, strict=True))
    room = LONGEST if width is None or width < taken + LEAST_ROOM else width - taken
    whole = [(*row, _cut(o.summary, room)) for row, o in zip(rows, operators, strict=True)]
    first, *lines = text_table.fitted([HEADINGS, *whole], (0, 3), width)
    print("\n".join([text_table.bold(first), *lines]))
    others = ", ".join(f"`{kind}`" for kind in KINDS)
    told = (
        f"{count(suites, 'suite')}, {count(metrics, 'metric')}. `attnlab list OPERATOR` lists all of one, with the "
        f"reasons why something cannot run here. In its place may stand: {others}."
    )
    print("\n" + "\n".join(text_table.paragraph(told, text_table.terminal_width(), indent="")))


def _cut(summary: str, room: int) -> str:
    """On one line; `attnlab list operators` has all of it."""
    text = one_line(summary)
    return text if text_table.width_of(text) <= room else f"{text[: room - 1].rstrip()}…"


def _headed(device: Device) -> Console:
    console = text_table.console(PIPE_WIDTH)
    console.print(f"on {device.kind} ({device.name})\n", highlight=False, markup=False)
    return console


def _show(entries: list[ListEntry], device: Device) -> None:
    from rich.text import Text

    console = _headed(device)
    for kind, title in TITLES.items():
        of_kind = [entry for entry in entries if entry.kind == kind]
        if not of_kind:
            continue
        table = text_table.table(title)
        for column in ("name", "here", "what") if kind == "implementation" else ("name", "what"):
            table.add_column(column, overflow="fold", no_wrap=column == "name")
        for entry in of_kind:
            what = entry.summary + (f" ({entry.note})" if entry.note else "")
            here = [entry.reason or "available"] if kind == "implementation" else []
            unusable = f"cannot be used: {entry.reason}" if entry.reason and not here else what
            table.add_row(*(Text(cell) for cell in (entry.name, *here, unusable)))
        console.print(table)
        console.print()
