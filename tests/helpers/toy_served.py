"""A model small enough to be served in tests: random weights, 512 tokens and a chat template, in a folder.

Its answers are of no sense, and follow from its prompts as a large model's do.
"""

from __future__ import annotations

import json
from pathlib import Path

import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers, trainers

from attnlab.bench.llm.captured.texts import DATA
from attnlab.bench.llm.models.config import ModelConfig
from attnlab.bench.llm.models.huggingface import save_folder
from attnlab.bench.llm.models.random_weights import random_weights

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONFIG = ModelConfig(
    name="toy",
    vocab_size=512,
    hidden_size=32,
    intermediate_size=48,
    layers=2,
    q_heads=2,
    kv_heads=1,
    head_dim=16,
    rope_theta=10_000.0,
    norm_eps=1e-5,
    context_length=1024,
    tied_embeddings=True,
    bos_id=1,
    eos_ids=(2,),
)


def make_toy(folder: Path, seed: int = 0) -> Path:
    """The folder, with the model in it; another seed gives other weights and the same tokens."""
    save_folder(random_weights(CONFIG, torch.float32, "cpu", seed), folder)
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=CONFIG.vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(SPECIAL),
        show_progress=False,
    )
    backend.train_from_iterator([(DATA / "prose.txt").read_text(encoding="utf-8")], trainer)
    backend.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": SPECIAL[1], "eos_token": SPECIAL[2], "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder
