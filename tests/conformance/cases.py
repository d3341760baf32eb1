"""The cases that every implementation is held to: each feature of the contract, lengths that fit no tile."""

from __future__ import annotations

ATTENTION = (
    "Hq1-Sq1-D8-fp32",
    "Hq2-Sq64-D64-fp16",
    "Hq3-Sq65-D64-bf16-causal",
    "B2-Hq4-Hkv2-Sq127-Sk193-D64-bf16-causal",
    "Hq4-Hkv1-Sq50-Sk20-D32-fp32-causal",
    "B2-Hq2-Sq40-Sk17-D16-bf16-window.5",
    "Hq4-Hkv2-Sq130-D80-fp32-window.33",
    "Hq3-Sq33-Sk70-D96-fp16-window.1",
    "Hq2-Sq60-D64-bf16-window.200",
    "Hq4-Hkv2-packed33+100+1-D64-bf16",
    "Hq4-Hkv1-packed33+64+5-D64-fp32-causal",
    "Hq4-packed70+3+20-D40-fp16-window.16",
    "Hq4-Hkv2-Sq70-D32-Dv48-bf16-causal",
    "Hq2-Sq60-Sk90-D192-Dv128-fp16-causal",
    "Hq2-Sq48-D256-bf16",
    "Hq2-Sq90-D128-bf16-causal-outliers",
    "Hq2-Sq64-D72-fp32-outliers",
    "Hq1-Sq300-Sk700-D64-fp32-causal",
    "Hq9-Hkv3-Sq96-bf16-causal-smollm2",
)
COMPILED = ("B2-Hq4-Hkv2-Sq127-Sk193-D64-bf16-causal", "Hq4-packed70+3+20-D40-fp16-window.16")  # seconds each
INTERPRETED = (  # a tenth of a second a tile
    "Hq1-Sq1-D8-fp32",
    "Hq2-Hkv1-Sq30-Sk97-D64-bf16-causal",
    "Hq1-Sq40-Sk17-D16-bf16-window.5",
    "Hq2-Hkv1-packed33+1-D32-Dv48-fp16-causal",
)
BACKWARD = (
    "Hq2-Sq64-D64-fp16",
    "Hq3-Sq65-D64-bf16-causal",
    "B2-Hq4-Hkv2-Sq40-Sk70-D64-fp32-causal",
    "Hq4-Hkv1-Sq50-Sk20-D32-fp32-causal",
    "B2-Hq2-Sq40-Sk17-D16-bf16-window.5",
    "Hq4-Hkv2-Sq130-D80-fp32-window.33",
    "Hq4-Hkv2-packed33+50+1-D64-bf16-causal",
    "Hq2-Hkv1-packed33+64+5-D64-fp32",
    "Hq4-Hkv2-Sq70-D32-Dv48-fp16-causal",
    "Hq2-Sq90-D128-bf16-causal-outliers",
    "Hq9-Hkv3-Sq96-bf16-causal-smollm2",
)
DECODE = (
    "Hq2-C70-D64-fp32",
    "B3-Hq8-Hkv2-C1+70+200-D64-bf16",
    "B2-Hq4-Hkv1-C0+45-D32-fp16-contiguous_bshd",
    "B2-Hq6-Hkv3-Sq5-C3+130-D80-bf16-paged.16",
    "B3-Hq4-Hkv2-C20..150-D128-fp16-paged.1",
    "B2-Hq4-Hkv4-Sq2-C64+65-D64-bf16-paged_hsd.64",
    "B2-Hq8-Hkv2-Sq16-C300-D64-fp16-window.33-paged.256",
    "B3-Hq4-Hkv2-C100..180-D64-bf16-paged.16-pre96",
    "B2-Hq4-Hkv2-Sq3-C50..200-D64-bf16-window.40-ring.64",
    "B2-Hq4-Hkv2-C90..200-D64-bf16-paged.16-int8_token",
    "B2-Hq4-Hkv2-Sq4-C90..200-D96-fp16-int8_channel-outliers",
    "B2-Hq4-Hkv2-C90..200-D72-bf16-paged_hsd.16-fp8_e4m3",
    "B2-Hq8-Hkv2-C90..200-D64-fp32-contiguous_bshd-fp8_e4m3_token",
    "B2-Hq4-Hkv2-C33..200-D128-bf16-paged.32-int4_g32",
    "B2-Hq4-Hkv2-Sq4-C31..97-D96-fp16-int4_g32-outliers",
    "B2-Hq4-Hkv2-C50..200-D64-bf16-window.30-ring.64-int4_g32",
    "B2-Hq9-Hkv3-C100..128-bf16-paged.16-int8_token-smollm2",
)
DECODE_COMPILED = ("B3-Hq4-Hkv2-C100..180-D64-bf16-paged.128",)
APPEND = (
    "Hkv2-C70-D64-fp32",
    "B3-Hkv2-C1+70+200-D64-bf16-contiguous_bshd",
    "B2-Hkv3-Sq5-C5+130-D80-bf16-paged.16",
    "B3-Hkv2-Sq2-C20..150-D128-fp16-paged.1-int8_token",
    "B2-Hkv2-Sq16-C64+65-D64-bf16-paged_hsd.64-int8_channel",
    "B2-Hkv2-Sq3-C50..64-D64-bf16-ring.64-fp8_e4m3",
    "B2-Hkv2-C90..200-D72-fp32-paged.16-fp8_e4m3_token",
    "B3-Hkv2-Sq7-C7+30+68-D96-bf16-paged.32-int4_g32",
    "B2-Hkv2-C32+33-D64-fp16-int4_g32-outliers",
    "B2-Hq9-Hkv3-Sq2-C100..128-bf16-paged.64-int4_g32-smollm2",
)
APPEND_COMPILED = ("B3-Hkv2-Sq7-C7+30+68-D96-bf16-paged.32-int4_g32",)
DECODE_INTERPRETED = (
    "B2-Hq2-Hkv1-C0+45-D32-fp32-contiguous_bshd",
    "Hq3-Hkv1-Sq5-C50-D80-bf16-paged.16",
    "Hq2-Hkv1-Sq16-C100-D32-fp16-window.33-paged.256",
    "Hq2-Hkv1-Sq3-C100-D32-bf16-window.40-ring.64",
    "B2-Hq2-Hkv2-C30..80-D64-bf16-paged_hsd.16-int8_token",
    "Hq2-Hkv1-C90-D96-fp16-int8_channel-outliers",
    "Hq2-Hkv1-C80-D72-bf16-paged.1-fp8_e4m3",
    "Hq2-Hkv1-C70-D64-fp32-fp8_e4m3_token",
    "Hq2-Hkv1-C70-D128-bf16-paged.32-int4_g32",
    "Hq2-Hkv1-C90-D64-fp16-window.30-ring.64-int4_g32",
)
APPEND_INTERPRETED = (
    "B2-Hkv2-C1+70-D64-bf16-contiguous_bshd",
    "B2-Hkv3-Sq5-C5+130-D80-bf16-paged.16",
    "Hkv2-Sq2-C20-D128-fp16-paged.1-int8_token",
    "Hkv2-Sq4-C65-D64-bf16-paged_hsd.64-int8_channel",
    "Hkv2-Sq3-C64-D64-bf16-ring.64-fp8_e4m3",
    "Hkv2-C90-D72-fp32-paged.16-fp8_e4m3_token",
    "B2-Hkv1-Sq3-C30+34-D96-bf16-paged.32-int4_g32",
)
