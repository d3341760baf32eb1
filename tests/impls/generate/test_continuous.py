"""Continuous batching on a toy model: a request's text is what it would be alone, whatever shares the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from attnlab.bench.errors import Unavailable
from attnlab.bench.llm.generation.arrivals import Arrivals
from attnlab.bench.llm.generation.events import CallLog
from attnlab.bench.llm.generation.recorder import Recorder
from attnlab.bench.llm.models.weights import ModelWeights
from attnlab.bench.ops.generate.answers import MARGIN, answer_logits, regret
from attnlab.bench.ops.generate.case import GenerateCase, GenerateInputs
from attnlab.bench.ops.generate.contract import weights_of
from attnlab.bench.ops.generate.sharpness import NOISE_FLOOR
from attnlab.bench.store.records import Measurement, Outcome
from attnlab.impls.generate._engine.adapter import EngineAdapter
from attnlab.impls.generate._engine.continuous_batching import ContinuousBatching
from attnlab.impls.generate._engine.parts import Parts

SEED = 3
REQUESTS, SHARED, PROMPT, NEW = 5, 20, 30, 20  # of each prompt a page of 16 is shared; a request ends with 4 pages
TIGHT = 6  # pages, of which four requests share one and want three more each
NOISE = 2 * MARGIN * NOISE_FLOOR["float32"]
DECODINGS = ("greedy", "sample:t0.9:k40", "sample:t0.8:r1.2")
LAYOUTS = ("paged:16", "paged_hsd:16")
CHUNKS = (16, 7)

pytestmark = pytest.mark.timeout(60)


@dataclass(frozen=True)
class Served:
    """tokens int64 [R, N], and the log of the call."""

    tokens: Tensor
    log: CallLog


def toy(**axes: object) -> GenerateCase:
    known = {"model": "toy", "prompts": "random", "dtype": "float32", "layout": "paged:16", "batching": "continuous"}
    return GenerateCase.build({**known, "batch": 4, "prompt_len": PROMPT, "new_tokens": NEW, **axes})


def weights() -> ModelWeights:
    return weights_of("toy", torch.float32, torch.device("cpu"))


@cache
def prompts() -> Tensor:
    """Random ids [R, P], the first ones the same in all."""
    ids = torch.randint(512, (REQUESTS, PROMPT), generator=torch.Generator().manual_seed(1))
    ids[:, :SHARED] = ids[0, :SHARED].clone()
    return ids


def serve(case: GenerateCase, ids: Sequence[Sequence[int]], arrivals_s: Sequence[float], chunk: int) -> Served:
    recorder = Recorder(arrivals_s, ids)
    tokens = ContinuousBatching(case, weights(), Parts(), chunk).serve(recorder, SEED)
    return Served(tokens, recorder.log())


@cache
def alone(decoding: str, stored: str) -> Tensor:
    """The texts [R, N] that static batches of one give over a contiguous cache, in no pages and no chunks.

    Over codes a static prompt attends to tokens as they came, and every chunk to tokens as they are stored: so those
    are served alone, with the prompt in one piece.
    """
    if stored != "same":
        case = toy(batch=1, decoding=decoding, cache=stored)
        return torch.cat([serve(case, [ids], [0.0], chunk=64).tokens for ids in prompts().tolist()])
    case = toy(batch=1, requests=REQUESTS, decoding=decoding, layout="contiguous_bhsd", batching="static")
    static = EngineAdapter().prepare(case, GenerateInputs(prompts(), weights(), None, (0.0,) * REQUESTS, SEED))
    return static.serve(Recorder([0.0] * REQUESTS, prompts().tolist()), SEED)


def assert_same(got: Tensor, want: Tensor, decoding: str) -> None:
    """Equal, but for greedy texts from the first token on that a near-tie decides: see the contract's check."""
    for prompt, mine, theirs in zip(prompts(), got, want, strict=True):
        differ = (mine != theirs).nonzero()
        if len(differ):
            place = int(differ[0])
            assert decoding == "greedy", f"another token at {place}"
            short = float(regret(answer_logits(weights(), prompt, mine), mine)[place])
            assert short <= NOISE, f"another token at {place}, {short} short of the best"


@pytest.fixture
def arriving(tmp_path: Path) -> Callable[[str], tuple[float, ...]]:
    """Times in seconds by kind; in the trace two come at once, and the last when all others have left."""
    (tmp_path / "trace.txt").write_text("0\n0\n0.02\n0.03\n0.6\n")

    def times_s(kind: str) -> tuple[float, ...]:
        return Arrivals.read(kind if kind != "trace" else f"trace@{tmp_path / 'trace.txt'}").times_s(REQUESTS, SEED)

    return times_s


ARRIVALS = ("together", "poisson:100", "trace")


