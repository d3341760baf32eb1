"""How our figures of a server stand beside those of other tools, for docs/serving.md.

    python benchmarks/serving_agreement.py --guidellm PATH --aiperf PATH --out build/serving_agreement

Every tool sends the same load, a fixed rate of prompts that no prefix cache can know, to one server of ours, in turn,
several rounds. Two tables come of it. One recorded load: our client's log, read by the definitions of every tool
(`bench/analysis/peers/`). The live server: what each tool says of the load that it sent itself. The tools that are run
are also held to those definitions: applied to the streams in a tool's own files they must give its own figures.

--guidellm, --aiperf: the programs, each of an environment of its own; a tool that is not given is not run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from attnlab.bench import units
from attnlab.bench.analysis.peers import files
from attnlab.bench.analysis.peers.of_log import recorded
from attnlab.bench.analysis.peers.recorded import LABELS, Figures, Objectives, Recorded
from attnlab.bench.llm.models.load import load_tokenizer
from attnlab.bench.llm.models.tokenizer import Tokenizer
from attnlab.bench.ops.serve.embedded import GIVES_WAY
from attnlab.bench.serving import Asked, Load, Message, Service, drive
from attnlab.impls.serve.openai_chat import OpenAIChat

DEFINITIONS = ("ours", "vllm", "sglang", "guidellm", "aiperf")
OBJECTIVES = Objectives(ttft_ns=1000 * units.NS_PER_MS, tpot_ns=100 * units.NS_PER_MS)
WORDS = (
    "river",
    "bank",
    "stone",
    "water",
    "meadow",
    "bridge",
    "winter",
    "letter",
    "garden",
    "window",
    "silver",
    "paper",
)
START_S = 120.0
NEAR = 0.002  # of a figure, by which a tool's own may be off what its definition gives


@dataclass(frozen=True)
class Plan:
    """What every tool sends in a round."""

    url: str
    model: str
    requests: int
    rate: float
    words: int
    new_tokens: int
    folder: Path


@dataclass(frozen=True)
class Told:
    """What came of one tool's round: its streams, and its own figures, where it is a tool that says some."""

    load: Recorded
    own: Figures | None = None


def prompts(plan: Plan, tool: str, turn: int) -> list[str]:
    """Texts of which no two begin alike, of any tool and round."""
    source = random.Random(f"{tool} {turn}")
    made = []
    for number in range(plan.requests):
        begin = f"{source.getrandbits(40):x} of {tool}, round {turn}, number {number}:"
        made.append(" ".join([begin, *(source.choice(WORDS) for _ in range(plan.words)), "Tell what you see."]))
    return made


def by_us(plan: Plan, texts: Sequence[str], folder: Path, tokenizer: Tokenizer) -> Told:
    asked = [
        Asked(number, number / plan.rate, (Message("user", text),), max_tokens=plan.new_tokens)
        for number, text in enumerate(texts)
    ]
    service = Service(plan.url, plan.model)
    log = drive(OpenAIChat(), service, asked, Load("fixed", per_second=plan.rate))
    if log.late:
        print("  our client was late: do not keep this run", file=sys.stderr)
    return Told(recorded(log, lambda text: len(tokenizer.encode(text, plain=True))))


def by_guidellm(program: str, plan: Plan, texts: Sequence[str], folder: Path) -> Told:
    data, told = folder / "prompts.jsonl", folder / "guidellm.json"
    rows = [{"prompt": text, "output_tokens_count": plan.new_tokens} for text in texts]
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    first, each = OBJECTIVES.ttft_ns / units.NS_PER_MS, OBJECTIVES.tpot_ns / units.NS_PER_MS
    backend = f"kind=openai_http,target={plan.url},model={plan.model}"
    options = (
        "--profile",
        f"kind=constant,rate={plan.rate:g}",
        "--constraint",
        f"kind=max_requests,count={len(texts)}",
    )
    metrics = f"kind=generative,slo.ttft_ms={first:g},slo.tpot_ms={each:g}"
    outputs = ("--output", f"kind=json,path={told}", "--disable-console")
    data_options = ("--data", f"kind=json_file,path={data}")
    _run([program, "run", "--backend", backend, *options, *data_options, "--metrics", metrics, *outputs], folder)
    return Told(*files.of_guidellm(told))


