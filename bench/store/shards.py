"""Runs that hold a part of a plan each: what marks them, and when they make up the run of one machine."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

from attnlab.bench.errors import StoreError
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.likeness import apart, differences
from attnlab.bench.store.machine import Machine, better
from attnlab.bench.store.record import record
from attnlab.bench.store.records import BenchRecord, Measurement, RunRecord
from attnlab.bench.store.run_folder import StoredRun, latest
from attnlab.bench.text import command_without, count

SHARD = "shard"  # key of RunRecord.extra
MOST_SHARDS = 100_000
Key = tuple[str, str, str]


@record
class Shard:
    """What a run says of the plan that it holds a part of.

    plan: stands for all that is measured, and how it was split. number (from 1) of `of`. benches: of the whole plan.
    code: a hash of all of our code. finished: whether it was measured to its end.
    """

    plan: str
    number: int
    of: int
    benches: tuple[BenchRecord, ...]
    code: str
    finished: bool = False

    def __str__(self) -> str:
        return f"shard {self.number}/{self.of}"


def shard_of(run: RunRecord) -> Shard | None:
    """What it says of its plan; None where it is no shard. Raises StoreError where that cannot be read."""
    if SHARD not in run.extra:
        return None
    try:
        shard = decode(Shard, run.extra[SHARD])
        if not 1 <= shard.number <= shard.of <= MOST_SHARDS:
            raise ValueError(f"got {shard}, expected one of up to {MOST_SHARDS:,}")
        return shard
    except ValueError as error:
        raise StoreError(f"{run.run_id} says nothing readable of its plan: {error}; restore its run.json") from error


def with_shard(run: RunRecord, shard: Shard) -> RunRecord:
    """The run, marked so."""
    return replace(run, extra=run.extra | {SHARD: encode(shard)})


def faults(runs: Sequence[StoredRun]) -> list[str]:
    """Why these runs, of which some are shards, do not make up one run; empty where they do."""
    strangers = [stored.run.run_id for stored in runs if shard_of(stored.run) is None]
    if strangers:
        return [f"{', '.join(strangers)}: no shard, and the others are; leave it out"]
    shards = [(stored, shard) for stored in runs if (shard := shard_of(stored.run)) is not None]
    return [*_other_plans(shards)] or [*_incomplete(shards), *_astray(shards), *_unlike(shards)]


def joined(runs: Sequence[StoredRun]) -> tuple[RunRecord, list[Measurement]]:
    """The record that one machine would have made of all shards of a plan, and all they hold, in the plan's order."""
    shards = sorted(runs, key=lambda stored: _known(stored.run).number)
    first = shards[0].run
    benches = _known(first).benches
    place = {key: number for number, key in enumerate(_keys(benches))}
    held = sorted((m for stored in shards for m in stored.measurements), key=lambda m: place[m.key])
    run = replace(
        first,
        started=min(stored.run.started for stored in shards),
        command=shlex.join(command_without(first.command, "--shard", "--resume")),
        benches=benches,
        ceilings=reduce(better, (stored.run.ceilings for stored in shards)),
        code=tuple(dict.fromkeys(code for stored in shards for code in stored.run.code)),
        extra={name: value for name, value in first.extra.items() if name != SHARD},
    )
    return run, held


def _known(run: RunRecord) -> Shard:
    shard = shard_of(run)
    assert shard is not None, "it was looked at before"
    return shard


Shards = Sequence[tuple[StoredRun, Shard]]


def _other_plans(shards: Shards) -> Iterator[str]:
    """Shards of several plans, by plan."""
    plans: dict[str, list[str]] = {}
    for stored, shard in shards:
        plans.setdefault(shard.plan, []).append(f"{stored.run.run_id} ({stored.run.suite} {shard.number}/{shard.of})")
    if len(plans) > 1:
        named = "; ".join(f"plan {plan}: {', '.join(names)}" for plan, names in plans.items())
        yield f"they are of {len(plans)} plans, which differ in suite, cases, settings or number of shards: {named}"


