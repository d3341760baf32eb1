"""The quantities of a compiled kernel that rules speak of, and a kernel reduced to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from attnlab.bench import units
from attnlab.bench.profilers.compiled.resources import APPLIED, CompiledCase, KernelResources

Value = Callable[[KernelResources], float | None]
DIGITS = 4  # after the point; of means and shares, the rest are counts


@dataclass(frozen=True)
class StaticQuantity:
    """value(kernel): None where a kernel has none."""

    name: str
    label: str
    value: Value
    unit: str = ""  # "B", "%"; "" of a count

    def told(self, value: float | None) -> str:
        """With its unit."""
        if value is None:
            return units.MISSING
        if self.unit == "B":
            return units.format_bytes(value) if value else "0 B"
        plain = f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}"
        return f"{plain} {self.unit}".rstrip()


def _loop(kernel: KernelResources) -> float | None:
    """Of the main loop; of the whole kernel where it has none."""
    return kernel.instructions or None if kernel.loop is None else kernel.loop.instructions


def _conversions(kernel: KernelResources) -> float | None:
    return kernel.conversions if kernel.loop is None else kernel.loop.conversions


def _stack(kernel: KernelResources) -> float | None:
    return None if kernel.loop is None or kernel.architecture is not None else kernel.loop.spills


def _occupancy(kernel: KernelResources) -> float | None:
    return None if kernel.occupancy is None else 100 * kernel.occupancy.share


def _specialized(kernel: KernelResources) -> float | None:
    return None if kernel.warp_specialization is None else float(kernel.warp_specialization == APPLIED)


def _of_gpu(value: Value) -> Value:
    return lambda kernel: None if kernel.architecture is None else value(kernel)


_ALL = (
    StaticQuantity("registers", "registers of a thread", lambda kernel: kernel.registers),
    StaticQuantity("spills", "spilling instructions", _of_gpu(lambda kernel: kernel.spills)),
    StaticQuantity("stack", "instructions of the loop on the stack", _stack),
    StaticQuantity("shared_bytes", "shared memory of a block", lambda kernel: kernel.shared_bytes, "B"),
    StaticQuantity("shared_over", "shared memory above the limit", _of_gpu(lambda k: k.shared_over_bytes), "B"),
    StaticQuantity("occupancy", "occupancy", _occupancy, "%"),
    StaticQuantity("tensor_instructions", "tensor-core instructions", _of_gpu(lambda k: k.tensor_instructions)),
    StaticQuantity("tensor_bits", "bits of tensor-core operands", lambda kernel: kernel.tensor_bits),
    StaticQuantity("load_width", "mean width of loads", lambda kernel: kernel.load_width_bytes, "B"),
    StaticQuantity("store_width", "mean width of stores", lambda kernel: kernel.store_width_bytes, "B"),
    StaticQuantity("loop_instructions", "instructions of the main loop", _loop),
    StaticQuantity("busy_instructions", "instructions of all busy loops", _of_gpu(lambda k: k.busy_instructions)),
    StaticQuantity("conversions", "conversions in the main loop", _conversions),
    StaticQuantity("vector_bits", "bits of vectors", lambda kernel: kernel.vector_bits),
    StaticQuantity("specialized", "warp specialisation applied", _specialized),
    StaticQuantity("warnings", "assembler's warnings", lambda kernel: len(kernel.warnings)),
)
QUANTITIES = {made.name: made for made in _ALL}


@dataclass(frozen=True)
class KernelFigures:
    """A kernel as rules see it: from a compilation, or from a budget. place and constants: None of a budget's."""

    name: str
    compiler: str
    values: Mapping[str, float]
    place: str | None = None
    constants: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str | None:
        """Where it is written, without the line."""
        return None if self.place is None else self.place.rpartition(":")[0]


@dataclass(frozen=True)
class CaseFigures:
    """The kernels of an implementation on a case, for one target; see `CompiledCase`.

    sources: a hash of the implementation's source, None where that is not known.
    """

    key: str  # "attention/triton[Hq8-bf16] sm_90"
    kernels: tuple[KernelFigures, ...] = ()
    unserved: str | None = None
    failed: str | None = None
    place: str | None = None
    missing: bool = False
    sources: str | None = None


def figures_of(case: CompiledCase, sources: str | None = None) -> CaseFigures:
    """What rules need of a compiled case, in as many digits as a budget has."""
    kernels = tuple(
        KernelFigures(
            kernel.name,
            kernel.compiler,
            {n: round(float(v), DIGITS) for n, made in QUANTITIES.items() if (v := made.value(kernel)) is not None},
            kernel.source,
            kernel.constants,
        )
        for kernel in case.kernels
    )
    return CaseFigures(case.key, kernels, case.unserved, case.failed, case.place, case.missing, sources)


def _same_name(one: KernelFigures, other: KernelFigures) -> bool:
    return one.name == other.name


def _same_file(one: KernelFigures, other: KernelFigures) -> bool:
    return one.file is not None and one.file == other.file


def _same_constants(one: KernelFigures, other: KernelFigures) -> bool:
    return bool(one.constants) and one.constants == other.constants


def _same_figures(one: KernelFigures, other: KernelFigures) -> bool:
    return one.values == other.values


def _same_parameters(one: KernelFigures, other: KernelFigures) -> bool:
    return bool(one.constants) and one.constants.keys() == other.constants.keys()


Alike = Callable[[KernelFigures, KernelFigures], bool]


def _all(*tests: Alike) -> Alike:
    return lambda one, other: all(test(one, other) for test in tests)


ALIKE: tuple[Alike, ...] = (
    _all(_same_name, _same_file, _same_constants, _same_figures),
    _all(_same_name, _same_file, _same_constants),
    _all(_same_name, _same_constants),
    _all(_same_name, _same_figures),
    _all(_same_name, _same_file),
    _same_name,
    _all(_same_constants, _same_figures),
    _same_constants,
    _all(_same_figures, _same_parameters),
    _same_parameters,
)
"""How kernels of two sides are found again, the surest first: launches change their order, and kernels their names.

A budget knows neither files nor constants.
"""


def paired(
    base: Iterable[KernelFigures], head: Iterable[KernelFigures]
) -> list[tuple[KernelFigures | None, KernelFigures | None]]:
    """Kernels of both sides, by what they have in common, see ALIKE; of the rest those in the same place."""
    left, right = list(base), list(head)
    pairs: list[tuple[KernelFigures | None, KernelFigures | None]] = []
    for alike in ALIKE:
        for kernel in list(right):
            same = next((other for other in left if alike(other, kernel)), None)
            if same is not None:
                pairs.append((same, kernel))
                left.remove(same)
                right.remove(kernel)
    renamed = min(len(left), len(right))
    pairs += list(zip(left[:renamed], right[:renamed], strict=True))
    return [*pairs, *((None, kernel) for kernel in right[renamed:]), *((kernel, None) for kernel in left[renamed:])]
