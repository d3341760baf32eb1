"""The texts that the model reads, as token ids, so that no tokenizer is needed to use them."""

from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

DATA = Path(__file__).with_name("data")
TEXTS = ("prose", "code")


def ids_path(text: str) -> Path:
    """Where the token ids of `text` are kept, uint16; raises ValueError for a text that is not in `TEXTS`."""
    if text not in TEXTS:
        near = get_close_matches(text, TEXTS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown text {text!r}: expected one of {', '.join(TEXTS)}{hint}")
    return DATA / f"{text}.ids.npy"


def token_ids(text: str) -> Tensor:
    """All token ids of `text`, `[longest(text)]` int64, with no beginning-of-text token, as the model's own
    tokenizer gives them."""
    return torch.from_numpy(np.load(ids_path(text)).astype(np.int64))


def longest(text: str) -> int:
    """Tokens in `text`: as many as activations can be had of."""
    return len(token_ids(text))
