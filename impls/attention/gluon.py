"""Our own attention forward kernel in Gluon, for Hopper.

The kernel is imported inside functions: Triton, which has Gluon, may not be installed.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnlab.bench import AttentionCase, AttentionInputs, Needs, Unavailable, implements


@implements(
    "attention",
    name="gluon",
    needs=Needs(device="cuda", capability=(9, 0), capability_below=(10, 0), packages=("triton",)),
    unverified="Triton 3.7.1, compiled for sm_90; its source run on a shim, not yet on a GPU",
)
class Gluon:
    """Our Gluon kernel for Hopper: warps that load apart from two groups that multiply in turns; no packs."""

    def supports(self, case: AttentionCase) -> str | None:
        from attnlab.kernels.gluon.attention_forward import unserved

        if case.packed:
            return "packed sequences are not served"
        return unserved(case.head_dim, case.v_head_dim, case.torch_dtype)

    def prepare(self, case: AttentionCase, inputs: AttentionInputs) -> dict[str, Any]:
        from attnlab.kernels.gluon.attention_forward import unreadable

        for name, tensor in (("q", inputs.q), ("k", inputs.k), ("v", inputs.v)):
            if reason := unreadable(tensor):
                raise Unavailable(f"the copy engine cannot read {name}: {reason}")
        arguments = {"scale": inputs.scale, "causal": case.mask.is_causal, "window": case.mask.window}
        self.run(inputs, arguments)  # compiles
        return arguments

    def run(self, inputs: AttentionInputs, arguments: dict[str, Any]) -> Tensor:
        from attnlab.kernels.gluon.attention_forward import attention_forward

        return attention_forward(inputs.q, inputs.k, inputs.v, **arguments)[0]

    def configuration(self, case: AttentionCase) -> str | None:
        from attnlab.kernels.gluon.attention_forward import TILINGS

        tiling = TILINGS[case.head_dim]
        return f"128×{tiling.block_n} tiles, 2 × 4 warps and 1, {tiling.stages} stages"
