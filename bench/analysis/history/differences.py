"""What was recorded otherwise of one run than of another: the explanation of a change or a break."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.analysis.history.points import HistoryPoint
from attnlab.bench.contract.beyond import DOUBTED
from attnlab.bench.measuring.fingerprint import comparable
from attnlab.bench.text import one_line

NOTHING = "nothing recorded changed"
ABSENT = "none"
FINGERPRINT = "the implementation's fingerprint"
LOAD_MARGIN = 1.0  # one more busy process
CEILING_MARGIN = 1.1  # measured ceilings of one machine differ by a few per cent
SHOWN = 300  # characters of a value
DIGITS = 12  # of a revision


@dataclass(frozen=True)
class Difference:
    """One thing that was recorded otherwise after than before.

    only_here: it stayed the same on each side, so that its change goes with the line's; else it changes
    elsewhere too, and explains less.
    """

    what: str
    before: str
    after: str
    only_here: bool

    def __str__(self) -> str:
        return f"{self.what} {self.before} → {self.after}"


@dataclass(frozen=True)
class _Amount:
    """A number that never reads twice alike, and how far apart two have to be to differ."""

    what: str
    value: Callable[[HistoryPoint], float | None]
    text: Callable[[float], str]
    apart: Callable[[float, float], bool]
    is_ceiling: bool = False


def differences(before: Sequence[HistoryPoint], after: Sequence[HistoryPoint]) -> tuple[Difference, ...]:
    """What differs between the last point before and the first after; what changed only here comes first.

    The other points say what changes at other runs too. Raises ValueError where either is empty.
    """
    if not before or not after:
        raise ValueError("got no points on one side; expected at least one on each")
    found = [*_facts_apart(before, after), *_amounts_apart(before, after)]
    return tuple(sorted(found, key=lambda difference: not difference.only_here))


def explain(found: Sequence[Difference]) -> str:
    """One line of words."""
    here = [str(difference) for difference in found if difference.only_here]
    elsewhere = [str(difference) for difference in found if not difference.only_here]
    if elsewhere:
        here.append(f"as at other runs too: {'; '.join(elsewhere)}")
    return "; ".join(here) or NOTHING


def _facts_apart(before: Sequence[HistoryPoint], after: Sequence[HistoryPoint]) -> Iterator[Difference]:
    left, right = ([dict(_facts(point)) for point in side] for side in (before, after))
    last, first = left[-1], right[0]
    for what in dict.fromkeys([*last, *first]):
        old, new = last.get(what, ABSENT), first.get(what, ABSENT)
        if what == FINGERPRINT and not comparable(*(side.measurement.fingerprint for side in (before[-1], after[0]))):
            continue  # of two versions, which are other numbers for the same code
        if old != new:
            same = all(f.get(what, ABSENT) == old for f in left) and all(f.get(what, ABSENT) == new for f in right)
            yield Difference(one_line(what, SHOWN), one_line(old, SHOWN), one_line(new, SHOWN), same)


def _facts(point: HistoryPoint) -> Iterator[tuple[str, str]]:
    """Everything recorded that reads alike in two runs alike, what explains most first."""
    run, m, e, c = point.run, point.measurement, point.run.environment, point.conditions
    device = e.device
    yield "definitions", str(c.definitions_version)
    yield "device", c.device_kind if c.device_kind == "cpu" else c.device
    yield "multiprocessors", str(c.multiprocessors or ABSENT)
    yield "processor", c.processor
    yield "cores", str(c.cores or ABSENT)
    yield "usable cores", str(c.usable_cores or ABSENT)
    yield "threads", str(c.threads or ABSENT)
    yield "clock", c.clock or ABSENT
    yield "caches", c.cache or ABSENT
    yield FINGERPRINT, m.fingerprint or ABSENT
    yield from ((f"file of {axis}", held) for axis, held in sorted(m.files.items()))
    yield "configuration", m.configuration or ABSENT
    yield from ((f"package {name}", version) for name, version in sorted(e.packages.items()))
    yield "driver", device.driver or ABSENT
    yield "Python", e.python
    yield "system", e.system
    yield "governor", e.governor or ABSENT
    yield from ((f"variable {name}", value) for name, value in sorted(e.variables.items()))
    yield "revision", _revision(e.revision, e.dirty)
    yield "affinity", ",".join(map(str, e.affinity)) or ABSENT
    yield "memory", units.format_bytes(e.memory_bytes)
    yield "device memory", units.format_bytes(device.memory_bytes)
    yield "plugins", ", ".join(run.plugins) or ABSENT
    for code in run.code:
        yield f"code of {code.name}", code.sha256 or ABSENT
        yield f"revision of {code.name}", _revision(code.revision, code.dirty)
    yield from ((f"effort {name}", f"{value:g}") for name, value in sorted(run.effort.items()))
    yield "sets of inputs", str((m.timing and m.timing.copies) or ABSENT)
    yield "seed", ABSENT if run.seed is None else str(run.seed)
    yield "tool", ABSENT if run.imported is None else f"{run.imported.tool} {run.imported.version or ''}".strip()
    yield "warnings", "; ".join(_warnings(m.flags)) or ABSENT


def _warnings(flags: Sequence[str]) -> Iterator[str]:
    """Without the figures of one result, which never read alike, and what a reader works out anew from the ceilings."""
    yield from (flag.partition(" (")[0] for flag in flags if not flag.startswith(DOUBTED))


def _revision(revision: str | None, dirty: bool | None) -> str:
    if revision is None:
        return "not known"
    return f"{revision[:DIGITS]} with uncommitted changes" if dirty else revision[:DIGITS]


def _amounts_apart(before: Sequence[HistoryPoint], after: Sequence[HistoryPoint]) -> Iterator[Difference]:
    for amount in _AMOUNTS:
        left, right = ([amount.value(point) for point in side] for side in (before, after))
        old, new = left[-1], right[0]
        if old is not None and new is not None and amount.apart(old, new):
            known_left, known_right = ([v for v in side if v is not None] for side in (left, right))
            apart = max(known_left) < min(known_right) or max(known_right) < min(known_left)
            old_text, new_text = (
                f"{amount.text(value)}{_under_load(amount, point)}"
                for value, point in ((old, before[-1]), (new, after[0]))
            )
            yield Difference(amount.what, old_text, new_text, apart)


def _under_load(amount: _Amount, point: HistoryPoint) -> str:
    return " (measured under load)" if amount.is_ceiling and point.run.ceilings.disturbed is not None else ""


def _by_ratio(a: float, b: float) -> bool:
    return min(a, b) > 0 and max(a, b) / min(a, b) > CEILING_MARGIN


_AMOUNTS = (
    _Amount(
        "load average at start",
        lambda point: point.run.environment.load_average,
        units.format_number,
        lambda a, b: abs(a - b) >= LOAD_MARGIN,
    ),
    _Amount(
        "measured bandwidth",
        lambda point: point.run.ceilings.bandwidth,
        lambda value: f"{units.format_count(value)}B/s",
        _by_ratio,
        is_ceiling=True,
    ),
    _Amount(
        "measured bandwidth of reading",
        lambda point: point.run.ceilings.read_bandwidth,
        lambda value: f"{units.format_count(value)}B/s",
        _by_ratio,
        is_ceiling=True,
    ),
    _Amount(
        "measured rate of the dtype",
        lambda point: point.run.ceilings.rate(str(point.measurement.case.get("dtype"))),
        lambda value: f"{units.format_count(value)}FLOP/s",
        _by_ratio,
        is_ceiling=True,
    ),
)
