"""A linear layer with quantised weights by our own kernels in Triton."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnlab.bench import Configuration, LinearCase, LinearInputs, Needs, Resources, Space, implements
from attnlab.impls import _triton
from attnlab.impls._tuned import TunedKernel
from attnlab.impls.linear._codes import FP8, INT4, coded, int4_codes, middles, only_formats, scales

STEP = 128  # columns of a round of four-bit weights
WARP_THREADS = 32


def _kind(case: LinearCase) -> str:
    return "int4" if case.format in INT4 else "fp8" if case.format in FP8 else "int8"


def _on_codes(case: LinearCase) -> bool:
    """Whether x has codes too."""
    return case.stored_as is not None and case.stored_as.activations != "same"


def _built_in(case: LinearCase) -> Any:
    from attnlab.kernels.triton.linear_arguments import linear_tiling

    return linear_tiling(case.m, case.n, _kind(case), _on_codes(case), case.element_bytes)


def _shape(case: LinearCase) -> tuple[dict[str, int | str], dict[str, int]]:
    return {"dtype": case.dtype, "format": case.format}, {"m": case.m, "n": case.n, "k": case.k}


def _unfit(case: LinearCase, chosen: Configuration) -> str | None:
    block_n, block_m, block_k, parts = (int(chosen[name]) for name in ("block_n", "block_m", "block_k", "parts"))
    if block_m > 16 and block_m >= 2 * case.m:
        return "twice as many rows of x as there are, as half of them would do"
    if block_n > 32 and block_n >= 2 * case.n:
        return "twice as many rows of the weight as there are, as half of them would do"
    if _kind(case) == "int4" and block_k != STEP:
        return f"a round of four-bit weights has {STEP} columns"
    if parts > 1 and parts * block_k > case.k:
        return "more parts than rounds of columns"
    return None


def _least(case: LinearCase, chosen: Configuration) -> Resources:
    block_n, block_m, block_k, warps, stages = (
        int(chosen[name]) for name in ("block_n", "block_m", "block_k", "num_warps", "num_stages")
    )
    weight_bytes = block_n * block_k // (2 if _kind(case) == "int4" else 1)
    x_bytes = block_m * block_k * (1 if _on_codes(case) else case.element_bytes)
    threads = WARP_THREADS * warps
    return Resources(max(1, stages - 1) * (weight_bytes + x_bytes), block_n * block_m // threads, threads)


def _packed(case: LinearCase, inputs: LinearInputs) -> Any:
    from attnlab.kernels.triton.linear_arguments import pack_fp8, pack_int4, pack_int8

    weight = coded(inputs)
    if case.format in INT4:
        return pack_int4(int4_codes(weight), scales(weight), middles(weight) if "minimum" in weight.planes else None)
    pack = pack_fp8 if case.format in FP8 else pack_int8
    return pack(weight.planes["codes"], weight.planes["scale"])


AXES: dict[str, tuple[int | str, ...]] = {
    "block_n": (32, 64, 128, 256),
    "block_m": (16, 32, 64, 128),
    "block_k": (32, 64, 128, 256),
    "parts": (1, 2, 4, 8),
    "num_warps": (2, 4, 8),
    "num_stages": (2, 3, 4, 5),
}
SPACE = Space(AXES, lambda case: _triton.values(_built_in(case), AXES), _shape, _unfit, _least)


@implements(
    "linear",
    name="triton",
    needs=Needs(packages=("triton",)),
    space=SPACE,
    serves={"format": ("int8", "int8_dynamic", *FP8, *INT4)},
)
class Triton(TunedKernel):
    """Our Triton kernels: packed in set-up, codes multiplied as they are, sums scaled; interpreted without a GPU."""

    def __init__(self) -> None:
        super().__init__("linear/triton", SPACE, _built_in, where="x")

    def supports(self, case: LinearCase) -> str | None:
        if (reason := only_formats(case)) is not None:
            return reason
        tiling = _built_in(case)
        tiles = -(-case.n // tiling.block_n) * -(-case.m // tiling.block_m)
        return _triton.too_many_programs(tiles * -(-case.k // tiling.block_k) + case.m)

    def prepare(self, case: LinearCase, inputs: LinearInputs, chosen: Configuration | None = None) -> Any:
        _triton.require_device(inputs.x)
        weight = _packed(case, inputs)
        tiling = self._tiling(case, self._chooser.take(case, inputs.x.device, chosen))
        if inputs.x.is_cuda:
            self.run(inputs, (weight, tiling))  # compiles
        return weight, tiling

    def run(self, inputs: LinearInputs, state: Any = None) -> Tensor:
        from attnlab.kernels.triton.linear import linear, linear_codes

        weight, tiling = state
        activations = coded(inputs).format.activations
        if activations == "same":
            return linear(inputs.x, weight, inputs.bias, tiling)
        return linear_codes(inputs.x, weight, inputs.bias, activations != "fp8_tensor", tiling)
