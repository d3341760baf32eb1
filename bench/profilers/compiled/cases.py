"""One implementation on one case, compiled for one target: its launcher is asked, on inputs of the case."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.contract.registry import Implementation, discover_one, registry
from attnlab.bench.errors import ImpossibleCase, Unavailable, UnknownName
from attnlab.bench.profilers.compiled.c_kernels import MARCHES, compiled_by_c
from attnlab.bench.profilers.compiled.devices import ARCHITECTURES, models_of
from attnlab.bench.profilers.compiled.launches import place, recorded
from attnlab.bench.profilers.compiled.orders import CaseOrder
from attnlab.bench.profilers.compiled.resources import CompiledCase, KernelResources
from attnlab.bench.text import one_line

LONGEST_MESSAGE = 4_000
NO_CUDA = "Torch not compiled with CUDA enabled"  # what such a torch raises, torch.compile's own part among it


def serves(made: Implementation, target: str) -> bool:
    """Whether an implementation may have kernels for such a target at all."""
    return made.needs.device == "cpu" if target in MARCHES else made.needs.device != "cpu"


def compile_order(order: CaseOrder, plugins: tuple[str, ...], kept: Path | None, root: Path | None) -> CompiledCase:
    """What is ordered, wherever it comes from; that it is not there, or cannot be imported, is told in the record."""
    operator, _, name = order.implementation.partition("/")
    found = CompiledCase(order.implementation, order.case_id, order.target)
    try:
        made = discover_one(operator, name, order.module, plugins)
        registry.operators.get(operator).case_type.parse(order.case_id)
    except (UnknownName, ModuleNotFoundError, ImpossibleCase) as error:
        return replace(found, missing=True, unserved=one_line(str(error)))
    except Exception as error:  # noqa: BLE001 - foreign code; the record tells what was raised
        message, at = _told(error, root)
        return replace(found, failed=message, place=at)
    made = made.configured(order.chosen) if order.chosen else made
    return compile_case(made, order.case_id, order.target, kept, root)


def compile_case(made: Implementation, case_id: str, target: str, kept: Path | None, root: Path | None) -> CompiledCase:
    """Ask an implementation's launchers for a case; what does not compile, or is not served, is told in the record."""
    found = CompiledCase(made.key, case_id, target)
    case = registry.operators.get(made.operator).case_type.parse(case_id)
    if reason := _lacking(made, target) or made.supports(case):
        return replace(found, unserved=one_line(reason))
    import torch

    kernels: list[KernelResources] = []
    try:
        inputs = _inputs(made.operator, case_id)
        with _asked(target, kept, root) as kernels:
            _call(made, case, inputs, on_gpu=target not in MARCHES)
    except Unavailable as error:
        return replace(found, unserved=one_line(str(error)))
    except Exception as error:  # noqa: BLE001 - foreign code, and compilers; the record tells what was raised
        message, at = _told(error, root)
        if NO_CUDA in message and not torch.backends.cuda.is_built():
            asked = "torch.compile makes its kernels" if made.compiled else f"it asks torch itself for a GPU ({at})"
            return replace(found, unserved=f"{asked}, and this torch is built without CUDA", kernels=tuple(kernels))
        return replace(found, failed=message, place=at, kernels=tuple(kernels))
    if not kernels:
        return replace(found, unserved="it launches no kernel of Triton, and compiles none in C")
    return replace(found, kernels=tuple(kernels))


@contextmanager
def _asked(target: str, kept: Path | None, root: Path | None) -> Iterator[list[KernelResources]]:
    if target in MARCHES:
        with compiled_by_c(target, root) as kernels:
            yield kernels
        return
    with recorded(models_of(ARCHITECTURES[int(target[3:])].sm)[0], kept, root) as kernels:
        yield kernels


def _call(made: Implementation, case: Any, inputs: Any, on_gpu: bool) -> None:
    from attnlab.bench.profilers.compiled.on_gpu import moved

    given = moved(inputs) if on_gpu else inputs
    made.run(given, made.prepare(case, given))


@functools.lru_cache(maxsize=2)
def _inputs(operator: str, case_id: str) -> Any:
    import torch

    contract = registry.operators.get(operator)
    return contract.make_inputs(contract.case_type.parse(case_id), NORMAL_DRAW, 0, torch.device("cpu"))


def _lacking(made: Implementation, target: str) -> str | None:
    needs = made.needs
    if not serves(made, target):
        return f"it needs {needs.device}"
    if target in MARCHES:
        return None
    capability = divmod(int(target[3:]), 10)
    if needs.capability is not None and capability < needs.capability:
        return f"it needs compute capability {needs.capability[0]}.{needs.capability[1]} or later"
    if needs.capability_below is not None and capability >= needs.capability_below:
        return f"it serves compute capabilities below {needs.capability_below[0]}.{needs.capability_below[1]}"
    return None


def _told(error: Exception, root: Path | None) -> tuple[str, str | None]:
    """What went wrong in the compiler's or launcher's words, and where in the source."""
    at = _triton_place(error, root) or _python_place(error, root)
    message = str(error).strip() or type(error).__name__
    return f"{type(error).__name__}: {message}"[:LONGEST_MESSAGE], at


def _triton_place(error: BaseException, root: Path | None) -> str | None:
    """`file:line` of the innermost line of a kernel that Triton refuses."""
    from triton.compiler.errors import CompilationError
    from triton.runtime.jit import JITCallable, KernelInterface

    deepest: Any = None
    walked: Any = error
    while walked is not None:
        if isinstance(walked, CompilationError) and getattr(walked, "src", None) and walked.node is not None:
            deepest = walked
        walked = walked.__cause__
    if deepest is None:
        return None
    for module in list(sys.modules.values()):
        for value in list(vars(module).values()) if inspect.ismodule(module) else ():
            function: Any = value
            while issubclass(type(function), KernelInterface) and not issubclass(type(function), JITCallable):
                function = function.fn  # of an autotuner
            if issubclass(type(function), JITCallable) and function.src == deepest.src:
                head = next(line for line in function.raw_src if line.lstrip().startswith("def "))
                line = function.starting_line_number + function.raw_src.index(head) + deepest.node.lineno - 1
                return place(function.fn.__code__.co_filename, line, root)
    return None


def _python_place(error: BaseException, root: Path | None) -> str | None:
    """`file:line` of the last frame that is the user's, or of this repository's kernels."""
    found, frame = None, error.__traceback__
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if not file.startswith(("<", sys.prefix, sys.base_prefix)) and not _is_harness(file):
            found = place(file, frame.tb_lineno, root)
        frame = frame.tb_next
    return found


def _is_harness(file: str) -> bool:
    return Path(__file__).parents[2] in Path(file).parents
