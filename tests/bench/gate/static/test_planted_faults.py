"""Faults planted in kernels are stopped without a GPU; what changes nothing of a kernel is not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from attnlab.bench.gate.allowances import Allowances
from attnlab.bench.gate.static.comparing import compare
from attnlab.bench.gate.static.figures import CaseFigures, figures_of
from attnlab.bench.gate.static.report import StaticRow, StaticVerdict
from attnlab.bench.gate.static.rules import load_rules
from attnlab.bench.profilers.compiled.orders import CaseOrder, Setup
from attnlab.bench.profilers.compiled.pool import compile_cases

PLUGIN = Path(__file__).parents[3] / "helpers" / "static_kernels.py"
CASE = "M64-N64-K1040-bf16"
PRODUCT, CODES = "linear/static_product", "linear/static_codes"
INTERIOR = "        a = tl.load(x_at + start)\n        b = tl.load(w_at + start)\n        acc = tl.dot(a, b, acc)\n"
MASKED = """\
        a = tl.load(x_at + start, mask=inner[None, :] + start < k, other=0.0)
        b = tl.load(w_at + start, mask=inner[:, None] + start < k, other=0.0)
        acc = tl.dot(a, b, acc)
"""
HINT = "x, w, out, k, stride, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):\n    rows, columns, inner"

# Name of a fault: the implementation that has it, edits of its source, and the quantities that stop it.
FAULTS: dict[str, tuple[str, list[tuple[str, str]], set[str]]] = {
    "a tile so large that it spills": (
        PRODUCT,
        [("TILE_M, TILE_N, TILE_K", "TILE_K, TILE_M, TILE_N"), ("= 64, 64, 64, 2, 4", "= 64, 256, 128, 2, 4")],
        {"spills"},
    ),
    "a sum of products for a dot": (
        PRODUCT,
        [
            ("tl.dot(a, b, acc)", "acc + tl.sum(a[:, :, None].to(tl.float32) * b[None, :, :], 1)"),
            ("= 64, 64, 64, 2, 4", "= 64, 64, 16, 2, 4"),
        ],
        {"tensor_instructions"},
    ),
    "operands of 32 bits": (
        PRODUCT,
        [("tl.dot(a, b, acc)", "tl.dot(a.to(tl.float32), b.to(tl.float32), acc)")],
        {"tensor_bits"},
    ),
    "masks in the interior loop": (PRODUCT, [(INTERIOR, MASKED)], {"busy_instructions"}),
    "a hint of divisibility dropped": (
        PRODUCT,
        [
            ("@triton.jit\ndef _product", '@triton.jit(do_not_specialize=["stride"])\ndef _product'),
            (HINT, HINT.replace("    rows", "    stride = tl.multiple_of(stride, 4)\n    rows")),
        ],
        {"load_width"},
    ),
    "too many stages": (PRODUCT, [("= 64, 64, 64, 2, 4", "= 64, 64, 64, 12, 4")], {"shared_over"}),
    "codes decoded by conversions": (
        CODES,
        [
            (
                "    wide = (codes.to(tl.uint16) ^ 0x80) | 0x6400\n"
                "    return wide.to(tl.float16, bitcast=True) - 1152.0",
                "    return codes.to(tl.int8, bitcast=True).to(tl.float16)",
            )
        ],
        {"conversions"},
    ),
}
HARMLESS = {
    "a comment": [
        (
            "    acc = tl.zeros((M, N), tl.float32)\n    whole",
            "    acc = tl.zeros((M, N), tl.float32)  # a sum\n    # whole tiles\n    whole",
        )
    ],
    "other names": [
        ("_product(", "_matrix_product("),
        ("_launch(_product,", "_launch(_matrix_product,"),
        ("whole", "all_of_it"),
        ("rows", "lines"),
    ],
    "another order": [],
}


def edited(edits: list[tuple[str, str]], name: str) -> str:
    """The plugin's source with these edits, each of which meets something; its implementations get a suffix."""
    text = PLUGIN.read_text(encoding="utf-8")
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    return re.sub(r'name="(static_\w+)"', rf'name="\1_{name}"', text)


def turned_about(text: str) -> str:
    """The same functions in another order: `_codes` and what it needs before `_product`."""
    begin, middle, end = (
        text.index("@triton.jit\ndef _product"),
        text.index("@triton.jit\ndef _decode"),
        text.index("def _launch"),
    )
    return text[:begin] + text[middle:end] + text[begin:middle] + text[end:]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, CaseFigures]:
    """The kernels of each variant for sm_80, by its name; one process compiles them all."""
    folder = tmp_path_factory.mktemp("variants")
    plugins, orders, names = [str(PLUGIN)], [], []
    for number, (name, (implementation, edits, _)) in enumerate(FAULTS.items()):
        (folder / f"fault{number}.py").write_text(edited(edits, f"f{number}"), encoding="utf-8")
        orders.append(CaseOrder(f"{implementation}_f{number}", CASE, "sm_80"))
        names.append(name)
    for number, (name, edits) in enumerate(HARMLESS.items()):
        text = edited(edits, f"h{number}")
        (folder / f"harmless{number}.py").write_text(text if edits else turned_about(text), encoding="utf-8")
        orders.append(CaseOrder(f"{PRODUCT}_h{number}", CASE, "sm_80"))
        names.append(name)
    plugins += [str(path) for path in sorted(folder.glob("*.py"))]
    orders += [CaseOrder(name, CASE, "sm_80") for name in (PRODUCT, CODES)]
    found = compile_cases(orders, Setup(tuple(plugins), str(folder / "kept"), str(folder)), processes=1)
    assert [case.failed for case in found] == [None] * len(orders)
    return dict(zip([*names, PRODUCT, CODES], map(figures_of, found), strict=True))


def held(base: CaseFigures, head: CaseFigures) -> tuple[StaticRow, ...]:
    """Both as one case of two revisions."""
    return compare({"it": base}, {"it": replace(head, key=base.key)}, load_rules(None), Allowances())


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_stopped(name: str, compiled: Mapping[str, CaseFigures]) -> None:
    implementation, _, quantities = FAULTS[name]
    (row,) = held(compiled[implementation], compiled[name])
    assert row.verdict is StaticVerdict.WORSE
    assert quantities <= {rule.quantity for rule in row.broken}, row.said
    assert row.place is not None
    assert row.place.startswith("fault")


@pytest.mark.parametrize("name", HARMLESS)
def test_what_changes_no_kernel_is_no_alarm(name: str, compiled: Mapping[str, CaseFigures]) -> None:
    (row,) = held(compiled[PRODUCT], compiled[name])
    assert row.verdict is StaticVerdict.SAME, row.said
    assert row.causes == (("it was called _product",) if name == "other names" else ())
