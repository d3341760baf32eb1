"""100,000 draws of each sampler against the exact truncated distribution; extremes, ties and reproducibility."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats

from attnlab.bench import SamplingInputs, SamplingParams
from attnlab.bench.contract.registry import discover
from attnlab.bench.llm.sampling_math import truncated_probabilities

DRAWS = 100_000
VOCAB = 60
LEAST_P_VALUE = 1e-6  # of some thirty tests with seeds that stay
PARAMS = ("t1", "t0.7:k10:p0.8", "p0.9:m0.05", "t2:m0.2:r1.4", "k500:p0.999")


def logits_and_uniforms(rounded: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    logits = 1.5 * torch.randn(1, VOCAB, generator=generator)
    return logits.round() if rounded else logits, torch.rand(1, DRAWS, generator=generator)


def sampled(name: str, logits: torch.Tensor, uniforms: torch.Tensor, text: str) -> torch.Tensor:
    params = SamplingParams.parse(text)
    seen = torch.tensor([[1, 5, 5, -1]]).expand(len(logits), -1) if params.penalises else None
    tokens = discover().implementations("sampling").get(name).run(SamplingInputs(logits, uniforms, params, seen), None)
    assert isinstance(tokens, torch.Tensor)
    return tokens


def p_value(counts: list[int], logits: torch.Tensor, text: str) -> float:
    """Of chi-square over the tokens that are kept; asserts that no other was drawn."""
    seen = torch.tensor([[1, 5]])
    exact = truncated_probabilities(logits.double(), SamplingParams.parse(text), seen)[0].numpy()
    drawn = np.array(counts)
    assert drawn.sum() == DRAWS
    assert not drawn[exact == 0].any()
    assert (exact > 0).sum() > 2
    rare = exact * DRAWS < 5
    cells = [*drawn[~rare], *([drawn[rare].sum()] if rare[exact > 0].any() else [])]
    expected = [*exact[~rare], *([exact[rare].sum()] if rare[exact > 0].any() else [])]
    return float(stats.chisquare(cells, np.array(expected) / sum(expected) * DRAWS).pvalue)


@pytest.mark.parametrize(("text", "rounded"), [*((text, False) for text in PARAMS), ("t1:k9", True), ("p0.7", True)])
@pytest.mark.parametrize("name", ["naive", "candidates"])
def test_draws_follow_the_exact_distribution(name, text, rounded):
    logits, uniforms = logits_and_uniforms(rounded)
    tokens = sampled(name, logits, uniforms, text)
    assert p_value(torch.bincount(tokens[0], minlength=VOCAB).tolist(), logits, text) > LEAST_P_VALUE
    assert torch.equal(tokens, sampled(name, logits, uniforms, text))


def test_a_biased_sampler_does_not():
    """The guard itself: a temperature 5 % too high."""
    logits, uniforms = logits_and_uniforms()
    tokens = sampled("naive", logits, uniforms, "t1.05")
    assert p_value(torch.bincount(tokens[0], minlength=VOCAB).tolist(), logits, "t1") < LEAST_P_VALUE


SCRIPT = """
import json, os, sys
os.environ["TRITON_INTERPRET"] = "1"  # read where a kernel is defined
import torch
from attnlab.bench import SamplingParams
from attnlab.kernels.triton import sampling, sampling_plan
sampling_plan.DRAWN_AT_ONCE = 1 << 17  # fewer programs, each of which costs the interpreter milliseconds
torch.set_num_threads(1)
logits, uniforms = torch.load(sys.argv[1])
for text in sys.argv[2:]:
    p = SamplingParams.parse(text)
    seen = torch.tensor([[1, 5, 5, -1]]) if p.penalises else None
    tokens = sampling.sample(logits, uniforms, temperature=p.temperature, top_k=p.top_k, top_p=p.top_p, min_p=p.min_p,
                             repetition_penalty=p.repetition_penalty, seen=seen)
    print(json.dumps(torch.bincount(tokens[0], minlength=logits.shape[1]).tolist()))
"""


def test_so_do_draws_of_the_triton_kernels(tmp_path):
    pytest.importorskip("triton", reason="Triton is not installed")
    logits, uniforms = logits_and_uniforms()
    torch.save((logits, uniforms), tmp_path / "inputs.pt")
    texts = ("t0.7:k10:p0.8", "t2:p0.9:m0.2:r1.4")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "inputs.pt"), *texts]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    for text, line in zip(texts, done.stdout.splitlines(), strict=True):
        assert p_value(json.loads(line), logits, text) > LEAST_P_VALUE


NO = -math.inf
EXTREMES = [
    ([1.0, 3.0, 3.0, 0.0], "t0", {1}),
    ([1.0, 3.0, 3.0, 0.0], "t0.0000000001", {1, 2}),
    ([1.0, 3.0, 2.0, 0.0], "t0.0000000001:k3:p0.9", {1}),
    ([NO, NO, 0.5, NO], "t1", {2}),
    ([NO, 0.0, NO, 0.0], "k4:p1:m0", {1, 3}),
    ([NO, 0.0, NO, 0.0], "k3", {1, 3}),
    ([90.0, 0.0, 0.0, 0.0], "k1000:p0.999", {0}),
    ([2.0, 2.0, 2.0, 2.0], "k1:p0.1:m0.9", {0, 1, 2, 3}),
    ([-3.0, -3.0, 5.0, 5.0], "p0.5", {2, 3}),
    ([0.0, -0.0, -1.0, -1.0], "k1", {0, 1}),
]


@pytest.mark.parametrize(("logits", "text", "kept"), EXTREMES)
@pytest.mark.parametrize("name", ["naive", "candidates"])
def test_extremes_and_ties(name, logits, text, kept):
    uniforms = torch.tensor([[0.0, 0.1, 0.3, 0.499, 0.5, 0.7, 0.99, 1 - 2.0**-24]])
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        tokens = sampled(name, torch.tensor([logits], dtype=dtype), uniforms, text)
        assert set(tokens[0].tolist()) == kept


@pytest.mark.parametrize("text", ["t1", "k50", "k5:p0.5", "p0.9", "m0.1", "t0"])
def test_a_cpu_sampler_that_sorts_little_draws_the_same_tokens(text):
    """Vocabularies that fill no block, and a batch of rows of their own."""
    generator = torch.Generator().manual_seed(1)
    for vocab in (1, 3, 64, 1000, 5003):
        logits, uniforms = 3 * torch.randn(3, vocab, generator=generator), torch.rand(3, 7, generator=generator)
        assert torch.equal(sampled("candidates", logits, uniforms, text), sampled("naive", logits, uniforms, text))
