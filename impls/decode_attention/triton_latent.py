"""Our own kernel for latent heads (MLA, absorbed) in Triton."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnlab.bench import Configuration, DecodeCase, DecodeInputs, Needs, Space, implements
from attnlab.impls import _triton
from attnlab.impls._tuned import TunedKernel

TILE_S = 0.02  # the interpreter's time for a tile
AXES = {"block_m": (16, 32, 64), "block_n": (16, 32, 64), "num_warps": (4, 8, 16), "num_stages": (1, 2, 3)}


def _built_in(case: DecodeCase) -> Any:
    from attnlab.kernels.triton.device import architecture
    from attnlab.kernels.triton.latent_attention import latent_tiling

    return latent_tiling(case.q_heads * case.q_len, case.torch_dtype, architecture())


def _shape(case: DecodeCase) -> tuple[dict[str, int | str], dict[str, int]]:
    exact: dict[str, int | str] = {
        "dtype": case.dtype,
        "head_dim": case.head_dim,
        "v_head_dim": case.v_head_dim,
        "layout": case.layout,
    }
    return exact, {"rows": case.q_heads * case.q_len, "context": case.longest, "batch": case.batch}


def _unfit(case: DecodeCase, chosen: Configuration) -> str | None:
    rows = case.q_heads * case.q_len
    if int(chosen["block_m"]) > 16 and int(chosen["block_m"]) >= 2 * rows:
        return "a tile of rows twice as high as there are any, as half of it would do"
    return None


SPACE = Space(AXES, default=lambda case: _triton.values(_built_in(case), AXES), shape=_shape, unfit=_unfit)


@implements(
    "decode_attention",
    name="triton_latent",
    needs=Needs(packages=("triton",)),
    space=SPACE,
    serves={"layout": ("latent", "latent_paged"), "v_head_dim": True},
)
class TritonLatent(TunedKernel):
    """Our Triton kernel for latent heads: a token is read once, for both; interpreted and untimed without a GPU."""

    def __init__(self) -> None:
        super().__init__("decode_attention/triton_latent", SPACE, _built_in, where="q")

    def supports(self, case: DecodeCase) -> str | None:
        if not case.placing.latent:
            return f"layout {case.layout} is not served: latent ones only"
        if case.mask.kind != "causal":
            return f"mask {case.mask} is not served: causal only"
        tiles = sum(length // 16 + 1 for length in case.lengths) * (1 + case.q_heads * case.q_len // 16)
        return _triton.too_slow(_triton.CHECK_RUNS * 2 * tiles * TILE_S)

    def state(self, case: DecodeCase, tiling: Any) -> tuple[int, Any]:
        return case.longest, tiling

    def run(self, inputs: DecodeInputs, state: Any = None) -> Tensor:
        from attnlab.kernels.triton.latent_attention import latent_attention

        longest, tiling = state
        cache = inputs.cache
        return latent_attention(
            inputs.q,
            cache.keys.planes["data"],
            cache.lengths,
            v_head_dim=cache.v_head_dim,
            scale=inputs.scale,
            longest=longest,
            table=cache.table,
            tiling=tiling,
        )
