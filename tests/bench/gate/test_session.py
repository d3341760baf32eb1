"""A gate's course with scripted arms: verdicts, what fails closed, lost processes, interrupts."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench.analysis.compare import Basis, compare
from attnlab.bench.errors import SuiteError
from attnlab.bench.gate.allowances import Allowances
from attnlab.bench.gate.messages import Offers, SuiteSettings, TimingMethod
from attnlab.bench.gate.pairs import BURSTS
from attnlab.bench.gate.rows import Standing
from attnlab.bench.gate.session import ArmBroken
from attnlab.bench.gate.storing import write_gate
from attnlab.bench.gate.survey import Survey
from attnlab.bench.machine.clocks.cuda_graph import CudaGraph
from attnlab.bench.measuring.worker_process import WorkerEnded
from attnlab.bench.stats.verdict import Verdict
from attnlab.bench.store.machine import PublishedPeaks
from attnlab.bench.store.plan import Plan
from attnlab.bench.store.records import CALLABLE, Outcome
from attnlab.bench.store.run_folder import read_run

from .conftest import CEILINGS, ArmScript, Gated, Kernel, offer

Make = Callable[..., Gated]


def one(**kernel: Any) -> ArmScript:
    return ArmScript({"quick": Kernel(**kernel)})


def test_equal_arms_pass(gated: Make) -> None:
    gate = gated()
    report = gate.run()
    (row,) = report.rows
    assert (row.standing, row.verdict) == (Standing.COMPARED, Verdict.SAME)
    assert report.exit_code == 0
    assert report.conclusion == "No regression."
    assert row.base_ns == pytest.approx(1e6, rel=0.01)
    assert (row.clock, row.cache) == ("wall", "warm")


def test_a_slower_head_fails_and_is_named(gated: Make) -> None:
    head = ArmScript({"quick": Kernel(), "slow": Kernel(1.1e6, parts={"mm": 9e5, "copy": 2e5})})
    base = ArmScript({"quick": Kernel(), "slow": Kernel(1.0e6, parts={"mm": 8e5, "copy": 2e5})})
    report = gated(base, head).run()
    assert report.exit_code == 1
    slow, *beside = report.regressions
    assert [found.label for found in beside] == ["mean latency"]
    assert slow.key == "toy/slow[N8]"
    assert slow.first.ratio == pytest.approx(1.1, rel=0.01)
    assert slow.confirmation.ratio == pytest.approx(1.1, rel=0.01)
    assert (slow.moved.name, slow.moved.base_ns, slow.moved.head_ns) == ("mm", 8e5, 9e5)
    assert "toy/slow[N8]" in report.conclusion


def test_a_faster_head_passes(gated: Make) -> None:
    report = gated(one(), one(ns=0.9e6)).run()
    assert report.rows[0].verdict is Verdict.FASTER
    assert report.exit_code == 0


def test_each_pair_has_fresh_processes_which_are_all_ended(gated: Make) -> None:
    gate = gated()
    gate.run()
    assert len(gate.started) == 2 + 2 * 8
    assert all(process.closed for process in gate.started)


def test_only_the_first_pair_holds_the_whole_check(gated: Make) -> None:
    gate = gated()
    gate.run()
    assert [process.checked for process in gate.started[2:]] == [True, True] + [False] * 14


def test_who_waits_stands_still(gated: Make) -> None:
    """A thread of head that works all the time would slow base as well, and hide what head itself has lost."""
    gate = gated()
    gate.run()
    bursts = [alone for arm in gate.started for alone in arm.alone]
    assert bursts
    assert all(bursts)
    assert not any(arm.stands_still for arm in gate.started)


def test_arms_take_turns_to_and_fro_and_pairs_begin_with_either(gated: Make) -> None:
    order: list[str] = []
    base, head = (one(after_burst=partial(order.append, name)) for name in "bh")
    gated(base, head, looks=(3,)).run()
    pairs = ["".join(order[start : start + 2 * BURSTS]) for start in range(0, len(order), 2 * BURSTS)]
    assert pairs[:3] == ["hbbh" * (BURSTS // 2), "bhhb" * (BURSTS // 2), "hbbh" * (BURSTS // 2)]


def test_every_pair_is_on_disk_at_once(gated: Make) -> None:
    gate = gated()
    seen: list[int] = []
    gate.session.tell = lambda line: seen.append(len(gate.session.pairs.path.read_text().splitlines()))
    gate.run()
    assert seen[2:] == list(range(1, 9))
    line = json.loads(gate.session.pairs.path.read_text().splitlines()[0])
    assert (line["pair"], line["benchmark"]) == (1, "toy/quick[N8]")
    assert len(line["taken"]["base"]["launches"][0]["bursts"]) == BURSTS


def test_wrong_on_head_fails_closed(gated: Make) -> None:
    gate = gated(one(), one(outcome=Outcome.WRONG_VALUES, reason="out: too far off"))
    report = gate.run()
    assert report.rows[0].standing is Standing.WRONG
    assert "too far off" in report.rows[0].reason
    assert report.exit_code == 3
    assert len(gate.started) == 4, "one pair is enough to see that"


def test_wrong_when_timed_on_head_fails_closed(gated: Make) -> None:
    report = gated(one(), one(wrong_when_timed=True)).run()
    assert report.rows[0].standing is Standing.WRONG
    assert report.exit_code == 3


def test_wrong_on_base_is_nothing_to_compare_with(gated: Make) -> None:
    base = ArmScript({"quick": Kernel(), "mended": Kernel(outcome=Outcome.WRONG_VALUES, reason="off")})
    head = ArmScript({"quick": Kernel(), "mended": Kernel()})
    gate = gated(base, head)
    report = gate.run()
    assert (gate.row("mended").standing, gate.row("mended").verdict) == (Standing.NEW, None)
    assert report.exit_code == 3
    gate = gated(base, head, allow=Allowances(new_baseline=("toy/mended*",)))
    report = gate.run()
    assert gate.row("mended").allowed_by == "--allow-new-baseline 'toy/mended*'"
    assert "--allow-new-baseline 'toy/mended*' let through toy/mended[N8] (new)" in report.notes
    assert report.exit_code == 0


def test_wrong_on_head_is_let_through_by_name_alone(gated: Make) -> None:
    arms = (
        ArmScript({"quick": Kernel(), "bad": Kernel()}),
        ArmScript({"quick": Kernel(), "bad": Kernel(outcome=Outcome.WRONG_VALUES, reason="off")}),
    )
    assert gated(*arms, allow=Allowances(new_baseline=("*",))).run().exit_code == 3
    assert gated(*arms, allow=Allowances(removed=("toy/bad*",))).run().exit_code == 0


def test_what_head_drops_from_its_suite_is_measured_all_the_same(gated: Make) -> None:
    both = {"quick": Kernel(), "hidden": Kernel()}
    head = ArmScript({"quick": Kernel(), "hidden": Kernel(2e6)}, suite=("quick",))
    gate = gated(ArmScript(both), head)
    report = gate.run()
    assert gate.row("hidden").verdict is Verdict.SLOWER
    assert report.exit_code == 1
    report = gated(ArmScript(both), ArmScript(both, suite=("quick",))).run()
    assert [row.implementation for row in report.closed] == ["hidden"], "coverage is lost although nothing is slower"
    assert report.exit_code == 3
    assert "head's suite no longer has it" in report.conclusion
    gate = gated(ArmScript(both), head, allow=Allowances(removed=("toy/hidden[N8]",)))
    assert gate.run().exit_code == 0
    assert gate.row("hidden").standing is Standing.MISSING, "what may go is not measured"


def test_what_head_adds_to_its_suite_is_compared(gated: Make) -> None:
    both = {"quick": Kernel(), "older": Kernel()}
    gate = gated(ArmScript(both, suite=("quick",)), ArmScript(both))
    assert gate.run().exit_code == 0
    assert gate.row("older").verdict is Verdict.SAME


@pytest.mark.parametrize("side", ["base", "head"])
def test_a_suite_that_one_side_has_not_closes(side: str, gated: Make) -> None:
    there, absent = ArmScript(), ArmScript(suite=(), error="s.toml: no such suite file", absent=True)
    arms = (absent, there) if side == "base" else (there, absent)
    report = gated(*arms).run()
    assert report.rows[0].verdict is Verdict.SAME
    assert report.exit_code == 3
    assert f"{side}: s.toml: no such suite file" in report.notes
    allow = Allowances(new_baseline=("*",)) if side == "base" else Allowances(removed=("*",))
    assert gated(*arms, allow=allow).run().exit_code == (0 if side == "base" else 3), "nothing is left to compare"


def test_a_suite_of_heads_that_cannot_be_read_is_told(gated: Make) -> None:
    with pytest.raises(SuiteError, match="not TOML"):
        gated(ArmScript(), ArmScript(suite=(), error="s.toml:1: not TOML")).run()


def test_both_are_measured_with_bases_settings(gated: Make) -> None:
    quick, thorough = SuiteSettings({"warmup_limit_s": 5.0}), SuiteSettings({"warmup_limit_s": 0.1}, "hot")
    gate = gated(ArmScript(settings=quick), ArmScript(settings=thorough))
    (note,) = gate.run().notes
    assert "effort.warmup_limit_s 5.0 → 0.1, cache cold → hot" in note
    (source,) = gate.session.ask.sources
    assert source.known[0].settings == quick  # type: ignore[attr-defined]


def arm_of_tests(code: str | None, names: Sequence[str] = ("quick",), **more: Any) -> ArmScript:
    """What an arm offers of pytest's tests."""
    found = [replace(offer(name), operator=CALLABLE, case_id="", code=code) for name in names]
    return ArmScript({name: Kernel() for name in names}, found=found, **more)


