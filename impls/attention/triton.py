"""Our own attention forward kernel in Triton."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from attnlab.bench import AttentionCase, AttentionInputs, Configuration, Needs, Space, implements
from attnlab.impls import _triton, _variants
from attnlab.impls._configs import Chooser, attention_shape

TILE_S = 0.04  # the interpreter's time for a tile
AXES = {
    "block_m": (32, 64, 128),
    "block_n": (16, 32, 64, 128),
    "num_warps": (4, 8),
    "num_stages": (1, 2, 3, 4),
}


def _built_in(case: AttentionCase) -> Any:
    from attnlab.kernels.triton.attention_forward import configuration
    from attnlab.kernels.triton.device import architecture

    return configuration(case.head_dim, case.v_head_dim, case.torch_dtype, architecture(), _variants.gathers(case))


SPACE = Space(
    AXES,
    default=lambda case: _triton.values(_built_in(case), AXES),
    shape=attention_shape,
    unfit=lambda case, chosen: _triton.too_long(case, chosen["block_m"], chosen["block_n"]),
    least=_triton.least,
)


@implements(
    "attention",
    name="triton",
    needs=Needs(packages=("triton",)),
    space=SPACE,
    serves={**_variants.SERVES, "qk_norm": True},
)
class Triton:
    """Our Triton kernel: online softmax, masked tiles apart; interpreted and untimed without a GPU."""

    def __init__(self) -> None:
        self._chooser = Chooser("attention/triton", SPACE, "triton")

    def supports(self, case: AttentionCase) -> str | None:
        return _triton.limits(case, TILE_S)

    def prepare(
        self, case: AttentionCase, inputs: AttentionInputs, chosen: Configuration | None = None
    ) -> dict[str, Any]:
        _triton.require_device(inputs.q)
        taken = self._chooser.take(case, inputs.q.device, chosen)
        arguments = _variants.arguments_of(case, inputs) | {"tiling": replace(_built_in(case), **taken)}
        if inputs.q.is_cuda:
            self.run(inputs, arguments)  # compiles
        return arguments

    def run(self, inputs: AttentionInputs, arguments: dict[str, Any]) -> Tensor:
        from attnlab.kernels.triton.attention_forward import attention_forward

        q, k = _variants.normed(inputs.q, inputs.q_norm), _variants.normed(inputs.k, inputs.k_norm)
        return attention_forward(q, k, inputs.v, **arguments)[0]

    def untimed(self, device_kind: str) -> str | None:
        return _triton.untimed(device_kind)

    def configuration(self, case: AttentionCase) -> str | None:
        def described(taken: Configuration) -> str:
            return _triton.describe(replace(_built_in(case), **taken))

        return self._chooser.told(case, described) or _triton.describe(_built_in(case))
