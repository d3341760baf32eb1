"""A gate as the command line and the pytest plugin run it: build the arms, measure, decide, write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

from attnlab.bench.errors import GateClosed
from attnlab.bench.gate.ask import Ask
from attnlab.bench.gate.building import built
from attnlab.bench.gate.checkouts import Arm, placed
from attnlab.bench.gate.environments import ArmEnvironment, undetected_changes
from attnlab.bench.gate.error_rates import error_rates
from attnlab.bench.gate.pairs_file import PairsFile
from attnlab.bench.gate.report import GateReport
from attnlab.bench.gate.session import ArmBroken, Session
from attnlab.bench.gate.source import Source
from attnlab.bench.gate.storing import make_folder, write_gate
from attnlab.bench.gate.thresholds import Thresholds, load_thresholds
from attnlab.bench.machine.ceilings import load_or_measure
from attnlab.bench.machine.environment import choose_device, describe_environment


def ask_for(
    sources: Sequence[Source],
    thresholds: Thresholds,
    command: str,
    device: str = "auto",
    strict: bool = False,
    against_itself: bool = False,
) -> Ask:
    """What is asked of a gate on this machine. Raises UsageError where it has no such device."""
    environment = describe_environment(choose_device(device))
    ceilings = load_or_measure(environment.device)
    return Ask(tuple(sources), thresholds, environment, ceilings, command, strict, against_itself=against_itself)


def run_gate(
    repo: Path,
    base: Arm,
    head: Arm,
    ask: Ask,
    out: Path,
    prepare: str | None = None,
    tell: Callable[[str], None] = lambda line: None,
    only: frozenset[str] | None = None,
    thresholds_file: Path | None = None,
    isolate: bool = False,
) -> tuple[GateReport, Path]:
    """Measure, decide and write; on Ctrl-C what was measured so far is written and reported as interrupted.

    only: keys of the benchmarks to gate; all of the sources where None. thresholds_file: where the thresholds asked for
    were read from; where it is the repository's, base's count. isolate: whether each arm has an environment of its own.

    Raises GateClosed where an arm cannot be built or measured at all; what was measured until then stays in
    the gate's folder.
    """
    ask = replace(ask, sources=tuple(source.placed(repo, (base, head)) for source in ask.sources))
    ask = with_bases_thresholds(ask, thresholds_file, repo, base)
    folder = make_folder(out, f"{datetime.now(UTC):%Y%m%d-%H%M%S}-gate-{ask.stem}")
    pairs = PairsFile(folder)
    try:
        with built(base, head, prepare, isolate, tell) as environments:
            ask = replace(ask, notes=(*ask.notes, *_environment_notes(base, head, environments)))
            session = Session(repo, base, head, ask, pairs, tell, only=only, environments=environments)
            interrupted = False
            try:
                session.run()
            except ArmBroken as error:
                raise GateClosed(f"{error}; the gate fails closed") from error
            except KeyboardInterrupt:
                interrupted = True
            report = session.report(folder.name, interrupted)
        if ask.against_itself and not interrupted:
            report = replace(report, achieved=error_rates(session.log_ratios(), ask.thresholds))
        write_gate(folder, report, session.collected.values(), ask.plugins, ask.ceilings)
    finally:
        pairs.close()
        _remove_if_empty(folder, pairs.path)
    return report, folder


def with_bases_thresholds(ask: Ask, file: Path | None, repo: Path, base: Arm) -> Ask:
    """Base's file of thresholds counts where it has one, so that head cannot loosen it; allowances are head's."""
    if file is None or repo not in placed(file).parents:
        return ask
    place = Path(base.own_place(repo, str(placed(file))))
    if not place.is_file():
        return replace(ask, notes=(*ask.notes, f"base has no {file}: the thresholds are head's"))
    of_base = replace(load_thresholds(place, allowing=False), allowances=ask.thresholds.allowances)
    if of_base == ask.thresholds:
        return ask
    both = ((f.name, getattr(of_base, f.name), getattr(ask.thresholds, f.name)) for f in fields(of_base))
    changed = [
        f"{name} {before} → {after}" if isinstance(before, float) else name
        for name, before, after in both
        if before != after
    ]
    return replace(
        ask,
        thresholds=of_base,
        notes=(*ask.notes, f"{file} differs between base and head ({', '.join(changed)}): base's counts here"),
    )


def _environment_notes(base: Arm, head: Arm, environments: Mapping[str, ArmEnvironment]) -> Iterator[str]:
    """What differs between the arms' environments, or would if they had their own."""
    if environments:
        changed = environments["base"].differences(environments["head"])
        told = ", ".join(changed) if changed else "the same packages and Python"
        yield f"environments of base and head: {told}"
    elif files := undetected_changes(base, head):
        yield (
            f"base and head differ in {', '.join(files)}, and both were measured in one environment: what that changes "
            "is not measured (see --isolated)"
        )


def _remove_if_empty(folder: Path, pairs: Path) -> None:
    """Leave no folder behind in which nothing was measured."""
    with suppress(OSError):
        if pairs.exists() and pairs.stat().st_size == 0:
            pairs.unlink()
        folder.rmdir()
