"""Choose a format for each layer of a model under a budget of bytes, by what each layer loses alone."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.bench.cli import EXIT_OK, _options
from attnlab.bench.errors import UsageError
from attnlab.bench.text_table import columns

if TYPE_CHECKING:
    from torch import Tensor

    from attnlab.bench.llm.quality.mixing import HeldOut, Mixture, MixturePlan

WINDOW = 256
PAGE = ".html"
EPILOG = (
    "It writes a file that the axis weights reads, as in -a weights=@mix.toml, and a page beside it. Costs are of "
    "layers changed one at a time; the mixture is then held against one format throughout, on a text that nothing was "
    "chosen by: of the text that was, what follows."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model by name or path")
    parser.add_argument("--formats", required=True, metavar="NAMES", help="formats to choose among: int4_g32,int8")
    parser.add_argument(
        "--budget-bits", required=True, type=float, metavar="BITS", help="for each weight of the layers"
    )
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="the file that assigns formats to layers: mix.toml"
    )
    parser.add_argument("--method", default="rtn", metavar="NAME", help="how codes are chosen (rtn)")
    parser.add_argument("--head", default="same", metavar="FORMAT", help="the format of the head (same)")
    parser.add_argument(
        "--caches", default="", metavar="NAMES", help="formats of the cache whose cost by layer is shown"
    )
    parser.add_argument(
        "--texts", default="prompts,prose", metavar="TWO", help="what is chosen by, what is compared on (prompts,prose)"
    )
    parser.add_argument(
        "--tokens", type=int, default=512, metavar="N", help=f"of each text, in windows of {WINDOW} (512)"
    )
    _options.add_json(parser)


def execute(options: argparse.Namespace) -> int:
    from attnlab.bench.llm.models.load import load_model
    from attnlab.bench.llm.quality.mixing import check_plan, mix, recipe_of_mixture, write_assignment
    from attnlab.bench.llm.quantization.calibration import ids_to_calibrate
    from attnlab.bench.llm.quantization.choosing import quantisation_method
    from attnlab.bench.ops.generate.case import config_of, read_model

    model = read_model(options.model)
    plan, config, out = _plan(options), config_of(model), Path(options.out)
    check_plan(plan, config)
    if not out.parent.is_dir():
        raise UsageError(f"got --out {out}; expected a file in a folder that is there, and {out.parent} is not")
    if out.is_dir() or out.suffix == PAGE:
        raise UsageError(f"got --out {out}; expected a file such as mix.toml, beside which the page {PAGE} is written")
    text, other = _texts(options.texts)
    chosen_by, held_out = _windows(options, model, text), _windows(options, model, other, text == other)
    texts = ids_to_calibrate(model, config) if quantisation_method(plan.method).calibrated else None
    mixture = mix(load_model(model), plan, chosen_by, held_out, _tell, texts)
    told = f"attnlab quantize: {mixture.mixed.bits:.4g} bits a weight, chosen on {text}"
    write_assignment(recipe_of_mixture(mixture), out, told)
    page = out.with_suffix(PAGE)
    page.write_text(_page(mixture, options, model), encoding="utf-8")
    if options.json:
        print(json.dumps(_record(mixture, out, page)))
    else:
        _show(mixture)
        print(
            f"Assignment: {out}\nPage: {page}\nMeasure: attnlab run perplexity -a model={model} -a weights=same,@{out}"
        )
    return EXIT_OK


def _plan(options: argparse.Namespace) -> MixturePlan:
    """Raises UnknownName for a format or method that is none."""
    from attnlab.bench.llm.caches import format_of
    from attnlab.bench.llm.quality.mixing import MixturePlan
    from attnlab.bench.llm.quantization.choosing import quantisation_method
    from attnlab.bench.llm.quantization.coding import weight_format
    from attnlab.bench.llm.quantization.recipe import SAME

    def known(name: str) -> str:
        return SAME if name == SAME else weight_format(name).name

    formats = tuple(dict.fromkeys(known(name) for name in _names(options.formats)))
    caches = tuple(dict.fromkeys(format_of(name).name for name in _names(options.caches)))
    method = quantisation_method(options.method).name
    return MixturePlan(formats, options.budget_bits, method, known(options.head), caches)


def _names(text: str) -> Iterator[str]:
    return (name.strip() for name in text.split(",") if name.strip())


def _texts(text: str) -> tuple[str, str]:
    from attnlab.bench.errors import UnknownName
    from attnlab.bench.llm.quality.texts import TEXTS

    given = tuple(_names(text))
    if len(given) != 2:
        raise UsageError(f"got --texts {text}; expected two, such as prompts,prose: to choose by, and to compare on")
    for name in given:
        if name not in TEXTS:
            raise UnknownName("text", name, TEXTS)
    return given[0], given[1]


def _windows(options: argparse.Namespace, model: str, text: str, follows: bool = False) -> Tensor:
    """Windows of a text from its beginning, or of what follows them, as many as hold the tokens asked for."""
    from attnlab.bench.llm.quality.texts import text_ids, windows_of
    from attnlab.bench.ops.generate.case import config_of
    from attnlab.bench.ops.generate.contract import shared_tokenizer

    ids = text_ids(text, model, partial(shared_tokenizer, model), config_of(model).vocab_size)
    most = len(ids) // (1 + follows)
    if not 2 <= options.tokens <= most:
        raise UsageError(f"got --tokens {options.tokens}; expected 2 to {most}, as {text} has {len(ids)}")
    window = min(WINDOW, options.tokens, config_of(model).context_length)
    return windows_of(ids, window, window, options.tokens // window, options.tokens if follows else 0)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _page(mixture: Mixture, options: argparse.Namespace, model: str) -> str:
    from attnlab.bench.reporters.model.mixture import study_of
    from attnlab.bench.reporters.study_page import render

    text, other = _texts(options.texts)
    subtitle = (
        f"{', '.join(mixture.plan.formats)} by {mixture.plan.method} within {mixture.plan.budget_bits:g} bits a weight"
        f" · chosen on {options.tokens} tokens of {text}, compared on {options.tokens} of {other}"
    )
    return render(study_of(mixture), f"A mixture for {model}", subtitle, options.command_line)


def _show(mixture: Mixture) -> None:
    from attnlab.bench.reporters.model.mixture import study_of
    from attnlab.bench.reporters.model.words import plain

    study = study_of(mixture)
    table = study.tables[0]
    print("\n".join(columns([table.headings, *table.rows])))
    for told in study.sentences:
        print(plain(told))


def _record(mixture: Mixture, out: Path, page: Path) -> dict[str, Any]:
    """The same for machines; divergences in nats."""
    return {
        "assignment": str(out),
        "page": str(page),
        "layers": [choice.format for choice in mixture.assignment.choices],
        "costs": [vars(cost) for cost in mixture.weights],
        "cache_costs": [{"layer": c.layer, "format": c.format, "kl": c.kl} for c in mixture.caches],
        "held_out": [_compared(one) for one in mixture.held_out],
        "evenly_kl": mixture.evenly,
    }


def _compared(one: HeldOut) -> dict[str, Any]:
    return {
        "name": one.name,
        "bits": one.bits,
        "kl_mean": one.found.kl_mean,
        "perplexity": one.found.perplexity,
        "perplexity_difference": [None if math.isnan(x) else x for x in one.found.perplexity_difference],
        "same_top": one.found.same_top,
    }
