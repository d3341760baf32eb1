"""Check implementations, or a check that failed once more, in this process: for a debugger."""

from __future__ import annotations

import argparse
import json
import shlex
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench.cli import EXIT_FAULTS, EXIT_NOTHING, EXIT_OK, _options
from attnlab.bench.cli._usage import check_check
from attnlab.bench.errors import AttnlabError, StoreError, UsageError
from attnlab.bench.measuring.failures.words import finding_lines
from attnlab.bench.store.codec import encode
from attnlab.bench.store.records import Outcome

if TYPE_CHECKING:
    from attnlab.bench.contract.registry import Implementation, Registry
    from attnlab.bench.measuring.failures.record import Failure
    from attnlab.bench.measuring.failures.replay import ReplayResult

EPILOG = (
    "Nothing is isolated or limited in time, so that breakpoint() and `python -m pdb -m attnlab.bench check …` stop in "
    "an implementation. Exit codes: 0 all right; 1 something was wrong or raised; 2 usage; 3 nothing could be checked."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target", metavar="OPERATOR|FOLDER", help="an operator, or what --keep-failures wrote: one failure's or a run's"
    )
    parser.add_argument("--impl", action="append", default=[], metavar="NAMES", help="only these implementations")
    parser.add_argument("--case", action="append", default=[], metavar="ID", help="a case of the operator, by id")
    parser.add_argument("-a", "--axis", action="append", default=[], metavar="AXIS=VALUES", help="set or sweep an axis")
    parser.add_argument("--pdb", action="store_true", help="stop in a debugger where an implementation raises")
    _options.add_plugin(parser)
    _options.add_device(parser)
    _options.add_servers(parser)
    _options.add_json(parser)


@dataclass(frozen=True)
class _Job:
    """One implementation on one case; folder and failure where it is one that was kept."""

    implementation: Implementation
    case: Any
    folder: Path | None = None
    failure: Failure | None = None

    @property
    def key(self) -> str:
        return f"{self.implementation.key} {self.case.id}"


def execute(options: argparse.Namespace) -> int:
    check_check(options)
    from attnlab.bench.machine.environment import choose_device
    from attnlab.bench.measuring.interpreting import as_in_a_worker

    folder = Path(options.target)
    failures = [] if not folder.is_dir() else list(_failures(folder))
    kinds = dict.fromkeys(failure.device for _, failure in failures)
    kind = next(iter(kinds)) if options.device == "auto" and len(kinds) == 1 else options.device
    device = choose_device(kind)
    with as_in_a_worker(device):
        return _checked(options, device, folder, failures)


def _checked(options: argparse.Namespace, device: str, folder: Path, failures: Sequence[tuple[Path, Failure]]) -> int:
    from attnlab.bench.cli._servers import with_servers

    registry = _options.discovered(options.plugin)
    axes = _options.read_axes(options.axis)
    if options.target in registry.operators:
        jobs = list(_of_operator(options, registry, with_servers(options.server, options.key_env, axes)))
    elif failures:
        with_servers(options.server, options.key_env, axes)  # a failure's case names one of them
        jobs = [_kept(place, failure, registry, options) for place, failure in failures]
    else:
        raise UsageError(
            f"{options.target} is neither an operator nor a folder of failed checks; expected one of "
            f"{', '.join(sorted(registry.operators.names()))}, or what `attnlab run … --keep-failures` wrote"
        )
    results = [(job, _made(job, device, registry, options)) for job in jobs]
    if options.json:
        print(json.dumps([_as_json(job, found) for job, found in results]))
    codes = [code for _, (code, _, _) in results]
    if any(code == EXIT_FAULTS for code in codes):
        return EXIT_FAULTS
    return EXIT_OK if EXIT_OK in codes else EXIT_NOTHING


def _failures(folder: Path) -> Iterator[tuple[Path, Failure]]:
    """The failure in a folder, or all of a run's or of its `failures`. Raises StoreError where there is none."""
    from attnlab.bench.measuring.failures.record import FAILURES, RECORD_FILE, read

    for places in ([folder], sorted(folder.iterdir()), sorted((folder / FAILURES).glob("*"))):
        found = [place for place in places if (place / RECORD_FILE).is_file()]
        if found:
            yield from ((place, read(place)) for place in found)
            return
    raise StoreError(
        f"{folder} holds no failed check ({RECORD_FILE}); expected what `attnlab run … --keep-failures` wrote, where "
        f"anything failed"
    )


