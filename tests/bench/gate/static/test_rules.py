"""What rules allow, how kernels of two sides are paired, and what a file of rules or of budgets may say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from attnlab.bench.errors import UsageError
from attnlab.bench.gate.allowances import Allowances
from attnlab.bench.gate.static.budgets import Budget, load_budget, written
from attnlab.bench.gate.static.comparing import compare
from attnlab.bench.gate.static.figures import CaseFigures, KernelFigures
from attnlab.bench.gate.static.report import StaticRow, StaticVerdict
from attnlab.bench.gate.static.rules import load_rules

RULES = load_rules(None)
TRITON = "triton 3.7.1"
BASE = {"registers": 200.0, "spills": 0.0, "shared_over": 0.0, "occupancy": 25.0, "tensor_instructions": 64.0}
BASE |= {"tensor_bits": 16.0, "loop_instructions": 400.0, "busy_instructions": 900.0, "load_width": 16.0}
BASE |= {"conversions": 10.0, "warnings": 0.0}
KEY = "attention/triton[bf16] sm_90"


def kernel(name: str = "_forward", compiler: str = TRITON, **values: float) -> KernelFigures:
    return KernelFigures(name, compiler, BASE | values, f"kernels/{name}.py:1")


def case(*kernels: KernelFigures, **given: object) -> CaseFigures:
    return replace(CaseFigures(KEY, kernels), **given)


def held(base: CaseFigures | None, head: CaseFigures | None, rules=RULES, **allowed) -> tuple[StaticRow, ...]:
    sides = [{} if side is None else {KEY: side} for side in (base, head)]
    return compare(*sides, rules, Allowances(**allowed))


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({"spills": 1}, {"spills"}),
        ({"shared_over": 1024}, {"shared_over"}),
        ({"occupancy": 12.5}, {"occupancy"}),
        ({"tensor_instructions": 0}, {"tensor_instructions"}),
        ({"tensor_instructions": 1}, set()),
        ({"tensor_bits": 32}, {"tensor_bits"}),
        ({"loop_instructions": 420}, set()),
        ({"loop_instructions": 421}, {"loop_instructions"}),
        ({"loop_instructions": 300, "occupancy": 50, "registers": 255}, set()),
        ({"load_width": 14.5}, set()),
        ({"load_width": 14}, {"load_width"}),
        ({"warnings": 1}, {"warnings"}),
        ({"conversions": 14}, set()),
        ({"conversions": 15}, {"conversions"}),
    ],
    ids=str,
)
def test_what_is_stopped(changed: dict[str, float], broken: set[str]) -> None:
    (row,) = held(case(kernel()), case(kernel(**changed)))
    assert {rule.quantity for rule in row.broken} == broken
    assert row.verdict is (StaticVerdict.WORSE if broken else StaticVerdict.CHANGED)


def test_a_new_kernel_may_not_spill() -> None:
    assert [row.verdict for row in held(None, case(kernel()))] == [StaticVerdict.NEW]
    (row,) = held(None, case(kernel(spills=3)))
    assert row.verdict is StaticVerdict.WORSE
    assert row.said == "spilling instructions 3, allowed at most 0"


def test_kernels_are_paired_by_name_and_then_by_place() -> None:
    base = case(kernel("a"), kernel("b", registers=10), kernel("c"))
    rows = held(base, case(kernel("c"), kernel("other", registers=10), kernel("a")))
    assert {row.key.split()[-1]: (row.verdict.value, row.causes) for row in rows} == {
        "a": ("same", ()),
        "c": ("same", ()),
        "other": ("same", ("it was called b",)),
    }
    assert [row.verdict.value for row in held(base, case(kernel("a"), kernel("c")))] == ["gone", "same", "same"]


def test_the_same_kernel_launched_twice_is_two() -> None:
    rows = held(case(kernel(), kernel(registers=99)), case(kernel(), kernel(registers=99, spills=2)))
    assert [row.verdict.value for row in rows] == ["worse", "same"]


def test_what_is_missing_closes_the_gate_unless_allowed() -> None:
    (row,) = held(case(kernel()), None)
    assert (row.verdict, row.stops) == (StaticVerdict.MISSING, True)
    (row,) = held(case(kernel()), case(unserved="a reason"))
    assert row.said == "base serves it, head does not: a reason"
    (row,) = held(case(kernel()), None, removed=("attention/*",))
    assert (row.stops, row.allowed_by) == (False, "--allow-removed 'attention/*'")


def test_another_compiler_is_its_own_cause() -> None:
    newer = case(kernel(compiler="triton 3.8.0", spills=5), sources="a")
    (row,) = held(case(kernel(), sources="a"), newer)
    assert row.causes[0].endswith(
        "triton 3.7.1 → triton 3.8.0, and the source is the same: the compiler alone is the cause"
    )
    (row,) = held(case(kernel(), sources="b"), newer)
    assert row.causes == ("another compiler: triton 3.7.1 → triton 3.8.0",)


def test_of_a_quantitys_rules_the_last_that_fits_counts(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('[[rule]]\nquantity = "spills"\nrise = 48\nmatch = "attention/*"\n', encoding="utf-8")
    rules = load_rules(file)
    assert not any(row.broken for row in held(case(kernel()), case(kernel(spills=48)), rules))
    assert held(case(kernel()), case(kernel(spills=49)), rules)[0].verdict is StaticVerdict.WORSE
    file.write_text('[[rule]]\nquantity = "spills"\nrise = 0\nreport_only = true\n', encoding="utf-8")
    (row,) = held(case(kernel()), case(kernel(spills=1)), load_rules(file))
    assert (row.verdict, row.said) == (
        StaticVerdict.CHANGED,
        "spilling instructions 0 → 1, allowed at most 0 (reported, not gated)",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r":1: expected one \[\[rule\]\] table or more"),
        ("[[rule]]\nrise = 1", r":1: a \[\[rule\]\] lacks its quantity"),
        ('[[rule]]\nquantity = "spill"\nrise = 1', r":2: unknown quantity 'spill'; did you mean 'spills'"),
        ('[[rule]]\nquantity = "spills"', r":2: the rule of spills lacks a limit"),
        ('[[rule]]\nquantity = "spills"\nrise = -1', r":3: got rise = -1; expected a number, 0 or more"),
        ('[[rule]]\nquantity = "spills"\nkeep = 1', r":3: got keep = 1; expected true or false"),
        ('[[rule]]\nquantity = "spills"\nraise = 1', r":3: unknown key of a rule 'raise'; did you mean 'rise'"),
        ('[[rule]]\nquantity = "spills"\nrise = 1\nmatch = ""', r":4|:1"),
        ("[[rule", r":1: not TOML"),
    ],
)
def test_a_file_of_rules_that_is_wrong(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(text, encoding="utf-8")
    if 'match = ""' in text:
        assert load_rules(file)[-1].match == "*"
        return
    with pytest.raises(UsageError, match=said):
        load_rules(file)


def test_budgets_are_read_as_they_were_written(tmp_path: Path) -> None:
    cases = [
        replace(case(kernel(load_width=15.25), kernel("b")), sources="0123"),
        CaseFigures('x/"y"[a] sm_80', unserved='it says "no"\nto that', sources="4"),
    ]
    file = tmp_path / "budgets.toml"
    file.write_text(written("kernels", ("sm_90",), cases), encoding="utf-8")
    budget = load_budget(file)
    assert (budget.suite, budget.targets) == ("kernels", ("sm_90",))
    own = budget.cases[KEY]
    assert [(k.name, k.compiler, dict(k.values)) for k in own.kernels] == [
        (k.name, k.compiler, dict(k.values)) for k in cases[0].kernels
    ]
    assert budget.cases['x/"y"[a] sm_80'].unserved == 'it says "no" to that'
    assert budget.holds(own, "0123", {"triton": TRITON})
    assert not budget.holds(own, "4567", {"triton": TRITON})
    assert not budget.holds(own, "0123", {"triton": "triton 3.8.0"})
    assert not budget.holds(None, "0123", {"triton": TRITON})
    assert not Budget("kernels", (), version=0).holds(own, "0123", {"triton": TRITON})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('suite = "a"\ntargets = 1', ":2: got targets = 1"),
        ('targets = ["sm_90"]', 'lacks its suite = "kernels"'),
        ('suite = "a"\ntargets = []\n[kernels]\nx = 1', "got x = 1; expected a list of kernels"),
        ('suite = "a"\ntargets = []\n[kernels]\nx = [{ spills = 1 }]', "lacks its name or its compiler"),
        (
            'suite = "a"\ntargets = []\n[kernels]\nx = [{ name = "n", compiler = "c", spill = 1 }]',
            "unknown key of a kernel",
        ),
        (
            'suite = "a"\ntargets = []\n[kernels]\nx = [{ name = "n", compiler = "c", spills = "1" }]',
            "expected a number",
        ),
    ],
)
def test_a_file_of_budgets_that_is_wrong(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        load_budget(file)
    assert said in str(raised.value)


def test_no_budgets_say_how_to_write_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="write one with `attnlab gate --static --write-budgets`"):
        load_budget(tmp_path / "none.toml")
