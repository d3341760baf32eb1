"""What a call takes longest for: kernels or operations, and named stretches."""

from __future__ import annotations

from collections.abc import Iterator

from attnlab.bench.profilers.findings.facts import Facts, shown_share, shown_time
from attnlab.bench.profilers.record import KERNEL, OPERATION, SPAN, CallPart, ProfileFinding

GENERATE = "generate"
PASSES = ("prefill", "decode", "draft", "verify")
MOST_TIME = 0.25  # of a call: a part that takes more is named


def longest(facts: Facts) -> Iterator[ProfileFinding]:
    """The parts that take most of a call."""
    torch = facts.case.record("torch")
    if torch is None:
        return
    kind = KERNEL if facts.on_gpu else OPERATION
    whole = sum(part.time_ns or 0.0 for part in torch.kind(kind))
    call_ns = whole if facts.on_gpu else max(whole, torch.figure("host time of a call") or 0.0)
    for part in torch.kind(kind):
        if not part.time_ns or part.time_ns < MOST_TIME * call_ns:
            return
        yield ProfileFinding(
            "time",
            f"{part.name} takes {shown_share(part.time_ns / whole)} of the time in {kind}s.",
            f"{shown_time(part.time_ns)} of {shown_time(whole)}, {_times(part.count)} a call (torch)"
            + (f", from {part.source}" if part.source else "")
            + ("" if torch.disturbed is None or facts.on_gpu else "; what it waited for a core is in it"),
            _advice(part),
        )


def _times(count: float) -> str:
    return "once" if count == 1 else f"{count:g} times"


def _advice(part: CallPart) -> str | None:
    for names, advice in ADVICE:
        if any(name in part.name for name in names):
            return advice
    return None


ADVICE: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("copy_", "_to_copy", "contiguous", "clone"),
        "Copies and conversions move data without working on it: keep one "
        "dtype and one layout, or convert inside the operation that needs it.",
    ),
    (
        ("masked_fill", "where", "softmax", "mul", "add", "exp"),
        "Pointwise work on a whole matrix reads and writes it each "
        "time: put it into one kernel (torch.compile, a fused attention).",
    ),
    (
        ("bmm", "mm", "matmul", "addmm"),
        "A product should be near the arithmetic ceiling: look at its shapes, dtype and layout.",
    ),
    (("gather", "index", "scatter"), "Gathering reads by pieces: gather pages once, or read them where they lie."),
)


def spans(facts: Facts) -> Iterator[ProfileFinding]:
    """Of a call with named stretches: how its time is shared among the outermost; those of `generate` have kinds."""
    torch = facts.case.record("torch")
    spans = torch.kind(SPAN) if torch is not None else ()
    if torch is None or not spans:
        return
    host = torch.figure("host time of a call")
    decodes = facts.case.measurement.operator == GENERATE
    passes = [span for span in spans if decodes and span.name in PASSES]
    parts = [span for span in spans if decodes and ": " in span.name]
    others = [span for span in spans if span not in (*passes, *parts)]
    for title, some in (("passes", passes), ("parts of the decoder", parts), ("named stretches", others)):
        told = sorted(some, key=lambda span: -(span.total_ns or 0.0))[:4]
        if told and host:
            shares = ", ".join(f"{span.name} {shown_share((span.total_ns or 0.0) / host)}" for span in told)
            evidence = "; ".join(f"{span.name}: {_times(span.count)}, {shown_time(span.total_ns)}" for span in told)
            yield ProfileFinding("spans", f"Of a call, its {title} take: {shares}.", f"{evidence} (torch)")
