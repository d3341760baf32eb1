"""Models in several files: all shards are read, whichever is named, and one that does not fit is named."""

from __future__ import annotations

import json
import shutil
import struct
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from attnlab.bench import load_model
from attnlab.bench.errors import ModelError, ModelWarning
from attnlab.bench.llm.models.huggingface import save_folder
from attnlab.bench.llm.models.load import model_config
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.safetensors_folder import INDEX_FILE, ONE_FILE
from attnlab.bench.llm.models.weights import ModelWeights
from tests.bench.llm.models.gguf_files import TOY, stored, write

safetensors = pytest.importorskip("safetensors.torch", reason="package safetensors is not installed")


@pytest.fixture(scope="module")
def weights() -> ModelWeights:
    return random_weights(TOY, torch.float32, "cpu")


@pytest.fixture
def shards(weights: ModelWeights, tmp_path: Path) -> list[Path]:
    """20 tensors in three GGUF files."""
    write(tmp_path / "m.gguf", stored(weights), tensors_a_shard=8)
    return sorted(tmp_path.glob("m-0000?-of-00003.gguf"))


def in_parts(weights: ModelWeights, folder: Path) -> Path:
    save_folder(weights, folder, files=3)
    return folder


def assert_same(read: ModelWeights, weights: ModelWeights) -> None:
    assert torch.equal(read.embedding, weights.embedding)
    for layer, expected in zip(read.layers, weights.layers, strict=True):
        assert all(map(torch.equal, layer.tensors(), expected.tensors()))


@pytest.mark.parametrize("given", range(3))
def test_any_shard_names_the_model(given: int, shards: list[Path], weights: ModelWeights) -> None:
    read = load_model(str(shards[given]))
    assert_same(read, weights)
    assert read.config.name == "m"
    assert model_config(str(shards[given])) == read.config
    fingerprints = {load_model(str(path)).origin.partition(" ")[2] for path in shards}
    assert len(fingerprints) == 1
    content = bytearray(shards[2].read_bytes())
    content[-8] ^= 1
    shards[2].write_bytes(content)
    assert load_model(str(shards[given])).origin.partition(" ")[2] not in fingerprints


def patched(path: Path, key: str, value: int) -> None:
    """Another value of a field of 16 or 32 bits."""
    content = path.read_bytes()
    place = content.index(struct.pack("<Q", len(key)) + key.encode()) + 8 + len(key)
    form = {2: "<H", 5: "<i", 4: "<I"}[struct.unpack_from("<I", content, place)[0]]
    whole = bytearray(content)
    struct.pack_into(form, whole, place + 4, value)
    path.write_bytes(whole)


def of_another(weights: ModelWeights, path: Path, shard: int, per_shard: int) -> None:
    """Puts a shard of the same number, of the tensors otherwise parted, in a shard's place."""
    other = path.parent / "other"
    other.mkdir()
    write(other / "m.gguf", dict(list(stored(weights).items())[:24]), tensors_a_shard=per_shard)
    shutil.copy(sorted(other.glob("*.gguf"))[shard], path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s, w: s[1].unlink(), r"shard 2 of 3 is missing: expected .*m-00002-of-00003.gguf; fetch it, too"),
        (lambda s, w: s[0].unlink(), r"shard 1 of 3 is missing: expected .*m-00001-of-00003.gguf"),
        (lambda s, w: shutil.copy(s[2], s[1]), r"m-00002-of-00003.gguf says that it is shard 3 of 3, expected shard 2"),
        (lambda s, w: shutil.copy(s[1], s[0]), r"m-00001-of-00003.gguf says that it is shard 2 of 3, expected shard 1"),
        (lambda s, w: patched(s[1], "split.count", 4), r"m-00002-of-00003.gguf says that it is shard 2 of 4"),
        (
            lambda s, w: patched(s[0], "split.count", 4),
            r"m-00001-of-00003.gguf is shard 1 of 4, expected a name that",
        ),
        (lambda s, w: patched(s[1], "split.tensors.count", 21), r"m-00002-of-00003.gguf: got split.tensors.count '21'"),
        (lambda s, w: of_another(w, s[2], 2, 7), r"tensor blk.1.\S+ lies in .*m-00002-of-00003.gguf and in .*m-00003"),
        (lambda s, w: s[2].write_bytes(s[2].read_bytes()[:-64]), r"m-00003-of-00003.gguf is cut short"),
        (lambda s, w: write(s[1], {"blk.0.x": torch.ones(2)}), r"m-00002-of-00003.gguf lacks the field split.no"),
        (lambda s, w: s[0].rename(s[0].with_name("mine.gguf")), r"shard 1 of 3 is missing"),
    ],
)
def test_a_gguf_shard_that_does_not_fit_is_named(
    spoil: Callable[[list[Path], ModelWeights], Any], message: str, shards: list[Path], weights: ModelWeights
) -> None:
    spoil(shards, weights)
    given = next(path for path in shards if path.is_file())
    with pytest.raises(ModelError, match=message):
        load_model(str(given))


def test_a_shard_by_another_name_is_told(shards: list[Path]) -> None:
    mine = shards[1].rename(shards[1].with_name("mine.gguf"))
    with pytest.raises(ModelError, match=r"mine.gguf is shard 2 of 3, expected a name that ends in -00002-of-00003.gg"):
        load_model(str(mine))


