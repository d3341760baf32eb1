"""Several stored runs as one: shards of a suite, or a run and its continuation, of the same machine and code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from attnlab.bench.errors import StoreError
from attnlab.bench.store.codec import encode
from attnlab.bench.store.likeness import apart
from attnlab.bench.store.records import SCHEMA_VERSION, BenchRecord, Measurement, RunRecord
from attnlab.bench.store.run_folder import RunWriter, StoredRun
from attnlab.bench.store.shards import SHARD, faults, joined
from attnlab.bench.text import count

MERGED = "merged"  # key of RunRecord.extra: the ids of the runs that it was made of
MOST_TOLD = 20  # differences in an error
Key = tuple[str, str, str]

FACTS: tuple[tuple[str, Callable[[RunRecord], Any]], ...] = (
    ("suite", lambda run: run.suite),
    ("machine", lambda run: run.environment.processor),
    ("device", lambda run: run.environment.device),
    ("cores", lambda run: (run.environment.cores, run.environment.affinity)),
    ("threads", lambda run: run.environment.threads),
    ("memory", lambda run: run.environment.memory_bytes),
    ("system", lambda run: run.environment.system),
    ("Python", lambda run: run.environment.python),
    ("packages", lambda run: run.environment.packages),
    ("governor", lambda run: run.environment.governor),
    ("variables", lambda run: run.environment.variables),
    ("revision", lambda run: (run.environment.revision, run.environment.dirty)),
    ("ceilings", lambda run: encode(replace(run.ceilings, load=None, spread={}))),
    ("seed", lambda run: run.seed),
    ("plugins", lambda run: run.plugins),
    ("code of others", lambda run: run.code),
    ("effort", lambda run: run.effort),
    ("cache", lambda run: run.cache),
    ("definitions", lambda run: run.definitions_version),
    ("imported file", lambda run: run.imported),
    ("gate", lambda run: {key: value for key, value in run.extra.items() if key != MERGED}),
)
"""What runs must share to be one; the load average and the time that they started at may differ."""


def merge(runs: Sequence[StoredRun], out: Path) -> tuple[Path, int]:
    """Write all that the runs hold as one run below `out`; its folder, and the number of its measurements.

    A line that several runs have is written once. Raises StoreError with a list of what differs where the runs are not
    of one suite, machine, code and settings, or measured the same benchmark apart. Shards of a plan may be of several
    machines of one kind; all of them have to be there, each once and finished.
    """
    sharded = any(SHARD in stored.run.extra for stored in runs)
    if len(runs) < (1 if sharded else 2):
        raise StoreError(f"got {count(len(runs), 'run')}; expected two or more to merge")
    ordered = sorted(runs, key=lambda stored: (stored.run.started, stored.run.run_id))
    if sharded:
        found, why = [*faults(ordered), *_unlike_code(ordered)], "these shards do not make up one run"
    else:
        found, why = [*_differences(ordered), *_doubled(ordered)], "these runs are not the same"
    if found:
        more = f"; and {len(found) - MOST_TOLD} more" if len(found) > MOST_TOLD else ""
        raise StoreError(f"{why}, so that nothing is merged: {'; '.join(found[:MOST_TOLD])}{more}")
    record, measurements = _record([stored.run for stored in ordered]), _all(ordered)
    if sharded:
        whole, measurements = joined(ordered)
        record = replace(
            whole,
            run_id=record.run_id,
            machines=record.machines,
            extra=record.extra,
            schema_version=SCHEMA_VERSION,
        )
    writer = RunWriter.create(out, record)
    try:
        for measurement in measurements:
            writer.append(measurement)
    finally:
        writer.close()
    return writer.folder, len(measurements)


def _differences(runs: Sequence[StoredRun]) -> Iterator[str]:
    """Each fact that is not alike in all, with its values; then baselines and code that are not."""
    first = runs[0]
    for what, fact in FACTS:
        for other in runs[1:]:
            for told, one, another in apart(what, fact(first.run), fact(other.run)):
                yield f"{told}: {one} in {first.run.run_id}, {another} in {other.run.run_id}"
    yield from _unlike_baselines(runs)
    yield from _unlike_code(runs)


def _unlike_code(runs: Sequence[StoredRun]) -> Iterator[str]:
    """Implementations whose code is not alike in all."""
    prints: dict[tuple[str, str], dict[str | None, str]] = {}
    for stored in runs:
        for m in stored.measurements:
            prints.setdefault((m.operator, m.implementation), {}).setdefault(m.fingerprint, stored.run.run_id)
    for (operator, implementation), known in prints.items():
        if len(known) > 1:
            yield f"code of {operator}/{implementation}: {' and '.join(f'{p} in {run}' for p, run in known.items())}"


def _unlike_baselines(runs: Sequence[StoredRun]) -> Iterator[str]:
    """Benchmarks that two runs set against different baselines."""
    known: dict[tuple[str, str], BenchRecord] = {}
    for bench in (bench for stored in runs for bench in stored.run.benches if bench.baseline is not None):
        for case in bench.cases:
            before = known.setdefault((bench.operator, case), bench)
            if before.baseline != bench.baseline:
                yield f"baseline of {bench.operator} {case}: {before.baseline} and {bench.baseline}"


def _doubled(runs: Sequence[StoredRun]) -> Iterator[str]:
    """Benchmarks that two runs measured apart: neither holds all that the other has of it."""
    for number, one in enumerate(runs):
        own = _by_key(one)
        for other in runs[number + 1 :]:
            for key, theirs in _by_key(other).items():
                mine = own.get(key, [])
                shorter, longer = sorted((mine, theirs), key=len)
                if [_line(m) for m in longer[: len(shorter)]] != [_line(m) for m in shorter]:
                    yield f"{' '.join(key)} was measured in {one.run.run_id} and again in {other.run.run_id}"


def _by_key(stored: StoredRun) -> dict[Key, list[Measurement]]:
    found: dict[Key, list[Measurement]] = {}
    for m in stored.measurements:
        found.setdefault(m.key, []).append(m)
    return found


def _all(runs: Sequence[StoredRun]) -> list[Measurement]:
    """Every measurement once, in the order of the runs; of one benchmark in the order in which it was measured."""
    seen: dict[str, Measurement] = {}
    for stored in runs:
        for m in stored.measurements:
            seen.setdefault(_line(m), m)
    return list(seen.values())


def _line(measurement: Measurement) -> str:
    """Two measurements are the same where this is: NaN is like NaN here, and who read them does not matter."""
    return repr(encode(replace(measurement, schema_version=SCHEMA_VERSION)))


def _record(runs: Sequence[RunRecord]) -> RunRecord:
    """The first run's record, with the commands and benches of all, and their ids."""
    first = runs[0]
    ids = [one for run in runs for one in run.extra.get(MERGED, [run.run_id])]
    return replace(
        first,
        run_id=first.run_id if first.run_id.endswith(f"-{MERGED}") else f"{first.run_id}-{MERGED}",
        command=" && ".join(dict.fromkeys(run.command for run in runs)),
        benches=tuple(dict.fromkeys(bench for run in runs for bench in run.benches)),
        machines={key: machine for run in runs for key, machine in run.machines.items()},
        schema_version=SCHEMA_VERSION,
        extra={name: value for name, value in first.extra.items() if name != SHARD}
        | {MERGED: list(dict.fromkeys(ids))},
    )
