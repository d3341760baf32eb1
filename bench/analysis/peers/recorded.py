"""A recorded load as tools see it: every event of every stream with its time, and what each tool would take from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from attnlab.bench import units


@dataclass(frozen=True)
class Event:
    """One event of a stream, in ns since the load began.

    has_text: whether it adds to the answer, reasoning included; a role and a reason to end do not. tokens: of the
    answer by then. choice: whether it is of the answer at all: usage alone, comments and `[DONE]` are not.
    """

    time_ns: float
    has_text: bool
    tokens: int
    choice: bool = True


@dataclass(frozen=True)
class Stream:
    """One request as its client saw it.

    due_ns: when it was to be sent; begun_ns: when the client turned to it, before it had a connection; sent_ns: when
    its first byte was sent. events: all that came, in order. ended_ns: when the last byte
    was read. told_tokens: the length of the answer by the server's usage, None where it gave none; own_tokens: by the
    tokenizer, of the whole text, None where it was not counted so. failed: whether it has no answer.
    """

    due_ns: float
    begun_ns: float
    sent_ns: float
    events: tuple[Event, ...]
    ended_ns: float
    prompt_tokens: int
    told_tokens: int | None = None
    own_tokens: int | None = None
    failed: bool = False

    @cached_property
    def texts(self) -> tuple[Event, ...]:
        """The events with text."""
        return tuple(event for event in self.events if event.has_text)

    @cached_property
    def choices(self) -> tuple[Event, ...]:
        """The events that are of the answer, an empty first and last one included."""
        return tuple(event for event in self.events if event.choice)

    @property
    def length(self) -> int:
        """Tokens of the answer: by the server's usage, else as they were counted while they came."""
        if self.told_tokens is not None:
            return self.told_tokens
        return self.events[-1].tokens if self.events else 0


@dataclass(frozen=True)
class Recorded:
    """A load: its streams, and when the last of them was done, in ns since it began."""

    streams: tuple[Stream, ...]
    ended_ns: float

    @property
    def answered(self) -> list[Stream]:
        return [stream for stream in self.streams if not stream.failed]


@dataclass(frozen=True)
class Objectives:
    """What a request must keep to be good, in ns."""

    ttft_ns: float
    tpot_ns: float


@dataclass(frozen=True)
class Figures:
    """What one tool says of a load: medians over what it takes samples of; None where it has no such figure."""

    ttft_ns: float | None
    itl_ns: float | None
    itl_p99_ns: float | None
    tpot_ns: float | None
    e2e_ns: float | None
    output_tok_per_s: float | None
    answered_per_s: float | None
    goodput_per_s: float | None


LABELS = {
    "ttft_ns": "TTFT",
    "itl_ns": "ITL",
    "itl_p99_ns": "ITL p99",
    "tpot_ns": "TPOT",
    "e2e_ns": "end to end",
    "output_tok_per_s": "output, tok/s",
    "answered_per_s": "answered, req/s",
    "goodput_per_s": "goodput, req/s",
}


def rate(amount: float, time_ns: float) -> float | None:
    """Per second; None of no time."""
    return units.per_second(amount, time_ns) if time_ns > 0 else None


def gaps(times_ns: Sequence[float]) -> Iterator[float]:
    """Between each and the next."""
    return (after - before for before, after in pairwise(times_ns))


def interpolated(values: Sequence[float], share: float) -> float | None:
    """A percentile between the two nearest samples, as numpy gives it by default; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