def by_aiperf(program: str, plan: Plan, texts: Sequence[str], folder: Path, vocabulary: Path) -> Told:
    data, out = folder / "prompts.jsonl", folder / "artifacts"
    rows = [
        {"text": text, "timestamp": 1000 * number / plan.rate, "output_length": plan.new_tokens}
        for number, text in enumerate(texts)
    ]
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    first, each = OBJECTIVES.ttft_ns / units.NS_PER_MS, OBJECTIVES.tpot_ns / units.NS_PER_MS
    command = [program, "profile", "--model", plan.model, "--url", plan.url, "--endpoint-type", "chat", "--streaming"]
    command += ["--tokenizer", str(vocabulary), "--input-file", str(data), "--custom-dataset-type", "single_turn"]
    command += ["--fixed-schedule", "--extra-inputs", "ignore_eos:true", "--extra-inputs", "temperature:0"]
    command += ["--goodput", f"time_to_first_token:{first:g} inter_token_latency:{each:g}"]
    _run([*command, "--output-artifact-dir", str(out), "--export-level", "records", "--ui", "none"], folder)
    return Told(*files.of_aiperf(out))


def _run(command: Sequence[str], folder: Path) -> None:
    """A tool, its output kept; raises SystemExit with where that is."""
    log = folder / "output.txt"
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with {done.returncode}; see {log}")