def _of_operator(options: argparse.Namespace, registry: Registry, axes: Mapping[str, Any]) -> Iterator[_Job]:
    from attnlab.bench.measuring.steps import plan
    from attnlab.bench.measuring.suite import operator_suite

    suite = operator_suite(options.target, registry, axes, tuple(options.case))
    (bench,) = plan(suite, registry, _options.read_names(options.impl))
    for case in suite.benches[0].cases:
        for name in bench.implementations:
            yield _Job(registry.implementations(options.target).get(name), case)


def _kept(folder: Path, failure: Failure, registry: Registry, options: argparse.Namespace) -> _Job:
    """Raises UsageError where nothing knows its operator, its implementation or its case any more."""
    named = " ".join(f"--plugin {shlex.quote(plugin)}" for plugin in failure.plugins)
    mend = f"name what it came with, if you trust it: {named}" if named else "it was one of attnlab's own"
    if options.case or options.axis or options.impl:
        raise UsageError(f"got --impl, --case or -a with {folder}, which has its own; leave them out")
    if failure.operator not in registry.operators:
        raise UsageError(f"{folder}: nothing here knows operator {failure.operator}; {mend}")
    known = registry.implementations(failure.operator)
    if failure.implementation not in known:
        raise UsageError(
            f"{folder}: nothing here knows implementation {failure.implementation} of {failure.operator}; {mend}"
        )
    try:
        case = registry.operators.get(failure.operator).case_type.parse(failure.case_id)
    except AttnlabError as error:
        raise UsageError(f"{folder}: case {failure.case_id} is no more one of {failure.operator}: {error}") from error
    return _Job(known.get(failure.implementation), case, folder, failure)


Found = tuple[int, str, "ReplayResult | None"]


def _made(job: _Job, device: str, registry: Registry, options: argparse.Namespace) -> Found:
    """The code, what it is called in a word, and what came of it; told as it comes."""
    import torch

    from attnlab.bench.measuring.failures.replay import attempted, check, replay

    operator = registry.operators.get(job.implementation.operator)

    def show(*lines: str) -> None:
        if not options.json:
            print("\n".join(lines), flush=True)

    where = torch.device(device)

    def work() -> ReplayResult:
        if job.folder is not None and job.failure is not None:
            return replay(job.folder, job.failure, operator, job.case, job.implementation, where)
        return check(operator, job.case, job.implementation, where)

    found = attempted(job.implementation, job.case, device, work)
    if found.outcome is Outcome.UNAVAILABLE:
        show(f"{job.key}: unavailable: {found.reason}")
        return EXIT_NOTHING, "unavailable", None
    if found.error is not None:
        traceback.print_exception(found.error)
        if options.pdb:
            import pdb

            pdb.post_mortem(found.error.__traceback__)
        show(f"{job.key}: {found.reason}")
        return EXIT_FAULTS, "failed", None
    show(*_lines(job, found))
    return (EXIT_OK if found.reason is None else EXIT_FAULTS), found.outcome.value, found


def _lines(job: _Job, found: ReplayResult) -> Iterator[str]:
    told = "right" if found.reason is None else f"{found.outcome.value}: {found.reason}"
    yield f"{job.key}: {told}"
    yield from (f"  {line}" for line in finding_lines(found))
    if found.same is not None:
        yield f"  the kept output came again: {'to the bit' if found.same else 'no, it is another one now'}"
    if job.failure is not None:
        if job.failure.reason != found.reason:
            yield f"  it was kept as {job.failure.outcome.value}: {job.failure.reason}"
        if job.failure.omitted:
            yield f"  {job.failure.omitted}"


def _as_json(job: _Job, found: Found) -> dict[str, Any]:
    _, outcome, replayed = found
    made = {"operator": job.implementation.operator, "implementation": job.implementation.name, "case": job.case.id}
    if replayed is None:
        return made | {"outcome": outcome, "reason": None, "wrong": None}
    return made | {
        "outcome": outcome,
        "reason": replayed.reason,
        "wrong": encode(replayed.wrong),
        "same": replayed.same,
    }