@pytest.mark.parametrize("arrivals", ARRIVALS)
@pytest.mark.parametrize("decoding", DECODINGS)
def test_a_text_is_what_it_would_be_alone(
    arrivals: str, decoding: str, arriving: Callable[[str], tuple[float, ...]]
) -> None:
    """In either order of a page, with pages enough and with too few, and however prompts are cut."""
    turn = ARRIVALS.index(arrivals) + DECODINGS.index(decoding)
    for pages in (0, TIGHT):
        layout, chunk = LAYOUTS[(turn + (pages > 0)) % 2], CHUNKS[turn // 2 % 2]
        case = toy(decoding=decoding, layout=layout, pages=pages, requests=REQUESTS)
        served = serve(case, prompts().tolist(), arriving(arrivals), chunk)
        assert_same(served.tokens, alone(decoding, "same"), decoding)
        if arrivals == "together":
            assert served.log.counts["reused_tokens"] > 0
            assert (served.log.counts["preemptions"] > 0) == (pages > 0)


@pytest.mark.parametrize(("layout", "pages", "chunk"), [(LAYOUTS[0], 0, 16), (LAYOUTS[1], TIGHT, 7)])
def test_codes_depend_on_nobody_else(layout: str, pages: int, chunk: int) -> None:
    """A chunk reads its own tokens back as they are stored: or its end would show in the text."""
    case = toy(cache="int8_token", layout=layout, pages=pages, requests=REQUESTS)
    served = serve(case, prompts().tolist(), [0.0] * REQUESTS, chunk)
    assert_same(served.tokens, alone("greedy", "int8_token"), "exactly")
    assert served.log.counts["reused_tokens"] > 0


def test_the_log_tells_tokens_passes_and_pages() -> None:
    served = serve(toy(pages=TIGHT, requests=REQUESTS), prompts().tolist(), [0.0] * REQUESTS, chunk=16)
    log, page_bytes = served.log, 16 * 2 * 2 * 16 * 4 * 3  # tokens, sides, heads, head size, float32, layers
    assert log.counts["used_pages_peak"] == TIGHT
    assert log.counts["cache"] == TIGHT * page_bytes + 4 * (4 * 4 + 4)  # the block table and the lengths of a batch
    for request in log.requests:
        assert request.tokens == tuple(range(1, NEW + 1)), "also of those that began again each token is sent once"
        assert list(request.times_ns) == sorted(request.times_ns)
        assert request.first_sample_ns is not None
    firsts = [request.times_ns[0] for request in log.requests]
    assert firsts == sorted(firsts)
    assert 16 < max(p.rows for p in log.passes if p.kind == "prefill") < 16 + 4, "answers go on beside a chunk"
    assert max(p.rows for p in log.passes if p.kind == "decode") <= 4
    assert {p.kind for p in log.passes} == {"prefill", "decode"}


def test_prompts_are_read_but_for_what_is_shared() -> None:
    served = serve(toy(requests=REQUESTS), prompts().tolist(), [0.0] * REQUESTS, chunk=16)
    assert served.log.counts["reused_tokens"] == (REQUESTS - 1) * 16
    read = REQUESTS * (PROMPT + NEW - 1)  # the last token of an answer is sent and never read
    assert sum(p.rows for p in served.log.passes) == read - (REQUESTS - 1) * 16


def test_a_server_is_used_again_and_nobody_is_kept_waiting_for_ever() -> None:
    """A second call begins with an empty pool, and requests that come late are slept for."""
    server = ContinuousBatching(toy(requests=2, batch=1, new_tokens=3), weights(), Parts())
    texts = []
    for arrivals_s in ([0.0, 0.0], [0.0, 0.15]):
        recorder = Recorder(arrivals_s, prompts()[:2].tolist())
        texts.append(server.serve(recorder, SEED))
    assert torch.equal(*texts)
    assert recorder.log().requests[1].times_ns[0] > 0.15e9
    assert torch.equal(texts[0], alone("greedy", "same")[:2, :3])


@pytest.mark.parametrize(
    "case_id",
    [
        "toy-random-R5-B3-P20-N12-fp32-paged.16-continuous-poisson.100-pool4",
        "toy-random-R3-B2-P20-N6-bf16-paged_hsd.8-continuous-sample.t90.k40",
    ],
)
def test_the_contract_accepts_it(measured: Callable[[str, str, str], Measurement], case_id: str) -> None:
    found = measured("generate", "naive", case_id)
    assert (found.outcome, found.reason) == (Outcome.PASSED, None)
    assert found.configuration is not None
    assert "chunks of 64 tokens" in found.configuration


@pytest.mark.parametrize(
    ("stored", "said"),
    [("int4_g32", "it encodes 32 tokens together"), ("int8_channel", "its scales are set once"), ("fp8_e4m3", "once")],
)
def test_a_format_whose_tokens_depend_on_others_is_refused(stored: str, said: str) -> None:
    with pytest.raises(Unavailable, match=f"cache {stored} is not served in continuous batching: .*{said}"):
        ContinuousBatching(toy(model="smollm2_135m", cache=stored, layout="paged:32"), weights(), Parts())


def test_parts_that_compile_for_each_length_are_refused() -> None:
    with pytest.raises(Unavailable, match="part attention compiled is not served in continuous batching"):
        ContinuousBatching(toy(), weights(), Parts(attention="compiled"))
