"""Our own decoding kernel in Triton."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from attnlab.bench import Configuration, DecodeCase, DecodeInputs, Needs, Space, implements
from attnlab.impls import _cache, _triton, _variants
from attnlab.impls._configs import Chooser, Shape, added

TILE_S = 0.01  # the interpreter's time for 64 rows of queries and 32 tokens
TILING = ("block_n", "num_warps", "num_stages")
AXES = {"block_n": (32, 64, 128), "num_warps": (2, 4, 8), "num_stages": (2, 3, 4), "splits": (0, 1, 4, 16, 64)}
"""Splits of each sequence: 0 for as many as fill the device."""


def _rows(case: DecodeCase) -> int:
    return case.q_len * case.q_heads // case.kv_heads


def _built_in(case: DecodeCase) -> Any:
    from attnlab.kernels.triton.decode_cuts import configuration

    codec = _cache.CODECS[case.cache][0]
    return configuration(case.head_dim, case.torch_dtype, codec, _rows(case), _variants.gathers(case))


def _tiles(case: DecodeCase) -> int:
    """How often 64 rows of queries, or less, meet 32 tokens."""
    block_m = int(_built_in(case).rows_of(_rows(case)))
    row_tiles = -(-_rows(case) // block_m) * max(1, block_m // 64)
    return sum(length // 32 + 2 for length in case.lengths) * case.kv_heads * row_tiles


def _shape(case: DecodeCase) -> Shape:
    exact: dict[str, int | str] = {
        "dtype": case.dtype,
        "head_dim": case.head_dim,
        "rows": _rows(case),
        "cache": case.cache,
        "layout": str(case.layout),
        "mask": case.mask.kind,
    }
    more, sizes = added(case)
    return exact | more, {"longest": case.longest, "sequences": case.batch * case.kv_heads} | sizes


def _unfit(case: DecodeCase, chosen: Configuration) -> str | None:
    block_n, splits = int(chosen["block_n"]), int(chosen["splits"])
    if block_n > 32 and block_n >= 2 * case.longest:
        return "a tile twice as long as there are tokens, as half of it would do"
    return "more splits than tiles" if splits > max(1, -(-case.longest // block_n)) else None


SPACE = Space(
    AXES,
    default=lambda case: {**_triton.values(_built_in(case), TILING), "splits": 0},
    shape=_shape,
    unfit=_unfit,
)


def _tiling(case: DecodeCase, taken: Configuration) -> Any:
    return replace(_built_in(case), **{name: taken[name] for name in TILING})


@implements(
    "decode_attention",
    name="triton",
    needs=Needs(packages=("triton",)),
    space=SPACE,
    serves=_variants.DECODE_SERVES,
)
class Triton:
    """Our Triton kernel: split over the cache, codes decoded in registers; interpreted and untimed without a GPU."""

    def __init__(self) -> None:
        self._chooser = Chooser("decode_attention/triton", SPACE, "triton")

    def supports(self, case: DecodeCase) -> str | None:
        if case.head_dim > _triton.LARGEST_HEAD_DIM:
            return f"head size {case.head_dim} is not served: {_triton.LARGEST_HEAD_DIM} at most"
        if (reason := _triton.cap_limit(case)) is not None:
            return reason
        return _triton.too_slow(7 * 2 * _tiles(case) * TILE_S) if _triton.is_interpreted() else None

    def prepare(self, case: DecodeCase, inputs: DecodeInputs, chosen: Configuration | None = None) -> dict[str, Any]:
        from attnlab.kernels.triton.decode_cuts import cut_call

        _triton.require_device(inputs.q)
        key_codec, value_codec = _cache.CODECS[case.cache]
        taken = self._chooser.take(case, inputs.q.device, chosen)
        shared: dict[str, Any] = {
            "key_codec": key_codec,
            "longest": case.longest,
            "tiling": _tiling(case, taken),
            "splits": taken["splits"] or None,
        }
        # Parts of a sequence meet in a workspace of the case's own, so that a call is one launch.
        near = case.mask.size if case.mask.kind in ("window", "chunked") else None
        workspace = cut_call(inputs.q, case.kv_heads, window=near, **shared).workspace(inputs.q)
        arguments = shared | {
            "value_codec": value_codec,
            "page_tokens": inputs.cache.page_tokens,
            "wraps": case.placing.wraps,
            "scale": inputs.scale,
            "mask": _variants.mask_of(inputs.mask, inputs.q.device),
            "scoring": _variants.scoring_of(inputs, case.q_len, case.longest),
            "workspace": workspace,
        }
        if inputs.q.is_cuda:
            self.run(inputs, arguments)  # compiles
        return arguments

    def run(self, inputs: DecodeInputs, arguments: dict[str, Any]) -> Tensor:
        from attnlab.kernels.triton.decode_attention import decode_attention

        cache = inputs.cache
        q = _variants.normed(inputs.q, inputs.q_norm)
        return decode_attention(
            q, cache.keys.planes, cache.values.planes, cache.lengths, table=cache.table, **arguments
        )

    def untimed(self, device_kind: str) -> str | None:
        return _triton.untimed(device_kind)

    def configuration(self, case: DecodeCase) -> str | None:
        def described(taken: Configuration) -> str:
            tiling, splits = _tiling(case, taken), taken["splits"]
            cut = f", {splits} splits" if splits else ""
            return f"{tiling.block_n} tokens a tile, {tiling.num_warps} warps, {tiling.num_stages} stages{cut}"

        return self._chooser.told(case, described) or described(SPACE.default(case))