def test_a_test_is_called_as_pytest_calls_it(gated: Make) -> None:
    (row,) = gated(arm_of_tests("1"), arm_of_tests("1")).run().rows
    assert (row.key, row.group, row.verdict) == ("quick", "quick", Verdict.SAME)


def test_a_test_whose_own_code_changed_is_measured_and_closes(gated: Make) -> None:
    report = gated(arm_of_tests("1"), arm_of_tests("2")).run()
    (row,) = report.rows
    assert (row.verdict, report.exit_code) == (Verdict.SAME, 3)
    assert "the test's own code is not what it was" in report.conclusion
    report = gated(arm_of_tests("1"), arm_of_tests("2"), allow=Allowances(new_baseline=("quick",))).run()
    assert report.exit_code == 0


def test_a_file_of_tests_that_head_cannot_collect_closes(gated: Make) -> None:
    torn = {"tests/bench_torn.py": "it cannot be collected: no such module"}
    report = gated(arm_of_tests("1", torn=torn), arm_of_tests("1", torn=torn)).run()
    assert report.exit_code == 3
    assert "tests/bench_torn.py: wrong or failing on head" in report.conclusion
    assert "base: tests/bench_torn.py: it cannot be collected: no such module" in report.notes


def test_a_file_of_tests_that_base_cannot_collect_leaves_its_tests_new(gated: Make) -> None:
    base = arm_of_tests("1", torn={"tests/bench_torn.py": "no such module"})
    report = gated(base, arm_of_tests("1", ("quick", "fresh"))).run()
    assert report.exit_code == 3
    assert [(row.key, row.standing) for row in report.rows][-1] == ("fresh", Standing.NEW)
    assert "base: tests/bench_torn.py: no such module" in report.notes


