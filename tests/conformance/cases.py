"""The cases that every implementation is held to: each feature of the contract, lengths that fit no tile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from attnlab.bench.contract.registry import Registry

COLLECTIVES = (  # of two ranks, which one process of tests starts once
    "S4096-fp32",
    "S132-bf16",
)
REDUCTIONS = (
    "S4100-bf16-avg",
    "S8200-fp32-max",
)
RING_ATTENTION = (  # of two ranks, as those that follow
    "Hq2-S64-D16-fp32",
    "Hq4-Hkv2-S130-D64-bf16-full",
    "B2-Hq6-Hkv2-S132-D32-bf16-zigzag",
    "Hq4-Hkv1-S96-D72-fp16-zigzag-outliers",
    "Hq2-S40-D32-fp32-full-zigzag",
)
TENSOR_PARALLEL_LINEAR = (
    "M1-H32-I64-fp32",
    "M33-H48-I100-bf16-gelu-bias",
    "M16-H32-I64-fp16-bias-forward_backward",
    "M30-H48-I96-bf16-gelu-forward_backward",
)
PIPELINE = (
    "L2-mb1-M5-H16-fp32",
    "L6-mb5-M7-H32-bf16",
    "L4-mb5-M8-H32-bf16-forward_backward",
    "L2-mb2-M8-H16-fp32-forward_backward",
)
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
    "Hq4-Hkv2-packed0+5+0+7-D16-fp32-causal",
    "Hq4-Hkv2-Sq40-Sk70-bf16-causal-cap5-qk_rms",
    "Hq6-Hkv2-Sq65-D32-fp32-window.17-cap50-sink_learned",
    "Hq4-Hkv2-Sq50-Sk20-D32-bf16-causal-sink_zero",
    "Hq3-Sq70-Sk90-fp16-causal-sink_learned-bias_alibi",
    "Hq6-Hkv2-Sq70-D32-fp32-bias_relative.32",
    "Hq4-Hkv2-Sq33-Sk65-D16-bf16-sink_zero-bias_dense",
    "Hq4-Hkv2-Sq100-Sk130-D32-fp32-chunked.33",
    "B2-Hq4-Hkv2-Sq64-D32-bf16-prefix.17",
    "Hq4-Hkv2-D32-fp16-document.30+0+1+39-qk_rms",
    "Hq4-Hkv2-Sk100-D32-bf16-tree.2x2",
    "Hq4-Hkv1-packed5+0+33+40-keys70+4+0+40-D32-fp32-causal",
    "Hq2-packed5+0+33-keys70+4+20-D32-bf16-chunked.16-cap10-sink_learned-bias_alibi",
)
COMPILED = (  # seconds each
    "B2-Hq4-Hkv2-Sq127-Sk193-D64-bf16-causal",
    "Hq4-packed70+3+20-D40-fp16-window.16",
    "Hq4-Hkv2-Sq70-Sk90-fp16-chunked.33-cap5-bias_relative.16-qk_rms",
)
INTERPRETED = (  # a tenth of a second a tile
    "Hq1-Sq1-D8-fp32",
    "Hq2-Hkv1-Sq30-Sk97-D64-bf16-causal",
    "Hq1-Sq40-Sk17-D16-bf16-window.5",
    "Hq2-packed0+5+0+7-D16-fp32-causal",
    "Hq2-Hkv1-packed33+1-D32-Dv48-fp16-causal",
)
VARIANTS_INTERPRETED = (
    "Hq2-Hkv1-Sq20-Sk50-D16-bf16-causal-cap20-sink_learned-bias_alibi",
    "Hq1-Sq70-D16-bf16-document.30+0+40-bias_dense",
    "Hq1-Sk80-D16-fp32-tree.3x2",
    "Hq1-packed33+0+5-keys20+7+40-D16-bf16-chunked.16-sink_zero-bias_relative.8",
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
    "Hq4-Hkv2-Sq40-Sk70-fp32-causal-cap5-sink_learned",
    "Hq3-Sq70-D32-bf16-sink_zero-bias_relative.16",
    "Hq4-Hkv2-Sq33-Sk65-D16-fp32-bias_dense",
    "Hq4-Hkv2-D32-fp16-document.30+0+1+39-bias_alibi",
    "Hq4-Hkv2-Sk40-D32-fp32-tree.0+0+1+1-cap50",
    "Hq4-Hkv1-packed5+0+33-keys70+4+20-D32-fp32-chunked.16-sink_learned",
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
    "B2-Hq4-Hkv2-C0+0-D16-fp32",
    "B2-Hq4-Hkv2-Sq2-C0-D32-bf16-paged.32-int4_g32",
    "B2-Hq4-Hkv1-C5+70-D72-Dv64-bf16-latent",
    "B2-Hq4-Hkv1-Sq3-C5+70-D72-Dv64-fp32-latent_paged.16",
    "B2-Hq4-Hkv2-C70-D48-Dv32-bf16-paged.16-int8_token",
    "Hq4-Hkv2-Sq130-C200-D32-bf16-paged.16",
    "B3-Hq4-Hkv2-Sq3-C1+70+200-bf16-cap5-sink_learned-paged.16",
    "B2-Hq4-Hkv2-Sq3-C5+170-D32-fp16-bias_alibi-contiguous_bshd",
    "B2-Hq4-Hkv2-Sq3-C50..200-bf16-window.40-bias_relative.16-ring.64",
    "B2-Hq4-Hkv2-C33..200-D32-fp32-chunked.64-qk_rms",
    "B2-Hq4-Hkv2-Sq16-C30+7-D32-bf16-prefix.12-sink_zero-paged.32-int8_token",
    "B2-Hq4-Hkv2-C7..100-D32-fp32-tree.2x2-paged_hsd.16",
    "B2-Hq4-Hkv2-C7..100-D32-bf16-tree.0+0+1+1-cap10-sink_learned-contiguous_bshd",
)
DECODE_COMPILED = (
    "B3-Hq4-Hkv2-C100..180-D64-bf16-paged.128",
    "B2-Hq4-Hkv2-C70+200-D32-fp32-tree.2x2-cap5-paged.128",
)
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
    "B2-Hkv1-Sq3-C5+70-D72-Dv64-bf16-latent_paged.16",
    "B2-Hkv1-Sq3-C70-D72-Dv64-bf16-latent",
    "B2-Hkv2-C70-D48-Dv32-bf16-paged.16-int8_token",
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
    "B2-Hq2-Hkv1-C0+0-D32-fp32-paged.16",
    "Hq2-Hkv1-Sq16-C70-D16-bf16-chunked.40-cap20-sink_learned-bias_alibi-ring.64",
    "Hq2-Hkv1-Sq3-C70-D16-fp32-bias_relative.8-qk_rms-paged.16",
    "Hq2-Hkv1-C50-D16-bf16-tree.3x2-sink_zero-paged_hsd.16-int8_token",
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

NORMS = (
    "M1-N1-fp32",
    "M7-N64-fp16",
    "M33-N960-bf16",
    "M5-N4099-bf16-outliers",
    "M3-N1025-fp32",
    "M2-N17000-fp32-outliers",
)
NORMS_INTERPRETED = ("M1-N1-fp32", "M20-N80-fp16-outliers", "M3-N1025-bf16", "M2-N17000-fp32")
SWIGLU = ("M1-N1-fp32", "M7-N64-fp16", "M33-N1536-bf16", "M5-N4099-bf16-outliers", "M3-N1025-fp32")
SWIGLU_INTERPRETED = ("M3-N1025-fp32", "M7-N64-fp16", "M2-N40-bf16-outliers")
GELU = (*SWIGLU, "M3-N1025-fp32-tanh", "M33-N96-bf16-tanh", "M7-N64-fp16-outliers-tanh")
GELU_INTERPRETED = ("M3-N1025-fp32", "M3-N1025-fp32-tanh", "M7-N64-bf16-tanh")
EMBEDDING = (
    "M1-N1-V1-fp32",
    "M1-N64-V10-fp16",
    "M33-N960-V100-bf16",
    "M50-N577-V7-fp32",
    "M5-N4099-V300-bf16-outliers",
)
ROPE = (
    "Hq1-Sq1-D2-P1-fp32",
    "B2-Hq4-Hkv2-Sq5-D64-P40-bf16",
    "B3-Hq9-Hkv3-Sq1-D64-P200-fp16-interleaved",
    "B2-Hq2-Sq33-D80-P64-fp32",
    "Hq2-Hkv1-Sq17-P64-fp16-sinusoidal",
    "Hq3-Hkv1-Sq70-D96-P300-bf16-interleaved",
)
ROPE_INTERPRETED = (
    "Hq1-Sq1-D2-P1-fp32",
    "B2-Hq4-Hkv2-Sq5-D80-P40-bf16",
    "Hq9-Hkv3-Sq3-D64-P200-fp16-interleaved",
    "Hq2-Hkv1-Sq4-P64-fp32-sinusoidal",
)
LINEAR = (
    "N1-K1-fp32",
    "N1-K7-fp16-bias",
    "N65-K960-bf16",
    "M2-N33-K100-fp32",
    "M3-N65-K1023-fp32-outliers",
    "M4-N33-K100-fp16",
    "M5-N577-K1000-bf16-bias",
    "M8-N33-K100-bf16-bias",
    "M33-N100-K577-fp32-bias-outliers",
    "M70-N64-K1536-bf16-outliers",
)
LINEAR_FORMATS = (
    "M3-N64-K640-bf16-bias-f_int8",
    "M2-N48-K577-fp32-f_int8_dynamic",
    "M3-N64-K640-bf16-f_fp8_e4m3",
    "M4-N33-K640-fp16-bias-f_fp8_e4m3_row",
    "M2-N48-K576-fp32-outliers-f_int4_g32",
    "M3-N64-K1024-bf16-bias-f_int4_g128_asym",
    "N33-K640-fp16-f_int4_g64",
    "M5-N40-K640-bf16-f_nf4",
    "N64-K640-bf16-f_mxfp4",
    "M2-N33-K577-fp32-f_int1_58",
    "M3-N48-K640-bf16-f_sparse_2_4",
)
LINEAR_INTERPRETED = (
    "M3-N40-K576-bf16-bias-f_int4_g32_asym",
    "N33-K640-fp16-f_int4_g64",
    "M20-N40-K512-bf16-f_int4_g128",
    "M2-N33-K577-fp32-bias-f_int8",
    "M3-N40-K577-bf16-f_int8_dynamic",
    "M3-N33-K577-bf16-f_fp8_e4m3",
    "M18-N40-K300-fp32-bias-f_fp8_e4m3_row",
)

SAMPLING = (  # 100,000 draws for chi-square, where there is anything to draw
    "V150-N100000-fp32",
    "V200-N100000-t0.7-k40-p0.9-m0.02-r1.3-bf16-peaked",
    "B2-V500-N20000-p0.9-fp16-peaked",
    "V64-N50000-t2-m0.1-fp32-ties",
    "B3-V300-N30000-k70-p0.7-bf16-minus_inf",
    "V100-N100000-k10-p0.5-fp32-flat",
    "V100-N1000-k500-p0.99-m0.2-fp16-one_hot",
    "V300-N1000-t0.000001-p0.9-bf16",
    "B4-V300-N3-t0-r1.2-fp16-peaked",
    "V65-N100000-k7-p0.8-bf16-ties",
    "B16-V5000-k50-p0.95-bf16",
    "B2-V4100-t0.8-p0.95-fp32",
)
SAMPLING_COMPILED = ("B2-V200-N50000-t0.7-k40-p0.9-m0.02-bf16-peaked",)
SAMPLING_INTERPRETED = (
    "V100-N128-t0.7-k40-p0.9-m0.02-r1.3-bf16-peaked",
    "B2-V60-N128-p0.8-fp16-ties",
    "V100-N64-k10-p0.5-fp32-flat",
    "V100-N64-k500-p0.99-m0.2-fp16-one_hot",
    "B2-V200-N3-t0-r1.2-fp16-peaked",
    "V2100-N2-m0.05-fp32-minus_inf",
    "V2100-N2-p0.9-m0.01-bf16-peaked",
    "V4200-N2-k200-bf16",
)

GENERATE = (
    "toy-random-P33-N9-fp32",
    "toy-random-B3-R5-P20-N6-bf16",
    "toy-random-B2-P40-N8-paged.16-int8_token-bf16",
    "toy-random-B2-P24-N8-sample.t0.8.p0.9-contiguous_bshd-fp32",
    "toy-random-B2-P24-N12-prompt_lookup.3-fp32",
    "toy-random-B2-P24-N8-draft_model.2.t1-fp32",
    "toy-random-P24-N6-beam.3-fp32",
    "toy-random-B2-R4-P40-N8-paged.16-fp32-continuous-pool7",
    "toy-random-B2-R3-P20-N6-fp32-tp2",
    "toy-random-B2-P24-N8-sample.t0.8.p0.9-paged.16-bf16-tp2",
    "toy-random-B2-P24-N12-prompt_lookup.3-fp32-tp2",
)


PERPLEXITY = (
    "toy-random-W33-n2-B2-fp32",
    "toy-random-W40-S16-n2-int8_token-bf16",
    "toy-random-W40-n2-fp8_e4m3-fp32-w_int4_g32",
    "toy-random-W40-n2-fp32-w_int8_dynamic+int8",
)


SERVE = (
    "toy-random-R3-P21-N4-concurrency.2-fp32",
    "toy-random-R3-P21-N4-poisson.100-whole-asis-bf16",
    "toy-random-R2-P40-N4-sample.t0.8-warm-fp32",
)


@dataclass(frozen=True)
class CaseSet:
    """The cases that the implementations of an operator are held to; those that compile take seconds each.

    eager: the one in plain torch, which serves every case.
    """

    all: tuple[str, ...]
    compiled: tuple[str, ...] = ()
    eager: str = "naive"


OF_OPERATOR = {
    "attention": CaseSet(ATTENTION, COMPILED),
    "attention_backward": CaseSet(BACKWARD, COMPILED[:2]),
    "decode_attention": CaseSet(DECODE, DECODE_COMPILED),
    "kv_append": CaseSet(APPEND, APPEND_COMPILED, eager="eager"),
    "rmsnorm": CaseSet(NORMS, ("M7-N65-bf16",)),
    "layernorm": CaseSet(NORMS, ("M7-N65-bf16",)),
    "rope": CaseSet(ROPE, ("B2-Hq4-Hkv2-Sq5-D64-P40-bf16",)),
    "swiglu": CaseSet(SWIGLU, ("M7-N65-bf16",)),
    "gelu": CaseSet(GELU, ("M7-N65-bf16-tanh",)),
    "embedding": CaseSet(EMBEDDING, ("M9-N65-V10-bf16",)),
    "linear": CaseSet((*LINEAR, *LINEAR_FORMATS), ("N65-K100-bf16-bias", "N64-K640-bf16-f_int4_g64_asym")),
    "sampling": CaseSet(SAMPLING, SAMPLING_COMPILED),
    "generate": CaseSet(GENERATE),
    "perplexity": CaseSet(PERPLEXITY),
    "all_reduce": CaseSet((*COLLECTIVES, *REDUCTIONS)),
    "reduce_scatter": CaseSet((*COLLECTIVES, *REDUCTIONS)),
    "all_gather": CaseSet(COLLECTIVES),
    "all_to_all": CaseSet(COLLECTIVES),
    "ring_attention": CaseSet(RING_ATTENTION, eager="ring"),
    "tensor_parallel_linear": CaseSet(TENSOR_PARALLEL_LINEAR, eager="all_reduce"),
    "pipeline": CaseSet(PIPELINE, eager="gpipe"),
    "serve": CaseSet(SERVE, eager="in_process"),
}
PARTS = ("rmsnorm", "layernorm", "rope", "swiglu", "gelu", "embedding", "linear")
LATENT_INTERPRETED = (
    "B2-Hq4-Hkv1-Sq3-C0+70-D72-Dv64-bf16-latent_paged.16",
    "Hq2-Hkv1-C600-D24-Dv24-fp16-latent",
)
INTERPRETED_TOGETHER: tuple[dict[str, tuple[str, ...]], ...] = (  # in one process each, whose start takes seconds
    {
        "attention": (*INTERPRETED, *VARIANTS_INTERPRETED, "Hq1-Sq40-D16-bf16-prefix.30-qk_rms"),
        "attention_backward": (*INTERPRETED, *VARIANTS_INTERPRETED),
        "kv_append": APPEND_INTERPRETED,
    },
    {"decode_attention": DECODE_INTERPRETED, "decode_attention:triton_latent": LATENT_INTERPRETED},
    {
        "sampling": SAMPLING_INTERPRETED,
        "rmsnorm": NORMS_INTERPRETED,
        "layernorm": NORMS_INTERPRETED,
        "swiglu": SWIGLU_INTERPRETED,
        "gelu": GELU_INTERPRETED,
        "embedding": ("M1-N64-V10-fp16", "M9-N1100-V7-bf16"),
        "rope": ROPE_INTERPRETED,
        "linear": LINEAR_INTERPRETED,
    },
)
NOT_INTERPRETED = {"generate"}  # made of the kernels of other operators
OURS = ("attnlab.bench.", "attnlab.impls.")


def lacking(registry: Registry) -> list[str]:
    """What the tests lack of the operators of this repository, a sentence each; a plugin has tests of its own."""
    operators = [name for name in registry.operators.names() if registry.operators.module(name).startswith(OURS)]
    return [sentence for name in operators for sentence in _lacking(name, registry)]


def _lacking(operator: str, registry: Registry) -> Iterator[str]:
    case_set = OF_OPERATOR.get(operator)
    if case_set is None or not case_set.all:
        yield f"{operator} has no cases; add them to OF_OPERATOR"
        return
    ours = {made.name: made for made in registry.implementations(operator) if made.module.startswith(OURS)}
    if case_set.eager not in ours:
        yield f"{operator} has no implementation {case_set.eager}; add one in plain torch"
    if any(made.compiled for made in ours.values()) and not case_set.compiled:
        yield f"{operator} has no cases for what compiles; give its CaseSet some"
    interpreted = {name for together in INTERPRETED_TOGETHER for name in together}
    if "triton" in ours and operator not in interpreted | NOT_INTERPRETED:
        yield f"{operator} has no cases for Triton's interpreter; add them to INTERPRETED_TOGETHER"
