"""What a report says in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from attnlab.bench.contract.registry import discover
from attnlab.bench.reporters.model.report import Section, build_report
from attnlab.bench.reporters.model.words import enumerated, from_to, name, plain, sentence
from attnlab.bench.store.records import BenchRecord, Measurement, Outcome
from attnlab.bench.store.run_folder import read_run
from attnlab.bench.text import count
from attnlab.bench.units import MISSING


def told(section: Section) -> str:
    """The verdict and the sentences after it."""
    return " ".join(map(plain, (section.findings.verdict, *section.findings.sentences)))


def folded(section: Section) -> list[str]:
    """Each fold's line with its implementations, and the lines beneath it."""
    lines = []
    for fold in section.findings.folds:
        lines.append(f"{plain(fold.words)} ({', '.join(fold.implementations)})")
        lines += [plain(member.words) for member in fold.members]
    return lines


def said(section: Section) -> str:
    return " ".join([told(section), *map(plain, section.findings.wrong), *folded(section)])


def of(synthetic: SimpleNamespace, measurements: list[Measurement], baseline: str | None = None) -> Section:
    """The section of a run that found just these."""
    run = synthetic.stored_run()
    names = tuple(dict.fromkeys(m.implementation for m in measurements))
    ids = tuple(dict.fromkeys(m.case_id for m in measurements))
    bench = BenchRecord("attention", names, baseline, ids)
    stored = replace(run, run=replace(run.run, benches=(bench,)), measurements=tuple(measurements))
    (section,) = build_report([stored]).sections
    return section


def test_the_verdict_says_which_to_use_by_how_much_and_who_is_right(section: Section) -> None:
    assert plain(section.findings.verdict) == (
        "Use sdpa_flash in 8 of 10 cases, 1.12× to 2.24× as fast as the next; not told apart: flex and sdpa_flash on "
        "Hq9-Hkv3-D64-bf16-causal-smollm2 at q_len 512 and Hq9-Hkv3-D64-fp32-causal-smollm2 at q_len 512; 7 of the 8 "
        "that ran are right, mine is wrong."
    )


def test_two_sentences_more_say_how_near_the_limit_and_what_was_measured(section: Section) -> None:
    light, measured = map(plain, section.findings.sentences)
    assert light.startswith("The fastest reach 43.2 % to 48.4 % of the speed of light")
    assert "bound by compute" in light
    assert measured == (
        "attention was measured on Example Processor 9000 with 2 threads: 8 of 11 implementations ran, on 10 "
        "cases, timed by the clock wall with warm caches."
    )


def test_ties_are_not_told_apart(section: Section) -> None:
    tie = next(p for p in section.picks if p.level)
    assert tie.lead is None
    assert not tie.told_apart


def test_wrong_results_are_loud(section: Section) -> None:
    (text,) = map(plain, section.findings.wrong)
    assert text.startswith("mine gave wrong values on Hq9-Hkv3-D64-bf16-causal-smollm2,")
    assert "Do not use it there; no time of a wrong result is shown." in text
    assert "relative RMS error 2.10e-02" in text


def test_what_has_no_time_is_one_line_a_reason(section: Section) -> None:
    lines = folded(section)
    assert "Could not run: needs an NVIDIA GPU (sdpa_cudnn, flashinfer)" in lines
    assert "sdpa_cudnn and flashinfer in all 10 cases" in lines
    assert "Could not run: packed sequences are not served (flex)" in lines
    assert "flex on Hq9-Hkv3-packed100+37+900-Sq1037-D64-bf16-causal" in lines
    assert any(line.startswith("Ran out of memory: can't allocate memory (sdpa_math)") for line in lines)
    assert "Timed out: took longer than 60 s (flex)" in lines
    assert any(line.startswith("Right, but not timed: runs in Triton's interpreter") for line in lines)
    assert "Not the same bit for bit from call to call (flex)" in lines
    assert any(line.startswith("Warning: sampling ended by its time limit, before") for line in lines)
    details = [m.detail for fold in section.findings.folds for m in fold.members if m.detail]
    assert any("MemoryError: 2.3 GiB" in detail for detail in details)