def test_several_sources_are_one_family_each_with_processes_of_its_own(gated: Make) -> None:
    gate = gated()
    other = gated(arm_of_tests("1"), arm_of_tests("1"))
    gate.session.ask = replace(gate.session.ask, sources=(*gate.session.ask.sources, *other.session.ask.sources))
    report = gate.run()
    assert [(row.key, row.verdict) for row in report.rows] == [("toy/quick[N8]", Verdict.SAME), ("quick", Verdict.SAME)]
    assert len(gate.started) == len(other.started) == 2 + 2 * 8
    assert report.suite == "s.toml, s.toml"


def test_each_process_is_told_what_follows(gated: Make) -> None:
    gate = gated(arm_of_tests("1", ("one", "two")), arm_of_tests("1", ("one", "two")))
    gate.run()
    assert gate.started[2].followed == ["two", None]


def test_two_modes_are_told_and_decide_nothing(gated: Make) -> None:
    """Some processes take 1.4 times as long for life, on both sides: all pairs say that nothing changed."""
    modes = (1.0, 1.4, 1.0, 1.0, 1.4, 1.0, 1.4, 1.4, 1.0, 1.0, 1.0, 1.4, 1.0, 1.4, 1.4, 1.0)
    report = gated(one(by_pair=modes), one(by_pair=modes), looks=(16,)).run()
    (row,) = report.rows
    assert row.verdict is Verdict.SAME
    assert report.exit_code == 0
    told = [re.fullmatch(r"(base|head): two modes: 56 % at .*s, 44 % at 1.40 ms", f) for f in row.flags]
    assert [found[1] for found in told if found] == ["base", "head"], row.flags


