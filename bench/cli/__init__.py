"""The command line: one sub-command a file of this folder; torch is imported only where one is run."""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import io
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn, Protocol

from attnlab.bench.cli._parser import SuggestingParser
from attnlab.bench.contract.discovery import Folder
from attnlab.bench.errors import AttnlabError
from attnlab.bench.ranks.torchrun import Launched, run_or_serve
from attnlab.bench.text import message_of

EXIT_OK = 0
EXIT_FAULTS = 1
EXIT_USAGE = 2
EXIT_NOTHING = 3
EXIT_INTERRUPTED = 128 + signal.SIGINT
KEPT = "what was measured is kept"

SHARED = SuggestingParser(add_help=False)
SHARED.add_argument("--debug", action="store_true", help="show the traceback of an error")


class Command(Protocol):
    """A file of this folder, named as its command is: its docstring begins with the summary, `EPILOG` ends its help."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def execute(self, options: argparse.Namespace) -> int: ...


COMMANDS: Folder[Command] = Folder("command", __name__, None)


def build_parser() -> argparse.ArgumentParser:
    parser = SuggestingParser(
        prog="attnlab",
        description="Benchmarks of the operators that LLM inference spends its time in: "
        "correct first, then fast, then compared.",
        epilog="Exit codes: 0 done; 1 done, but something was wrong, failed or timed out; 2 usage; "
        "3 nothing to tell: nothing could be measured or compared.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS.names():
        command = COMMANDS.get(name)
        summary = (command.__doc__ or "").partition("\n")[0]
        epilog = getattr(command, "EPILOG", None)
        sub = commands.add_parser(name, help=summary, description=summary, epilog=epilog, parents=[SHARED])
        command.add_arguments(sub)
        sub.set_defaults(execute=command.execute)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command; an expected error is one line on standard error and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ± is told the rest
    given = sys.argv[1:] if arguments is None else [*arguments]  # `list` is a sub-command here
    chosen = build_parser().parse_args(given)
    chosen.command_line = shlex.join(["attnlab", *given])
    try:
        code: int = chosen.execute(chosen)
        sys.stdout.flush()
    except AttnlabError as error:
        if chosen.debug:
            traceback.print_exc()
        print(f"attnlab: {message_of(error)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"attnlab: interrupted; {getattr(chosen, 'interrupted', KEPT)}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # a reader such as `head` went away: nothing to say
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    return code


def run_as_script() -> NoReturn:
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that workers are ended
    launched = Launched.here()
    code = main() if launched is None else run_or_serve(launched, main)
    gc.freeze()  # what lives at the end dies with the process: looking through torch once more takes half a second
    sys.exit(code)


def _version() -> str:
    try:
        return importlib.metadata.version("attnlab")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
