"""Every tile of a search space gives what the built-in one gives: its corners, under Triton's interpreter.

Warps and stages mean nothing there; `attnlab tune` checks each candidate on the device. See
`test_attention_interpreted` for why these tests have a process of their own.
"""

import itertools
import os

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
CASES = {
    "attention": "Hq1-Sq70-Sk97-D16-fp32-causal",
    "attention_backward": "Hq1-Sq70-Sk97-D16-fp32-causal",
    "decode_attention": "Hq2-Hkv1-C90-D32-fp32-paged.16",
    "kv_append": "Hkv3-Sq2-C40-D128-bf16-paged.16-int8_token",
    "sampling": "V1100-N40-t0.8-p0.9-fp32",
    "rmsnorm": "M3-N1100-fp32",
    "layernorm": "M3-N1100-fp32",
    "swiglu": "M2-N700-bf16",
    "gelu": "M2-N700-bf16",
    "embedding": "M3-N700-V9-bf16",
    "rope": "B2-Hq5-Hkv2-Sq2-D80-P9-bf16",
    "linear": "M20-N70-K300-fp32-f_int8",
}
"""Small ones, and yet large enough for some tiles to be cut off."""

if not INTERPRETED:
    from attnlab.bench import discover

    def test_under_the_interpreter(passes_interpreted):
        passes_interpreted(__file__)

    def test_each_of_our_kernels_in_triton_has_a_space_that_is_tried_here():
        made = [one for one in discover().all_implementations() if one.name == "triton" and one.operator != "generate"]
        assert {one.operator for one in made if one.space is not None} == {one.operator for one in made} == set(CASES)

else:
    from attnlab.bench import NORMAL_DRAW, discover, tensors

    REGISTRY = discover()
    ROUNDING = 1e-5  # orders of float32 sums

    def planned(operator):
        """The case, the implementation, and the corners of its tiles that fit the case, but for the built-in one."""
        made = REGISTRY.implementations(operator).get("triton")
        case = REGISTRY.operators.get(operator).case_type.parse(CASES[operator])
        built_in = made.space.default(case)
        tiles = {name: values for name, values in made.space.axes.items() if not name.endswith(("warps", "stages"))}
        fit = [
            one
            for values in itertools.product(*tiles.values())
            if made.space.unfit(case, one := built_in | dict(zip(tiles, values, strict=True))) is None
        ]
        ends = {name: {min(one[name] for one in fit), max(one[name] for one in fit)} for name in tiles}
        corners = [one for one in fit if all(one[name] in ends[name] for name in tiles) and one != built_in]
        if len(tiles) > 3:  # both ends of all
            corners = [corners[0], corners[-1]]
        return made, case, corners

    CORNERS = [(operator, corner) for operator in CASES for corner in planned(operator)[2]]

    def outcome(operator, chosen):
        """What comes out of a call, and what it wrote into its inputs."""
        made, case, _ = planned(operator)
        torch.manual_seed(0)
        inputs = REGISTRY.operators.get(operator).make_inputs(case, NORMAL_DRAW, 0, torch.device("cpu"))
        own = made.configured(chosen) if chosen else made
        out = own.run(inputs, own.prepare(case, inputs))
        outs = out if isinstance(out, tuple) else () if out is None else (out,)
        return [*outs, *(tensors(inputs).values() if out is None else ())], own.configuration(case)

    BUILT_IN = {operator: outcome(operator, None) for operator in CASES}

    @pytest.mark.parametrize(
        ("operator", "chosen"),
        CORNERS,
        ids=[f"{operator}-{'-'.join(map(str, chosen.values()))}" for operator, chosen in CORNERS],
    )
    def test_a_corner_gives_what_is_built_in(operator, chosen):
        (expected, usual), (found, told) = BUILT_IN[operator], outcome(operator, chosen)
        assert expected
        for one, other in zip(found, expected, strict=True):
            allowed = ROUNDING if one.dtype == torch.float32 else 0.0
            torch.testing.assert_close(one, other, rtol=allowed, atol=allowed, equal_nan=True)
        assert told != usual, "what was given is told"
