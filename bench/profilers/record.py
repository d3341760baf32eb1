"""What a profiler found, as it is stored: parts of a call with their times, figures, and findings in words."""

from __future__ import annotations

from dataclasses import dataclass

KERNEL, OPERATION, SPAN, FUNCTION = "kernel", "operation", "span", "function"
"""Kinds of parts: on a GPU, of torch on a CPU, a named stretch of a call, and a function of Python."""


@dataclass(frozen=True)
class CallPart:
    """One part of a call, summed over all times that it comes in one.

    kind: one of the kinds above. time_ns: of one call, without what it calls that is a part of the same kind; None
    where only its number is known. total_ns: with that. count: how often it comes in one call. bytes: of memory that
    it allocated itself in one call. source: `file:line` of the line of Python that called it, or where that is not
    known of the function that did; `stack`: the functions about it, the nearest first.
    """

    name: str
    kind: str
    time_ns: float | None
    total_ns: float | None = None
    count: float = 1.0
    bytes: float | None = None
    source: str | None = None
    stack: tuple[str, ...] = ()


@dataclass(frozen=True)
class ToolFigure:
    """One number. name: such as `registers`; unit: as in `bench/units.py`, such as "B", "ns", "1" or "%".

    of: the kernel that it is of; None where it is the whole call's. better: "lower" or "higher", where one is better.
    """

    name: str
    value: float
    unit: str
    of: str | None = None
    better: str | None = None


@dataclass(frozen=True)
class ProfileFinding:
    """Something to know about a call, in words.

    about: one word or two that findings of a kind share, such as "memory" or "launches". says: what is so. evidence:
    the figures that show it, and the tool that gave them. try_: what may help; None where nothing needs to be done.
    """

    about: str
    says: str
    evidence: str
    try_: str | None = None


@dataclass(frozen=True)
class Listing:
    """A table of a tool's own, for the page: a title, the heads of its columns, and rows of texts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Timeline:
    """How a quantity went in one call: pairs of nanoseconds since its begin, and the value from then on."""

    name: str
    unit: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class ToolRecord:
    """What one tool found in one call.

    calls: how many calls it saw. files: what it wrote, relative to its folder, each with what it is and what opens it.
    notes: what has to be known of how it was taken. disturbed: how other work kept waiting each of the calls that its
    times are of, in words; None where it did not.
    """

    tool: str
    calls: int = 0
    parts: tuple[CallPart, ...] = ()
    figures: tuple[ToolFigure, ...] = ()
    findings: tuple[ProfileFinding, ...] = ()
    listings: tuple[Listing, ...] = ()
    timelines: tuple[Timeline, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    disturbed: str | None = None

    @property
    def empty(self) -> bool:
        """Whether it found nothing that could be shown."""
        return not (self.parts or self.figures or self.findings or self.listings)

    def figure(self, name: str, of: str | None = None) -> float | None:
        """The value of a figure of the whole call, or of a kernel; None where it has none."""
        return next((figure.value for figure in self.figures if (figure.name, figure.of) == (name, of)), None)

    def kind(self, kind: str) -> tuple[CallPart, ...]:
        """Its parts of a kind, that which takes longest first."""
        found = [part for part in self.parts if part.kind == kind]
        return tuple(sorted(found, key=lambda part: -(part.time_ns or 0.0)))
