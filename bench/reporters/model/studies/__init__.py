"""What one operator's results say beyond those of all: a study is sentences, tables and plots, one study a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from attnlab.bench.contract.discovery import Folder
from attnlab.bench.contract.metric import Row
from attnlab.bench.reporters.model.plots import Plot
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.reporters.model.words import Sentence


@dataclass(frozen=True)
class StudyTable:
    """Rows of text under headings; the first column is a name."""

    title: str
    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Study:
    """Words first, then plots, then tables.

    leads: whether it is what the operator is for, so that it stands before the plots of time, and its first plot on the
    first screen.
    """

    title: str
    sentences: tuple[Sentence, ...]
    tables: tuple[StudyTable, ...]
    plots: tuple[Plot, ...]
    leads: bool = False


class Maker(Protocol):
    """A file of this folder: the operator that it studies, and a study of its results, None where they say nothing.

    One that has `BESIDE`, the name of another operator, is given that one's rows of the same run, too:
    `make(results, rows)`.
    """

    OPERATOR: str

    def make(self, results: Sequence[Result]) -> Study | None: ...


MAKERS: Folder[Maker] = Folder("study", __name__, None)


def studies(operator: str, results: Sequence[Result], run: Sequence[Row] = ()) -> tuple[Study, ...]:
    """Every study of the operator that finds something; run: the rows of all operators of its run."""
    made = [_made(maker, results, run) for maker in MAKERS if operator == maker.OPERATOR]
    return tuple(study for study in made if study is not None)


def _made(maker: Any, results: Sequence[Result], run: Sequence[Row]) -> Study | None:
    beside = getattr(maker, "BESIDE", None)
    extra = [] if beside is None else [[row for row in run if row.measurement.operator == beside]]
    found: Study | None = maker.make(results, *extra)
    return found