def test_an_implementation_that_was_renamed_closes_and_names_both(gated: Make) -> None:
    base, head = ({"quick": Kernel(), name: Kernel(ns)} for name, ns in (("old", 1e6), ("new", 3e6)))
    report = gated(ArmScript(base), ArmScript(head)).run()
    assert report.exit_code == 3
    assert "toy/old[N8]: missing on head" in report.conclusion
    assert "toy/new[N8]: new" in report.conclusion
    reasons = {row.implementation: row.reason for row in report.closed}
    assert "toy/new[N8] is new: was it renamed?" in reasons["old"]
    assert "toy/old[N8] is gone: was it renamed?" in reasons["new"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"values": {"n": 2048}}, {"values": {"n": 512}}, "axis n is 2048 on base and 512 on head"),
        ({"values": {"n": 8}}, {"values": {"n": 8, "m": 4}}, "axis m is not there on base and 4 on head"),
        ({"operations": 2048}, {"operations": 512}, "operations of a call are 2048 on base and 512 on head"),
        ({"bytes_moved": 64}, {"bytes_moved": None}, "bytes moved of a call are 64 on base and not there on head"),
    ],
)
def test_one_id_that_means_other_work_closes(before: dict, after: dict, said: str, gated: Make) -> None:
    kernels = {"quick": Kernel(), "other": Kernel()}
    base, head = (ArmScript(kernels, [offer("quick"), replace(offer("other"), **more)]) for more in (before, after))
    gate = gated(base, head)
    report = gate.run()
    assert gate.row("other").standing is Standing.REDEFINED
    assert said in gate.row("other").reason
    assert report.exit_code == 3
    assert gated(base, head, allow=Allowances(new_baseline=("toy/other*",))).run().exit_code == 0


def test_one_id_with_other_inputs_closes(gated: Make) -> None:
    """A size that stands in the contract's code, where no axis, count of operations or of bytes shows it."""
    base, head = (one(inputs=("q float32 [8]", f"x float32 [{size}]")) for size in (2048, 512))
    report = gated(base, head).run()
    assert report.rows[0].standing is Standing.INCOMPARABLE
    assert report.rows[0].reason == "one id, and other inputs: base x float32 [2048]; head x float32 [512]"
    assert report.exit_code == 3


def test_one_id_whose_contract_fills_the_inputs_otherwise_closes(gated: Make) -> None:
    """Such as with zeros, of which a kernel skips the work: same axes, shapes, operations and bytes."""
    base, head = (one(contents=(f"redrawn {digest}",)) for digest in ("1a2b", "3c4d"))
    report = gated(base, head).run()
    assert report.rows[0].standing is Standing.REDEFINED
    assert "fill the inputs otherwise" in report.rows[0].reason
    assert report.exit_code == 3
    assert gated(base, head, allow=Allowances(new_baseline=("toy/quick*",))).run().exit_code == 0


@pytest.mark.parametrize(("allowed", "code"), [(16.0, 3), (0.5, 0), (1.0, 0)])
def test_a_contract_that_allows_larger_errors_is_another(allowed: float, code: int, gated: Make) -> None:
    """Else an error 16 times larger would be the same share of its budget."""
    report = gated(one(error=0.1), one(error=0.1, allowed=allowed)).run()
    assert report.exit_code == code
    assert (report.rows[0].standing is Standing.REDEFINED) == bool(code)


def test_what_both_arms_lose_after_it_was_measured_closes(gated: Make) -> None:
    report = gated(one(gone_in=(3,)), one(gone_in=(3,))).run()
    assert (report.rows[0].standing, report.exit_code) == (Standing.MISSING, 3)


def test_each_arm_is_judged_by_its_own_contract() -> None:
    files = {"base": "/tmp/base/toy.py", "head": "/tmp/head/toy.py"}
    base, head = (Offers("s", (replace(offer("quick"), contract=("toy", file)),)) for file in files.values())
    assert Survey.of(base, head).contracts == {name: {"toy": ("toy", file)} for name, file in files.items()}


def test_what_would_let_it_through_is_told(gated: Make) -> None:
    base = ArmScript({"quick": Kernel(), "gone": Kernel(), "dropped": Kernel()})
    head = ArmScript({"quick": Kernel(), "fresh": Kernel(), "dropped": Kernel()}, suite=("quick", "fresh"))
    assert gated(base, head).run().notes == (
        "where that is meant, it is let through by name: --allow-removed 'toy/dropped[N8]' (and 1 more)",
        "where that is meant, it is let through by name: --allow-new-baseline 'toy/fresh[N8]'",
    )
    allow = Allowances(("toy/dropped[N8]", "toy/gone*"), ("toy/fresh[N8]",))
    assert gated(base, head, allow=allow).run().exit_code == 0


