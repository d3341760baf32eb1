"""A process that makes segments: of each line of tasks on standard input it writes what it made on standard output."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from attnlab.bench.analysis.index.segments import Task, make_segment


def main() -> None:
    folder, place = map(Path, sys.argv[1:3])
    for line in sys.stdin.buffer:
        made = make_segment(folder, place, msgspec.json.decode(line, type=list[Task]))
        sys.stdout.buffer.write(msgspec.json.encode(made) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
