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