def test_a_suite_that_head_mends_is_measured(gated: Make) -> None:
    report = gated(ArmScript(suite=(), error="s.toml:1: not TOML"), ArmScript()).run()
    assert report.rows[0].verdict is Verdict.SAME
    assert report.exit_code == 3


def test_an_allowance_that_is_not_needed_or_fits_nothing_is_told(gated: Make) -> None:
    notes = gated(allow=Allowances(removed=("toy/quick*",), new_baseline=("toy/qiuck*",))).run().notes
    assert notes == (
        "--allow-removed 'toy/quick*' was not needed, and can be left out",
        "--allow-new-baseline 'toy/qiuck*' fits no benchmark, and can be left out",
    )


def test_what_moves_out_of_the_repository_is_compared(gated: Make) -> None:
    """An implementation that head takes from an installed package instead of its own file."""
    kernels = {"quick": Kernel(), "moved": Kernel()}
    base = ArmScript(kernels, [offer("quick"), offer("moved")])
    head = ArmScript(kernels, [offer("quick"), offer("moved", source=None)])
    gate = gated(base, head)
    gate.run()
    assert gate.row("moved").verdict is Verdict.SAME


@pytest.mark.parametrize(
    ("base", "head", "standing", "code"),
    [
        (["quick", "gone"], ["quick"], Standing.MISSING, 3),
        (["quick"], ["quick", "gone"], Standing.NEW, 3),
    ],
)
def test_what_one_arm_alone_has(base: list[str], head: list[str], standing: Standing, code: int, gated: Make) -> None:
    report = gated(*(ArmScript({name: Kernel() for name in names}) for names in (base, head))).run()
    assert next(row for row in report.rows if row.implementation == "gone").standing is standing
    assert report.exit_code == code


@pytest.mark.parametrize(
    ("on_base", "on_head", "standing", "code"),
    [
        ("needs an NVIDIA GPU", "needs an NVIDIA GPU", Standing.UNAVAILABLE, 0),
        (None, "serves no such case", Standing.MISSING, 3),
        ("serves no such case", None, Standing.NEW, 3),
    ],
)
def test_what_cannot_run(on_base: str | None, on_head: str | None, standing: Standing, code: int, gated: Make) -> None:
    kernels = {"quick": Kernel(), "other": Kernel()}
    base, head = (ArmScript(kernels, [offer("quick"), offer("other", reason)]) for reason in (on_base, on_head))
    gate = gated(base, head)
    report = gate.run()
    assert gate.row("other").standing is standing
    assert (on_head or on_base) in gate.row("other").reason
    assert report.exit_code == code


def test_what_is_not_the_repositorys_is_left_out_and_said_so(gated: Make) -> None:
    found = [offer("quick"), offer("theirs", source=None)]
    kernels = {"quick": Kernel(), "theirs": Kernel()}
    report = gated(ArmScript(kernels, found), ArmScript(kernels, found)).run()
    assert [row.implementation for row in report.rows] == ["quick"]
    assert any("toy/theirs" in note for note in report.notes)


def test_a_suite_with_nothing_of_the_repository_fails_closed(gated: Make) -> None:
    found = [offer("theirs", source=None)]
    report = gated(ArmScript({}, found), ArmScript({}, found)).run()
    assert report.exit_code == 3
    assert "nothing could be compared" in report.conclusion


def test_a_name_that_neither_arm_knows_is_the_suites_fault(gated: Make) -> None:
    with pytest.raises(SuiteError, match="toy/nobody"):
        gated(ArmScript(unknown=("toy/nobody",)), ArmScript(unknown=("toy/nobody", "toy/old"))).run()


def test_a_broken_suite_is_told(gated: Make) -> None:
    with pytest.raises(SuiteError, match="not TOML"):
        gated(head=ArmScript(error="s.toml:1: not TOML")).run()


@pytest.mark.parametrize("arm", ["base", "head"])
def test_an_arm_that_does_not_import_fails_closed(arm: str, gated: Make) -> None:
    broken = ArmScript(broken="the worker could not start: ImportError: no kernel")
    with pytest.raises(ArmBroken, match=f"{arm} main .*ImportError: no kernel"):
        gated(**{arm: broken}).run()


