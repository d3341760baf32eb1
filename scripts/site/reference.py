"""The reference pages of the site, made from the parser, the registry and the list of public names."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from attnlab.bench import Implementation, Metric, Needs, Operator, Registry, discover
from attnlab.bench.cli import build_parser
from attnlab.bench.measure.suite import Bench, find_suite, suite_names
from attnlab.bench.measure.suite_file import load_suite

EDGE = Path(__file__).resolve().parents[2] / "bench" / "__init__.pyi"
SUBJECTS = {  # rooms of attnlab.bench, in the order of the page
    "contract": "Operators, implementations and metrics",
    "errors": "Errors",
    "analysis": "Stored runs as tables",
    "store": "Records of a run",
    "ops": "Cases and inputs of the operators",
    "llm": "Models, caches and sampling",
    "machine": "Clocks",
    "profilers": "Profilers",
    "reporters": "Reporters",
}


def pages() -> dict[str, str]:
    """Markdown by the path of its page on the site."""
    registry = discover()
    return {
        "reference/commands.md": commands(build_parser()),
        "reference/operators.md": operators(registry),
        "reference/metrics.md": metrics(registry.metrics),
        "reference/suites.md": suites(registry),
        "reference/python.md": python(EDGE.read_text("utf-8")),
    }


def commands(parser: argparse.ArgumentParser) -> str:
    """Every sub-command with its usage and options, those of a sub-command's own sub-commands too."""
    lines = ["# Command line", "", parser.description or "", "", parser.epilog or "", ""]
    for name, sub in _subparsers(parser):
        lines += _command(f"{parser.prog} {name}", sub, level=2)
    return "\n".join(lines)


def _command(name: str, parser: argparse.ArgumentParser, level: int) -> list[str]:
    usage = parser.format_usage().removeprefix("usage: ").rstrip()
    lines = [f"{'#' * level} {name}", "", escaped(parser.description or ""), "", "```text", usage, "```", ""]
    actions = [action for action in parser._actions if action.help not in (None, argparse.SUPPRESS)]
    rows = [(_spelled(a), escaped((a.help or "") % {"default": a.default, "prog": parser.prog})) for a in actions]
    lines += table(("argument", "meaning"), rows)
    lines += [escaped(parser.epilog or ""), ""]
    for sub, below in _subparsers(parser):
        lines += _command(f"{name} {sub}", below, level + 1)
    return lines


def _subparsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _spelled(action: argparse.Action) -> str:
    if not action.option_strings:
        choices = f"{{{','.join(map(str, action.choices))}}}" if action.choices else None
        return f"`{action.metavar or choices or action.dest}`"
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return ", ".join(f"`{option}{value}`" for option in action.option_strings)


def operators(registry: Registry) -> str:
    """Every operator with its axes and implementations."""
    lines = [
        "# Operators",
        "",
        "What is compared, the axes that a case is made of, and the implementations that come along. "
        "`attnlab list OPERATOR` says which can run on your machine.",
        "",
    ]
    for operator in sorted(registry.operators, key=lambda o: o.name):
        lines += _operator(operator, sorted(registry.implementations(operator.name), key=lambda i: i.name))
    return "\n".join(lines)


def _operator(operator: Operator[Any, Any], made: Sequence[Implementation]) -> list[str]:
    usual = operator.case_type()
    axes = [
        (f"`{name}`", f"`{axis.write(getattr(usual, name))}`" if _is_told(usual, name) else "none", escaped(axis.help))
        for name, axis in operator.case_type.axes().items()
    ]
    rows = [(f"`{one.name}`", escaped(one.summary), escaped(needs(one))) for one in made]
    shown = ", ".join(f"`{name}`" for name in operator.headlines)
    return [
        f"## {operator.name}",
        "",
        f"{escaped(operator.summary)}. The default case is `{usual.id}`; the table at the end of a run shows {shown}.",
        "",
        *table(("axis", "default", "what"), axes),
        *table(("implementation", "what", "needs"), rows),
    ]


def _is_told(case: Any, axis: str) -> bool:
    return getattr(case, axis) not in (None, ())


def needs(one: Implementation) -> str:
    """In words; with a note where it has never run."""
    wanted: Needs = one.needs
    parts = [{"cuda": "NVIDIA GPU", "cpu": "CPU"}[wanted.device]] if wanted.device else []
    if wanted.capability:
        parts[-1:] = [f"NVIDIA GPU of capability {'.'.join(map(str, wanted.capability))}"]
    parts += [f"package {name}" for name in wanted.packages]
    parts += ["C++ compiler, Python's headers"] if wanted.compiler else []
    text = ", ".join(parts)
    return f"{text}; unverified: {one.unverified}" if one.unverified else text


def metrics(known: Iterable[Metric]) -> str:
    """Every metric with what it means and how it is worked out."""
    better = {"higher": "more", "lower": "less", "neither": "–"}
    rows = [
        (f"`{m.name}`", escaped(m.label), m.unit or "a word", better[m.direction], escaped(m.summary), f"`{m.formula}`")
        for m in known
    ]
    head = ("name", "label", "unit", "better", "what", "formula")
    return "\n".join(["# Metrics", "", "The columns of every table, in their order.", "", *table(head, rows)])


def suites(registry: Registry) -> str:
    """Every suite that comes along, with its tables."""
    lines = ["# Suites that come along", "", "`attnlab run SUITE` measures one.", ""]
    for name in suite_names(registry):
        suite = load_suite(find_suite(name, registry), registry)
        lines += [f"## {name}", "", escaped(suite.description), ""]
        rows = [_bench(bench) for bench in suite.benches]
        lines += table(("operator", "cases", "implementations", "baseline"), rows)
    return "\n".join(lines)


def _bench(bench: Bench) -> tuple[str, ...]:
    cases = "<br>".join(f"`{case.id}`" for case in bench.cases)
    made = ", ".join(f"`{name}`" for name in bench.implementations) if bench.implementations else "all"
    return (f"`{bench.operator}`", cases, made, f"`{bench.baseline}`" if bench.baseline else "none")


def python(stub: str) -> str:
    """Every public name, by subject, for mkdocstrings to fill in."""
    rooms: dict[str, list[str]] = {room: [] for room in SUBJECTS}
    for node in ast.parse(stub).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [alias.name for alias in node.names]
            rooms.setdefault(node.module.partition(".")[0], []).extend(names)
    lines = [
        "# Public names",
        "",
        "`attnlab.bench` has these names. Each is loaded when it is first asked for.",
        "",
    ]
    for room, names in rooms.items():
        lines += [f"## {SUBJECTS.get(room, room.capitalize())}", ""] if names else []
        for name in sorted(names, key=str.lower):
            lines += [f"::: attnlab.bench.{name}", ""]
    return "\n".join(lines)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table, and an empty one."""
    lines = [_row(head), _row(["---"] * len(head)), *map(_row, rows)]
    return [*lines, ""]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


def escaped(text: str) -> str:
    """Plain text as Markdown: nothing of it is markup but code between back-ticks."""
    parts = text.split("`")
    for index in range(0, len(parts), 2):
        for mark in "\\*_[]<>":
            parts[index] = parts[index].replace(mark, f"&#{ord(mark)};")
    return "`".join(parts)
