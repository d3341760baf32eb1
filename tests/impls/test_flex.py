"""FlexAttention's sinks, which its CPU kernels lack: by the log-sum-exp, in torch's own formula without a compiler."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention.flex_attention import flex_attention

from attnlab.bench import AttentionCase
from attnlab.bench.contract.operator_spec import NORMAL_DRAW
from attnlab.bench.ops._shared import attention_math
from attnlab.bench.ops.attention.contract import make_inputs
from attnlab.impls import _flex


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_a_sink_takes_its_share() -> None:
    case = AttentionCase.parse("Hq4-Hkv2-Sq20-Sk33-D16-fp32-sink_learned")
    inputs = make_inputs(case, NORMAL_DRAW, 0, torch.device("cpu"))
    attend = _flex.with_sinks(flex_attention)
    out = attend(inputs.q, inputs.k, inputs.v, inputs.sinks, scale=inputs.scale, enable_gqa=True)
    (expected,) = attention_math.oracle(case, inputs, torch.arange(case.q_len))
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=1e-5)
