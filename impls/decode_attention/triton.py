"""Our own decoding kernel in Triton."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnlab.bench import DecodeCase, DecodeInputs, Needs, implements
from attnlab.impls import _cache, _triton

TILE_S = 0.01  # the interpreter's time for a tile of tokens


@implements("decode_attention", name="triton", needs=Needs(packages=("triton",)))
class Triton:
    """Our Triton kernel: split over the cache, codes decoded in registers; interpreted and untimed without a GPU."""

    def supports(self, case: DecodeCase) -> str | None:
        if case.head_dim > _triton.LARGEST_HEAD_DIM:
            return f"head size {case.head_dim} is not served: {_triton.LARGEST_HEAD_DIM} at most"
        tiles = sum(length // 32 + 2 for length in case.lengths) * case.kv_heads
        return _triton.too_slow(7 * 2 * tiles * TILE_S)

    def prepare(self, case: DecodeCase, inputs: DecodeInputs) -> dict[str, Any]:
        from attnlab.kernels.triton.decode_cuts import cut_call

        _triton.require_device(inputs.q)
        key_codec, value_codec = _cache.CODECS[case.cache]
        shared: dict[str, Any] = {"key_codec": key_codec, "longest": case.longest, "window": case.mask.window}
        # Parts of a sequence meet in a workspace of the case's own, so that a call is one launch.
        workspace = cut_call(inputs.q, case.kv_heads, **shared).workspace(inputs.q)
        arguments = shared | {
            "value_codec": value_codec,
            "page_tokens": inputs.cache.page_tokens,
            "wraps": case.placing.wraps,
            "scale": inputs.scale,
            "workspace": workspace,
        }
        if inputs.q.is_cuda:
            self.run(inputs, arguments)  # compiles
        return arguments

    def run(self, inputs: DecodeInputs, arguments: dict[str, Any]) -> Tensor:
        from attnlab.kernels.triton.decode_attention import decode_attention

        cache = inputs.cache
        return decode_attention(
            inputs.q, cache.keys.planes, cache.values.planes, cache.lengths, table=cache.table, **arguments
        )

    def untimed(self, device_kind: str) -> str | None:
        return _triton.untimed(device_kind)

    def configuration(self, case: DecodeCase) -> str | None:
        from attnlab.kernels.triton.decode_cuts import configuration

        rows = case.q_len * case.q_heads // case.kv_heads
        tiling = configuration(case.head_dim, case.torch_dtype, _cache.CODECS[case.cache][0], rows)
        return f"{tiling.block_n} tokens a tile, {tiling.num_warps} warps, {tiling.num_stages} stages"
