"""What quantised weights are worth in a model that generates: times of each format beside the dtype, in one run.

    python benchmarks/quantized_generation.py [--rounds 6] [--prompts summarise] [--only sdpa llama_cpp]

Every contender keeps the real SmolLM2-135M open in a process of its own. In each round all of them answer the same new
prompt, one after another in an order that turns. A round gives each contender ratios to the first one, our decoder in
float32: of ITL (the median gap between tokens), TTFT, and the CPU time of its process for the whole answer, which other
work on the machine lengthens least. Shown are medians over the rounds, and of ratios the Hodges-Lehmann estimate with
the signed-rank interval of 95 % (six rounds or more). Beside ITL stands the floor: the bytes that a pass must read over
the rate at which all threads together read memory, measured in the same rounds.

llama.cpp reads the packaged file, Q4_1 with a head in Q8_0; `int4_g32_asym+int8` stores the same bytes for each weight.
llama.cpp rounds activations to 8 bits over 32 channels in each product; ours leaves them in the dtype.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median

import numpy as np
import torch

from attnlab.bench import discover, units
from attnlab.bench.contract.needs import missing
from attnlab.bench.llm.generation.latencies import itl_ns, ttft_ns
from attnlab.bench.machine.environment import describe_device
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.contract import GENERATE
from attnlab.bench.ops.generate.cost import pass_bytes
from attnlab.bench.stats.paired import log_ratio, signed_rank_interval, walsh_averages

CPU = torch.device("cpu")
TAIL = 0.025
READ_BYTES = 256 << 20  # far more than a cache holds


@dataclass(frozen=True)
class Contender:
    """An implementation of generate, the dtype, and how the weights are stored."""

    implementation: str
    dtype: str
    weights: str = "same"

    def __str__(self) -> str:
        return f"{self.implementation} {self.dtype} {self.weights}"

    def case(self, options: argparse.Namespace) -> GenerateCase:
        axes = {name: getattr(options, name) for name in ("prompts", "prompt_len", "new_tokens")}
        return GenerateCase.build({**axes, "dtype": self.dtype, "weights": self.weights})


CONTENDERS = (
    Contender("sdpa", "float32"),
    Contender("sdpa", "bfloat16"),
    Contender("sdpa", "float32", "int8+int8"),
    Contender("sdpa", "float32", "int8_dynamic+int8_dynamic"),
    Contender("sdpa", "float32", "int4_g32_asym+int8"),
    Contender("sdpa", "bfloat16", "int8+int8"),
    Contender("sdpa", "bfloat16", "int4_g32_asym+int8"),
    Contender("llama_cpp", "float16", "q4_1"),
    Contender("transformers", "float32"),
    Contender("transformers", "bfloat16"),
)


@dataclass(frozen=True)
class Times:
    """Of one answer."""

    itl_ns: float
    ttft_ns: float
    cpu_ns: float


def serve(pipe: Connection, contender: Contender, options: argparse.Namespace) -> None:
    """In a process of its own: set up, then one answer for each seed that comes, until None does."""
    made = discover().implementations("generate").get(contender.implementation)
    case = contender.case(options)
    reason = missing(made, describe_device("cpu")) or made.supports(case)
    if reason is None:
        state = made.prepare(case, GENERATE.make_inputs(case, "normal", options.rounds, CPU))
    pipe.send(reason)
    while reason is None and (seed := pipe.recv()) is not None:
        inputs = GENERATE.make_inputs(case, "normal", seed, CPU)
        begun = time.process_time_ns()
        (request,) = made.run(inputs, state).log.requests
        cpu_ns = time.process_time_ns() - begun
        pipe.send(Times(median(itl_ns(request)), ttft_ns(request) or math.nan, float(cpu_ns)))


@contextmanager
def opened(contender: Contender, options: argparse.Namespace) -> Iterator[Connection]:
    """The pipe to a contender's process."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, contender, options), daemon=True)
    process.start()
    there.close()
    try:
        yield here
    finally:
        process.terminate()
        process.join()


def reading_rate(memory: torch.Tensor) -> float:
    """Bytes a second of a sum."""
    begun = time.perf_counter_ns()
    memory.sum()
    return memory.nbytes / (time.perf_counter_ns() - begun) * units.NS_PER_S


def ratio(baseline: list[float], other: list[float]) -> str:
    logs = [log_ratio([b], [a]) for a, b in zip(baseline, other, strict=True)]
    reach = signed_rank_interval(logs, TAIL)
    centre, low, high = (math.exp(x) for x in (float(np.median(walsh_averages(logs))), reach.low, reach.high))
    return f"{centre:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--prompts", default="summarise")
    parser.add_argument("--prompt-len", type=int, default=256)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--only", nargs="+", default=[], help="implementations; left out, all")
    options = parser.parse_args()
    wanted = [c for c in CONTENDERS if not options.only or c.implementation in options.only]
    memory, rates = torch.ones(READ_BYTES // 4), [0.0]
    times: dict[Contender, list[Times]] = {}
    with ExitStack() as stack:
        pipes = {}
        for contender in wanted:
            pipe = stack.enter_context(opened(contender, options))
            reason = pipe.recv()
            if reason is None:
                pipes[contender], times[contender] = pipe, []
            else:
                print(f"{contender}: {reason}")
        order = list(pipes)
        for seed in range(-1, options.rounds):  # the first warms up
            turn = seed % len(order)
            rates.append(reading_rate(memory))
            for contender in (*order[turn:], *order[:turn]):
                pipes[contender].send(options.rounds if seed < 0 else seed)
                taken = pipes[contender].recv()
                if seed >= 0:
                    times[contender].append(taken)
    report(times, options, max(rates))


def report(times: dict[Contender, list[Times]], options: argparse.Namespace, rate: float) -> None:
    print(
        f"\n{options.rounds} rounds, {options.prompt_len} tokens of prompt and {options.new_tokens} of answer, "
        f"{torch.get_num_threads()} threads, which read {rate / units.GB:.1f} GB/s\n"
    )
    print("| | a pass reads | floor | ITL | TTFT | ITL, ratio | TTFT, ratio | CPU time, ratio |")
    print("|---|---|---|---|---|---|---|---|")
    first = next(iter(times.values()))
    for contender, series in times.items():
        case = contender.case(options)
        read = pass_bytes(case.config, case.torch_dtype, case.weights)
        figures = {name: [getattr(t, name) for t in series] for name in ("itl_ns", "ttft_ns", "cpu_ns")}
        ratios = [ratio([getattr(t, name) for t in first], values) for name, values in figures.items()]
        middle = [units.format_time(median(figures[name])) for name in ("itl_ns", "ttft_ns")]
        floor = units.format_time(read / rate * units.NS_PER_S)
        print(f"| {contender} | {read / 1e6:.0f} MB | {floor} | {' | '.join((*middle, *ratios))} |")


if __name__ == "__main__":
    main()
