"""How fast a folder of runs is indexed and read by its index, as it grows: the second half of `store_scale.py`.

    python benchmarks/store_index.py [--sizes 1000 10000 100000 1000000] [--place FOLDER]

Runs of a hundred measurements are made of the stored lines, in today's schema, and the table of docs/store.md is
printed, a line for each size as soon as it is known. Each way is a process of its own: wall time of the way, without
starting Python and importing. What is read and decoded alone is read by one process, which decodes each line by msgspec
without types. Runs are read one by one up to 10,000 measurements. A million take some minutes, and 6 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from attnlab.bench import units
from attnlab.bench.analysis.frame import frame, load
from attnlab.bench.analysis.history.sources import opened_source
from attnlab.bench.analysis.index import opening
from attnlab.bench.analysis.index.newest import newest_run
from attnlab.bench.store.codec import encode
from attnlab.bench.store.records import SCHEMA_VERSION
from attnlab.bench.store.run_folder import MEASUREMENTS_FILE, RUN_FILE, read_run, read_runs

RESULTS = Path(__file__).parents[1] / "results"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
A_RUN = 100
MOST_DIRECT = 10_000


def grown(size: int, folder: Path) -> Path:
    """A folder of runs with so many measurements, an hour apart."""
    stored = [read_run(path) for path in sorted(RESULTS.glob("*-quick"))]
    held = [replace(m, schema_version=SCHEMA_VERSION) for run in stored for m in run.measurements]
    held = list({m.key: m for m in held}.values())
    lines = [json.dumps(encode(m), separators=(",", ":")) + "\n" for m in held]
    record = encode(replace(stored[0].run, schema_version=SCHEMA_VERSION))
    for number in range(size // A_RUN):
        started = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=number)
        run = folder / f"{started:%Y%m%d-%H%M%S}-scale"
        run.mkdir(parents=True)
        (run / RUN_FILE).write_text(json.dumps(record | {"run_id": run.name, "started": started.isoformat()}))
        first = number * A_RUN
        chosen = (lines[(first + at) % len(lines)] for at in range(A_RUN))
        (run / MEASUREMENTS_FILE).write_text("".join(chosen))
    return folder


def floor(folder: Path) -> int:
    decode = msgspec.json.Decoder().decode
    files = folder.glob(f"*/{MEASUREMENTS_FILE}")
    return sum(1 for file in files for line in file.read_bytes().splitlines() if decode(line))


def index(folder: Path) -> Any:
    return opening.brought_up_to_date(folder, print, lambda text: None)


def history(folder: Path) -> Any:
    source = opened_source(folder, print, print)
    key = source.benchmarks()[0]
    return source.of([key])


WAYS: dict[str, Callable[[Path], Any]] = {
    "bytes read and decoded alone": floor,
    "runs read one by one, as a table": lambda folder: frame(read_runs(folder)),
    "indexed once": index,
    "looked at again": index,
    "`load`": load,
    "history of one benchmark": history,
    "newest run of all": lambda folder: newest_run(folder, print),
    "that run alone": lambda folder: read_run(max(folder.glob("2*"))),
}
DIRECT = ("runs read one by one, as a table",)
WITH_RATE = ("indexed once",)
WITH_MEMORY = ("`load`",)


def measure(way: str, folder: Path) -> None:
    import duckdb  # noqa: F401 - imports are no part of the time
    import pandas  # noqa: F401 - likewise

    opening.SMALL_BYTES = 0
    began = time.perf_counter_ns()
    made = WAYS[way](folder)
    taken_ns = time.perf_counter_ns() - began
    del made
    held_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"taken_ns": taken_ns, "held_bytes": held_kib * 1024}))


def table(sizes: list[int], place: Path | None) -> None:
    print(f"| measurements | runs | {' | '.join(WAYS)} |")
    print(f"|--:|--:|{'--:|' * len(WAYS)}")
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=place) as parent:
            folder = grown(size, Path(parent, "results"))
            time.sleep(2.5)  # what changed just now is read once more
            cells = ["" if way in DIRECT and size > MOST_DIRECT else cell(way, folder, size) for way in WAYS]
            print(f"| {size:,} | {size // A_RUN:,} | {' | '.join(cells)} |", flush=True)
            shutil.rmtree(folder)


def cell(way: str, folder: Path, size: int) -> str:
    """What a process of its own takes, with the rate or the memory where that is asked for."""
    command = [sys.executable, __file__, "--way", way, "--place", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    took = units.format_time(found["taken_ns"])
    if way in WITH_RATE:
        return f"{took}, {units.per_second(size, found['taken_ns']):,.0f}/s"
    return f"{took}, {units.format_bytes(found['held_bytes'])}" if way in WITH_MEMORY else took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--place", type=Path, metavar="FOLDER", help="where runs are made, 6 GB for a million")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        measure(options.way, options.place)
    else:
        table(options.sizes, options.place)


if __name__ == "__main__":
    main()
