"""Where and how an implementation is measured in one process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.contents import new_secret
from attnlab.bench.machine.clocks.clock import Clock
from attnlab.bench.measuring.judging.court import AnyOperator, Court
from attnlab.bench.measuring.judging.handing import Judges
from attnlab.bench.measuring.settings import Apart
from attnlab.bench.measuring.stopping import Effort
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.plan import Plan


@dataclass(frozen=True)
class Setup:
    """Where and how an implementation is measured; `announce` is told each phase as it begins.

    secret: what contents hang on that all processes of a run meet; no implementation knows it beforehand.
    untimed says why no times are taken in this run, where that is so: results are only checked. plan is how calls were
    laid out elsewhere for what is compared with this. meddled names what was changed of the harness in this process.
    memory: whether a call's peak is measured. mark tells a parent, which has a clock of its own, how many calls were
    made since the last mark, and is told how many to make until the next, 0 for no more; None where there is none.
    judging gives what outputs are handed over to; where it is None they are judged in this process, by `court` where
    several share one. apart: the settings of this process as the harness has them, taken before any foreign code ran,
    and as foreign code does.
    """

    device: torch.device
    clocks: tuple[Clock, ...]
    ceilings: Ceilings
    effort: Effort = field(default_factory=Effort)
    seed: int = 0
    announce: Callable[[str], None] = lambda phase: None
    untimed: str | None = None
    plan: Plan | None = None
    meddled: Callable[[], tuple[str, ...]] = tuple
    mark: Callable[[int], int] | None = None
    judging: Callable[[AnyOperator, Case], Judges] | None = None
    court: Court | None = None
    secret: int = field(default_factory=new_secret)
    memory: bool = True
    apart: Apart = field(default_factory=Apart)
