"""SmolLM2-135M-Instruct with its real weights: logits and greedy text are those of transformers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from attnlab.bench import load_model
from attnlab.bench.errors import Unavailable
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.huggingface import config_json, state_dict
from attnlab.bench.llm.models.load import load_tokenizer
from attnlab.bench.llm.models.prompts import prompt_ids
from attnlab.bench.llm.models.reference import reference_greedy, reference_logits
from attnlab.bench.llm.models.weights import ModelWeights

transformers = pytest.importorskip("transformers", reason="package transformers is not installed")

GREEDY = json.loads(Path(__file__).with_name("smollm2_greedy.json").read_text(encoding="utf-8"))
"""A prompt, and 200 tokens that transformers generated after it."""

PROMPTS = (("summarise", 64), ("code", 150), ("chat", 256), ("translate", 400))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on a core that is shared wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def in_transformers(weights: ModelWeights) -> Any:
    """The model of transformers on the same tensors, without drawing random ones first."""
    config = transformers.AutoConfig.for_model(**config_json(weights.config))
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    model.load_state_dict(state_dict(weights), strict=False, assign=True)
    model.tie_weights()
    model.model.rotary_emb = type(model.model.rotary_emb)(config)  # its tables are no part of the state
    return model.eval()


@pytest.mark.slow
@torch.no_grad()
def test_the_real_model_is_that_of_transformers() -> None:
    """Teacher forcing over the 200 tokens costs one pass; generating them anew would cost two hundred."""
    try:
        weights, tokenizer = load_model("smollm2_135m"), load_tokenizer("smollm2_135m")
    except Unavailable as error:
        pytest.skip(str(error))
    assert weights.config == PUBLISHED["smollm2_135m"]
    peer = in_transformers(weights)
    for name, tokens in PROMPTS:
        ids = prompt_ids(name, tokenizer, 1, tokens)
        got = reference_logits(weights, ids)
        assert float(got.max()) > 20
        assert (got - peer(ids).logits).abs().max() < 1e-3, (name, tokens)

    prompt = torch.tensor([tokenizer.encode(GREEDY["prompt"])])
    answer = torch.tensor([GREEDY["answer"]])
    assert (prompt.shape, answer.shape) == ((1, 200), (1, 200))
    whole = torch.cat([prompt, answer], dim=1)
    assert torch.equal(reference_logits(weights, whole, last=201)[:, :-1].argmax(-1), answer)
    assert torch.equal(peer(whole).logits[:, 199:-1].argmax(-1), answer)
    assert torch.equal(reference_greedy(weights, prompt, 16), answer[:, :16])
    generated = peer.generate(prompt, max_new_tokens=16, do_sample=False, eos_token_id=None, pad_token_id=0)
    assert torch.equal(generated[:, 200:], answer[:, :16])
