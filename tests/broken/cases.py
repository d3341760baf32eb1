"""The cases on which broken and honest implementations are told apart: every mask, grouping and edge."""

from __future__ import annotations

DTYPES = ("fp32", "fp16", "bf16")

SHAPES = (
    # full
    "B2-Hq4-Sq37-D40",
    "Hkv2-Sq65-Dv48",
    "Hq6-Hkv1-Sq33-Sk200-D80",
    "Hq4-Hkv2-Sq100-D32-outliers",
    "Sq8-D16",
    # causal
    "B2-Hq4-Hkv2-Sq100-D40-Dv24-causal",
    "Hq2-Sq70-D256-causal",
    "Hq6-Hkv3-Sq33-Sk97-causal",
    "Hq4-Hkv2-Sq97-Sk33-D32-causal",
    # window
    "Hq4-Hkv2-Sq130-D32-window.17",
    "Hq4-Hkv1-Sq40-Sk200-window.64",
    "Hq4-Hkv2-Sq80-Sk50-D32-window.8-outliers",
    # packed
    "Hq4-Hkv2-packed5+37+64+1",
    "Hq4-Hkv2-packed70+3+66-D32-causal",
    "Hq2-packed100+50-D32-window.16",
    # one query
    "B2-Hq4-Hkv2-Sq1-Sk300-causal",
    "Hq2-Hkv1-Sq1-Sk130-D128-window.65",
    "Hq4-Hkv2-Sq1",
)


def in_every_dtype(shapes: tuple[str, ...]) -> list[str]:
    """The ids with the dtype put where an id has it: before the mask and the source of inputs."""
    return [_with(shape, dtype) for shape in shapes for dtype in DTYPES]


def _with(shape: str, dtype: str) -> str:
    sizes = [token for token in shape.split("-") if token[0].isupper() or token.startswith("packed")]
    rest = [token for token in shape.split("-") if token not in sizes]
    return "-".join([*sizes, dtype, *rest])


CAPTURED = "Hq9-Hkv3-Sq64-Sk128-bf16-causal-smollm2"
LONG_IDS = (
    "Hq1-Sq512-Sk4097-D32-fp32-causal",
    "Hq1-Sq512-Sk4097-D32-fp16",
    "Hq1-Sq512-Sk4097-D32-bf16",
    "Hq1-Sq512-Sk4097-D32-bf16-causal",
)
ATTENTION_IDS = [*in_every_dtype(SHAPES), CAPTURED, *LONG_IDS]
BACKWARD_IDS = [*in_every_dtype((*SHAPES, "Hq2-Hkv1-Sq80-Sk1025-D32-causal")), CAPTURED]
