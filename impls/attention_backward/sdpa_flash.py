"""The backward pass of SDPA's flash kernels."""

from __future__ import annotations

from attnlab.bench import AttentionBackwardInputs, AttentionCase, Unavailable, implements
from attnlab.impls import _sdpa as _forward
from attnlab.impls.attention_backward import _sdpa


@implements("attention_backward", name="sdpa_flash", serves=_forward.SERVES)
class SdpaFlash(_sdpa.Flash):
    """SDPA's flash backward: FlashAttention-2 on CUDA; on the CPU torch's own, which serves float32 only."""

    def prepare(self, case: AttentionCase, inputs: AttentionBackwardInputs) -> tuple[_sdpa.Kernel, ...]:
        if not inputs.q.is_cuda and case.dtype != "float32":
            raise Unavailable(
                f"{case.dtype} is not served: on the CPU torch adds gradients up in {case.dtype} over "
                f"tiles and heads, which errs by more than the budget allows"
            )
        return super().prepare(case, inputs)
