"""What a mixture of formats comes to, as a study: words, what each layer costs alone, and models on held-out text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnlab.bench import units
from attnlab.bench.llm.quality.mixing import MIXED, HeldOut, Mixture
from attnlab.bench.llm.quality.sensitivity import LayerCost
from attnlab.bench.reporters.model.plots import Curve, Panel, Plot, PlotPoint, front_of
from attnlab.bench.reporters.model.studies import Study, StudyTable
from attnlab.bench.reporters.model.words import Sentence, name, sentence


def study_of(mixture: Mixture) -> Study:
    """The study of one mixture."""
    panels = [
        Panel("lines", title, "layer", "mean KL divergence", "nat", tuple(_curves(costs)), whole=True)
        for title, costs in (("its weights alone", mixture.weights), ("its cache alone", mixture.caches))
        if costs
    ]
    points = tuple(Curve(one.name, (PlotPoint(one.bits, one.found.kl_mean),)) for one in mixture.held_out)
    front = front_of(PlotPoint(one.bits, one.found.kl_mean, label=one.name) for one in mixture.held_out)
    x_label = "bits a weight of the layers"
    pareto = Panel("scatter", "held-out text", x_label, "mean KL divergence", "nat", points, front=front)
    plots = (
        Plot(
            "sensitivity",
            "What each layer costs alone",
            "Mean KL divergence of the next token's distribution where one layer alone is stored so; lower is better.",
            tuple(panels),
        ),
        Plot(
            "mixture",
            "Quality against bytes",
            "The mixture beside one format throughout; lower left is better.",
            (pareto,),
        ),
    )
    return Study("A format for each layer", tuple(_words(mixture)), tuple(_tables(mixture)), plots)


def _curves(costs: Sequence[LayerCost]) -> Iterator[Curve]:
    for format in dict.fromkeys(cost.format for cost in costs):
        yield Curve(format, tuple(PlotPoint(c.layer, c.kl) for c in costs if c.format == format))


def _words(mixture: Mixture) -> Iterator[Sentence]:
    mixed, plan = mixture.mixed, mixture.plan
    kl = mixed.found.kl_mean
    yield sentence(
        f"Within {plan.budget_bits:g} bits a weight the layers take {units.format_number(mixed.bits)}, and the mean KL "
        f"divergence on held-out text is {units.format_number(kl)} nat",
        *_beside(mixture.evenly, kl),
        ".",
    )
    for format in plan.formats:
        costs = sorted((c for c in mixture.weights if c.format == format), key=lambda c: -c.kl)
        whole = sum(c.kl for c in costs)
        if len(costs) > 2 and whole > 0:
            yield sentence(
                "Alone in ",
                name(format),
                f", layer {costs[0].layer} costs most, {units.format_number(costs[0].kl)} nat, "
                f"{units.format_share(costs[0].kl / whole)} of all layers' costs together.",
            )


def _beside(evenly: float | None, kl: float) -> Iterator[str]:
    if evenly is not None and kl > 0:
        better = "less" if kl < evenly else "not less"
        yield (
            f", {better} than the {units.format_number(evenly)} of formats handed out blindly at the same bytes "
            f"({units.format_ratio(kl / evenly)})"
        )


def _tables(mixture: Mixture) -> Iterator[StudyTable]:
    ordered = sorted(mixture.held_out, key=lambda one: (one.name != MIXED, one.bits))
    yield StudyTable(
        "On held-out text",
        "Against the model with nothing quantised; intervals at 95 % of paired blocks of tokens.",
        ("weights", "bits a weight", "Δ perplexity", "KL mean, nat", "KL 99 %", "KL 99.9 %", "same top", "RMS Δp"),
        tuple(map(_row, ordered)),
    )
    formats = dict.fromkeys(cost.format for cost in mixture.weights)
    by = {(cost.layer, cost.format): cost.kl for cost in mixture.weights}
    caches = dict.fromkeys(cost.format for cost in mixture.caches)
    cached = {(cost.layer, cost.format): cost.kl for cost in mixture.caches}
    yield StudyTable(
        "Layer by layer",
        "Mean KL divergence, in nats, where the layer alone is stored so, on the text that was chosen by.",
        ("layer", "gets", *formats, *(f"cache {one}" for one in caches)),
        tuple(
            (
                str(choice.layer),
                choice.format,
                *(units.format_number(by[choice.layer, one]) for one in formats),
                *(units.format_number(cached[choice.layer, one]) for one in caches),
            )
            for choice in mixture.assignment.choices
        ),
    )


def _row(one: HeldOut) -> tuple[str, ...]:
    found = one.found
    difference, low, high = found.perplexity_difference
    return (
        one.name,
        units.format_number(one.bits),
        f"{units.format_number(difference)} ({units.format_interval(low, high, '')})",
        units.format_number(found.kl_mean),
        units.format_number(found.kl_quantile(0.99)),
        units.format_number(found.kl_quantile(0.999)),
        units.format_share(found.same_top),
        units.format_share(found.rms_probability_change),
    )
