"""Answers over a real socket: their text, ids, ends, usage and log-probabilities, whole and streamed."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from attnlab.bench.ops.generate.case import GenerateCase, GenerateInputs
from attnlab.bench.ops.generate.contract import weights_of
from attnlab.impls.generate._engine.adapter import EngineAdapter

from .conftest import CONTEXT, END, Running, read_answer

PROMPT = "Tell me about rivers, and where they end."
LONG = "0123456789abcdef" * 6
NEW = 24


@pytest.fixture(scope="module")
def greedy(toy: Running) -> list[int]:
    """What `generate` answers to the prompt, in a batch of one over a contiguous cache."""
    ids, folder = toy.service.model.tokenizer.encode(PROMPT), str(toy.folder)
    axes = {"model": folder, "prompts": "random", "dtype": "float32", "prompt_len": len(ids), "new_tokens": NEW}
    weights = weights_of(folder, torch.float32, torch.device("cpu"))
    inputs = GenerateInputs(torch.tensor([ids]), weights, None, (0.0,), 0)
    adapter = EngineAdapter()
    tokens = adapter.run(inputs, adapter.prepare(GenerateCase.build(axes), inputs)).tokens
    return [int(token) for token in tokens[0]]


def test_greedy_ids_are_those_of_generate(toy: Running, greedy: list[int]) -> None:
    answer = toy.complete(prompt=PROMPT, max_tokens=NEW, ignore_eos=True, return_token_ids=True).json
    (choice,) = answer["choices"]
    assert choice["token_ids"] == greedy
    assert answer["prompt_token_ids"] == toy.service.model.tokenizer.encode(PROMPT)
    assert choice["text"] == toy.service.model.tokenizer.decode(greedy)
    assert choice["finish_reason"] == "length"
    ids = toy.complete(prompt=answer["prompt_token_ids"], max_tokens=NEW, ignore_eos=True).json
    assert ids["choices"][0]["text"] == choice["text"], "a prompt of ids is the same prompt"


@pytest.mark.parametrize("path", ["chat", "complete"])
@pytest.mark.parametrize("fields", [{}, {"temperature": 1, "seed": 5, "top_p": 0.9}, {"repetition_penalty": 1.3}])
def test_a_stream_is_the_whole_answer(toy: Running, path: str, fields: dict[str, float]) -> None:
    ask = getattr(toy, path)
    whole = ask(max_tokens=NEW, ignore_eos=True, **fields).json
    streamed = ask(max_tokens=NEW, ignore_eos=True, stream=True, **fields)
    choice = whole["choices"][0]
    assert streamed.text == (choice["message"]["content"] if path == "chat" else choice["text"])
    ends = [choice["finish_reason"] for event in streamed.events for choice in event["choices"]]
    assert ends[-1] == choice["finish_reason"] == "length"
    assert set(ends[:-1]) <= {None}
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert len({event["id"] for event in streamed.events}) == 1


def test_a_chat_begins_with_its_role_and_ends_with_usage(toy: Running) -> None:
    answer = toy.chat(stream=True, max_tokens=5, ignore_eos=True, stream_options={"include_usage": True})
    first, *_, last = answer.events
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert last["choices"] == []
    prompt = toy.service.model.tokenizer.encode("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant")
    assert last["usage"]["prompt_tokens"] == len(prompt)
    assert last["usage"]["completion_tokens"] == 5
    assert last["usage"]["total_tokens"] == len(prompt) + 5
    assert all("usage" not in event for event in answer.events[:-1])


def test_usage_with_every_piece_counts_up(toy: Running) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    answer = toy.complete(stream=True, max_tokens=6, ignore_eos=True, stream_options=options, return_token_ids=True)
    counts = [event["usage"]["completion_tokens"] for event in answer.events]
    assert counts == [*range(1, 7), 6]
    assert sum(len(choice["token_ids"]) for event in answer.events for choice in event["choices"]) == 6


def test_cached_tokens_are_told(toy: Running) -> None:
    """Whole pages of 16 of a prompt that was read before, the last token excepted."""
    first, second = (toy.complete(prompt=f"cached {LONG}", max_tokens=2).json["usage"] for _ in range(2))
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    assert second["prompt_tokens_details"]["cached_tokens"] == (first["prompt_tokens"] - 1) // 16 * 16 > 0


def test_where_the_first_token_went_is_told(toy: Running) -> None:
    for answer in (toy.complete().json, toy.chat(stream=True, stream_options={"include_usage": True}).events[-1]):
        assert set(answer["timings"]) == {"tokenise_ns", "queue_ns", "prefill_ns", "sampling_ns"}
        assert all(0 < value < 60e9 for value in answer["timings"].values())


def test_a_stop_string_ends_an_answer_before_itself_wherever_tokens_end(toy: Running) -> None:
    """Tokens are bytes here, so that every stop of several characters lies across tokens."""
    whole = toy.complete(prompt=PROMPT, max_tokens=NEW, temperature=1, seed=11, ignore_eos=True).json
    text = whole["choices"][0]["text"]
    stop = text[7:10]
    before = text[: text.index(stop)]
    asked = {"prompt": PROMPT, "max_tokens": NEW, "temperature": 1, "seed": 11, "ignore_eos": True}
    for stops in (stop, ["never there", stop]):
        cut = toy.complete(**asked, stop=stops).json
        assert cut["choices"][0]["text"] == before
        assert cut["choices"][0]["finish_reason"] == "stop"
        assert cut["usage"]["completion_tokens"] < NEW
        streamed = toy.complete(**asked, stop=stops, stream=True)
        assert streamed.text == before
    begun = toy.complete(**asked, stop=text[-2:] + "never").json
    assert begun["choices"][0]["text"] == text, "what a stop may have begun in comes at the end"


def test_no_character_is_ever_split(toy: Running) -> None:
    """A schema of one constant makes a model of bytes write it, a byte a token."""
    word = "aé€🜁z"
    schema = {"type": "json_schema", "json_schema": {"schema": {"const": word}}}
    answer = toy.complete(response_format=schema, max_tokens=40, stream=True)
    pieces = [choice["text"] for event in answer.events for choice in event["choices"]]
    assert "".join(pieces) == f'"{word}"'
    assert max(map(len, pieces)) == 1
    assert "\ufffd" not in answer.text


def test_a_character_that_is_cut_short_is_told_at_the_end(toy: Running) -> None:
    schema = {"type": "json_schema", "json_schema": {"schema": {"const": "🜁"}}}
    for stream in (False, True):
        answer = toy.complete(response_format=schema, max_tokens=3, stream=stream)
        text = answer.text if stream else answer.json["choices"][0]["text"]
        assert text == '"\ufffd'


def test_an_end_token_ends_an_answer_and_is_no_text(toy: Running) -> None:
    answers = [toy.complete(max_tokens=200, temperature=2, seed=seed, return_token_ids=True).json for seed in range(6)]
    ended = [answer["choices"][0] for answer in answers if answer["choices"][0]["finish_reason"] == "stop"]
    assert ended, "of a random model one token in 264 ends an answer"
    for choice in ended:
        assert choice["token_ids"].index(END) == len(choice["token_ids"]) - 1
        assert "<|" not in choice["text"]


def test_a_seed_is_an_answer_whoever_shares_the_batch(toy: Running) -> None:
    asked = {"max_tokens": NEW, "temperature": 1, "ignore_eos": True}
    alone = toy.complete(**asked, seed=1).json["choices"][0]["text"]
    sockets = [toy.send("/v1/completions", {"prompt": "Hello", **asked, "seed": seed}) for seed in (1, 2, 1, -3)]
    texts = [read_answer(one).json["choices"][0]["text"] for one in sockets]
    assert texts[0] == texts[2] == alone
    assert len(set(texts)) == 3
    unseeded = {toy.complete(**asked).json["choices"][0]["text"] for _ in range(3)}
    assert len(unseeded) == 3


def test_log_probabilities_are_the_models_own(toy: Running) -> None:
    chat = toy.chat(max_tokens=4, logprobs=True, top_logprobs=3, temperature=2, seed=9, top_k=1).json
    told = chat["choices"][0]["logprobs"]["content"]
    assert len(told) == 4
    for entry in told:
        logs = [one["logprob"] for one in entry["top_logprobs"]]
        assert len(logs) == 3
        assert all(a >= b for a, b in pairwise(logs))
        assert entry["logprob"] == logs[0] < 0, "of top-k 1 the likeliest is chosen, and its chance is not 1"
        assert bytes(entry["bytes"]).decode(errors="replace") == entry["token"]
    completion = toy.complete(max_tokens=4, logprobs=2, stream=True)
    pieces = [choice["logprobs"] for event in completion.events for choice in event["choices"]]
    assert all(
        len(piece["tokens"]) == len(piece["token_logprobs"]) == len(piece["top_logprobs"]) == 1 for piece in pieces
    )
    assert toy.complete(max_tokens=4).json["choices"][0]["logprobs"] is None


def test_without_a_length_a_chat_may_fill_the_context(toy: Running) -> None:
    fields = {"messages": [{"role": "user", "content": "x" * (CONTEXT - 100)}], "ignore_eos": True}
    usage = toy.ask("/v1/chat/completions", fields).json["usage"]
    assert usage["total_tokens"] == CONTEXT
    assert toy.ask("/v1/completions", {"prompt": "x", "ignore_eos": True}).json["usage"]["completion_tokens"] == 16


def test_contents_may_come_in_parts(toy: Running) -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    whole, split = (toy.chat(messages=[{"role": "user", "content": c}]).json for c in ("Hello", parts))
    assert whole["choices"][0]["message"] == split["choices"][0]["message"]


def test_the_model_is_told(toy: Running) -> None:
    (model,) = toy.ask("/v1/models").json["data"]
    assert (model["id"], model["max_model_len"]) == ("bytes", CONTEXT)
    assert model["attnlab"]["implementation"] == "naive"
    assert "float32" in model["attnlab"]["weights"]
    assert str(toy.folder) not in str(model)
