"""Judges one implementation's outputs on a case: shape, dtype, values, needles, determinism, inputs kept."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.axes import Case
from attnlab.bench.contents import Content
from attnlab.bench.contract import NEEDLE_DRAW, NORMAL_DRAW, Expectation, Fact, Operator, redraw, tensors
from attnlab.bench.registry import Implementation
from attnlab.bench.renewal import Kept
from attnlab.bench.store.records import CheckRecord, Outcome, SetFigures

AnyOperator = Operator[Any, Any]

STALE = "the output of a timed call is that of earlier inputs: a result was kept"
CHANGING = "inputs are renewed before each timed call: a part was kept from an earlier one, or calls are not alike"


class Rejected(Exception):
    """An output that the contract does not accept."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


class Expectations:
    """Expectations by draw and seed, kept in a folder so that the workers of a run compute each once."""

    def __init__(self, operator: AnyOperator, case: Case, device: torch.device, folder: Path | None = None) -> None:
        self._operator, self._case, self._device, self._folder = operator, case, device, folder

    def get(self, inputs: Any, draw: str, seed: int) -> Expectation:
        """The expectation of inputs made from that draw and seed."""
        check = self._operator.check
        parts = self._kept(f"{draw}-{seed}", lambda: check.parts(check.expect(self._case, inputs)))
        return check.restore(self._case, parts)

    def facts(self, seed: int) -> tuple[Fact, ...]:
        """The contract's facts of the case."""
        made = self._kept("facts", lambda: [asdict(f) for f in self._operator.facts(self._case, seed, self._device)])
        return tuple(Fact(**fact) for fact in made)

    def _kept(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` makes, or what another process made and left in the folder."""
        path = self._folder and self._folder / f"{self._operator.name}-{self._case.id}-{name}.pt"
        if path and path.exists():
            return torch.load(path, map_location=self._device, weights_only=True)
        made = make()
        if path:
            partial = path.with_suffix(f".{os.getpid()}.partial")  # another process may be at it too
            torch.save(made, partial)
            partial.replace(path)
        return made


@dataclass
class Checker:
    """Checks one implementation on one case; each `check_…` raises Rejected at the first fault."""

    operator: AnyOperator
    case: Case
    implementation: Implementation
    expectations: Expectations

    def __post_init__(self) -> None:
        self._sets: list[SetFigures] = []
        self._blunt: set[str] | None = None
        self._probes: dict[str, None] = {}
        self._deterministic: bool | None = None
        self._coverage = 1.0

    def check_redrawn(self, inputs: Any, state: Any, seeds: Sequence[int], device: torch.device) -> None:
        """Draw dynamic inputs anew, in place, for each seed: what `prepare` or a call before saw is gone."""
        for number, seed in enumerate(seeds):
            redraw(inputs, self.operator.make_inputs(self.case, NORMAL_DRAW, seed, device))
            last = number + 1 == len(seeds)
            self._run_and_judge("redrawn" if last else "drawn", inputs, state, NORMAL_DRAW, seed)

    def check_needles(self, prepare: Callable[[Any], Any], seed: int, device: torch.device) -> None:
        """As many sets of needle inputs as the contract asks for, with seeds from `seed` on."""
        for number in range(self.operator.needle_draws):
            inputs = self.operator.make_inputs(self.case, NEEDLE_DRAW, seed + number, device)
            self._run_and_judge("needles", inputs, prepare(inputs), NEEDLE_DRAW, seed + number)

    def check_timed(self, kept: Kept, holding: Callable[[Content], Any]) -> None:
        """The outputs of a timed call; `holding` gives inputs that hold a content.

        Where they are wrong, the reason says whether they are right for what the inputs held before.
        """
        inputs = holding(kept.content)
        expectation = self.expectations.get(inputs, "content", kept.content.key)
        try:
            self._judge("timed", kept.outputs, expectation)
        except Rejected as rejected:
            stale = any(self._fits(kept.outputs, holding(content)) for content in reversed(kept.before))
            raise Rejected(rejected.outcome, STALE if stale else f"{rejected}; {CHANGING}") from None

    def _fits(self, outputs: tuple[Tensor, ...], inputs: Any) -> bool:
        figures = self.operator.check.expect(self.case, inputs).judge(outputs)
        return all(figure.within for figure in figures)

    def record(self) -> CheckRecord:
        return CheckRecord(
            sets=tuple(self._sets),
            probes=tuple(self._probes),
            blunt=tuple(sorted(self._blunt or ())),
            deterministic=self._deterministic,
            coverage=self._coverage,
            poisoned=not self.implementation.compiled,
        )

    def _run_and_judge(self, name: str, inputs: Any, state: Any, draw: str, seed: int) -> None:
        expectation = self.expectations.get(inputs, draw, seed)
        before = {field: tensor.clone() for field, tensor in tensors(inputs, "static", "dynamic").items()}
        with poisoned_memory(inputs, enabled=not self.implementation.compiled):
            outputs = self.results(inputs, self.implementation.run(inputs, state))
        self._judge_unchanged(inputs, before)
        self._judge(name, outputs, expectation)
        kept = [out.clone() for out in outputs]
        again = self.results(inputs, self.implementation.run(inputs, state))
        self._judge_unchanged(inputs, before)
        same = all(_same_bits(a, b) for a, b in zip(kept, again, strict=True))
        if not same:
            self._judge(f"{name} (second call)", again, expectation)
        self._deterministic = same if self._deterministic is None else self._deterministic and same
        self._probes.update(dict.fromkeys(expectation.probes))
        blunt = set(expectation.blunt)
        self._blunt = blunt if self._blunt is None else self._blunt & blunt

    def _judge_unchanged(self, inputs: Any, before: dict[str, Tensor]) -> None:
        self.judge_intact(inputs)
        for field, tensor in tensors(inputs, "static", "dynamic").items():
            if not _same_bits(tensor, before[field]):
                raise Rejected(Outcome.WRONG_VALUES, f"changed its input {field}, which must come back as it was")

    def judge_intact(self, inputs: Any) -> None:
        """Raise Rejected where something was written to that is no output."""
        written = self.operator.intact(inputs)
        if written is not None:
            raise Rejected(Outcome.WRONG_VALUES, f"wrote outside its outputs: {written}")

    def results(self, inputs: Any, returned: Any) -> tuple[Tensor, ...]:
        """What is judged, as a tuple of the contract's number, shapes, dtypes; raises Rejected where it is not."""
        outputs = self.operator.results(inputs, returned)
        got = tuple(outputs) if isinstance(outputs, (tuple, list)) else (outputs,)
        specs = self.operator.outputs(self.case)
        if len(got) != len(specs) or not all(isinstance(out, Tensor) for out in got):
            kinds = ", ".join(type(out).__name__ for out in got)
            raise Rejected(
                Outcome.WRONG_SHAPE,
                f"returned ({kinds}); expected {len(specs)} tensors: {', '.join(s.name for s in specs)}",
            )
        for out, spec in zip(got, specs, strict=True):
            if tuple(out.shape) != spec.shape:
                raise Rejected(
                    Outcome.WRONG_SHAPE,
                    f"{spec.name} has shape {list(out.shape)}; expected {list(spec.shape)}",
                )
            if out.dtype != spec.dtype:
                raise Rejected(Outcome.WRONG_DTYPE, f"{spec.name} has dtype {out.dtype}; expected {spec.dtype}")
        return got

    def _judge(self, name: str, outputs: tuple[Tensor, ...], expectation: Expectation) -> None:
        for out, spec in zip(outputs, self.operator.outputs(self.case), strict=True):
            bad = int((~torch.isfinite(out)).sum())
            if bad:
                raise Rejected(
                    Outcome.WRONG_VALUES,
                    f"{spec.name} has {bad} of {out.numel()} elements NaN or infinite on {name} inputs",
                )
        figures = expectation.judge(outputs)
        self._sets.append(SetFigures(name, tuple(figures)))
        total = sum(out.numel() for out in outputs)
        self._coverage = min(self._coverage, sum(e.numel() for e in expectation.expected) / total)
        for figure in figures:
            if not figure.within:
                raise Rejected(
                    Outcome.WRONG_VALUES,
                    f"{figure.output} on {name} inputs: relative RMS error {figure.rms_error:.2e} "
                    f"(allowed {figure.rms_allowed:.2e}), largest {figure.max_error:.2e} "
                    f"(allowed {figure.max_allowed:.2e})",
                )


def _same_bits(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))


@contextlib.contextmanager
def poisoned_memory(inputs: Any, enabled: bool = True) -> Iterator[None]:
    """Fresh memory is NaN inside, so that an element never written shows.

    torch fills what it allocates; on CUDA, blocks of the inputs' sizes are also filled and freed,
    for kernels that take their memory from the allocator themselves.
    """
    if not enabled:
        yield
        return
    for tensor in tensors(inputs).values():
        if tensor.is_cuda and tensor.is_floating_point() and tensor.element_size() > 1:
            torch.full_like(tensor, math.nan)
    filling: Any = torch.utils.deterministic
    before = torch.get_deterministic_debug_mode(), filling.fill_uninitialized_memory
    torch.set_deterministic_debug_mode("warn")  # not use_deterministic_algorithms: it imports the compiler, 2 s
    filling.fill_uninitialized_memory = True
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before[0])
        filling.fill_uninitialized_memory = before[1]
