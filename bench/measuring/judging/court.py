"""The judge itself: makes inputs from their content, holds what is expected of them, and compares."""

from __future__ import annotations

import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import units
from attnlab.bench.contract.axes import Case
from attnlab.bench.contract.contents import Content, inputs_of
from attnlab.bench.contract.operator_spec import (
    NORMAL_DRAW,
    Attestation,
    BluntWithout,
    Expectation,
    Fact,
    Operator,
    PooledExpectation,
    TensorSpec,
    tensors,
)
from attnlab.bench.machine.clocks import now
from attnlab.bench.measuring.judging.plain import Bytes, named, rebuilt, take
from attnlab.bench.measuring.judging.refusals import CHANGING, STALE, rounded_otherwise
from attnlab.bench.measuring.judging.verdicts import SECOND_CALL, TIMED, Question, Ruling
from attnlab.bench.store.codec import encode
from attnlab.bench.store.records import Outcome, Series, SetDeviations

AnyOperator = Operator[Any, Any]
Key = tuple[str, str, str, Content, str | None]
Calls = Sequence[tuple[tuple[Series, ...], float]]

MOST_HELD_BYTES = units.GIB  # of expected outputs; those asked for longest ago are dropped
DIGESTED_BYTES = 64 * units.MIB  # of inputs, beyond which they are not looked at


class Court:
    """Judges outputs of any operator on one device; each expectation is computed once, as long as it is held."""

    def __init__(self, device: torch.device, most_held_bytes: int = MOST_HELD_BYTES) -> None:
        self._device, self._most = device, most_held_bytes
        self._held: OrderedDict[Key, tuple[Expectation, str | None]] = OrderedDict()
        self._digests: dict[Key, str | None] = {}
        self._facts: dict[tuple[str, str, int], tuple[Fact, ...]] = {}

    def facts(self, operator: AnyOperator, case: Case, seed: int) -> tuple[Fact, ...]:
        """The contract's facts of a case."""
        key = operator.name, _resolved(case), seed
        if key not in self._facts:
            self._facts[key] = operator.facts(case, seed, self._device)
        return self._facts[key]

    def testimony(self, operator: AnyOperator, case: Case, seed: int, copies: int, calls: Calls) -> Attestation:
        """What is to be said of what timed calls said of themselves; see `Operator.refute`."""
        if operator.refute is None:
            return Attestation()
        try:
            return operator.refute(case, range(seed, seed + copies), calls, now.resolution_ns())
        except (ValueError, OverflowError) as error:
            return Attestation(f"what its calls say of themselves cannot be read: {error}")

    def judge(self, operator: AnyOperator, case: Case, question: Question, calls: Sequence[Sequence[Bytes]]) -> Ruling:
        """Figures of the outputs of each call, given as bytes in the order of the contract's outputs."""
        refused = _misshapen(operator, case, question, calls)
        if refused is not None:
            return refused
        if question.rounds is not None and question.rounds not in _roundings(operator):
            return Ruling(outcome=Outcome.FAILED, reason=_unknown_rounding(operator, question.rounds))
        expectation, digest = self.expectation(operator, case, question.draw, question.content, question.rounds)
        if None not in (digest, question.inputs) and digest != question.inputs:
            return Ruling(outcome=Outcome.WRONG_VALUES, reason=f"its {question.name} inputs are not as they were made")
        specs = operator.specs(case, question.draw, question.content.seed)
        outputs = [self.rebuilt(specs, call) for call in calls]
        pooled = isinstance(expectation, PooledExpectation)
        same = all(a.tobytes() == b.tobytes() for a, b in zip(calls[0], calls[-1], strict=True))
        found: list[SetDeviations] = []
        reason = None
        for number, call in enumerate(outputs[:1] if same and not pooled else outputs):
            name = SECOND_CALL.format(question.name) if number else question.name
            reason = _not_finite(specs, name, call)
            if reason is not None:
                break
            if not pooled:
                found.append(SetDeviations(name, tuple(expectation.judge(call))))
        if isinstance(expectation, PooledExpectation) and reason is None:
            found.append(SetDeviations(question.name, tuple(expectation.judge_calls(outputs))))
        withheld = tuple(s.name for n, s in enumerate(specs) if s.optional and any(_kept_back(c[n]) for c in outputs))
        blunt = expectation.blunt_without if withheld and isinstance(expectation, BluntWithout) else expectation.blunt
        verdict = Ruling(
            sets=tuple(found),
            probes=tuple(expectation.probes),
            blunt=tuple(blunt),
            coverage=_coverage(specs, expectation),
            deterministic=None if len(calls) < 2 or pooled else same,
            outcome=None if reason is None else Outcome.WRONG_VALUES,
            reason=reason,
            withheld=withheld,
        )
        if verdict.sets and verdict.refusal is not None:
            return replace(verdict, because=self._because(operator, case, question, calls[0]))
        return verdict

    def _because(self, operator: AnyOperator, case: Case, question: Question, call: Sequence[Bytes]) -> str | None:
        """Whether outputs are right but for a rounding, or those of a timed call for what its inputs held before."""
        outputs = self.rebuilt(operator.specs(case, question.draw, question.content.seed), call)
        for rounds in (None, *_roundings(operator)) if _roundings(operator) else ():
            if rounds != question.rounds:
                other, _ = self.expectation(operator, case, question.draw, question.content, rounds)
                if all(figure.within for figure in other.judge(outputs)):
                    return rounded_otherwise(question.rounds, rounds)
        if question.name != TIMED:
            return None
        for content in reversed(question.before):
            earlier, _ = self.expectation(operator, case, question.draw, content, question.rounds)
            if all(figure.within for figure in earlier.judge(outputs)):
                return STALE
        return CHANGING

    def expectation(
        self, operator: AnyOperator, case: Case, draw: str, content: Content, rounds: str | None = None
    ) -> tuple[Expectation, str | None]:
        """What is expected of those inputs, and the digest of what must not change in them."""
        key = operator.name, _resolved(case), draw, content, rounds
        if key not in self._held:
            inputs = self.inputs(operator, case, draw, content)
            case = operator.case_of_draw(case, draw, content.seed)
            digest = digest_of(inputs)
            check = operator.check if rounds is None else _roundings(operator)[rounds]
            self._held[key] = check.expect(case, inputs), digest
            self._make_room()
        self._held.move_to_end(key)
        return self._held[key]

    def inputs(self, operator: AnyOperator, case: Case, draw: str, content: Content) -> Any:
        """Those inputs, made from nothing."""
        if draw == NORMAL_DRAW:
            return inputs_of(operator, case, content, self._device)
        case = operator.case_of_draw(case, draw, content.seed)
        return operator.make_inputs(case, draw, content.seed, self._device)

    def digest(self, operator: AnyOperator, case: Case, draw: str, content: Content) -> str | None:
        """Of those inputs, see `digest_of`; kept for good, as expectations are not."""
        key = operator.name, _resolved(case), draw, content, None
        if key not in self._digests:
            self._digests[key] = self.expectation(operator, case, draw, content)[1]
        return self._digests[key]

    def _make_room(self) -> None:
        """At least the one that was made last stays."""
        while len(self._held) > 1 and sum(_size_bytes(kept[0].expected) for kept in self._held.values()) > self._most:
            self._held.popitem(last=False)

    def rebuilt(self, specs: Sequence[TensorSpec], call: Sequence[Bytes]) -> tuple[Tensor, ...]:
        """The outputs of a call as tensors."""
        return tuple(rebuilt(data, spec, self._device) for data, spec in zip(call, specs, strict=True))


