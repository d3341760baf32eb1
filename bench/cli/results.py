"""Show, import, export, merge and remove stored runs."""

from __future__ import annotations

import argparse

from attnlab.bench.cli import SHARED, Command
from attnlab.bench.contract.discovery import Folder

ACTIONS: Folder[Command] = Folder("action", "attnlab.bench.cli._results", None)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", help="what to do with stored runs")
    for name in ACTIONS.names():
        action = ACTIONS.get(name)
        summary = (action.__doc__ or "").partition("\n")[0]
        epilog = getattr(action, "EPILOG", None)
        sub = actions.add_parser(name.rstrip("_"), help=summary, description=summary, epilog=epilog, parents=[SHARED])
        action.add_arguments(sub)
        sub.set_defaults(act=action.execute)


def execute(options: argparse.Namespace) -> int:
    code: int = options.act(options)
    return code
