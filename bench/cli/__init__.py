"""The command line: one sub-command a file of this folder, found by name; torch is imported only to run one."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from attnlab.bench.errors import AttnlabError

EXIT_OK = 0
EXIT_FAULTS = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT

SHARED = argparse.ArgumentParser(add_help=False)
SHARED.add_argument("--debug", action="store_true", help="show the traceback of an error")


def command_names() -> list[str]:
    """The sub-commands: modules of this folder that do not start with an underscore."""
    return [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="attnlab",
        description="Benchmarks of the operators that LLM inference spends its time in: "
        "correct first, then fast, then compared.",
        epilog="Exit codes: 0 done; 1 done, but something was wrong, failed or timed out; 2 usage.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in command_names():
        module: Any = importlib.import_module(f"{__name__}.{name}")
        summary = module.__doc__.partition("\n")[0]
        sub = commands.add_parser(name, help=summary, description=summary, parents=[SHARED])
        module.add_arguments(sub)
        sub.set_defaults(execute=module.execute)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command; an expected error is one line on standard error and exit code 2."""
    chosen = build_parser().parse_args(arguments)
    try:
        code: int = chosen.execute(chosen)
    except AttnlabError as error:
        if chosen.debug:
            traceback.print_exc()
        print(f"attnlab: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("attnlab: interrupted; what was measured is kept", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # a reader such as `head` went away: nothing to say
        return EXIT_OK
    return code


def run_as_script() -> None:
    sys.exit(main())
