"""What one operator's results say beyond those of all: a study is sentences, tables and plots, one file an operator."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attnlab.bench.reporters.model.plots import Plot
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.reporters.model.words import Sentence


@dataclass(frozen=True)
class Table:
    """Rows of text under headings; the first column is a name."""

    title: str
    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Study:
    """Words first, then tables, then plots."""

    title: str
    sentences: tuple[Sentence, ...]
    tables: tuple[Table, ...]
    plots: tuple[Plot, ...]


Make = Callable[[Sequence[Result]], Study | None]


def studies(operator: str, results: Sequence[Result]) -> tuple[Study, ...]:
    """Every study of the operator that finds something; a module here has OPERATOR and `make(results)`."""
    made = []
    for found in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{found.name}")
        if operator == module.OPERATOR and (study := module.make(results)) is not None:
            made.append(study)
    return tuple(made)