def _kept_back(out: Tensor) -> bool:
    return out.numel() > 0 and bool(out.isnan().all())


def _roundings(operator: AnyOperator) -> Mapping[str, Any]:
    """What may be declared to be rounded, each with the check that it is held to; most contracts know of none."""
    known: Mapping[str, Any] = getattr(operator.check, "roundings", {})
    return known


def _unknown_rounding(operator: AnyOperator, rounds: str) -> str:
    known = ", ".join(_roundings(operator)) or "none"
    return f"declares rounds={ascii(rounds)[:40]}, but {operator.name} knows {known}"


def digest_of(inputs: Any) -> str | None:
    """What the static and dynamic tensors of inputs hold, as a hash; None where that is too much to read."""
    found = tensors(inputs, "static", "dynamic")
    if sum(tensor.numel() * tensor.element_size() for tensor in found.values()) > DIGESTED_BYTES:
        return None
    digest = hashlib.blake2b(digest_size=16)
    for path, tensor in sorted(found.items()):
        taken = take(tensor)
        digest.update(json.dumps([path, list(taken.shape), taken.dtype]).encode())
        digest.update(taken.data.tobytes())
    return digest.hexdigest()


def _resolved(case: Case) -> str:
    """All axes of a case, defaults too: revisions may differ in those, and an id leaves them out."""
    return json.dumps(encode(case.values()), sort_keys=True, default=str)


def _misshapen(
    operator: AnyOperator, case: Case, question: Question, calls: Sequence[Sequence[Bytes]]
) -> Ruling | None:
    """What was handed over must have the contract's number, shapes, dtypes and bytes."""
    specs = operator.specs(case, question.draw, question.content.seed)
    if len(question.forms) != len(specs) or any(len(call) != len(specs) for call in calls):
        return Ruling(outcome=Outcome.WRONG_SHAPE, reason=f"gave {len(question.forms)} tensors, not {len(specs)}")
    for place, (form, spec) in enumerate(zip(question.forms, specs, strict=True)):
        size_bytes = math.prod(spec.shape) * spec.dtype.itemsize
        if tuple(form.shape) != spec.shape or any(call[place].nbytes != size_bytes for call in calls):
            reason = f"{spec.name} has shape {list(form.shape)}; expected {list(spec.shape)}"
            return Ruling(outcome=Outcome.WRONG_SHAPE, reason=reason)
        if form.dtype != named(spec.dtype):
            reason = f"{spec.name} has dtype {form.dtype}; expected {named(spec.dtype)}"
            return Ruling(outcome=Outcome.WRONG_DTYPE, reason=reason)
    return None


def _not_finite(specs: Sequence[TensorSpec], name: str, outputs: Sequence[Tensor]) -> str | None:
    for out, spec in zip(outputs, specs, strict=True):
        if spec.optional and _kept_back(out):
            continue
        bad = int((~torch.isfinite(out)).sum())
        if bad:
            return f"{spec.name} has {bad} of {out.numel()} elements NaN or infinite on {name} inputs"
    return None


def _coverage(specs: Sequence[TensorSpec], expectation: Expectation) -> float:
    total = sum(math.prod(spec.shape) for spec in specs)
    return sum(out.numel() for out in expectation.expected) / total if total else 1.0


def _size_bytes(expected: Sequence[Tensor]) -> int:
    return sum(out.numel() * out.element_size() for out in expected)
