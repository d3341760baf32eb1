"""What a reader makes of a file that another tool wrote; values are refused here that no measurement can have."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from attnlab.bench import units
from attnlab.bench.store.machine import UNKNOWN, Device, Environment
from attnlab.bench.store.records import Burst, Launch, Measurement, Outcome, Series, TimingRecord
from attnlab.bench.store.run_folder import LONGEST_NS
from attnlab.bench.text import one_line

UNITS_NS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": units.seconds_to_ns(1.0)}
LONGEST_NAME = 400  # characters of an operator, an implementation or a case
LONGEST_SHOWN = 80  # of a value that is refused
NO_PARAMETERS = "default"  # the id of a benchmark's only case
LARGEST_COUNT = 2**63 - 1  # of what is counted, and of whole numbers in cases
ZONES = timedelta(hours=14)  # a time that was written without its zone may be so much ahead
LATENCY = "latency"
SIDE_BY_SIDE = "requests are served side by side, so that there is no time of a call: TTFT, ITL and rates are measured"
"""Why a load of a server has no latency."""


class Unreadable(ValueError):
    """One benchmark of a file that cannot be used, and why; the others are read without it."""


@dataclass(frozen=True)
class Contents:
    """What a file holds. started: when it was measured; version: of the tool; None where the file does not say.

    left_out: what could not be read, a line each.
    """

    version: str | None
    started: datetime | None
    environment: Environment
    measurements: tuple[Measurement, ...]
    left_out: tuple[str, ...]


@dataclass
class Collected:
    """Measurements that could be read, and what was left out."""

    measurements: list[Measurement] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def gather(self, name: str, read: Callable[[], Iterable[Measurement]]) -> None:
        """Take in what `read` gives of the benchmark `name`, or say why it could not be read."""
        try:
            self.measurements += read()
        except Unreadable as error:
            self.left_out.append(one_line(f"{name}: {error}"))


def unknown_environment(**known: Any) -> Environment:
    """An environment of which only what is given is known."""
    nothing: dict[str, Any] = dict.fromkeys(("cores", "threads", "memory_bytes", "governor", "load_average"))
    nothing |= dict.fromkeys(("processor", "system", "python"), UNKNOWN) | dict.fromkeys(("revision", "dirty"))
    nothing |= {"device": Device(UNKNOWN, UNKNOWN), "affinity": (), "packages": {}, "variables": {}}
    return Environment(**nothing | {name: value for name, value in known.items() if value not in (None, "")})


def unchecked(
    operator: str, implementation: str, case: Mapping[str, Any], case_id: str | None = None, **more: Any
) -> Measurement:
    """A result of another tool. case_id: that of its parameters where it is None; more: fields of a measurement."""
    scalars = {name_of(key): scalar(value) for key, value in case.items()}
    told = "-".join(f"{key}={value}" for key, value in scalars.items()) if case_id is None else case_id
    names = map(name_of, (operator, implementation, told or NO_PARAMETERS))
    operator, implementation, told = names
    outcome = more.pop("outcome", Outcome.UNCHECKED)
    return Measurement(operator, implementation, scalars, told, outcome, **more)


def name_of(text: Any) -> str:
    """Text as a name, on one line."""
    return one_line(str(text), LONGEST_NAME)


def scalar(value: Any) -> Any:
    """A value of an axis: itself where it is one that a column can hold, else as text."""
    if isinstance(value, (int, float)):
        plain = math.isfinite(value) if isinstance(value, float) else abs(value) <= LARGEST_COUNT
    else:
        plain = value is None or isinstance(value, str)
    return value if plain else name_of(value)


def timed(
    clock: str,
    samples_ns: Sequence[float] = (),
    median_ns: float | None = None,
    samples: int | None = None,
    calls_a_sample: int | None = None,
    started_s: float = math.nan,
    cache: str = UNKNOWN,
) -> dict[str, Any]:
    """Fields of a measurement with a latency: from its samples, or from the median alone where a file has no samples.

    samples: how many there were. Raises Unreadable where there is neither.
    """
    if samples_ns:
        median_ns, samples = statistics.median(samples_ns), len(samples_ns)
    if median_ns is None:
        raise Unreadable("it has neither samples nor a median")
    timing = TimingRecord(clock, cache, None, None, None, None, samples, UNKNOWN, calls_a_sample or 1)
    launches = (Launch(0, (Burst(started_s, (latencies(clock, samples_ns),)),)),) if samples_ns else ()
    return {"timing": timing, "median_ns": median_ns, "launches": launches}


def latencies(clock: str, samples_ns: Sequence[float]) -> Series:
    return Series(LATENCY, "ns", clock, "lower", tuple(samples_ns))


def nanoseconds(value: Any, unit: str, what: str) -> float:
    """A time above zero; raises Unreadable where it is none, or its unit is not known."""
    if unit not in UNITS_NS:
        raise Unreadable(f"got the unit {shown(unit)} of {what}, expected one of {', '.join(UNITS_NS)}")
    time_ns = number(value, what) * UNITS_NS[unit]
    if not 0 < time_ns < LONGEST_NS:
        raise Unreadable(f"got {what} {shown(value)} {unit}, expected a time above zero")
    return time_ns


def number(value: Any, what: str) -> float:
    """A finite number; raises Unreadable where it is none."""
    try:
        found = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    except OverflowError:
        found = math.nan
    if not math.isfinite(found):
        raise Unreadable(f"got {what} {shown(value)}, expected a number")
    return found


def amount(value: Any, what: str) -> float:
    """A finite number of 0 or more; raises Unreadable where it is none."""
    found = number(value, what)
    if found < 0:
        raise Unreadable(f"got {what} {shown(value)}, expected 0 or more")
    return found


def count_of(value: Any) -> int | None:
    """A whole number above zero; None where it is not known, or more than any machine counts."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 < value <= LARGEST_COUNT else None


def text_of(value: Any) -> str | None:
    """Text that is not empty; None where there is none."""
    return one_line(value) if isinstance(value, str) and value.strip() else None


def mapping(value: Any) -> Mapping[str, Any]:
    """The value where it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def objects(value: Any, what: str, collected: Collected) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The objects of a list with their places; what is none is left out."""
    for place, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield place, item
        else:
            collected.left_out.append(f"{what} {place}: got {shown(item)}, expected a JSON object")


def moment(text: Any, *formats: str) -> datetime | None:
    """A time as ISO 8601 or one of these formats; without a zone it is taken as UTC.

    None where it is no time, or of the future.
    """
    if not isinstance(text, str):
        return None
    for read in (datetime.fromisoformat, *(_reader(one) for one in formats)):
        try:
            found = read(text)
        except ValueError:
            continue
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        return found if found <= datetime.now(UTC) + ZONES else None
    return None


def _reader(form: str) -> Callable[[str], datetime]:
    return lambda text: datetime.strptime(text, form)


def moment_of_ms(value: Any) -> datetime | None:
    """A time in milliseconds of Unix time; None where it is none, or of the future."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1e3 * time.time()
    return datetime.fromtimestamp(value / 1e3, UTC) if known else None


def shown(value: Any) -> str:
    return one_line(repr(value), LONGEST_SHOWN)
