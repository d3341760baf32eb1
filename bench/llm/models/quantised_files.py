"""Weights that another program stored in fewer bits: they are not read here, and are refused by the program's name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attnlab.bench.text import one_line

QUANTISED_FIELDS = ("quantization_config", "compression_config")
"""What a `config.json` says of them, the second one in older releases of compressed-tensors."""

REMEDY = "take the model that it was made from, and store it in a format here, such as weights=int4_g32:gptq"
SUFFIXES = {
    ".qweight": "GPTQ or AWQ",
    ".weight_packed": "compressed-tensors",
    ".weight.absmax": "bitsandbytes",
    ".SCB": "bitsandbytes",
    ".W_q": "HQQ",
    "_blocks": "MXFP4",
    ".weight_scale_inv": "FP8 in blocks",
    ".weight_scale": "FP8 or int8 with scales",
}
"""How tensors end that such programs write, and who does; an entry more special than another comes before it."""

MOST_TOLD = 80  # characters of what a file says


def told(settings: Any) -> str:
    """Which form the field of a configuration describes, in words: `gptq, 4 bits, groups of 128`."""
    if not isinstance(settings, dict):
        return one_line(str(settings), MOST_TOLD)
    bits = 4 if settings.get("load_in_4bit") is True else 8 if settings.get("load_in_8bit") is True else None
    bits = settings.get("bits", settings.get("w_bit", bits))
    group = settings.get("group_size", settings.get("q_group_size"))
    words = [one_line(str(settings.get("quant_method", "a form without a name")), MOST_TOLD)]
    words += [f"{bits} bits"] if isinstance(bits, int) else []
    words += [f"groups of {group}"] if isinstance(group, int) and group > 0 else []
    return ", ".join(words)


def quantised_tensor(names: Iterable[str]) -> tuple[str, str] | None:
    """The first tensor that such a program writes, and the program; None where there is none."""
    for name in sorted(names):
        for suffix, program in SUFFIXES.items():
            if name.endswith(suffix):
                return name, program
    return None