@contextmanager
def server(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """The address and the model's name: of the server that is given, or of ours, which ends with this."""
    if options.url:
        yield options.url, options.model
        return
    command = [sys.executable, "-m", "attnlab.bench", "serve", "--impl", options.impl, "--model", options.model]
    command += ["--port", "0", "--announce", "--with-parent"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        os.setpriority(os.PRIO_PROCESS, process.pid, GIVES_WAY)
        told = json.loads(process.stdout.readline() or "{}").get("attnlab_serve")
        if told is None:
            raise SystemExit("the server did not start; run `attnlab serve` to see why")
        try:
            yield told["url"], told["model"]
        finally:
            process.stdin.close()
            process.wait(timeout=START_S)


def save_vocabulary(tokenizer: Tokenizer, folder: Path) -> Path:
    """The tokenizer as a folder that transformers opens, for tools that count by themselves."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.backend.save(str(folder / "tokenizer.json"))
    told = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(told), encoding="utf-8")
    return folder.resolve()


def by(definition: str, load: Recorded) -> Figures:
    """A load by one tool's definitions."""
    found = importlib.import_module(f"attnlab.bench.analysis.peers.{definition}").figures(load, OBJECTIVES)
    assert isinstance(found, Figures)
    return found


def middle(found: Sequence[Figures]) -> Figures:
    """The median over rounds of each figure."""
    known = {f.name: [v for one in found if (v := getattr(one, f.name)) is not None] for f in fields(Figures)}
    return Figures(**{name: statistics.median(values) if values else None for name, values in known.items()})


def table(columns: dict[str, Figures], beside: str | None = None) -> str:
    """A row a figure, as Markdown; `beside`: the column that others are shown over, in percent."""
    lines = [f"| figure | {' | '.join(columns)} |", f"|{'---|' * (len(columns) + 1)}"]
    for name, label in LABELS.items():
        base = getattr(columns[beside], name) if beside else None
        cells = [_cell(name, getattr(one, name), None if key == beside else base) for key, one in columns.items()]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(name: str, value: float | None, base: float | None) -> str:
    text = units.format_time(value) if name.endswith("_ns") else units.format_number(value)
    return text if value is None or not base else f"{text} ({units.signed_percent(value / base - 1)})"


def held(tool: str, told: Sequence[Told]) -> str:
    """Whether a tool's definition, applied to its own streams, gives its own figures."""
    off: dict[str, float] = {}
    for one in told:
        made = by(tool, one.load)
        for f in fields(Figures):
            own, ours = getattr(one.own, f.name), getattr(made, f.name)
            if own is not None and ours is not None and own:
                off[f.name] = max(off.get(f.name, 0.0), abs(ours / own - 1))
    worst = max(off.values(), default=0.0)
    wrong = [LABELS[name] for name, value in off.items() if value > NEAR]
    said = f"{len(off)} figures, off by {units.format_share(worst)} at most"
    return f"{said}; NOT as defined: {', '.join(wrong)}" if wrong else said


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    tokenizer = load_tokenizer(options.model)
    options.out.mkdir(parents=True, exist_ok=True)
    vocabulary = save_vocabulary(tokenizer, options.out / "vocabulary")
    programs = {"guidellm": options.guidellm, "aiperf": options.aiperf}
    tools = ["ours", *(name for name, program in programs.items() if program)]
    rounds: dict[str, list[Told]] = {name: [] for name in tools}
    with server(options) as (url, model):
        plan = Plan(url, model, options.requests, options.rate, options.words, options.new_tokens, options.out)
        by_us(plan, prompts(plan, "warm-up", 0)[:3], options.out, tokenizer)
        for turn in range(options.rounds):
            for name in tools[turn % len(tools) :] + tools[: turn % len(tools)]:
                folder = options.out / f"{name}-{turn}"
                folder.mkdir(exist_ok=True)
                texts = prompts(plan, name, turn)
                print(f"round {turn}: {name}", file=sys.stderr)
                rounds[name].append(_send(name, programs, plan, texts, folder, tokenizer, vocabulary))
    report(options, rounds)


def _send(name: str, programs: dict[str, Any], plan: Plan, texts: Sequence[str], folder: Path, *by_own: Any) -> Told:
    tokenizer, vocabulary = by_own
    if name == "ours":
        return by_us(plan, texts, folder, tokenizer)
    if name == "guidellm":
        return by_guidellm(programs[name], plan, texts, folder)
    return by_aiperf(programs[name], plan, texts, folder, vocabulary)


def report(options: argparse.Namespace, rounds: dict[str, list[Told]]) -> None:
    """To standard output and `summary.md`."""
    modules = {name: importlib.import_module(f"attnlab.bench.analysis.peers.{name}") for name in DEFINITIONS}
    mine = [one.load for one in rounds["ours"]]
    read = {modules[name].TOOL: middle([by(name, load) for load in mine]) for name in DEFINITIONS}
    live = {"attnlab": read["attnlab"]}
    live |= {
        modules[name].TOOL: middle([one.own for one in rounds[name] if one.own]) for name in rounds if name != "ours"
    }
    setting = (
        f"{options.requests} requests at {options.rate:g} a second, prompts of about {options.words + 15} words, "
        f"{options.new_tokens} tokens each; {options.model} by {options.impl}; medians of {options.rounds} rounds; "
        f"{os.cpu_count()} cores"
    )
    parts = [setting, "## One recorded load, by each tool's definitions", table(read, "attnlab")]
    parts += ["## The live server, by each tool's own client", table(live, "attnlab")]
    checks = [f"- {modules[name].TOOL}: {held(name, rounds[name])}" for name in rounds if name != "ours"]
    parts += ["## Definitions held to the tools' own figures", "\n".join(checks)] if checks else []
    parts += ["## What differs", *(_differs(modules[name]) for name in DEFINITIONS if name != "ours")]
    text = "\n\n".join(parts)
    (options.out / "summary.md").write_text(f"{text}\n", encoding="utf-8")
    print(text)


def _differs(module: Any) -> str:
    lines = [f"- {LABELS[name]}: {words}" for name, words in module.WORDS.items()]
    return "\n".join([f"**{module.TOOL}** ({module.SOURCE})", "", *lines])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", help="of a server that runs; ours is started where it is left out")
    parser.add_argument("--impl", default="paged", help="of generate, behind the server that is started")
    parser.add_argument("--model", default="smollm2_135m", help="by name; its tokenizer has to be here")
    parser.add_argument("--requests", type=int, default=24, help="of each tool in a round")
    parser.add_argument("--rate", type=float, default=1.5, help="requests a second")
    parser.add_argument("--words", type=int, default=60, help="of a prompt, about")
    parser.add_argument("--new-tokens", type=int, default=24, help="of an answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--guidellm", metavar="PATH", help="the program guidellm, 0.8")
    parser.add_argument("--aiperf", metavar="PATH", help="the program aiperf, 0.13")
    parser.add_argument(
        "--out", type=Path, default=Path("build/serving_agreement"), help="a folder for what is written"
    )
    return parser


if __name__ == "__main__":
    main()
