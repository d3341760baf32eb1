"""Contents of dynamic tensors: the same in any process, put in place, never twice; what belongs together stays so."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from attnlab.bench.contract.contents import Content, Contents, Deck, Place, derived, inputs_of, renewed, write
from attnlab.bench.contract.operator_spec import NORMAL_DRAW, tensors
from attnlab.bench.contract.registry import discover
from attnlab.bench.ops._shared.caching import DecodeCase
from attnlab.bench.ops.decode_attention.contract import DECODE_ATTENTION
from attnlab.bench.store.codec import decode, encode

CPU = torch.device("cpu")
CASES = (
    ("attention", "B2-Hq4-Hkv2-Sq20-Sk30-D16-Dv24-bf16"),
    ("attention", "Hq9-Hkv3-Sq16-D64-fp32-smollm2"),
    ("attention_backward", "Hq4-Hkv2-Sq10-D8-fp32-causal"),
    ("decode_attention", "B2-Hq4-Hkv2-C90..200-D64-bf16-paged.16-int8_token"),
    ("decode_attention", "B2-Hq4-Hkv2-C90..200-D64-bf16-paged_hsd.16-int8_channel"),
    ("decode_attention", "Hq4-Hkv2-C50-D64-bf16-fp8_e4m3"),
    ("decode_attention", "B2-Hq4-Hkv2-C33..200-D64-fp32-paged.32-int4_g32"),
    ("kv_append", "B2-Hkv2-Sq3-C20..70-D64-bf16-int4_g32"),
    ("kv_append", "B2-Hkv2-C20..70-D64-fp16-int8_token"),
    ("linear", "M1-N8-K64-fp32"),
    ("embedding", "M16-N8-V100-fp32"),
    ("rope", "Hq2-Sq5-D8-P64-bf16"),
    ("rmsnorm", "M3-N64-bf16-outliers"),
    ("sampling", "B2-V100-N3-fp32-peaked"),
    ("sampling", "B2-V100-r1.3-fp32-one_hot"),
)


def case_of(operator: str, case_id: str) -> tuple[Any, Any]:
    contract = discover().operators.get(operator)
    return contract, contract.case_type.parse(case_id)


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))


def state_of(operator: Any, case: Any, inputs: Any) -> bytes:
    parts = renewed(operator, case, inputs).values()
    return b"".join(x.contiguous().view(torch.uint8).numpy().tobytes() for x in parts)


@pytest.mark.parametrize(("operator", "case_id"), CASES)
def test_what_is_written_in_place_is_what_is_made_from_nothing(operator: str, case_id: str) -> None:
    contract, case = case_of(operator, case_id)
    inputs = contract.make_inputs(case, NORMAL_DRAW, 3, CPU)
    contents, place = Contents(contract, case, inputs, secret=1), Place(contract, case, inputs)
    where = {path: (x.data_ptr(), x._version) for path, x in renewed(contract, case, inputs).items()}
    seen = {state_of(contract, case, inputs)}
    for _ in range(2):
        content = contents.next(3)
        contents.write(place, content)
        read_back = decode(Content, encode(content))
        made = inputs_of(contract, case, read_back, CPU)
        assert all(same(x, tensors(made)[path]) for path, x in tensors(inputs).items())
        seen.add(state_of(contract, case, inputs))
    assert len(seen) == 3
    for path, tensor in renewed(contract, case, inputs).items():
        assert tensor.data_ptr() == where[path][0]
        assert tensor._version > where[path][1]
    assert contract.intact(inputs) is None


@pytest.mark.parametrize(("operator", "case_id"), [("attention", "Hq2-Sq4-D4-fp32"), ("linear", "M1-N8-K16-fp32")])
def test_no_content_comes_twice_however_few_its_columns(operator: str, case_id: str) -> None:
    contract, case = case_of(operator, case_id)
    inputs = contract.make_inputs(case, NORMAL_DRAW, 3, CPU)
    contents, place = Contents(contract, case, inputs, secret=1), Place(contract, case, inputs)
    seen = set()
    for _ in range(400):
        contents.write(place, contents.next(3))
        seen.add(state_of(contract, case, inputs))
    assert len(seen) == 400


def test_a_mixed_content_has_each_column_of_one_draw_alike_in_all_rows_and_tensors() -> None:
    contract, case = case_of("attention", "B2-Hq4-Hkv2-Sq20-Sk30-D16-fp32")
    inputs = contract.make_inputs(case, NORMAL_DRAW, 3, CPU)
    write(contract, case, inputs, Content(3, 5, 6, deal=1))
    first, other = (contract.make_inputs(case, NORMAL_DRAW, seed, CPU) for seed in (5, 6))
    taken = []
    for name in ("q", "k", "v"):
        mixed, a, b = (getattr(x, name).reshape(-1, 16) for x in (inputs, first, other))
        of_first, of_other = (mixed == a).all(0), (mixed == b).all(0)
        assert bool((of_first ^ of_other).all())
        taken.append(of_other)
    assert bool((taken[0] == taken[1]).all())
    assert 0 < int(taken[0].sum()) < 16


@pytest.mark.parametrize(
    "case_id",
    [
        "B2-Hq4-Hkv2-C90..200-D64-bf16-paged.16-int8_token",
        "B2-Hq4-Hkv2-C90..200-D64-bf16-paged_hsd.16-int8_channel",
        "Hq4-Hkv2-C50-D64-bf16-fp8_e4m3",
        "B2-Hq4-Hkv2-C33..200-D64-fp32-paged.32-int4_g32",
        "B2-Hq4-Hkv2-Sq3-C50..200-D64-bf16-window.40-ring.64",
    ],
)
def test_codes_of_a_draw_have_its_scales(case_id: str) -> None:
    """Every token decodes to what one of the two draws holds, by head where scales are those of a head."""
    case = DecodeCase.parse(case_id)
    inputs = inputs_of(DECODE_ATTENTION, case, Content(3, 5, 6, deal=2), CPU)
    draws = [DECODE_ATTENTION.make_inputs(case, NORMAL_DRAW, seed, CPU) for seed in (5, 6)]
    for side in (0, 1):
        got, a, b = (x.cache.read()[side] for x in (inputs, *draws))
        whole = (got == a).all(-1) | (got == b).all(-1)  # [B, Hkv, S]
        valid = torch.arange(got.shape[2]) < inputs.cache.lengths[:, None]
        assert bool((whole | ~valid[:, None]).all())


def test_draws_that_are_alike_are_not_mixed() -> None:
    """Captured activations have as many draws as there are orders of their heads."""
    contract, case = case_of("attention", "Hq9-Hkv3-Sq16-D64-fp32-smollm2")
    inputs = contract.make_inputs(case, NORMAL_DRAW, 0, CPU)
    deck = Deck(contract, case, inputs)
    assert deck.hold(0)
    assert not deck.hold(math.factorial(3))
    assert deck.hold(1)


def test_seeds_hang_on_all_that_they_are_derived_from() -> None:
    seeds = {derived(*parts) for parts in ((1, "a", 0), (1, "a", 1), (2, "a", 0), (1, "b", 0), ("1a", 0), (1, "a0"))}
    assert len(seeds) == 6
    assert derived(1, "a", 0) == derived(1, "a", 0)
