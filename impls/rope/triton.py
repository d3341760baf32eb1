"""Positions told by our own kernel in Triton."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnlab.bench import Needs, RopeCase, RopeInputs, implements
from attnlab.impls import _triton
from attnlab.impls._row_space import head_space
from attnlab.impls._tuned import TunedKernel


def _built_in(case: RopeCase) -> Any:
    from attnlab.kernels.triton.rope import row_tiling

    return row_tiling(case.q_heads, case.kv_heads, case.head_dim)


def _shape(case: RopeCase) -> tuple[dict[str, int | str], dict[str, int]]:
    exact: dict[str, int | str] = {"dtype": case.dtype, "head_dim": case.head_dim, "style": case.style}
    sizes = {"tokens": case.batch * case.q_len, "q_heads": case.q_heads, "kv_heads": case.kv_heads}
    return exact, sizes


SPACE = head_space(_built_in, lambda case: max(case.q_heads, case.kv_heads), _shape)


@implements("rope", name="triton", needs=Needs(packages=("triton",)), space=SPACE)
class Triton(TunedKernel):
    """Our Triton kernel: one launch for queries and keys; every style; interpreted and untimed without a GPU."""

    def __init__(self) -> None:
        super().__init__("rope/triton", SPACE, _built_in, where="q")

    def supports(self, case: RopeCase) -> str | None:
        return _triton.too_many_programs(2 * case.batch * case.q_len * (1 + case.q_heads * case.head_dim // 2048))

    def run(self, inputs: RopeInputs, state: Any = None) -> tuple[Tensor, Tensor]:
        from attnlab.kernels.triton.rope import rope

        return rope(inputs.q, inputs.k, inputs.cos, inputs.sin, inputs.positions, inputs.style, tiling=state)