def test_fields_of_a_later_shard_must_be_the_models(shards: list[Path], weights: ModelWeights) -> None:
    for path in shards:  # a count that every shard gives, and of too few tensors
        patched(path, "split.tensors.count", 21)
    with pytest.raises(ModelError, match=r"2 other shards hold 20 tensors, expected the 21 of split.tensors.count"):
        load_model(str(shards[0]))
    content = shards[1].read_bytes()
    field = b"llama.rope.freq_base"
    added = struct.pack("<Q", len(field)) + field + struct.pack("<If", 6, 500.0) + bytes(32)  # keeps the alignment
    fields = struct.unpack_from("<Q", content, 16)[0]
    shards[1].write_bytes(content[:16] + struct.pack("<Q", fields + 1) + added[:-32] + content[24:])
    with pytest.raises(ModelError, match=r"m-00002-of-00003.gguf: got llama.rope.freq_base '500.0', which .*00001"):
        load_model(str(shards[0]))


@pytest.mark.parametrize("seed", range(40))
def test_damaged_gguf_shards_are_refused_or_harmless(seed: int, shards: list[Path]) -> None:
    random = Random(seed)
    path = shards[seed % 3]
    content = bytearray(path.read_bytes())
    header_bytes = content.rindex(b".weight")
    for _ in range(1 + seed % 4):
        at = random.randrange(header_bytes)
        if seed % 5 == 0:
            content[at : at + random.randrange(9)] = random.randbytes(random.randrange(9))
        else:
            content[at] ^= 1 << random.randrange(8)
    path.write_bytes(content)
    with warnings.catch_warnings(), suppress(ModelError):
        warnings.simplefilter("ignore", ModelWarning)
        load_model(str(shards[0]))


LAST = "model-00003-of-00003.safetensors"
NORM = "model.norm.weight"


def edit_index(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    index = json.loads((folder / INDEX_FILE).read_text())
    change(index["weight_map"])
    (folder / INDEX_FILE).write_text(json.dumps(index))


def add(folder: Path, name: str, tensor: str) -> None:
    path = folder / name
    state = safetensors.load_file(path) if path.is_file() else {}
    safetensors.save_file(state | {tensor: torch.ones(64)}, path)


def places(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Any]:
    return lambda folder: edit_index(folder, change)


def first_is(value: Any) -> Callable[[Path], Any]:
    return places(lambda m: m.__setitem__("model.embed_tokens.weight", value))


FOURTH = "model-00004-of-00004.safetensors"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / LAST).unlink(), f"names {LAST}, which is not in the folder; fetch it, too"),
        (lambda f: [(f / LAST).unlink(), (f / LAST).mkdir()], f"names {LAST}, which is not in the folder"),
        (places(lambda m: m.update({NORM: LAST})), f"says that {LAST} holds the tensor {NORM}: it lies in"),
        (places(lambda m: m.update({"x": LAST})), f"says that {LAST} holds the tensor x: no file has it"),
        (places(lambda m: m.pop(NORM)), rf"model-0000\d-of-00003.safetensors holds the tensor {NORM}"),
        (places(lambda m: m.clear()), "got weight_map {}, expected tensors' names and files"),
        (lambda f: add(f, LAST, NORM), rf"tensor {NORM} lies in model-00002-of-00003.safetensors and in {LAST}"),
        (lambda f: add(f, FOURTH, "x"), f"{FOURTH} is not named in"),
        (lambda f: add(f, ONE_FILE, "x"), f"has both {ONE_FILE} and {INDEX_FILE}"),
        (first_is("../m/model-00001-of-00003.safetensors"), "got weight_map {"),
        (first_is("/etc/passwd.safetensors"), "got weight_map {"),
        (first_is("..\\model.safetensors"), "got weight_map {"),
        (first_is("model.safetensors\0.safetensors"), "got weight_map {"),
        (first_is("x" * 300 + ".safetensors"), "got weight_map {"),
        (first_is("model-00001-of-00003.bin"), "got weight_map {"),
        (first_is(["model-00001-of-00003.safetensors"]), "got weight_map {"),
        (first_is(None), "got weight_map {"),
        (first_is("\ud800.safetensors"), "which is not in the folder"),
        (lambda f: (f / INDEX_FILE).write_text('{"weight_map": []}'), r"got weight_map \[\], expected"),
        (lambda f: (f / INDEX_FILE).write_text("{}"), "got weight_map None, expected"),
        (lambda f: (f / INDEX_FILE).write_text("{"), "is not JSON"),
        (lambda f: (f / LAST).write_bytes((f / LAST).read_bytes()[:-9]), f"{LAST} is cut short or no safetensors file"),
    ],
)
def test_safetensors_shards_and_their_index_fit(
    spoil: Callable[[Path], Any], message: str, weights: ModelWeights, tmp_path: Path
) -> None:
    folder = in_parts(weights, tmp_path / "m")
    assert_same(load_model(str(folder)), weights)
    spoil(folder)
    with pytest.raises(ModelError, match=message):
        load_model(str(folder))


def test_a_part_of_a_folder_is_told_as_such(weights: ModelWeights, tmp_path: Path) -> None:
    folder = in_parts(weights, tmp_path / "m")
    for name in (LAST, INDEX_FILE, "config.json"):
        with pytest.raises(ModelError, match=r"is a part of a model's folder; expected the folder, .*/m$"):
            load_model(str(folder / name))


def test_a_configuration_shows_in_the_fingerprint(weights: ModelWeights, tmp_path: Path) -> None:
    folder = in_parts(weights, tmp_path / "m")
    before = load_model(str(folder)).fingerprint
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(fields | {"rms_norm_eps": 1e-3}))
    assert load_model(str(folder)).fingerprint != before
