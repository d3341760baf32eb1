"""How fast stored runs are read, as the number of their measurements grows.

    python benchmarks/store_scale.py [--sizes 100 1000 10000] [--rounds 5] [RUN …]

Lines of stored runs (those of `results/` where none is named) are mixed and repeated until a run has as many
measurements as asked for. In each round every way reads the same lines, in turn:

- `json.loads` alone, which every other way is compared with;
- *decoded strictly* and *decoded* make dataclasses of those JSON values, by the decoder that tells what does not fit
  and by the one that is used;
- *read* is `read_run`, with all that it refuses.

Processor time is taken. Ratios are medians over rounds, each within its round. Python's collector of cycles is on, as
it is for a user.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnlab.bench import units
from attnlab.bench.store.codec import decode
from attnlab.bench.store.records import Measurement
from attnlab.bench.store.run_folder import MEASUREMENTS_FILE, RUN_FILE, read_run
from attnlab.bench.store.strict_codec import decode_strictly
from attnlab.bench.store.upgrades import upgraded

RESULTS = Path(__file__).parents[1] / "results"
SIZES = (100, 1_000, 10_000)
JSON = "json.loads alone"


@dataclass(frozen=True)
class Reading:
    """What one way took for so many measurements, by round: nanoseconds of processor time for each of them."""

    way: str
    size: int
    taken_ns: tuple[float, ...]


def grown(sources: Sequence[Path], size: int, folder: Path) -> Path:
    """A run of `size` measurements: those of the sources, mixed once, over and over. Its record is the first's."""
    folder.mkdir()
    shutil.copy(sources[0] / RUN_FILE, folder / RUN_FILE)
    lines = [line for source in sources for line in (source / MEASUREMENTS_FILE).read_bytes().splitlines(keepends=True)]
    mixed = random.Random(0).sample(lines, len(lines))
    (folder / MEASUREMENTS_FILE).write_bytes(b"".join(itertools.islice(itertools.cycle(mixed), size)))
    return folder


def ways(folder: Path) -> dict[str, Callable[[], Any]]:
    """What is timed; lines, and values for the decoders, are made before, and what is made once has been."""
    lines = (folder / MEASUREMENTS_FILE).read_bytes().splitlines()
    values = [upgraded(json.loads(line)) for line in lines]
    decode(Measurement, values[0])
    return {
        JSON: lambda: [json.loads(line) for line in lines],
        "decoded strictly": lambda: [decode_strictly(Measurement, data) for data in values],
        "decoded": lambda: [decode(Measurement, data) for data in values],
        "read": lambda: read_run(folder),
    }


def readings(folder: Path, size: int, rounds: int) -> Iterator[Reading]:
    """One for each way, which take turns, to and fro."""
    timed = ways(folder)
    taken: dict[str, list[float]] = {name: [] for name in timed}
    gc.collect()
    gc.freeze()  # what was made before is no part of what the collector looks through while a way is timed
    for number in range(rounds):
        for name, way in list(timed.items())[:: 1 if number % 2 == 0 else -1]:
            gc.collect()
            began = time.process_time_ns()
            made = way()
            taken[name].append((time.process_time_ns() - began) / size)
            del made
    yield from (Reading(name, size, tuple(times)) for name, times in taken.items())


def row(reading: Reading, json_alone: Reading) -> str:
    ratios = [mine / its for mine, its in zip(reading.taken_ns, json_alone.taken_ns, strict=True)]
    each_ns = statistics.median(reading.taken_ns)
    least, most = units.format_ratio(min(ratios)), units.format_ratio(max(ratios))
    return (
        f"| {reading.size:,} | {reading.way} | {units.per_second(1, each_ns):,.0f} | {units.format_time(each_ns)} "
        f"| {units.format_ratio(statistics.median(ratios))} ({least} to {most}) |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    sources = options.runs or sorted(RESULTS.glob("*-quick"))
    print("| measurements | way | a second | each | time over json.loads (least to most) |")
    print("|--:|---|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as place:
        for size in options.sizes:
            found = list(readings(grown(sources, size, Path(place, str(size))), size, options.rounds))
            print("\n".join(row(reading, found[0]) for reading in found), flush=True)


if __name__ == "__main__":
    main()
