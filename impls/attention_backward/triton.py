"""Our own attention backward kernels in Triton."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from attnlab.bench import AttentionBackwardInputs, AttentionCase, Configuration, Needs, Space, implements
from attnlab.impls import _triton, _variants
from attnlab.impls._configs import Chooser, attention_shape

TILE_S = 0.12  # the interpreter's time for a tile, in both kernels together
AXES = {
    "dkdv_block_m": (32, 64),
    "dkdv_block_n": (64, 128),
    "dkdv_num_stages": (1, 2),
    "dq_block_m": (64, 128),
    "dq_block_n": (32, 64),
    "dq_num_stages": (1, 2, 3),
}
"""Of both large kernels; warps stay as they are built in."""


def _built_in(case: AttentionCase) -> Any:
    from attnlab.kernels.triton.attention_backward import configuration
    from attnlab.kernels.triton.device import architecture

    return configuration(case.head_dim, case.v_head_dim, case.torch_dtype, architecture(), _variants.is_shaped(case))


def _default(case: AttentionCase) -> dict[str, int | str]:
    tilings = _built_in(case)
    return {
        name: int(getattr(getattr(tilings, kernel), value))
        for name in AXES
        for kernel, _, value in [name.partition("_")]
    }


def _tilings(case: AttentionCase, taken: Configuration) -> Any:
    """Both tilings with what was taken of each."""
    tilings = _built_in(case)
    for name, value in taken.items():
        kernel, _, field = name.partition("_")
        tilings = replace(tilings, **{kernel: replace(getattr(tilings, kernel), **{field: value})})
    return tilings


def _unfit(case: AttentionCase, chosen: Configuration) -> str | None:
    kernels = ("dkdv", "dq")
    reasons = (_triton.too_long(case, chosen[f"{k}_block_m"], chosen[f"{k}_block_n"]) for k in kernels)
    return next(filter(None, reasons), None)


SPACE = Space(AXES, default=_default, shape=attention_shape, unfit=_unfit)


@implements(
    "attention_backward",
    name="triton",
    needs=Needs(packages=("triton",)),
    space=SPACE,
    serves=_variants.SERVES,
)
class Triton:
    """Our Triton kernels: scores computed again, deterministic; interpreted and untimed without a GPU."""

    def __init__(self) -> None:
        self._chooser = Chooser("attention_backward/triton", SPACE, "triton")

    def supports(self, case: AttentionCase) -> str | None:
        return _triton.limits(case, TILE_S)

    def prepare(
        self, case: AttentionCase, inputs: AttentionBackwardInputs, chosen: Configuration | None = None
    ) -> dict[str, Any]:
        _triton.require_device(inputs.q)
        taken = self._chooser.take(case, inputs.q.device, chosen)
        arguments = _variants.arguments_of(case, inputs) | {"tiling": _tilings(case, taken)}
        if inputs.q.is_cuda:
            self.run(inputs, arguments)  # compiles
        return arguments

    def run(self, inputs: AttentionBackwardInputs, arguments: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        from attnlab.kernels.triton.attention_backward import attention_backward

        forward = (inputs.q, inputs.k, inputs.v, inputs.out, inputs.lse)
        return attention_backward(inputs.dout, *forward, **arguments)

    def untimed(self, device_kind: str) -> str | None:
        return _triton.untimed(device_kind)

    def configuration(self, case: AttentionCase) -> str | None:
        def described(taken: Configuration) -> str:
            tilings = _tilings(case, taken)
            return f"dk, dv: {_triton.describe(tilings.dkdv)}; dq: {_triton.describe(tilings.dq)}"

        return self._chooser.told(case, described) or described(_default(case))
