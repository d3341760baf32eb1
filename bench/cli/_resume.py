"""The folder that `attnlab run` writes to: a new one, or one to go on with."""

from __future__ import annotations

import argparse
import itertools
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from attnlab.bench.cli._options import tell
from attnlab.bench.contract.named_files import contents
from attnlab.bench.contract.registry import Registry
from attnlab.bench.errors import StoreError
from attnlab.bench.measuring.fingerprint import comparable, fingerprint
from attnlab.bench.store.likeness import differences
from attnlab.bench.store.machine import Device
from attnlab.bench.store.records import BenchRecord, Measurement, Outcome, RunRecord
from attnlab.bench.store.run_folder import RunWriter, latest, read_run
from attnlab.bench.store.shards import shard_of
from attnlab.bench.text import command_without, one_line

SHOWN = 200  # characters of the reason that a result had before


def open_run(
    options: argparse.Namespace, draft: RunRecord, registry: Registry
) -> tuple[RunWriter, RunRecord, list[Measurement]]:
    """A writer, the run's record, and what it holds already.

    A resumed run keeps the record that it was started with: its benches, seed, effort and ceilings.
    Raises StoreError where the folder holds no run, or not one that this command may go on with.
    """
    if options.resume is None:
        writer = RunWriter.create(Path(options.out), draft)
        return writer, draft, []
    folder = Path(options.resume)
    stored = read_run(folder)
    _check_same(stored.run, draft, folder)
    writer = RunWriter(folder)
    try:
        _check_files([m for m in latest(stored.measurements) if not is_tried_again(m, options)], registry, folder)
        run = _with_code_and_machines(stored.run, draft, writer)
    except StoreError:
        writer.close()
        raise
    for damage in stored.damages:
        print(f"attnlab: {damage}; measured again", file=sys.stderr)
    return writer, run, list(latest(stored.measurements))


def is_tried_again(measurement: Measurement, options: argparse.Namespace) -> bool:
    """Whether `--retry` asks to measure it again."""
    return bool(options.retry) and measurement.outcome is not Outcome.PASSED


def _with_code_and_machines(run: RunRecord, draft: RunRecord, writer: RunWriter) -> RunRecord:
    """The run's record, which knows of all code that it was measured with, and of all machines."""
    code, machines = tuple(dict.fromkeys((*run.code, *draft.code))), draft.machines | run.machines
    if code == run.code and machines.keys() == run.machines.keys():
        return run
    run = replace(run, code=code, machines=machines)
    writer.rewrite(run)
    return run


@dataclass(frozen=True)
class Remembering:
    """Appends to a run; what is measured again says what it was before, which stays in the run's file.

    machine: the key of the one that measures, where measurements do not have it yet.
    """

    writer: RunWriter
    before: Mapping[tuple[str, str, str], Measurement]
    machine: str | None = None

    def append(self, measurement: Measurement) -> None:
        earlier = self.before.get(measurement.key)
        measurement = replace(measurement, machine=self.machine or measurement.machine)
        moved = earlier is not None and earlier.machine != measurement.machine
        if earlier is not None and (moved or earlier.outcome is not Outcome.PASSED):
            why = f"{earlier.outcome.value}: {one_line(earlier.reason or 'no reason stored', SHOWN)}"
            if moved:
                why = f"on {earlier.machine}, which did not finish its case"
            flags = dict.fromkeys((*measurement.flags, f"measured again (before: {why})"))
            measurement = replace(measurement, flags=tuple(flags))
        self.writer.append(measurement)


def _check_files(measurements: Sequence[Measurement], registry: Registry, folder: Path) -> None:
    """Raise StoreError where a file that a case names is not what it was; tell where an implementation's code is not.

    What was measured by other code stands as it is: each result has its fingerprint.
    """
    changed: dict[str, int] = {}
    for m in measurements:
        held = contents(registry.operators.get(m.operator).case_of(m))
        for axis, before in m.files.items():
            if held.get(axis) != before:
                raise StoreError(
                    f"{folder} was measured with another content of the file that {axis}={m.case.get(axis)} names "
                    f"(SHA-256 {before}, now {held.get(axis)}); restore it, or start a new run"
                )
        now = fingerprint(registry.implementations(m.operator).get(m.implementation))
        if now != m.fingerprint and comparable(now, m.fingerprint):
            changed[f"{m.operator}/{m.implementation}"] = changed.get(f"{m.operator}/{m.implementation}", 0) + 1
    for key, count in changed.items():
        tell(f"the code of {key} has changed since; {count} of its results are kept as they were measured")


def _check_same(before: RunRecord, now: RunRecord, folder: Path) -> None:
    if before.suite != now.suite:
        what = f"of {before.suite!r}, not of {now.suite!r}"
    elif _cases(before.benches) != _cases(now.benches):
        what = f"of {before.suite!r} with other cases or implementations than this command's"
    elif before.quick != now.quick:
        what = f"of {before.suite!r} {_way(before)}, not {_way(now)}"
    elif _part(before) != _part(now):
        what = f"of {before.suite!r}, {_part(before)}, not {_part(now)}"
    elif (shard := shard_of(before)) and (mine := shard_of(now)) and shard.code != mine.code:
        what = f"by attnlab's code of hash {shard.code}, and that of now is {mine.code}"
    else:
        _check_machine(before, now, folder)
        return
    raise StoreError(f"{folder} is a run {what}; {resume_words(before, now.command, folder)}")


def resume_words(before: RunRecord, command: str, folder: Path) -> str:
    """How to go on with a run that this command does not fit."""
    if command_without(before.command, "--resume") == command_without(command, "--resume"):
        return (
            "the command is the same, so what it names was changed since, such as a plugin or a suite's file: put that "
            "back, or start anew, without --resume"
        )
    return f"resume it by its own command: {before.command} --resume {shlex.quote(str(folder))}"


def _way(run: RunRecord) -> str:
    return "as a quick look (--quick)" if run.quick else "in full"


def _part(run: RunRecord) -> str:
    """Which part of which plan it holds."""
    shard = shard_of(run)
    return "a whole run" if shard is None else f"{shard} of plan {shard.plan}"


def _cases(benches: tuple[BenchRecord, ...]) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [(bench.operator, bench.implementations, bench.cases) for bench in benches]


def _check_machine(run: RunRecord, draft: RunRecord, folder: Path) -> None:
    """One run is of one kind of machine and one torch, whose figures can stand side by side."""
    for machine, this in itertools.product(list(run.machines.values())[:1], draft.machines.values()):
        if told := differences(machine, this):
            raise StoreError(
                f"{folder} was measured on {machine.key}, and this is {this.key}, which is not alike: "
                f"{'; '.join(told)}; go on with it on a machine like the first"
            )
    before, now = run.environment, draft.environment
    for then, here in (
        (_device(before.device), _device(now.device)),
        (f"{before.threads} threads", f"{now.threads} threads"),
        *((f"{name} {before.packages.get(name)}", f"{name} {now.packages.get(name)}") for name in ("torch", "triton")),
    ):
        if then != here:
            raise StoreError(f"{folder} was measured with {then}, and this is {here}; start a new run here")


def _device(device: Device) -> str:
    return f"{device.kind} {device.name}"
