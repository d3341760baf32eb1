"""Our own kernels in Triton for sampling, which sort nothing."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from attnlab.bench import Configuration, Needs, Resources, SamplingCase, SamplingInputs, Space, implements
from attnlab.impls import _triton
from attnlab.impls._tuned import TunedKernel

PROGRAM_S = 0.01  # the interpreter's time for a program
CHECK_RUNS = 8  # two draws and two sets of needles, each run twice
PASSES = 6
CHUNK = 2048  # logits of a program, which draws from 4 times as many at once
AXES = {"chunk": (512, 1024, 2048, 4096), "pass_warps": (2, 4, 8), "turn_warps": (4, 8), "row_warps": (4, 8, 16)}


def _built_in(case: SamplingCase) -> Any:
    from attnlab.kernels.triton.sampling_plan import BUILT_IN

    return BUILT_IN


def _default(case: SamplingCase) -> dict[str, int | str]:
    return _triton.values(_built_in(case), AXES)


def _shape(case: SamplingCase) -> tuple[dict[str, int | str], dict[str, int]]:
    p = case.params
    exact: dict[str, int | str] = {
        "dtype": case.dtype,
        "greedy": int(p.greedy),
        "top_p": int(p.top_p < 1),
        "min_p": int(p.min_p > 0),
        "penalised": int(p.penalises),
    }
    return exact, {"rows": case.batch, "vocab": case.vocab, "draws": case.draws, "top_k": p.top_k or 0}


def _unfit(case: SamplingCase, chosen: Configuration) -> str | None:
    params, built_in = case.params, _default(case)
    if int(chosen["chunk"]) > min(AXES["chunk"]) and int(chosen["chunk"]) >= 2 * case.vocab:
        return "a chunk twice as long as a row, as half of it would do"
    turns = not params.greedy and params.top_k is None and params.top_p < 1
    if not turns and chosen["turn_warps"] != built_in["turn_warps"]:
        return "no turns narrow the threshold here"
    if params.greedy and chosen["row_warps"] != built_in["row_warps"]:
        return "nothing is drawn of a row"
    return None


def _least(case: SamplingCase, chosen: Configuration) -> Resources:
    return Resources(threads=32 * max(int(chosen[name]) for name in AXES if name.endswith("warps")))


SPACE = Space(AXES, default=_default, shape=_shape, unfit=_unfit, least=_least)


@implements("sampling", name="triton", needs=Needs(packages=("triton",)), space=SPACE)
class Triton(TunedKernel):
    """Our Triton kernels: thresholds by search over chunks of a row; interpreted and untimed without a GPU."""

    def __init__(self) -> None:
        super().__init__("sampling/triton", SPACE, _built_in, where="logits")

    def supports(self, case: SamplingCase) -> str | None:
        programs = PASSES * math.ceil(case.vocab / CHUNK) + case.draws * min(case.vocab, CHUNK) / (4 * CHUNK)
        return _triton.too_slow(CHECK_RUNS * case.batch * programs * PROGRAM_S)

    def run(self, inputs: SamplingInputs, state: Any = None) -> Tensor:
        from attnlab.kernels.triton.sampling import sample

        params = inputs.params
        return sample(
            inputs.logits,
            inputs.uniforms,
            temperature=params.temperature,
            top_k=params.top_k,
            top_p=params.top_p,
            min_p=params.min_p,
            repetition_penalty=params.repetition_penalty,
            seen=inputs.seen,
            **({} if state is None else {"tiling": state}),
        )