@pytest.mark.parametrize("where", ["offers", "opened"])
def test_modules_from_outside_an_arm_fail_closed(where: str, gated: Make) -> None:
    strays = ("kernels (/elsewhere/kernels.py)",)
    base = ArmScript(strays=strays) if where == "offers" else one(strays=strays)
    with pytest.raises(ArmBroken, match="base loaded modules from outside its checkout: kernels"):
        gated(base).run()


def test_one_lost_process_costs_a_pair_and_no_more(gated: Make) -> None:
    gate = gated(ArmScript({"quick": Kernel(), "other": Kernel()}), looks=(8, 10))
    head = {"quick": Kernel(dies_in=(3,)), "other": Kernel()}
    gate = gated(ArmScript({"quick": Kernel(), "other": Kernel()}), ArmScript(head), looks=(9,))
    report = gate.run()
    assert gate.row("quick").verdict is Verdict.SAME
    assert gate.row("quick").first.pairs == gate.row("other").first.pairs == 9
    assert any("SIGKILL" in flag for flag in gate.row("quick").flags)
    assert report.exit_code == 0
    assert all(process.closed for process in gate.started)


def test_a_process_that_is_lost_again_is_a_failure_of_its_arm(gated: Make) -> None:
    gate = gated(one(), one(dies_in=(3, 4)))
    report = gate.run()
    assert gate.row().standing is Standing.WRONG
    assert "SIGKILL" in gate.row().reason
    assert report.exit_code == 3
    gate = gated(one(dies_in=(1, 2)), one())
    gate.run()
    assert gate.row().standing is Standing.NEW


def test_what_was_measured_is_kept_beside_a_lost_process(gated: Make, tmp_path: Path) -> None:
    """A process of head that ends once, even in the middle of its bursts, costs nothing that others measured."""
    gate = gated(one(), one(dies_timed_in=(9,)), looks=(12,))
    report = gate.run()
    (lost,) = report.lost
    assert (lost.pair, lost.arm, lost.outcome, lost.benchmark) == (9, "head", Outcome.FAILED, "toy/quick[N8]")
    assert report.rows[0].verdict is Verdict.SAME
    (collected,) = gate.session.collected.values()
    write_gate(tmp_path, report, [collected], (), CEILINGS)
    sides = [read_run(tmp_path / arm) for arm in ("base", "head")]
    assert [len(side.measurements[0].launches) for side in sides] == [12, 12]
    assert [side.measurements[0].outcome for side in sides] == [Outcome.PASSED] * 2
    (comparison,) = compare([sides[0]], [sides[1]])
    assert (comparison.basis, comparison.units) == (Basis.INTERLEAVED, 12)
    lines = [json.loads(line) for line in gate.session.pairs.path.read_text().splitlines()]
    (line,) = (line for line in lines if line["taken"]["lost"])
    assert [len(line["taken"]["lost"][arm]) for arm in ("base", "head")] == [0, 0]


def test_bursts_of_a_lost_pair_are_on_disk(gated: Make) -> None:
    bursts = itertools.count(1)

    def strike() -> None:
        if next(bursts) == 5:
            raise WorkerEnded(Outcome.TIMED_OUT, "the process took longer than 300 s", None)

    gate = gated(one(), one(after_burst=strike))
    report = gate.run()
    assert [(lost.pair, lost.outcome) for lost in report.lost] == [(1, Outcome.TIMED_OUT)]
    line = json.loads(gate.session.pairs.path.read_text().splitlines()[0])
    assert [len(line["taken"]["lost"][arm]) for arm in ("base", "head")] == [4, 4]


def test_what_an_arm_measured_before_it_failed_is_kept(gated: Make) -> None:
    gate = gated(one(), one(dies_in=(7, 8)))
    gate.run()
    (collected,) = gate.session.collected.values()
    base, head = (collected.stored(arm) for arm in (collected.base, collected.head))
    assert gate.row().standing is Standing.WRONG
    assert base is not None
    assert head is not None
    assert (base.outcome, len(base.launches)) == (Outcome.PASSED, 6)
    assert (head.outcome, len(head.launches), head.median_ns) == (Outcome.FAILED, 6, None)
    assert "SIGKILL" in (head.reason or "")