def _incomplete(shards: Shards) -> Iterator[str]:
    """What is missing of a plan, and what is there twice."""
    by_number: dict[int, list[StoredRun]] = {}
    for stored, shard in shards:
        by_number.setdefault(shard.number, []).append(stored)
    of = shards[0][1].of
    if missing := [str(number) for number in range(1, of + 1) if number not in by_number]:
        which = " and ".join(filter(None, (", ".join(missing[:-1]), missing[-1])))
        yield f"shard{'s' if len(missing) > 1 else ''} {which} of {of} {'are' if len(missing) > 1 else 'is'} missing"
    for number, same in by_number.items():
        if len(same) > 1:
            names = " and ".join(str(stored.path) for stored in same)
            yield f"shard {number}/{of} is there {len(same)} times: {names}; leave all but one out"
    for stored, shard in shards:
        wanted = {*_keys(stored.run.benches)}
        held = {m.key for m in latest(stored.measurements)}
        if strange := held - wanted:
            yield f"{shard} in {stored.path} holds {' '.join(min(strange))}, which is not of it"
        lacking = len(wanted - held)
        if lacking or not shard.finished:
            lacks = f": {count(lacking, 'measurement')} missing" if lacking else ""
            yield f"{shard} is not finished{lacks}; go on with: {stored.run.command} --resume {stored.path}"


def _keys(benches: Sequence[BenchRecord]) -> list[Key]:
    """What benches measure, each once, in order."""
    keys = ((b.operator, made, case) for b in benches for case in b.cases for made in b.implementations)
    return list(dict.fromkeys(keys))


def _astray(shards: Shards) -> Iterator[str]:
    """Results of no plan, and of no machine."""
    plan = {*_keys(shards[0][1].benches)}
    measured = {key for stored, _ in shards for key in _keys(stored.run.benches)}
    for keys, told in ((measured - plan, "is in a shard, and not in the plan"), (plan - measured, "is in no shard")):
        if keys and len({shard.number for _, shard in shards}) == shards[0][1].of:
            yield f"{' '.join(min(keys))} {told}"
    for stored, shard in shards:
        machines = stored.run.machines
        if wrong := [key for key, machine in machines.items() if key != machine.key]:
            yield f"{shard} in {stored.path} has a machine {wrong[0]} that is {machines[wrong[0]].key}"
        for m in latest(stored.measurements):
            if m.machine not in machines:
                key = " ".join(m.key)
                yield f"{shard} in {stored.path}: {key} is of machine {m.machine}, of which the run says nothing"
                break


def _unlike(shards: Shards) -> Iterator[str]:
    """What differs in machines, code and settings."""
    stored, shard = shards[0]
    first = stored.run
    for other, mark in shards[1:]:
        run = other.run
        facts: tuple[tuple[str, Any, Any], ...] = (
            ("code of attnlab", shard.code, mark.code),
            ("revision", _revision(first), _revision(run)),
            ("seed", first.seed, run.seed),
            ("definitions", first.definitions_version, run.definitions_version),
            ("effort", first.effort, run.effort),
            ("cache", first.cache, run.cache),
            ("settings", _settings(first), _settings(run)),
        )
        for what, mine, theirs in facts:
            for told, one, another in apart(what, mine, theirs):
                yield f"{told}: {one} in {shard}, {another} in {mark}"
    yield from _unlike_plugins(shards)
    machines = [(mark, machine) for one, mark in shards for machine in one.run.machines.values()]
    for mark, machine in machines[1:]:
        yield from _machines_apart(*machines[0], mark, machine)


def _machines_apart(mark: Shard, machine: Machine, other_mark: Shard, other: Machine) -> Iterator[str]:
    for told in differences(machine, other):
        yield f"{told}, on {machine.key} ({mark}) and {other.key} ({other_mark})"


def _revision(run: RunRecord) -> str:
    dirty = " with changes" if run.environment.dirty else ""
    return f"{run.environment.revision}{dirty}"


def _unlike_plugins(shards: Shards) -> Iterator[str]:
    """Modules whose hash is not the same in all that have them; where their files lie may differ."""
    known: dict[str, dict[str | None, Shard]] = {}
    for stored, shard in shards:
        for code in stored.run.code:
            known.setdefault(code.name, {}).setdefault(code.sha256, shard)
    for name, held in known.items():
        if len(held) > 1:
            yield f"code of plugin {name}: {', '.join(f'{sha256} in {shard}' for sha256, shard in held.items())}"


def _settings(run: RunRecord) -> dict[str, Any]:
    return {name: value for name, value in run.extra.items() if name != SHARD}
