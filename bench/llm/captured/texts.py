"""The texts that the model reads, as token ids, so that no tokenizer is needed to use them."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from attnlab.bench.errors import UnknownName

DATA = Path(__file__).with_name("data")
TEXTS = ("prose", "code")


def ids_path(text: str) -> Path:
    """Where the token ids of `text` are kept, uint16; raises UnknownName where there is none."""
    if text not in TEXTS:
        raise UnknownName("text", text, TEXTS)
    return DATA / f"{text}.ids.npy"


def token_ids(text: str) -> Tensor:
    """All token ids of `text`, `[longest(text)]` int64, without a beginning-of-text token."""
    return torch.from_numpy(np.load(ids_path(text)).astype(np.int64))


def longest(text: str) -> int:
    """Tokens in `text`: as many as activations can be had of."""
    return len(token_ids(text))
