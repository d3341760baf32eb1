"""Make a run of a file that another tool wrote; its results are unchecked, and what it lacks stays unknown."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from attnlab.bench.cli import _options
from attnlab.bench.errors import UsageError

EPILOG = (
    "Formats: pytest-benchmark, google-benchmark, asv, nvbench, vllm, guidellm, aiperf; auto takes the one that the "
    "file fits."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the JSON file that the other tool wrote")
    parser.add_argument("--format", default="auto", metavar="NAME", help="what wrote it (auto: told by what it holds)")
    parser.add_argument("--started", metavar="TIME", help="when it was measured, where the file does not say")
    parser.add_argument("--out", default="results", metavar="FOLDER", help="the folder of runs to write to (results)")


def execute(options: argparse.Namespace) -> int:
    from attnlab.bench.exchange.importing import import_file, told

    started = None if options.started is None else _time(options.started)
    done = import_file(Path(options.file), Path(options.out), options.format, started)
    for line in done.left_out:
        _options.tell(f"{line}; left out")
    print(told(done))
    return 0


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"got --started {text!r}; expected a time such as 2026-01-31T12:00:00+00:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
