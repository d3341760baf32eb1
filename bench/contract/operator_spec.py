"""What an operator promises: its axes, inputs, oracle, costs, tolerance and the ways it can fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

from attnlab.bench.store.deviations import Deviation

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from attnlab.bench.contract.axes import Case
    from attnlab.bench.store.records import Measurement, Series

C = TypeVar("C", bound="Case")
I = TypeVar("I")  # noqa: E741
C_contra = TypeVar("C_contra", bound="Case", contravariant=True)
I_contra = TypeVar("I_contra", contravariant=True)

NORMAL_DRAW = "drawn"
NEEDLE_DRAW = "needles"


def static(description: str, **options: Any) -> Any:
    """A field of inputs that stays from call to call in real use (weights, tables): may be packed beforehand."""
    return field(metadata={"role": "static", "description": description}, **options)


def dynamic(description: str, **options: Any) -> Any:
    """A field of inputs that is new in each call in real use: it is renewed in place after `prepare` and before each
    timed call, so that nothing may be computed from it ahead or kept from one call to the next."""
    return field(metadata={"role": "dynamic", "description": description}, **options)


def mutable(description: str, **options: Any) -> Any:
    """A static field that the operator may write to (a cache it appends to)."""
    return field(metadata={"role": "mutable", "description": description}, **options)


def constant(description: str, **options: Any) -> Any:
    """A field of inputs that follows from the case alone (a mask, a scale): known before the call."""
    return field(metadata={"role": "constant", "description": description}, **options)


def guard(**options: Any) -> Any:
    """A field that stands about inputs and is none of them: memory that nothing may write to."""
    return field(metadata={"role": "guard"}, **options)


def tensors(inputs: Any, *roles: str) -> dict[str, Tensor]:
    """The tensors in the fields of `inputs` that have one of the roles (all roles if none given).

    Those of a nested dataclass or dict are named by their path, `cache.keys.planes.data`, and have the field's role;
    guards are left out.
    """
    found: dict[str, Tensor] = {}
    for f in fields(inputs):
        if not roles or f.metadata.get("role") in roles:
            found |= _tensors_in(f.name, getattr(inputs, f.name))
    return found


def _tensors_in(path: str, value: Any) -> dict[str, Tensor]:
    import torch

    if isinstance(value, torch.Tensor):
        return {path: value}
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: getattr(value, f.name) for f in fields(value) if f.metadata.get("role") != "guard"}
    elif isinstance(value, dict):
        parts = value
    else:
        return {}
    return {name: tensor for key, part in parts.items() for name, tensor in _tensors_in(f"{path}.{key}", part).items()}


@dataclass(frozen=True)
class DrawMix:
    """How a tensor may be put together of two draws: each index along `axes` is of one draw or of the other.

    each: how many neighbours along the last of the axes stay together. Tensors of one case that are as long along
    their axes are put together alike, so that what belongs together stays so: codes and their scales, channels of
    queries and keys.
    """

    axes: tuple[int, ...]
    each: int = 1


def columns(inputs: Any, *names: str) -> dict[str, DrawMix]:
    """Tensors of these names by their columns: along the last axis with more than one index."""
    found = {}
    for name, tensor in tensors(inputs).items():
        axes = [axis for axis, length in enumerate(tensor.shape) if length > 1]
        if name in names and axes:
            found[name] = DrawMix((axes[-1],))
    return found


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and dtype of one output.

    optional: an implementation may keep it to itself, which is NaN throughout; the check then goes without.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    optional: bool = False


@dataclass(frozen=True)
class Ranks(Generic[C, I]):
    """How the whole of a case is shared out among ranks: functions at the top of a module, where ranks find them too.

    Inputs and outputs of the operator are those of all ranks together: the rest of its contract knows nothing of ranks.

    world_size(case): how many ranks there are. shard(case, inputs, rank): a rank's inputs, a dataclass whose fields
    have roles as those of `inputs`, of views where that is possible. outputs(case, rank): what a rank gives. join(case,
    outputs): the whole outputs, made anew, of what each rank gave, in the order of ranks.
    """

    world_size: Callable[[C], int]
    shard: Callable[[C, I, int], Any]
    outputs: Callable[[C, int], tuple[TensorSpec, ...]]
    join: Callable[[C, Sequence[tuple[Tensor, ...]]], tuple[Tensor, ...]]


class Expectation(Protocol):
    """What is expected of one set of inputs; holds the oracle's result and the budget.

    probes: the wrong results that were tried; blunt: those of them that would have been accepted.
    """

    @property
    def probes(self) -> tuple[str, ...]: ...

    @property
    def blunt(self) -> tuple[str, ...]: ...

    @property
    def expected(self) -> tuple[Tensor, ...]: ...

    def judge(self, outputs: Sequence[Tensor]) -> list[Deviation]: ...


@runtime_checkable
class PooledExpectation(Protocol):
    """An expectation whose calls are judged as one: they are of inputs that differ in what is drawn at random."""

    def judge_calls(self, calls: Sequence[Sequence[Tensor]]) -> list[Deviation]: ...


@runtime_checkable
class BluntWithout(Protocol):
    """An expectation that tells fewer faults apart where optional outputs are kept back."""

    @property
    def blunt_without(self) -> tuple[str, ...]: ...


class Check(Protocol[C_contra, I_contra]):
    """How outputs are judged; owned by the contract and never loosened by the environment.

    One that has `roundings`, a mapping of names to other checks, holds an implementation to the one that it declares to
    round by.
    """

    def expect(self, case: C_contra, inputs: I_contra) -> Expectation: ...


@dataclass(frozen=True)
class Fact:
    """A figure of a case that no implementation changes: what a format loses, how many bits it takes."""

    quantity: str
    unit: str
    direction: Literal["higher", "lower"]
    value: float


@dataclass(frozen=True)
class Span:
    """One call by the harness's own clock: when it began, how long it took, and the least that the clock can tell."""

    begun_ns: int
    elapsed_ns: float
    resolution_ns: float