@pytest.mark.parametrize(
    ("base", "head", "checked"),
    [
        ({"dies_in": (1,)}, {}, [(True, None), (True, True), (False, False)]),
        ({}, {"dies_in": (1,)}, [(True, True), (True, True), (False, False)]),
        ({}, {"dies_timed_in": (1,)}, [(True, True), (False, True), (False, False)]),
        ({"dies_timed_in": (1,)}, {}, [(True, True), (True, False), (False, False)]),
    ],
)
def test_a_check_is_owed_by_an_arm_until_it_is_done(
    base: dict[str, Any], head: dict[str, Any], checked: list[tuple[bool | None, bool]], gated: Make
) -> None:
    gate = gated(one(**base), one(**head))
    gate.run()
    processes = gate.started[2:8]
    assert [(a.checked, b.checked) for a, b in zip(processes[::2], processes[1::2], strict=True)] == checked


def test_a_time_faster_than_light_is_refused_as_in_a_run(gated: Make) -> None:
    cold = {"methods": (TimingMethod("cuda_events", "cold"),), "bytes_moved": 10**9}
    gate = gated(one(**cold), one(**cold, ns=1e3))
    light = replace(CEILINGS, published=PublishedPeaks(1e13, {"float32": 1e15}))
    gate.session.ask = replace(gate.session.ask, ceilings=light)
    report = gate.run()
    assert report.rows[0].standing is Standing.WRONG
    assert "faster than light" in report.rows[0].reason
    assert report.exit_code == 3


def test_what_timers_note_is_told(gated: Make) -> None:
    gate = gated(one(), one(notes=("the GPU was shared with process 7",)))
    gate.run()
    assert "head: the GPU was shared with process 7" in gate.row().flags


def test_a_tiny_call_is_laid_out_alike_in_every_pair(gated: Make, fake_gpu: Any) -> None:
    """Each process would plan a call of 5 µs otherwise, by its own estimate; what base planned first holds for all."""
    launches = itertools.cycle((3_000.0, 3_900.0, 4_600.0, 2_200.0))
    alone = set()

    def methods(plan: Plan | None) -> tuple[TimingMethod, ...]:
        def timer(own: Plan | None, launch_ns: float) -> Any:
            gpu = fake_gpu.FakeGpu(launch_ns=launch_ns)
            calls = [gpu.kernel(f"k{n}", 5_000.0 * launch_ns / 3_000, (f"x{n}", 600_000)) for n in range(4)]
            return CudaGraph(gpu).start(calls, 600_000, own)

        launch_ns = next(launches)
        alone.add(timer(None, launch_ns).calls_a_sample)
        found = timer(plan, launch_ns)
        return (
            TimingMethod(found.clock, found.cache, found.calls_a_sample, found.plan),
            TimingMethod("cuda_events", "cold"),
        )

    gate = gated(one(plans=methods), one(plans=methods), looks=(16,))
    report = gate.run()
    assert len(alone) > 1, "this is what would go wrong"
    assert (report.rows[0].clock, report.exit_code) == ("cuda_graph", 0)
    (collected,) = gate.session.collected.values()
    assert collected.method is not None
    plans = [process.plan for process in gate.started[2:]]
    assert plans == [None] + [collected.method.plan] * 31


def test_two_methods_are_incomparable(gated: Make) -> None:
    head = one(methods=(TimingMethod("cuda_events", "cold"),))
    report = gated(one(methods=(TimingMethod("cuda_graph", "cold"),)), head).run()
    (row,) = report.rows
    assert (row.standing, row.verdict) == (Standing.INCOMPARABLE, Verdict.INCOMPARABLE)
    assert "base cuda_graph (cold); head cuda_events (cold)" in row.reason
    assert report.exit_code == 3


def test_the_best_common_method_is_taken(gated: Make) -> None:
    graph, events = TimingMethod("cuda_graph", "cold"), TimingMethod("cuda_events", "cold")
    report = gated(one(methods=(graph, events)), one(methods=(events,))).run()
    assert report.rows[0].clock == "cuda_events"


def test_calls_a_sample_are_part_of_the_method(gated: Make) -> None:
    one_call, many = TimingMethod("cuda_graph", "cold", 1), TimingMethod("cuda_graph", "cold", 8)
    events = TimingMethod("cuda_events", "cold")
    report = gated(one(methods=(one_call, events)), one(methods=(many, events))).run()
    assert report.rows[0].clock == "cuda_events"


def test_what_is_untimed_here_is_unavailable(gated: Make) -> None:
    kernels = {"quick": Kernel(), "drawn": Kernel(untimed="runs in an interpreter")}
    gate = gated(ArmScript(kernels), ArmScript(kernels))
    report = gate.run()
    assert gate.row("drawn").standing is Standing.UNAVAILABLE
    assert "interpreter" in gate.row("drawn").reason
    assert report.exit_code == 0


