"""Requests served together: batches under load, and continuous against static batching."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnlab.bench import units
from attnlab.bench.llm.generation.measured import median
from attnlab.bench.reporters.model.answers import Answer
from attnlab.bench.reporters.model.logged import first_token_ns, whole_ns
from attnlab.bench.reporters.model.studies import StudyTable
from attnlab.bench.reporters.model.studies._paired import ratio_text
from attnlab.bench.reporters.model.words import Sentence, known, listed, name, sentence


def _served(found: Sequence[Answer]) -> list[Answer]:
    return [a for a in found if a.case.requests > 1]


def _how(answer: Answer) -> str:
    return f"{answer.case.batching}, {answer.case.arrivals.write().replace('_', '.')}"


def serving_tables(found: Sequence[Answer]) -> Iterator[StudyTable]:
    rows = []
    for a in _served(found):
        m, case = a.result.row.measurement, a.case
        rows.append(
            (
                f"{a.implementation}, {a.label}",
                f"{case.requests} by {case.batch}",
                _how(a),
                units.format_number(a.result.number("output_tok_per_s")),
                units.format_time(a.result.number("ttft_ns")),
                units.format_time(a.result.number("tpot_ns")),
                units.format_time(a.result.number("itl_p99_ns")),
                units.format_time(a.result.number("icl_max_ns")),
                units.format_number(a.result.number("offered_per_s")),
                units.format_number(a.result.number("answered_per_s")),
                units.format_number(a.result.number("goodput_per_s")),
                units.format_number(a.result.number("failed_requests")),
                units.format_number(median(m.values("preemptions"))),
                units.format_number(median(m.values("reused_tokens"))),
            )
        )
    if rows:
        yield StudyTable(
            "Batches under load",
            f"Medians. Goodput counts requests that keep the objectives of their case: {_objectives(_served(found))}.",
            (
                "result",
                "requests",
                "batching, arrivals",
                "tok/s",
                "TTFT",
                "TPOT",
                "ITL p99",
                "largest stall",
                "offered, req/s",
                "answered, req/s",
                "goodput, req/s",
                "failed",
                "preempted",
                "tokens reused",
            ),
            tuple(rows),
        )


def _objectives(served: Sequence[Answer]) -> str:
    known = dict.fromkeys(f"TTFT {a.case.ttft_ms} ms and TPOT {a.case.tpot_ms} ms" for a in served)
    return "; ".join(known)


def batching_sentences(found: Sequence[Answer]) -> Iterator[Sentence]:
    """Continuous against static batching at the same load."""
    for a in found:
        static = next((b for b in found if _same_load(a, b)), None)
        if a.case.batching == "continuous" and static is not None:
            sides = [_load_told(side) for side in (a, static)]
            first, whole = a.over(static, first_token_ns), None if a.paced else a.over(static, whole_ns)
            ratios = [f"{ratio_text(first)} as fast to the first token"] if first is not None else []
            ratios += [f"{ratio_text(whole)} to the last"] if whole is not None else []
            if all(sides):
                yield sentence(
                    "At the same load, continuous batching by ",
                    name(a.implementation),
                    " on ",
                    name(a.label),
                    f" gives {sides[0]}, static batching {sides[1]}{f': {listed(ratios)}' if ratios else ''}.",
                )


def _load_told(a: Answer) -> str:
    return listed(
        [
            *known("{} tok/s", a.result.number("output_tok_per_s"), units.format_number),
            *known("a first token after {}", a.result.number("ttft_ns"), units.format_time),
        ]
    )


def _same_load(a: Answer, b: Answer) -> bool:
    def load(x: Answer) -> tuple[object, ...]:
        c = x.case
        return (
            x.implementation,
            c.model,
            c.prompts,
            c.batch,
            c.requests,
            c.prompt_len,
            c.new_tokens,
            c.decoding,
            c.arrivals,
            c.dtype,
        )

    return b.case.batching == "static" and load(a) == load(b)
