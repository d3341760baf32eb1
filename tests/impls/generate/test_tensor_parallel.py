"""What ranks hold of a model, which cases they serve, and which they cannot share."""

from __future__ import annotations

import pytest
import torch

from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.models.load import load_model
from attnlab.bench.llm.models.reference import reference_logits
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.impls.generate._engine.rank_weights import vocabulary_of_rank, weights_of_rank
from attnlab.impls.generate.naive import Naive
from attnlab.impls.generate.triton import Triton

CPU = torch.device("cpu")


def test_old_ids_stay_and_the_new_axis_has_one() -> None:
    assert GenerateCase(model="toy", dtype="fp32").id == "toy-summarise-fp32"
    assert GenerateCase(model="toy", dtype="fp32", tensor_parallel=1).opted() == {}
    case = GenerateCase.parse("toy-random-B2-P20-N6-fp32-tp2")
    assert (case.tensor_parallel, case.id) == (2, "toy-random-B2-P20-N6-fp32-tp2")
    assert case.opted() == {"tensor_parallel": ("2", "1")}


@pytest.mark.parametrize(
    ("model", "ranks", "said"),
    [
        ("smollm2_135m", 2, "got tensor_parallel=2 of smollm2_135m, which has 9 query heads and 3 key-value heads; "),
        ("toy", 4, "which has 2 key-value heads; expected one of 1, 2"),
        ("smollm2_135m", 9, "which has 3 key-value heads and 1536 columns .*; expected one of 1, 3"),
    ],
)
def test_heads_that_ranks_cannot_share(model: str, ranks: int, said: str) -> None:
    with pytest.raises(ImpossibleCase, match=said):
        GenerateCase(model=model, tensor_parallel=ranks)


def test_what_a_rank_holds() -> None:
    weights = load_model("toy", torch.float32, CPU)
    parts = [weights_of_rank(weights, rank, 2) for rank in range(2)]
    layers = list(zip(weights.layers, parts[0].layers, parts[1].layers, strict=True))
    for whole, one, other in layers:
        for name in ("query", "key", "value", "gate", "up"):
            assert torch.equal(torch.cat([getattr(one, name), getattr(other, name)]), getattr(whole, name))
        for name in ("output", "down"):
            assert torch.equal(torch.cat([getattr(one, name), getattr(other, name)], 1), getattr(whole, name))
        assert torch.equal(one.attention_norm, whole.attention_norm)
    assert torch.equal(torch.cat([part.head for part in parts]), weights.head)
    config = parts[0].config
    assert (config.q_heads, config.kv_heads, config.intermediate_size, config.hidden_size) == (2, 1, 64, 64)
    held = {x.data_ptr() for layer in weights.layers for x in layer.tensors()}
    assert not held & {x.data_ptr() for layer in parts[0].layers for x in layer.tensors()}


def test_every_token_is_one_ranks() -> None:
    spans = [vocabulary_of_rank(512, rank, 3) for rank in range(3)]
    assert [index for span in spans for index in range(512)[span]] == list(range(512))


def test_parts_of_sums_are_rounded_as_ranks_round_them() -> None:
    weights = load_model("toy", torch.bfloat16, CPU)
    ids = torch.randint(0, 512, (1, 20), generator=torch.Generator().manual_seed(0))
    exact, one, two = (
        reference_logits(weights, ids, dtype, ranks=ranks)
        for dtype, ranks in ((torch.float64, 2), (torch.bfloat16, 1), (torch.bfloat16, 2))
    )
    torch.testing.assert_close(exact, reference_logits(weights, ids, torch.float64), rtol=1e-10, atol=1e-10)
    off = (two - one).abs().mean()
    assert 0 < off < 3 * (one - exact).abs().mean()


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        (
            {"decoding": "beam:3"},
            "tensor_parallel 2 is not served with decoding beam: greedy, sample and prompt_lookup",
        ),
        ({"layout": "paged:16", "batching": "continuous"}, "with continuous batching: static only"),
        ({"weights": "int8"}, "for weights in a format or experts: weights in the dtype only"),
    ],
)
def test_what_ranks_do_not_serve(axes: dict[str, str], said: str) -> None:
    case = GenerateCase(model="toy", tensor_parallel=2, **axes)  # type: ignore[arg-type]
    assert said in (Naive().supports(case) or "")


def test_graphs_are_of_one_device() -> None:
    reason = Triton().supports(GenerateCase(model="toy", tensor_parallel=2))
    assert reason is not None
    assert ("CUDA graphs" in reason) == Triton.graphs
