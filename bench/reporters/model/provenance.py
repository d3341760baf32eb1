"""Where, when and how a run was measured, as labelled facts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from attnlab.bench import units
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.reporters.model.words import from_to
from attnlab.bench.store.machine import UNKNOWN, Ceilings, Code, rate_of
from attnlab.bench.store.records import RunRecord, TimingRecord
from attnlab.bench.store.run_folder import StoredRun

INTERVAL = (
    "order-statistic interval of the median at 95 %, within one process, the number of samples adjusted for "
    "their autocorrelation"
)


@dataclass(frozen=True)
class ProvenanceRow:
    """One line of a table; `is_code` is to be read literally."""

    label: str
    text: str
    is_code: bool = False


def environment(run: RunRecord) -> list[ProvenanceRow]:
    """The machine, and what its device can do."""
    e, device = run.environment, run.environment.device
    capability = f", compute capability {'.'.join(map(str, device.capability))}" if device.capability else ""
    facts = [
        ProvenanceRow(
            "device", device.told if device.kind == UNKNOWN else f"{device.told} ({device.kind}{capability})"
        ),
        ProvenanceRow("multiprocessors", str(device.multiprocessors) if device.multiprocessors else ""),
        ProvenanceRow("device memory", units.format_bytes(device.memory_bytes) if device.kind == "cuda" else ""),
        ProvenanceRow("last-level cache", units.format_bytes(device.cache_bytes) if device.cache_bytes else ""),
        ProvenanceRow("driver", device.driver or ""),
        ProvenanceRow("processor", e.processor),
        ProvenanceRow(
            "cores and threads",
            f"{e.cores} cores, {len(e.affinity) or e.cores} usable, {e.threads} threads used" if e.threads else "",
        ),
        ProvenanceRow("memory", units.format_bytes(e.memory_bytes) if e.memory_bytes else ""),
        ProvenanceRow("frequency governor", e.governor or ""),
        ProvenanceRow(
            "load average at start", units.format_number(e.load_average) if e.load_average is not None else ""
        ),
        ProvenanceRow("measured on", ", ".join(run.machines)),
        ProvenanceRow("system", e.system),
        ProvenanceRow("Python", e.python),
        ProvenanceRow("packages", ", ".join(f"{name} {version}" for name, version in e.packages.items())),
        ProvenanceRow("variables", " ".join(f"{name}={value}" for name, value in e.variables.items()), is_code=True),
        *_ceilings(run.ceilings),
    ]
    return [fact for fact in facts if fact.text and fact.text != UNKNOWN]


def _ceilings(ceilings: Ceilings) -> Iterable[ProvenanceRow]:
    bandwidths = {"copied": ceilings.bandwidth, "read": ceilings.read_bandwidth, "in caches": ceilings.cache_bandwidth}
    yield ProvenanceRow("ceilings, measured", _rates(bandwidths, ceilings.rates))
    if ceilings.measured_at_s:
        widest = max(ceilings.spread, key=lambda name: ceilings.spread[name], default=None)
        spread = f", up to {units.format_share(ceilings.spread[widest])} apart ({widest})" if widest else ""
        when = f"{datetime.fromtimestamp(ceilings.measured_at_s, UTC):%Y-%m-%d %H:%M} UTC"
        yield ProvenanceRow("ceilings measured at", f"{when}{spread}{f', on {ceilings.host}' if ceilings.host else ''}")
    if ceilings.disturbed is not None:
        yield ProvenanceRow("ceilings may be too low", ceilings.disturbed)
    if (sheet := ceilings.published) is not None:
        yield ProvenanceRow("ceilings, published", _rates({"": sheet.bandwidth}, sheet.rates))


def _rates(bandwidths: Mapping[str, float | None], rates: Mapping[str, float]) -> str:
    known = {how: value for how, value in bandwidths.items() if value is not None and not math.isnan(value)}
    parts = [f"{units.format_count(value)}B/s {how}".rstrip() for how, value in known.items()]
    return ", ".join([*parts, *(f"{dtype} {_rate(rates, dtype)}" for dtype in rates)])


def _rate(rates: Mapping[str, float], dtype: str) -> str:
    own, best = rates[dtype], rate_of(rates, dtype) or rates[dtype]
    widened = f" (widened; {units.format_count(own)}FLOP/s by its own product)" if best > own else ""
    return f"{units.format_count(best)}FLOP/s{widened}"


def provenance(stored: StoredRun, results: Iterable[Result]) -> list[ProvenanceRow]:
    """All that is needed to take the same figures again."""
    run = stored.run
    kept = list(results)
    facts = [
        ProvenanceRow("imported from", _source(run)),
        ProvenanceRow("command", run.command, is_code=True),
        ProvenanceRow("run", run.run_id),
        ProvenanceRow("suite", run.suite),
        ProvenanceRow("started", run.started),
        ProvenanceRow("revision", _revision(run.environment.revision, run.environment.dirty) or "not known"),
        ProvenanceRow("seed", "" if run.seed is None else str(run.seed)),
        ProvenanceRow("plugins", ", ".join(run.plugins)),
        *(ProvenanceRow(f"code of {code.name}", _code(code)) for code in run.code),
        ProvenanceRow("files of cases", ", ".join(dict.fromkeys(_held(kept)))),
        ProvenanceRow("timing", "; ".join(_methods([r.row.measurement.timing for r in kept if r.timed]))),
        ProvenanceRow("intervals", INTERVAL),
        ProvenanceRow("schema and definitions", f"version {run.schema_version} and {run.definitions_version}"),
        *(ProvenanceRow("damaged, left out", f"line {d.line} of {d.path.name}: {d.reason}") for d in stored.damages),
    ]
    return [fact for fact in facts if fact.text]


def _source(run: RunRecord) -> str:
    """The file of another tool that the run was made of; "" where there is none."""
    if run.imported is None:
        return ""
    lost = "; ".join(("", *run.imported.left_out))
    return f"{run.imported}, SHA-256 {run.imported.sha256}; nothing here checked its results{lost}"


def _revision(revision: str | None, dirty: bool | None) -> str | None:
    state = {True: ", with uncommitted changes", False: ", clean", None: ""}[dirty]
    return f"{revision}{state}" if revision else None


def _code(code: Code) -> str:
    state = _revision(code.revision, code.dirty)
    tracked = f"in {code.repository} at {state}" if state else "tracked by no git repository"
    return f"{code.file}, SHA-256 {code.sha256 or 'not known'}, {tracked}"


def _held(results: Iterable[Result]) -> Iterator[str]:
    """Each file that a case names, and what it held."""
    for m in (r.row.measurement for r in results):
        yield from (f"{axis}={m.case.get(axis)} SHA-256 {held}" for axis, held in m.files.items())


def _range(counts: list[int]) -> str:
    return from_to([str(counts[0]), str(counts[-1])])


def _methods(timings: Iterable[TimingRecord | None]) -> list[str]:
    kept = [timing for timing in timings if timing is not None]
    texts = []
    for clock, cache in dict.fromkeys((t.clock, t.cache) for t in kept):
        own = [t for t in kept if (t.clock, t.cache) == (clock, cache)]
        counts = sorted(t.samples for t in own if t.samples is not None)
        copies = sorted({t.copies for t in own if t.copies is not None})
        parts = [f"clock {clock}", f"{cache} caches"]
        if counts:
            parts.append(f"{_range(counts)} samples a result")
        if copies:
            parts.append(f"calls rotating through {' or '.join(map(str, copies))} sets of inputs, warm-up left out")
        texts.append(", ".join(parts))
    return texts