def test_one_reason_of_many_values_is_one_line(synthetic: SimpleNamespace) -> None:
    short, long = synthetic.cases()[:2]
    found = [
        synthetic.measurement("a", case, Outcome.UNAVAILABLE, reason=f"q_len {case.q_len} is not served")
        for case in (short, long)
    ]
    (fold,) = of(synthetic, [synthetic.timed("b", short), *found]).findings.folds[:1]
    assert (plain(fold.words), fold.implementations) == ("Could not run: q_len … is not served", ("a",))
    assert len(fold.members) == 2


def test_what_took_no_turns_is_said_once(synthetic: SimpleNamespace) -> None:
    cases = synthetic.cases()[:4]
    found = [replace(synthetic.timed(n, c, ns=ns), turns=()) for c in cases for n, ns in (("a", 1e6), ("b", 1.1e6))]
    text = said(of(synthetic, found))
    assert text.count("No turns were taken in fresh processes") == 1
    assert "No turns were taken in fresh processes in all 4 cases: what is nearer than 1.25 times" in text


def test_one_winner_everywhere_is_said_once(synthetic: SimpleNamespace) -> None:
    cases = synthetic.cases()[:4]
    found = [synthetic.timed("slow", c, ns=4e6) for c in cases] + [synthetic.timed("quick", c, ns=1e6) for c in cases]
    assert "Use quick: the fastest in all 4 cases, 4.00× as fast as the next; both are right." in said(
        of(synthetic, found)
    )


def test_winners_by_length_are_named_by_range(synthetic: SimpleNamespace) -> None:
    cases = synthetic.cases()[:4]
    found = [synthetic.timed("a", c, ns=2e6) for c in cases]
    found += [synthetic.timed("b", c, ns=1e6 if c.q_len >= 512 else 8e6) for c in cases]
    text = said(of(synthetic, found))
    assert "Use b at q_len 512 to 2048, 2.00× as fast as the next;" in text
    assert "; a at q_len 128, 4.00× as fast as the next; both are right." in text


def test_the_only_one_is_no_winner(synthetic: SimpleNamespace) -> None:
    case = synthetic.cases()[0]
    text = said(of(synthetic, [synthetic.timed("only", case)]))
    assert text.startswith("Only only passed and was timed in the one case; it is right.")
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
    assert text.startswith("Not told apart: the fastest in all 4 cases; all 5 that ran are right.")


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
    assert "; it is not complete: 5 of 110 measurements are missing." in said(section)
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
    assert "; no share can be given in 1 of 2 cases, where the result passes the measured" in text
    assert "The fastest reach" in text


def test_words() -> None:
    assert plain(sentence("a ", name("b"), "", enumerated([name("x"), name("y"), name("z")]))) == "a bx, y and z"
    assert (count(1, "case"), count(3, "case")) == ("1 case", "3 cases")
    assert (from_to(["1×", "1×"]), from_to(["1×", "2×"])) == ("1×", "1× to 2×")


RESULTS = Path(__file__).parents[3] / "results"
RUNS = (
    "20261122-081015-quick",
    "20261122-125720-decode-quick",
    "20261126-160740-generate-quick",
    "h100/20261126-151714-attention",
    "h100/20261126-151801-decode_attention",
    "h100/20261126-151859-generate",
)


@pytest.mark.parametrize("run", RUNS)
def test_sentences_of_stored_runs_have_no_missing_value_and_are_few(run: str) -> None:
    discover()
    for section in build_report([read_run(RESULTS / run)]).sections:
        assert len(section.findings.sentences) <= 2
        studied = [one for study in section.studies for one in study.sentences]
        sentences = [section.findings.verdict, *section.findings.sentences, *section.findings.wrong, *studied]
        assert all(MISSING not in plain(one) for one in sentences)
        assert len(set(map(plain, sentences))) == len(sentences)
        assert said(section).count("No turns were taken") <= 1
