"""What models add to attention: refused where it does not fit; compiled for GPUs that are not here without spills."""

import pytest
import torch

from attnlab.bench.profilers.triton_aot import SHARED_LIMIT_BYTES, target
from attnlab.kernels.triton.attention_backward import attention_backward
from attnlab.kernels.triton.attention_forward import attention_forward
from attnlab.kernels.triton.attention_masks import Mask, documents, tree
from attnlab.kernels.triton.attention_scoring import Scoring

META = torch.device("meta")


def meta(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device=META)


def numbers(*shape: int) -> torch.Tensor:
    return meta(*shape, dtype=torch.float32)


def lengths(numbers: int) -> torch.Tensor:
    return meta(numbers, dtype=torch.int32)


REFUSED = {
    "cap of zero": (dict(scoring=Scoring(softcap=0.0)), "got a soft cap of 0.0; expected a finite number above zero"),
    "cap below zero": (dict(scoring=Scoring(softcap=-1.0)), "got a soft cap of -1.0; expected a finite number"),
    "cap without end": (dict(scoring=Scoring(softcap=float("inf"))), "got a soft cap of inf"),
    "sinks of the other heads": (
        dict(scoring=Scoring(sinks=numbers(2))),
        r"got sinks \[2\] of torch.float32 for 4 query heads; expected \[4\] of torch.float32",
    ),
    "sinks in 16 bits": (dict(scoring=Scoring(sinks=meta(4))), r"expected \[4\] of torch.float32"),
    "sinks elsewhere": (dict(scoring=Scoring(sinks=torch.zeros(4))), "got sinks on cpu; expected meta"),
    "bias without a kind": (dict(scoring=Scoring(bias=numbers(4))), "got a bias of kind none beside numbers"),
    "kind without a bias": (dict(scoring=Scoring(bias_kind="slopes")), "got a bias of kind slopes without numbers"),
    "no such kind": (dict(scoring=Scoring(bias=numbers(4), bias_kind="steps")), "got a bias of kind 'steps'; expected"),
    "slopes of other heads": (dict(scoring=Scoring(None, None, numbers(8), "slopes")), r"expected \[4\] of"),
    "too few distances": (dict(scoring=Scoring(None, None, numbers(4, 8), "distances")), r"expected \[4, 15\] of"),
    "dense of other keys": (dict(scoring=Scoring(None, None, numbers(4, 8, 9), "dense")), r"expected \[4, 8, 8\] of"),
    "dense beside a pack": (
        dict(scoring=Scoring(None, None, numbers(4, 8, 8), "dense"), cu_seqlens=lengths(3)),
        "got a dense bias beside cu_seqlens; expected one of both",
    ),
    "no such mask": (dict(mask=Mask("striped")), "got mask 'striped'; expected full, causal"),
    "chunks of nothing": (dict(mask=Mask("chunked")), "got chunks of 0; expected at least 1 key"),
    "two masks": (dict(mask=Mask("causal"), causal=True), "got mask causal beside causal=True"),
    "documents of another row": (
        dict(mask=documents([3, 4], META)),
        r"got a table \[2, 7\] of torch.int32 for 8 queries",
    ),
    "documents in a pack": (dict(mask=documents([3, 5], META), cu_seqlens=lengths(3)), "got mask document beside"),
    "a tree of other queries": (dict(mask=tree([0, 0], META)), r"got a table \[3, 3\] of torch.int8 for 8 queries"),
    "a tree without a table": (dict(mask=Mask("tree")), "got mask tree without a table"),
    "keys packed alone": (dict(cu_seqlens_k=lengths(3)), "got max_seqlen or cu_seqlens_k without cu_seqlens"),
    "packs of unlike numbers": (
        dict(cu_seqlens=lengths(3), cu_seqlens_k=lengths(4)),
        "got 3 numbers in cu_seqlens and 4 in cu_seqlens_k; expected as many",
    ),
}


@pytest.mark.parametrize(("wrong", "words"), REFUSED.values(), ids=REFUSED)
def test_refused_before_any_launch(wrong, words):
    q, k = meta(1, 4, 8, 16), meta(1, 2, 8, 16)
    with pytest.raises(ValueError, match=words):
        attention_forward(q, k, k, scale=0.2, **wrong)


def test_what_is_no_mask():
    with pytest.raises(ValueError, match="got parent 2 of node 2; expected a node before it, 0 to 1"):
        tree([0, 2], META)
    with pytest.raises(ValueError, match=r"got documents of \[3, -1\] tokens; expected lengths of 0 or more"):
        documents([3, -1], META)


# Each with a part of everything; a forward and a backward of each, for one target.
COMPILED = {
    "cap, slopes, sinks, unequal packs": (90, 128, Mask("causal"), "slopes", 50.0),
    "cap, distances, tree": (80, 64, tree([0] * 511, META), "distances", 50.0),
    "dense, documents": (100, 128, documents([200, 312], META), "dense", None),
}


@pytest.mark.usefixtures("fresh_cache")
@pytest.mark.parametrize(("sm", "head_dim", "mask", "kind", "cap"), COMPILED.values(), ids=COMPILED)
def test_compiles_without_spills(sm, head_dim, mask, kind, cap):
    S = 512
    bias = {"slopes": numbers(8), "distances": numbers(8, 2 * S - 1), "dense": meta(8, S, S)}.get(kind)
    scoring = Scoring(cap, None if kind == "distances" else numbers(8), bias, kind)
    q, k, lse = meta(1, 8, S, head_dim), meta(1, 2, S, head_dim), numbers(1, 8, S)
    unequal = {"cu_seqlens": lengths(3), "cu_seqlens_k": lengths(3)} if kind == "slopes" else {}
    with target(sm) as kernels:
        attention_forward(q, k, k, scale=0.1, mask=mask, scoring=scoring, **unequal)
        attention_backward(q, q, k, k, q, lse, scale=0.1, mask=mask, scoring=scoring, **unequal)
    assert [report.name for report in kernels.reports] == ["_forward", "delta_kernel", "dkdv_kernel", "dq_kernel"]
    for report in kernels.reports:
        assert (report.name, report.spills) == (report.name, 0)
        assert report.shared_bytes <= SHARED_LIMIT_BYTES[sm]
