"""Remove old runs that no report, gate or file of kept runs names; without --yes only say what would go."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from attnlab.bench import units
from attnlab.bench.cli import _options
from attnlab.bench.errors import StoreError
from attnlab.bench.text import count

REPORTS = "reports"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", default="results", help="the folder of runs (results)")
    parser.add_argument("--older-than", required=True, metavar="AGE", help="such as 90d, 12h or 4w")
    parser.add_argument(
        "--reports",
        action="append",
        default=[],
        metavar="PLACE",
        help="a folder, or a file, that may name runs, which are kept; may be repeated (reports)",
    )
    parser.add_argument("--keep", metavar="FILE", help="a file of runs to keep, one a line (keep.txt among the runs)")
    parser.add_argument("--yes", action="store_true", help="remove them; nothing is removed without it")
    parser.add_argument("--dry-run", action="store_true", help="only say what would go, as without --yes")


def execute(options: argparse.Namespace) -> int:
    from attnlab.bench.store.pruning import KEEP_FILE, age_of, look, remove

    folder = Path(options.folder)
    reports = tuple(map(Path, options.reports or [REPORTS]))
    keep = Path(options.keep) if options.keep else folder / KEEP_FILE
    for named in (*map(Path, options.reports), *([keep] if options.keep else [])):
        if not named.exists():
            raise StoreError(f"{named} does not exist; what it would name is not known, so nothing is removed")
    if not options.reports and not Path(REPORTS).is_dir():
        _options.tell(f"there is no folder {REPORTS} here: what reports elsewhere name is known by --reports alone")
    entries = look(folder, age_of(options.older_than), reports, keep, datetime.now(UTC))
    going = [entry for entry in entries if entry.kept is None]
    removes = options.yes and not options.dry_run
    for entry in entries:
        if entry.kept is not None:
            print(f"keep    {entry.path}: {entry.kept}")
    for entry in going:
        if removes:
            remove(entry)
        print(f"{'removed' if removes else 'remove '} {entry.path} ({units.format_bytes(entry.bytes)})")
    print(_sum(going, len(entries), removes))
    return 0


def _sum(going: Sequence[object], entries: int, removes: bool) -> str:
    runs = count(len(going), "run")
    if removes:
        return f"{runs} removed, {entries - len(going)} kept."
    return f"{runs} would be removed, {entries - len(going)} kept. Nothing was: add --yes."
