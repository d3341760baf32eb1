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
    sizes = [token for token in shape.split("-") if token[0].isupper() or token.startswith(("packed", "keys"))]
    rest = [token for token in shape.split("-") if token not in sizes]
    return "-".join([*sizes, dtype, *rest])


CAPTURED = "Hq9-Hkv3-Sq64-Sk128-bf16-causal-smollm2"
LONG_IDS = (
    "Hq1-Sq128-Sk4097-D32-fp32-causal",
    "Hq1-Sq128-Sk4097-D32-fp16",
    "Hq1-Sq128-Sk4097-D32-bf16",
    "Hq1-Sq128-Sk4097-D32-bf16-causal",
)
ATTENTION_IDS = [*in_every_dtype(SHAPES), CAPTURED, *LONG_IDS]
BACKWARD_IDS = [*in_every_dtype((*SHAPES, "Hq2-Hkv1-Sq80-Sk1025-D32-causal")), CAPTURED, "Hq2-Hkv1-Sq600-Sk40-D16-bf16"]

DECODE_IDS = (
    "B3-Hq4-Hkv2-C1+70+200-D64-fp32",
    "B2-Hq4-Hkv1-C0+45-D32-fp16-contiguous_bshd",
    "B3-Hq6-Hkv3-Sq5-C3+37+130-D80-bf16-paged.16",
    "B3-Hq4-Hkv2-C20..150-D128-fp32-paged.1",
    "B3-Hq4-Hkv2-Sq2-C64+65+90-D64-bf16-paged_hsd.64",
    "B2-Hq8-Hkv2-Sq16-C300-D64-fp16-window.33-paged.256",
    "B3-Hq4-Hkv2-C100..180-D64-bf16-paged.16-pre96",
    "B2-Hq4-Hkv2-Sq3-C50..200-D64-bf16-window.40-ring.64",
    "B3-Hq4-Hkv2-C90..200-D64-bf16-paged.16-int8_token",
    "B2-Hq4-Hkv2-Sq4-C90..200-D96-fp16-int8_channel-outliers",
    "B2-Hq4-Hkv2-C90..200-D72-bf16-paged_hsd.16-fp8_e4m3",
    "B3-Hq8-Hkv2-C5+0+130-D64-fp32-contiguous_bshd-fp8_e4m3_token",
    "B2-Hq4-Hkv2-C33..200-D128-bf16-paged.32-int4_g32",
    "B2-Hq4-Hkv2-Sq4-C31..97-D96-fp32-int4_g32-outliers",
    "B2-Hq4-Hkv2-C50..200-D64-bf16-window.30-ring.64-int4_g32",
    "B2-Hq9-Hkv3-C100..128-bf16-paged.16-int8_token-smollm2",
    "Hq8-Hkv2-C1100-D64-bf16-paged.64",
)
APPEND_IDS = (
    "B3-Hkv2-C1+70+200-D64-bf16-contiguous_bshd",
    "B2-Hkv3-Sq5-C5+130-D80-fp32-paged.16",
    "B3-Hkv2-Sq2-C20..150-D128-fp16-paged.1-int8_token",
    "B2-Hkv2-Sq16-C64+65-D64-bf16-paged_hsd.64-int8_channel",
    "B2-Hkv2-Sq3-C50..100-D64-bf16-ring.64-fp8_e4m3",
    "B2-Hkv2-C90..200-D72-fp32-paged.16-fp8_e4m3_token",
    "B3-Hkv2-Sq7-C7+30+68-D96-bf16-paged.32-int4_g32",
    "B2-Hkv2-C32+33-D64-fp16-int4_g32-outliers",
)

