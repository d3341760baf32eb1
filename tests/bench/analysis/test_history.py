"""Histories of made-up runs: what is joined, what is kept apart, and how changes are explained."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from attnlab.bench.analysis.history import words
from attnlab.bench.analysis.history.differences import NOTHING, differences, explain
from attnlab.bench.analysis.history.lines import BenchmarkHistory, benchmark, tried
from attnlab.bench.analysis.history.points import in_order
from attnlab.bench.errors import StoreError
from attnlab.bench.reporters.draw.timeline import write_timelines
from attnlab.bench.store.machine import Load
from attnlab.bench.store.records import DEFINITIONS_VERSION, Outcome
from attnlab.bench.store.run_folder import StoredRun

h = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "helpers" / "histories.py")))


def history(runs: list[StoredRun]) -> list[BenchmarkHistory]:
    return [one for source in tried(runs) if (one := benchmark(source)) is not None]


def only(runs: list[StoredRun]) -> BenchmarkHistory:
    (found,) = history(runs)
    return found


def test_an_upgrade_that_slowed_is_found_and_explained() -> None:
    (line,) = only(h.upgraded()).lines
    (change,) = line.changes
    assert change.index == 12
    assert change.ratio == pytest.approx(1.1, abs=0.02)
    assert [level[0].run.run_id for level in line.levels()] == ["20260101-120000-quick", "20260113-120000-quick"]
    assert explain(change.differences) == (
        f"package torch 2.12.0 → 2.13.0; as at other runs too: revision {'11' * 6} → {'12' * 6}"
    )


def test_runs_that_are_alike_have_no_change() -> None:
    (line,) = only(h.upgraded(factor=1.0)).lines
    assert line.searched
    assert line.changes == ()


def test_nothing_recorded_changed() -> None:
    runs = [h.stored(n, [h.measured(m * (1.2 if n >= 8 else 1))]) for n, m in enumerate(h.medians_ns(16))]
    ((change,),) = (line.changes for line in only(runs).lines)
    assert change.differences == ()
    assert words.told(change).endswith(f" more time: {NOTHING}")


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"python": "3.12.1"}, "Python 3.11.8 → 3.12.1"),
        ({"governor": "powersave"}, "governor performance → powersave"),
        ({"governor": None}, "governor performance → none"),
        ({"system": "Linux-6.8"}, "system Linux-6.1 → Linux-6.8"),
        ({"affinity": (2, 3)}, "affinity 0,1 → 2,3"),
        ({"revision": "b" * 40}, "revision aaaaaaaaaaaa → bbbbbbbbbbbb"),
        ({"dirty": True}, "revision aaaaaaaaaaaa → aaaaaaaaaaaa with uncommitted changes"),
        ({"load_average": 3.4}, "load average at start 0.200 → 3.40"),
        ({"load_average": 0.7}, NOTHING),
        ({"load_average": None}, NOTHING),
        ({"variables": {}}, "variable OMP_NUM_THREADS 2 → none"),
        ({"variables": {"OMP_NUM_THREADS": "2", "KMP_X": "1"}}, "variable KMP_X none → 1"),
    ],
)
def test_what_changed_in_the_environment(changed: dict[str, object], text: str) -> None:
    runs = [h.stored(0, [h.measured(1e6)]), h.stored(1, [h.measured(1e6)], h.environment(**changed))]
    before, after = only(runs).points
    assert explain(differences([before], [after])) == text


@pytest.mark.parametrize(
    ("measurement", "record", "text"),
    [
        ({"fingerprint": "0" * 16}, {}, f"the implementation's fingerprint {'f' * 16} → {'0' * 16}"),
        ({"configuration": "BLOCK=64"}, {}, "configuration none → BLOCK=64"),
        ({"flags": ("hot",)}, {}, "warnings none → hot"),
        ({}, {"seed": 8}, "seed 7 → 8"),
        ({}, {"plugins": ("mine",)}, "plugins none → mine"),
        ({}, {"effort": {"sampling_s": 2.0}}, "effort sampling_s none → 2"),
    ],
)
def test_what_changed_in_the_run(measurement: dict[str, object], record: dict[str, object], text: str) -> None:
    runs = [h.stored(0, [h.measured(1e6)]), h.stored(1, [h.measured(1e6, **measurement)], **record)]
    before, after = only(runs).points
    assert explain(differences([before], [after])) == text


def test_a_ceiling_measured_under_load_says_so() -> None:
    runs = [h.stored(n, [h.measured(1e6)]) for n in range(2)]
    load = Load(1.0, 0.0, 100.0, 3, "other processes kept 1.0 cores busy")
    low = replace(runs[0].run, ceilings=replace(runs[0].run.ceilings, bandwidth=1e9, load=load))
    before, after = only([replace(runs[0], run=low), runs[1]]).points
    assert "measured bandwidth 1.00 GB/s (measured under load) → " in explain(differences([before], [after]))


def test_words_on_ceilings_and_figures_of_one_result_are_no_change() -> None:
    """What passes a ceiling is worked out anew by each reader, and was stored once."""
    flags = ("hot (51.2 %)", "faster than the measured ceiling: the data stayed in a cache")
    runs = [h.stored(0, [h.measured(1e6, flags=flags)]), h.stored(1, [h.measured(1e6, flags=("hot (49.9 %)",))])]
    before, after = only(runs).points
    assert explain(differences([before], [after])) == "nothing recorded changed"


def test_a_slow_product_of_its_own_is_no_change_where_operands_are_widened() -> None:
    runs = [h.stored(n, [h.measured(1e6)]) for n in range(2)]
    rates = ({"bfloat16": 1e9, "float32": 1e11}, {"bfloat16": 5e9, "float32": 1e11})
    changed = [
        replace(r, run=replace(r.run, ceilings=replace(r.run.ceilings, rates=known)))
        for r, known in zip(runs, rates, strict=True)
    ]
    before, after = only(changed).points
    assert explain(differences([before], [after])) == "nothing recorded changed"


@pytest.mark.parametrize(("rate", "differs"), [(3.8e11, False), (2e11, True), (float("nan"), False)])
def test_a_slower_machine_shows_in_its_ceilings(rate: float, differs: bool) -> None:
    runs = [h.stored(n, [h.measured(1e6)]) for n in range(2)]
    slow = replace(runs[1].run, ceilings=replace(runs[1].run.ceilings, rates={"bfloat16": rate}))
    before, after = only([runs[0], replace(runs[1], run=slow)]).points
    text = explain(differences([before], [after]))
    assert text == ("measured rate of the dtype 400 GFLOP/s → 200 GFLOP/s" if differs else NOTHING)


def test_what_changes_at_every_run_comes_last() -> None:
    (change,) = only(h.upgraded()).lines[0].changes
    here = {difference.what: difference.only_here for difference in change.differences}
    assert here == {"package torch": True, "revision": False}
    assert [difference.what for difference in change.differences] == ["package torch", "revision"]


@pytest.mark.parametrize(
    ("machine", "measurement", "what"),
    [
        ({"processor": "Other"}, {}, "processor"),
        ({"threads": 1}, {}, "threads"),
        ({"cores": 8}, {}, "cores"),
        ({"affinity": (0,)}, {}, "usable cores"),
        ({}, {"clock": "cpu_time"}, "clock"),
        ({}, {"cache": "hot"}, "caches"),
        ({}, {"definitions_version": DEFINITIONS_VERSION + 1}, "definitions"),
    ],
)
def test_what_may_not_be_compared_is_a_line_of_its_own(
    machine: dict[str, object], measurement: dict[str, object], what: str
) -> None:
    """Half of the runs, at twice the time: no change, but a break that is explained."""
    runs = [
        h.stored(
            n,
            [h.measured(m * (2 if n >= 12 else 1), **(measurement if n >= 12 else {}))],
            h.environment(**(machine if n >= 12 else {})),
        )
        for n, m in enumerate(h.medians_ns(24))
    ]
    found = only(runs)
    assert [len(line.points) for line in found.lines] == [12, 12]
    assert all(line.changes == () for line in found.lines)
    (cut,) = found.breaks
    assert (cut.before.run, cut.after.run) == (runs[11].run, runs[12].run)
    assert cut.differences[0].what == what


def test_two_machines_by_turns_are_two_lines_and_one_break() -> None:
    runs = [
        h.stored(n, [h.measured(m * (1 + n % 2))], h.environment(processor=f"P{n % 2}"))
        for n, m in enumerate(h.medians_ns(24))
    ]
    found = only(runs)
    assert [line.conditions.processor for line in found.lines] == ["P0", "P1"]
    assert all(line.changes == () for line in found.lines)
    assert len(found.breaks) == 1


def test_runs_without_a_time_are_told_and_are_no_points() -> None:
    wrong = h.measured(1e3).fail("out is off", outcome=Outcome.WRONG_VALUES)
    runs = [h.stored(0, [h.measured(1e6)]), h.stored(1, [wrong]), h.stored(2, [h.measured(None)])]
    found = only(runs)
    assert [point.value for point in found.points] == [1e6]
    assert [miss.reason for miss in found.misses] == [
        "wrong_values: out is off",
        "not timed: runs in Triton's interpreter",
    ]


def test_what_was_never_timed_has_no_history() -> None:
    runs = [h.stored(n, [h.measured(None)]) for n in range(3)]
    assert len(tried(runs)) == 1
    assert history(runs) == []


def test_the_last_measurement_of_a_resumed_run_counts() -> None:
    (point,) = only([h.stored(0, [h.measured(2e6), h.measured(1e6)])]).points
    assert point.value == 1e6


def test_order_is_that_of_time_whatever_the_zone() -> None:
    early = h.stored(0, [], started="2026-01-01T09:00:00+09:00", run_id="early")
    late = h.stored(0, [], started="2026-01-01T01:00:00", run_id="late")
    assert [stored.run.run_id for stored in in_order([late, early])] == ["early", "late"]


def test_a_time_that_is_none() -> None:
    with pytest.raises(StoreError, match=r"run \S+ started at 'noon', expected a time such as"):
        in_order([h.stored(0, [], started="noon")])


def test_changes_that_share_their_explanation_are_told_together() -> None:
    runs = [
        replace(run, measurements=(*run.measurements, replace(run.measurements[0], implementation="naive")))
        for run in h.upgraded()
    ]
    (shared,) = words.shared_changes(history(runs))
    assert [found.implementation for found, _ in shared.members] == ["sdpa_flash", "naive"]


@pytest.mark.parametrize(
    ("ratio", "text"), [(1.052, "5.20 % more time"), (0.9, "10.0 % less time"), (1.0, "no other time")]
)
def test_sizes_in_words(ratio: float, text: str) -> None:
    assert words.size(ratio) == text


def test_a_plot_shows_names_changes_and_explanations(tmp_path: Path) -> None:
    runs = h.upgraded()
    runs[3] = replace(runs[3], measurements=(h.measured(1.0).fail("it $fell$ over"),))
    paths = write_timelines([only(runs)], tmp_path / "plot")
    assert [path.name for path in paths] == ["plot.png", "plot.svg"]
    drawn = paths[1].read_text()
    for text in (h.CASE, "more time: package torch 2.12.0 → 2.13.0", "Processor 9000", "2026-01-01", "it $fell$ over"):
        assert text in drawn


def test_a_plot_is_the_same_when_drawn_again(tmp_path: Path) -> None:
    first, again = (write_timelines([only(h.upgraded())], tmp_path / name)[1] for name in ("a", "b"))
    assert first.read_bytes() == again.read_bytes()


def test_more_cases_than_a_page_holds(tmp_path: Path) -> None:
    runs = [h.stored(n, [h.measured(1e6, case_id=f"Sq{c}") for c in range(9)]) for n in range(2)]
    paths = write_timelines(history(runs), tmp_path / "plot")
    assert [path.name for path in paths] == ["plot.png", "plot.svg", "plot-2.png", "plot-2.svg"]
