"""Our own attention forward kernel in Gluon, for Hopper.

The kernel is imported inside functions: Triton, which has Gluon, may not be installed.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnlab.bench import (
    AttentionCase,
    AttentionInputs,
    Configuration,
    Needs,
    Resources,
    Space,
    Unavailable,
    implements,
)
from attnlab.impls import _triton
from attnlab.impls._configs import Chooser, attention_shape

AXES = {"block_n": (32, 64, 128), "stages": (2, 3, 4)}
"""Queries are always in tiles of two times 64, and warps in three groups."""
QUERIES, THREADS = 128, 288


def _tiling(case: AttentionCase, taken: Configuration | None = None) -> Any:
    from attnlab.kernels.gluon.attention_forward import TILINGS, Tiling

    fields: dict[str, Any] = dict(taken or {})
    return Tiling(**fields) if fields else TILINGS[case.head_dim]


def _least(case: AttentionCase, chosen: Configuration) -> Resources:
    """Both tiles of queries, and rings of keys and of values."""
    rows = QUERIES + 2 * int(chosen["block_n"]) * int(chosen["stages"])
    return Resources(shared_bytes=rows * case.head_dim * case.torch_dtype.itemsize, threads=THREADS)


SPACE = Space(
    AXES,
    default=lambda case: _triton.values(_tiling(case), AXES),
    shape=attention_shape,
    unfit=lambda case, chosen: _triton.too_long(case, 1, chosen["block_n"]),
    least=_least,
)


@implements(
    "attention",
    name="gluon",
    needs=Needs(device="cuda", capability=(9, 0), capability_below=(10, 0), packages=("triton",)),
    unverified="Triton 3.7.1, compiled for sm_90; its source run on a shim, not yet on a GPU",
    space=SPACE,
)
class Gluon:
    """Our Gluon kernel for Hopper: warps that load apart from two groups that multiply in turns; no packs."""

    def __init__(self) -> None:
        self._chooser = Chooser("attention/gluon", SPACE, "triton")

    def supports(self, case: AttentionCase) -> str | None:
        from attnlab.kernels.gluon.attention_forward import unserved

        if case.packed:
            return "packed sequences are not served"
        return unserved(case.head_dim, case.v_head_dim, case.torch_dtype)

    def prepare(
        self, case: AttentionCase, inputs: AttentionInputs, chosen: Configuration | None = None
    ) -> dict[str, Any]:
        from attnlab.kernels.gluon.attention_forward import unreadable

        for name, tensor in (("q", inputs.q), ("k", inputs.k), ("v", inputs.v)):
            if reason := unreadable(tensor):
                raise Unavailable(f"the copy engine cannot read {name}: {reason}")
        arguments = {
            "scale": inputs.scale,
            "causal": case.mask.is_causal,
            "window": case.mask.window,
            "tiling": _tiling(case, self._chooser.take(case, inputs.q.device, chosen)),
        }
        self.run(inputs, arguments)  # compiles
        return arguments

    def run(self, inputs: AttentionInputs, arguments: dict[str, Any]) -> Tensor:
        from attnlab.kernels.gluon.attention_forward import attention_forward

        return attention_forward(inputs.q, inputs.k, inputs.v, **arguments)[0]

    def configuration(self, case: AttentionCase) -> str | None:
        return self._chooser.told(case, lambda taken: str(_tiling(case, taken))) or str(_tiling(case))
