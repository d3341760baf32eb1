"""What a report says in words."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from attnlab.bench.reporters.model.report import Section, build_report
from attnlab.bench.reporters.model.words import enumerated, from_to, name, plain, sentence
from attnlab.bench.store.records import BenchRecord, Measurement, Outcome
from attnlab.bench.text import count


def said(section: Section, kind: str | None = None) -> str:
    return " ".join(plain(f.words) for f in section.findings if kind in (None, f.kind))


def of(synthetic: SimpleNamespace, measurements: list[Measurement], baseline: str | None = None) -> Section:
    """The section of a run that found just these."""
    run = synthetic.stored_run()
    names = tuple(dict.fromkeys(m.implementation for m in measurements))
    ids = tuple(dict.fromkeys(m.case_id for m in measurements))
    bench = BenchRecord("attention", names, baseline, ids)
    stored = replace(run, run=replace(run.run, benches=(bench,)), measurements=tuple(measurements))
    (section,) = build_report([stored]).sections
    return section


def test_the_first_paragraph_says_what_was_measured_and_which_to_use(section: Section) -> None:
    text = said(section, "found")
    assert text.startswith(
        "attention was measured on Example Processor 9000 with 2 threads: 8 of 11 implementations ran, on 10 "
        "cases, timed by the clock wall with warm caches."
    )
    assert "Right wherever they ran: naive, tiled, compiled, sdpa_math, sdpa_flash, flex and triton." in text
    assert "Use sdpa_flash in 8 of 10 cases, 1.12× to 2.24× as fast as the next." in text
    assert "bound by compute" in text
    assert "43.2 % to 48.4 % of the speed of light" in text


def test_ties_are_not_told_apart(section: Section) -> None:
    assert (
        "Not told apart: flex and sdpa_flash on Hq9-Hkv3-bf16-causal-smollm2 at "
        "q_len 512 and Hq9-Hkv3-fp32-causal-smollm2 at q_len 512."
    ) in said(section)
    tie = next(p for p in section.picks if p.level)
    assert tie.lead is None
    assert not tie.told_apart


def test_wrong_results_are_loud(section: Section) -> None:
    text = said(section, "wrong")
    assert text.startswith("mine gave wrong values on Hq9-Hkv3-bf16-causal-smollm2,")
    assert "Do not use it there; no time of a wrong result is shown." in text
    assert "relative RMS error 2.10e-02" in text
    assert "mine" not in said(section, "found")


def test_what_has_no_time_is_told_with_its_reason(section: Section) -> None:
    text = said(section, "not shown")
    assert "Could not run: sdpa_cudnn and flashinfer (needs an NVIDIA GPU); flash_attn (package" in text
    assert "flex on Hq9-Hkv3-packed100+37+900-bf16-causal (packed sequences are not served)" in text
    assert "sdpa_math ran out of memory on Hq9-Hkv3-fp32-causal-smollm2 at q_len 2048 (can't allocate" in text
    assert "flex timed out on" in text
    assert "Checked and right, but not timed: triton (runs in Triton's interpreter" in text
    assert "Not the same bit for bit from call to call: flex." in text
    assert "Warnings, told in the column flags: sampling ended by its time limit, before" in text


def test_one_winner_everywhere_is_said_once(synthetic: SimpleNamespace) -> None:
    cases = synthetic.cases()[:4]
    found = [synthetic.timed("slow", c, ns=4e6) for c in cases] + [synthetic.timed("quick", c, ns=1e6) for c in cases]
    assert "Use quick: the fastest in all 4 cases, 4.00× as fast as the next." in said(of(synthetic, found))


def test_winners_by_length_are_named_by_range(synthetic: SimpleNamespace) -> None:
    cases = synthetic.cases()[:4]
    found = [synthetic.timed("a", c, ns=2e6) for c in cases]
    found += [synthetic.timed("b", c, ns=1e6 if c.q_len >= 512 else 8e6) for c in cases]
    text = said(of(synthetic, found))
    assert "Use b on Hq9-Hkv3-bf16-causal-smollm2 at q_len 512 to 2048, 2.00× as fast as the next." in text
    assert "Use a on Hq9-Hkv3-bf16-causal-smollm2 at q_len 128, 4.00× as fast as the next." in text


def test_the_only_one_is_no_winner(synthetic: SimpleNamespace) -> None:
    case = synthetic.cases()[0]
    text = said(of(synthetic, [synthetic.timed("only", case)]))
    assert "Only only passed and was timed in the one case." in text
    assert "Use only" not in text


def test_without_an_interval_only_far_samples_are_told_apart(synthetic: SimpleNamespace) -> None:
    case = synthetic.cases()[0]
    sure = synthetic.timed("sure", case, ns=1e6)

    def told_apart(ns: float, samples: list[float]) -> bool:
        unsure = synthetic.timed("unsure", case, ns=ns, ci_low_ns=None, ci_high_ns=None)
        unsure = replace(unsure, launches=(synthetic.launch(samples, 0.0, 0.0),), turns=())
        (pick,) = of(synthetic, [unsure, replace(sure, turns=())]).picks
        return pick.told_apart

    assert told_apart(9e6, [8e6, 9e6, 10e6])
    assert not told_apart(9e6, [1e6, 9e6, 10e6])
    assert told_apart(9e6, [9e6])
    assert not told_apart(2e6, [2e6])  # one sample says nothing of how times scatter
    assert not told_apart(1.2e6, [1.19e6, 1.2e6, 1.21e6])  # a range of three is often too narrow


def test_many_ties_are_counted(synthetic: SimpleNamespace) -> None:
    cases = synthetic.cases()[:4]
    found = [synthetic.timed("a", c, ns=1e6) for c in cases]
    found += [synthetic.timed(f"b{n}", c, ns=1.001e6) for n, c in enumerate(cases)]
    text = said(of(synthetic, found))
    assert "The fastest are not told apart in all 4 cases." in text


def test_figures_of_two_methods_are_not_compared(synthetic: SimpleNamespace) -> None:
    case = synthetic.cases()[0]
    other = synthetic.timed("other", case, ns=1e3, timing=synthetic.timing(clock="cuda_events"))
    section = of(synthetic, [other, synthetic.timed("a", case, ns=1e6), synthetic.timed("b", case, ns=2e6)], "a")
    (pick,) = section.picks
    assert pick.names == ("a",)
    assert "Not compared, as they were timed by another method: 1 result." in said(section)
    speedups = {r.implementation: r.figures["speedup"] for r in section.results}
    assert speedups == {"other": None, "a": 1.0, "b": 0.5}


def test_nothing_passed(synthetic: SimpleNamespace) -> None:
    case = synthetic.cases()[0]
    section = of(synthetic, [synthetic.timed("bad", case, Outcome.WRONG_VALUES, reason="no")])
    assert "No implementation passed its check, so no time is shown." in said(section)
    assert section.picks == ()
    assert {plot.name for plot in section.plots} == {"error"}


def test_an_unfinished_run_says_so(synthetic: SimpleNamespace) -> None:
    run = synthetic.stored_run()
    (section,) = build_report([replace(run, measurements=run.measurements[:-5])]).sections
    assert "The run is not complete: 5 of 110 measurements are missing." in said(section)
    assert section.matrix[-1].cells[-1].text == "not measured"


def test_above_the_ceiling_is_explained(synthetic: SimpleNamespace) -> None:
    case = synthetic.cases()[0]
    text = said(of(synthetic, [synthetic.timed("quick", case, ns=10.0)]))
    assert "No share of the speed of light can be given in 1 of 1 case, where the result passes the measured" in text
    assert "the fastest reach" not in text.lower(), "there are no others"
    assert "10.0 ns" not in text


def test_above_some_ceilings_the_others_still_have_a_share(synthetic: SimpleNamespace) -> None:
    first, second = synthetic.cases()[:2]
    text = said(of(synthetic, [synthetic.timed("quick", first, ns=10.0), synthetic.timed("quick", second)]))
    assert "No share of the speed of light can be given in 1 of 2 cases" in text
    assert "In the others the fastest reach" in text


def test_words() -> None:
    assert plain(sentence("a ", name("b"), "", enumerated([name("x"), name("y"), name("z")]))) == "a bx, y and z"
    assert (count(1, "case"), count(3, "case")) == ("1 case", "3 cases")
    assert (from_to(["1×", "1×"]), from_to(["1×", "2×"])) == ("1×", "1× to 2×")