@dataclass(frozen=True)
class Attestation:
    """What is to be said of what timed calls said of themselves: why it is refused, None where it is not, and notes."""

    refusal: str | None = None
    notes: tuple[str, ...] = ()


OF_A_KERNEL = ("latency_ns", "speedup", "share_of_ceiling", "error_of_budget")


def _no_facts(case: Any, seed: int, device: torch.device) -> tuple[Fact, ...]:
    return ()


def _in_this_process(case: Any) -> bool:
    return False


def _no_bytes(case: Any) -> int:
    return 0


def _returned(inputs: Any, returned: Any) -> Any:
    return returned


def _intact(inputs: Any) -> str | None:
    return None


def _of_itself(case: Any, seed: int) -> tuple[Any, ...]:
    return (case,)


def _no_evidence(case: Any) -> tuple[TensorSpec, ...]:
    return ()


def _the_same_again(case: Any, inputs: Any) -> tuple[Any, ...]:
    return (inputs,)


def _never_mixed(case: Any, inputs: Any) -> Mapping[str, DrawMix]:
    return {}


@dataclass(frozen=True)
class Operator(Generic[C, I]):
    """The contract of one operator.

    make_inputs(case, draw, seed, device): seeded inputs; `draw` is "drawn" for data of the case's
    source and "needles" for inputs on which a wrong edge dominates a row.
    operations(case): unmasked multiply-adds, each counted as two operations (FLOP).
    bytes_moved(case): distinct bytes that the result depends on, read once, and the output written once.
    input_bytes(case): what a set of inputs takes, where a call does not move just that: a table of which it reads a few
    rows, weights that it reads again and again. plain_bytes(case): what an implementation holds beside that keeps every
    intermediate, such as scores. Both are for estimates alone.
    length_axis: the axis along which growth of time and memory is fitted.
    needle_draws: how many sets of needle inputs it takes for each row to meet each kind of needle.
    checked_draws: how many sets of data are checked before anything is timed, 1 where a call takes seconds; 0 where
    it is a whole load of requests, of which timed calls are judged as any are.
    needle_cases(case, seed): the case that needles of this seed are of, where it is not the case itself: shorter
    prompts, more rows. Of several, with the same inputs and outputs, an implementation meets the first that it serves.
    evidence(case): outputs that are handed over beside the others for needles alone; timed calls never make them.
    other_calls(case, inputs): what needles are followed by, in calls that are judged with the one on them.
    facts(case, seed, device): figures of the case itself, stored beside those of its implementations.
    results(inputs, returned): what is judged, of what `run` returned: a mutated input where that is the result.
    intact(inputs): what was written to that is no output, None where nothing was; asked after each checked call.
    mixed(case, inputs): which tensors may be put together of two draws, by path, so that inputs are new in each timed
    call at the cost of a copy; what is not named is of one draw. None named: each call has a draw of its own, which is
    right for every operator, and slow. Never name what hangs on another tensor: ids that must differ, an output beside
    its inputs. A mutable tensor that is named is renewed too.
    redrawn(case, inputs, seed): inputs of another draw, as `make_inputs` gives them, that may share what is static with
    `inputs`; None where `make_inputs` is cheap enough.
    observe(inputs, returned): what a timed call says of itself, kept beside its latency; None where calls say nothing.
    Calls that are observed take milliseconds or more and end on the host: they are timed one by one by its clock.
    attest(case, inputs, returned, span): what a call returned, as far as the process that made it can hold what it says
    of itself against what the harness knows, with notes; raises ValueError with the reason where it is refused.
    headlines: the metrics that a short table of its results shows, by name and in this order; its report has all.
    ranks: how a case is shared out among ranks, for an operator over several; its `results` are `whole_outputs`, and
    its implementations derive from `OfRanks`.
    in_ranks(case): whether an operator that is none over ranks has some compute this case.
    refute(case, seeds, calls, slack_ns): the same from raw data, by those who do not trust that process: seeds of the
    sets of inputs, of each call the series that `observe` gave and its time in ns, and what the clock cannot tell.
    """

    name: str
    summary: str
    case_type: type[C]
    inputs_type: type[I]
    outputs: Callable[[C], tuple[TensorSpec, ...]]
    make_inputs: Callable[[C, str, int, torch.device], I]
    operations: Callable[[C], int]
    bytes_moved: Callable[[C], int]
    check: Check[C, I]
    input_bytes: Callable[[C], int] | None = None
    plain_bytes: Callable[[C], int] = _no_bytes
    length_axis: str | None = None
    headlines: tuple[str, ...] = OF_A_KERNEL
    needle_draws: int = 1
    checked_draws: int = 2
    needle_cases: Callable[[C, int], tuple[C, ...]] = _of_itself
    evidence: Callable[[C], tuple[TensorSpec, ...]] = _no_evidence
    other_calls: Callable[[C, I], tuple[I, ...]] = _the_same_again
    facts: Callable[[C, int, torch.device], tuple[Fact, ...]] = _no_facts
    results: Callable[[I, Any], Any] = _returned
    intact: Callable[[I], str | None] = _intact
    mixed: Callable[[C, I], Mapping[str, DrawMix]] = _never_mixed
    redrawn: Callable[[C, I, int], I] | None = None
    observe: Callable[[I, Any], tuple[Series, ...]] | None = None
    attest: Callable[[C, I, Any, Span], tuple[Any, tuple[str, ...]]] | None = None
    refute: Callable[[C, Sequence[int], Sequence[tuple[tuple[Series, ...], float]], float], Attestation] | None = None
    ranks: Ranks[C, I] | None = None
    in_ranks: Callable[[C], bool] = _in_this_process

    def over_ranks(self, case: C) -> bool:
        """Whether what calls of a case compute is in processes of ranks."""
        return self.ranks is not None or self.in_ranks(case)

    def case_of(self, measurement: Measurement) -> C:
        """The case that a stored measurement is of, without axes that the operator has no more.

        Raises UsageError where it can be no more, as where a model or trace that it names is gone.
        """
        known = self.case_type.axes()
        return self.case_type.build({axis: value for axis, value in measurement.case.items() if axis in known})

    def case_of_draw(self, case: C, draw: str, seed: int) -> C:
        """The case that inputs of a draw are of."""
        return self.needle_cases(case, seed)[0] if draw == NEEDLE_DRAW else case

    def handed_over(self, of: C, draw: str) -> tuple[TensorSpec, ...]:
        """Every output that is handed over of a call on inputs of a draw; `of`: the case that they are of."""
        return (*self.outputs(of), *self.evidence(of)) if draw == NEEDLE_DRAW else self.outputs(of)

    def specs(self, case: C, draw: str, seed: int) -> tuple[TensorSpec, ...]:
        """`handed_over` of what `case_of_draw` gives."""
        return self.handed_over(self.case_of_draw(case, draw, seed), draw)
