"""What rules allow, how kernels of two sides are paired, and what a file of rules or of budgets may say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from attnlab.bench.errors import UsageError
from attnlab.bench.gate.allowances import Allowances
from attnlab.bench.gate.static.asked import source_hash
from attnlab.bench.gate.static.budgets import Budget, load_budget, written
from attnlab.bench.gate.static.comparing import compare
from attnlab.bench.gate.static.figures import CaseFigures, KernelFigures
from attnlab.bench.gate.static.report import StaticReport, StaticRow, StaticVerdict
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


def at(place: str, constants: dict[str, str], name: str = "_rows", **values: float) -> KernelFigures:
    """A kernel as it was compiled: with its place and its constants."""
    return replace(kernel(name, **values), place=place, constants=constants)


def test_kernels_launched_in_another_order_are_found_again() -> None:
    narrow, wide = {"BLOCK": "64"}, {"BLOCK": "512"}
    base = case(at("a.py:1", narrow, registers=20), at("a.py:1", wide, registers=90))
    (one, other) = held(base, case(at("a.py:9", wide, registers=90), at("a.py:9", narrow, registers=20)))
    assert {one.verdict, other.verdict} == {StaticVerdict.SAME}
    rows = held(base, case(at("a.py:9", wide, registers=90, spills=4), at("a.py:9", narrow, registers=20)))
    assert [(row.verdict.value, row.head and row.head["registers"]) for row in rows] == [("worse", 90), ("same", 20)]


def test_of_a_budget_the_order_of_launches_counts_for_nothing_either() -> None:
    rows = held(case(kernel(registers=20), kernel(registers=90)), case(kernel(registers=90), kernel(registers=20)))
    assert [row.verdict.value for row in rows] == ["same", "same"]


def test_kernels_of_one_name_in_two_files_are_two() -> None:
    base = case(at("a.py:1", {"N": "1"}, load_width=16), at("b.py:1", {"M": "1"}, load_width=4))
    rows = held(base, case(at("b.py:5", {"M": "2"}, load_width=4), at("a.py:5", {"N": "2"}, load_width=8)))
    assert {row.place: row.verdict.value for row in rows} == {"a.py:5": "worse", "b.py:5": "same"}


def test_a_kernel_renamed_and_made_worse_beside_a_new_one_is_stopped() -> None:
    base = case(at("a.py:1", {"M": "64", "N": "64"}, "old"))
    head = case(at("a.py:1", {"BLOCK": "8"}, "fresh"), at("a.py:9", {"M": "64", "N": "128"}, "renamed", occupancy=12.5))
    rows = held(base, head)
    assert {row.key.split()[-1]: row.verdict.value for row in rows} == {"renamed": "worse", "fresh": "new"}
    assert "it was called old" in rows[0].causes


def report_of(*rows: StaticRow) -> StaticReport:
    return StaticReport("id", "kernels", "now", "attnlab gate", 1.0, "base", "head", ("sm_90",), rows)


def test_a_base_without_kernels_gives_no_verdict_unless_that_is_meant() -> None:
    report = report_of(*held(None, case(kernel())))
    assert report.exit_code == 3
    assert report.conclusion.startswith("No verdict: base has none of the 1 kernels; the gate fails closed")
    assert report_of(*held(None, case(kernel()), new_baseline=("attention/*",))).exit_code == 0
    both = {"a": case(kernel())}
    assert report_of(*compare(both, {**both, "b": case(kernel())}, RULES, Allowances())).exit_code == 0


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("spills = 0", "spills = 48"),
        lambda text: "\n".join(line for line in text.splitlines() if 'name = "b"' not in line),
        lambda text: text.replace('"0123"', '"4567"'),
        lambda text: "\n".join(line for line in text.splitlines() if not line.startswith("digest")),
    ],
    ids=["a figure", "a kernel's line removed", "a hash", "the digest removed"],
)
def test_budgets_that_were_edited_by_hand_are_not_believed(edit: Callable[[str], str], tmp_path: Path) -> None:
    file = tmp_path / "budgets.toml"
    text = written("kernels", ("sm_90",), [replace(case(kernel(), kernel("b")), sources="0123")])
    file.write_text("# a comment changes nothing\n" + text, encoding="utf-8")
    load_budget(file)
    assert edit(text) != text
    file.write_text(edit(text), encoding="utf-8")
    with pytest.raises(UsageError, match=r"budgets\.toml:\d+: .*digest.*write it anew: attnlab gate --static"):
        load_budget(file)
    assert load_budget(file, edited=True).suite == "kernels", "to be written anew"


def test_data_beside_a_source_counts_as_source(tmp_path: Path) -> None:
    """Launchers take configurations from there, so that another file is another kernel."""
    (tmp_path / "mine.py").write_text("", encoding="utf-8")
    made = SimpleNamespace(source=str(tmp_path / "mine.py"), built_from=())
    before = source_hash(made)  # type: ignore[arg-type]
    (tmp_path / "a_gpu.json").write_text("{}", encoding="utf-8")
    assert source_hash(made) != before  # type: ignore[arg-type]