def test_another_configuration_is_reported_apart_from_the_time(gated: Make) -> None:
    report = gated(one(configuration="tile 64"), one(configuration="tile 128")).run()
    (row,) = report.rows
    (changed,) = (q for q in row.quantities if q.quantity == "configuration")
    assert (changed.gated, changed.told, changed.reason) == (False, True, "tile 64 → tile 128")
    assert row.verdict is Verdict.SAME
    assert report.exit_code == 0


def test_throttling_is_flagged(gated: Make) -> None:
    gate = gated(one(), one(throttle=("thermal slowdown",)))
    gate.run()
    assert any(flag.startswith("head: the GPU's clocks were held down by heat") for flag in gate.row().flags)


def test_strict_makes_inconclusive_an_exit_code(gated: Make) -> None:
    """7 pairs show that little is hidden, and are too few for `same`."""
    assert gated(looks=(7,), strict=True).run().exit_code == 4
    lenient = gated(looks=(7,)).run()
    assert (lenient.exit_code, lenient.rows[0].verdict, lenient.unseen) == (0, Verdict.INCONCLUSIVE, [])


def test_what_the_noise_may_hide_is_an_exit_code_without_strict(gated: Make) -> None:
    """Head at +10 and -9 % in turn: pairs are raised to the last look beyond, and then the gate does not pass."""
    report = gated(head=one(by_pair=(1.1, 0.91)), looks=(8,)).run()
    assert (report.exit_code, report.rows[0].verdict, report.rows[0].unseen) == (4, Verdict.INCONCLUSIVE, True)
    assert report.rows[0].first.pairs == 32
    assert report.conclusion.startswith("No verdict: the noise may hide more than 2 times the target of toy/quick[N8]")
    assert replace(report, against_itself=True).exit_code == 0


def test_a_regression_outweighs_what_fails_closed(gated: Make) -> None:
    head = ArmScript({"quick": Kernel(1.2e6), "bad": Kernel(outcome=Outcome.FAILED, reason="RuntimeError: no")})
    report = gated(ArmScript({"quick": Kernel(), "bad": Kernel()}), head).run()
    assert report.exit_code == 1
    assert [row.implementation for row in report.closed] == ["bad"]


def test_base_against_itself_takes_all_pairs_and_never_fails(gated: Make) -> None:
    gate = gated(looks=(10, 12), against_itself=True)
    report = gate.run()
    assert len(gate.session.collected["toy/quick[N8]"].values["latency"]) == 12
    assert report.rows[0].first.pairs == 10, "judged as a gate would, which stops early"
    assert report.exit_code == 0


def test_an_interrupt_keeps_what_was_measured(gated: Make) -> None:
    gate = gated()
    bursts = 0

    def strike() -> None:
        nonlocal bursts
        bursts += 1
        if bursts > 3 * 2 * BURSTS:
            raise KeyboardInterrupt

    gate = gated(head=one(after_burst=strike))
    with pytest.raises(KeyboardInterrupt):
        gate.run()
    report = gate.session.report("gate", interrupted=True)
    (row,) = report.rows
    assert row.standing is Standing.TOO_LITTLE
    assert row.base_ns == pytest.approx(1e6, rel=0.01)
    assert report.exit_code == 3
    assert report.conclusion == "Interrupted: no verdict."
    assert len(gate.session.pairs.path.read_text().splitlines()) >= 3
    assert all(process.closed for process in gate.started)


def test_a_threshold_that_fits_nothing_is_told(gated: Make) -> None:
    from attnlab.bench.gate.thresholds import Threshold, Thresholds

    gate = gated()
    gate.session.ask = replace(gate.session.ask, thresholds=Thresholds(thresholds=(Threshold("toy/slwo*", 0.1),)))
    assert "threshold 'toy/slwo*' fits no benchmark" in gate.run().notes


def test_what_was_timed_before_an_arm_failed_is_stored(gated: Make) -> None:
    gate = gated(one(), one(dies_in=(3, 4)))
    gate.run()
    (collected,) = gate.session.collected.values()
    stored = collected.stored(collected.head)
    assert stored is not None
    assert (stored.outcome, len(stored.launches)) == (Outcome.FAILED, 2)
    assert stored.median_ns is None
    collected.head.add(replace(stored, outcome=Outcome.WRONG_VALUES, launches=()), checked=False)
    known = collected.head.stored()
    assert known is not None
    assert (known.outcome, len(known.launches)) == (Outcome.WRONG_VALUES, 2)