VARIANT_SHAPES = (
    "Hq4-Hkv2-Sq20-Sk33-D16-causal-cap5",
    "Hq4-Hkv2-Sq33-D16-causal-sink_learned",
    "Hq3-Sq20-Sk12-D16-window.7-cap4-sink_zero",
    "Hq4-Hkv2-Sq33-Sk40-D16-causal-sink_learned-bias_alibi",
    "Hq4-Hkv2-Sq33-D16-cap6-bias_relative.16",
    "Hq4-Hkv1-Sq40-D16-causal-bias_relative.8-qk_rms",
    "Hq2-Sq17-Sk40-D16-cap5-bias_dense",
    "Hq4-Hkv2-Sq40-Sk70-D16-chunked.16-cap8-qk_rms",
    "Hq4-Hkv2-Sq40-D16-prefix.9-sink_learned-bias_alibi",
    "Hq2-D16-document.13+0+20+7-bias_alibi",
    "Hq4-Hkv2-Sk40-D16-tree.2x2-cap5-sink_learned",
    "Hq2-Sk9-D16-tree.0+0+1+1+3+2-qk_rms",
    "Hq4-Hkv1-packed5+0+20+9-keys30+4+0+9-D16-causal-sink_learned",
    "Hq2-packed5+20-keys30+22-D16-chunked.8-bias_relative.16",
)
VARIANT_IDS = in_every_dtype(VARIANT_SHAPES)
VARIANT_BACKWARD_IDS = in_every_dtype(tuple(shape for shape in VARIANT_SHAPES if "qk_rms" not in shape))
VARIANT_DECODE_IDS = (
    "B2-Hq4-Hkv2-Sq3-C1+40-D32-bf16-cap5-sink_learned-paged.16",
    "B2-Hq4-Hkv2-Sq3-C5+50-D32-fp32-cap5-bias_alibi-contiguous_bshd",
    "B2-Hq4-Hkv2-Sq3-C30..70-D32-bf16-window.20-bias_relative.16-ring.32",
    "B2-Hq4-Hkv2-Sq5-C33..70-D32-fp16-chunked.16-qk_rms-paged_hsd.16",
    "B2-Hq4-Hkv2-Sq16-C20+7-D32-bf16-prefix.12-sink_learned-bias_alibi-paged.32-int8_token",
    "B2-Hq4-Hkv2-C7..50-D32-fp32-tree.2x2-cap5-paged.16",
    "B2-Hq4-Hkv2-C7..50-D32-bf16-tree.0+0+1+1+3+2-sink_learned-qk_rms",
)

ODD_IDS = [
    *(case_id for case_id in VARIANT_IDS if "-bf16" in case_id),
    *in_every_dtype(
        (
            "B2-Hq6-Hkv2-Sq24-D16-causal-sink_learned-bias_alibi",
            "B2-Hq2-Sq24-D16-Dv24-cap5-bias_dense",
            "Hq2-Sq20-Sk12-D16-window.7-sink_learned",
            "Hq2-Sq24-Sk40-D16-chunked.9-cap6-sink_learned",
            "Hq2-Sq20-Sk140-D16-causal-bias_relative.8",
            "Hq4-Hkv2-Sq24-Sk16-D16-causal-cap5",
        )
    ),
]
ODD_DECODE_IDS = (
    *VARIANT_DECODE_IDS,
    "B2-Hq6-Hkv2-Sq2-C40+17-D32-bf16-sink_learned-bias_alibi-paged.16",
    "B2-Hq4-Hkv2-Sq2-C40+200-D32-fp32-bias_relative.8-paged.16",
    "B2-Hq2-Sq3-C50+17-D32-fp16-window.20-sink_learned-paged.16",
    "B2-Hq2-Sq3-C50+1-D32-bf16-cap5",
)
LATENT_IDS = (
    "B2-Hq4-Hkv1-Sq2-C40+17-D40-Dv32-fp32-latent_paged.16",
    "B2-Hq4-Hkv1-C90+33-D72-Dv64-bf16-latent",
    "Hq3-Hkv1-Sq3-C50-D24-Dv16-fp16-latent_paged.16",
)
