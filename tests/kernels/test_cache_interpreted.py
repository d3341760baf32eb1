"""The kernels over a cache, and the sampler, on what is seldom given: under Triton's interpreter, by themselves.

See `test_attention_interpreted` for why.
"""

import os

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

if not INTERPRETED:

    def test_under_the_interpreter(passes_interpreted):
        passes_interpreted(__file__)

else:
    from attnlab.bench.llm.caches import KVCache, format_of, known_formats, layout_of
    from attnlab.impls._cache import CODECS
    from attnlab.kernels.triton.decode_attention import decode_attention
    from attnlab.kernels.triton.kv_append import Place, kv_append
    from attnlab.kernels.triton.sampling import sample

    def cache_of(format, layout="contiguous_bhsd", heads=2, capacity=96):
        return KVCache.allocate(
            layout_of(layout),
            format_of(format),
            batch=2,
            kv_heads=heads,
            head_dim=32,
            dtype=torch.float32,
            capacity=capacity,
            device=torch.device("cpu"),
        )

    def appended(cache, k, v):
        """By the kernels, after the scales that are set once."""
        place = Place(cache.page_tokens, cache.table, cache.layout.wraps)
        cache.calibrate(k.nan_to_num(), v.nan_to_num(), torch.full_like(cache.lengths, k.shape[2]))
        keys, values = CODECS[cache.format.name]
        kv_append(k, cache.keys.planes, cache.lengths, keys, place, cache.recent)
        kv_append(v, cache.values.planes, cache.lengths, values, place)
        cache.lengths.add_(k.shape[2])
        return cache.read()

    @pytest.mark.parametrize("format", [name for name in known_formats() if name != "int8_channel"])
    def test_what_is_no_number_stays_none(format):
        """As the plain formats have it; eight whole bits with a scale set beforehand have no code for it."""
        torch.manual_seed(0)
        k, v = (torch.randn(2, 2, 20, 32) for _ in range(2))
        k[0, 1, 7, 5] = v[1, 0, 3, 30] = torch.nan
        plain = cache_of(format)
        plain.calibrate(k.nan_to_num(), v.nan_to_num(), torch.full_like(plain.lengths, 20))
        plain.write(k, v, plain.lengths)
        plain.lengths.add_(20)
        for got, expected, x in zip(appended(cache_of(format), k, v), plain.read(), (k, v), strict=True):
            assert torch.equal(got.isnan(), expected.isnan())
            assert got.isnan()[x.isnan()].all()

    @pytest.mark.parametrize("format", ["same", "int8_token"])
    def test_a_window_beyond_all_keys_is_none(format):
        torch.manual_seed(0)
        cache = cache_of(format)
        appended(cache, torch.randn(2, 2, 80, 32), torch.randn(2, 2, 80, 32))
        keys, values = CODECS[format]

        def decoded(window):
            return decode_attention(
                torch.ones(2, 4, 3, 32),
                cache.keys.planes,
                cache.values.planes,
                cache.lengths,
                key_codec=keys,
                value_codec=values,
                page_tokens=cache.page_tokens,
                longest=80,
                scale=0.1,
                window=window,
                splits=2,
            )

        assert torch.equal(decoded(None), decoded(2**31 - 1))
        assert not torch.equal(decoded(None), decoded(79))

    @pytest.mark.parametrize("params", [{"temperature": 0}, {}, {"top_k": 3}, {"top_p": 0.5}], ids=str)
    @pytest.mark.parametrize("value", [torch.nan, -torch.inf])
    def test_a_row_without_a_number_gives_a_token_of_the_vocabulary(params, value):
        logits = torch.randn(2, 3000)
        logits[1] = value
        tokens = sample(logits, torch.full((2, 4), 0.99), **params)
        assert tokens.min() >= 0
        assert tokens.max() < 3000
