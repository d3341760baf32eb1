"""Stored configurations: which one is taken, and what a damaged file says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from attnlab.bench.contract.registry import discover
from attnlab.bench.contract.space import label
from attnlab.bench.machine.environment import describe_device
from attnlab.bench.profilers.triton_aot import target
from attnlab.bench.store.machine import Device
from attnlab.bench.tuning.candidates import tuned_case
from attnlab.impls._configs import Chooser
from attnlab.kernels.configs import stored as module
from attnlab.kernels.configs.stored import DamagedConfigs, device_name, stored

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    caches = module._nearest, module._entries
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    monkeypatch.setenv("ATTNLAB_CONFIGS", str(tmp_path))

    def write(*entries: dict[str, Any], **others: Any) -> Path:
        data = {"format": 1, "device": device_name(CPU), "entries": entries, **others}
        path = tmp_path / "some.json"
        path.write_text(json.dumps(data))
        return path

    return write


def entry(n: int, block: int = 1, **others: Any) -> dict[str, Any]:
    usual = {
        "kernel": "toy/mine",
        "threads": torch.get_num_threads(),
        "exact": {"dtype": "float32"},
        "sizes": {"n": n},
        "configuration": {"block": block},
        "compilers": {},
    }
    return usual | others


def found(n: int, kernel: str = "toy/mine", dtype: str = "float32", **versions: str) -> int | None:
    taken = stored(kernel, CPU, {"dtype": dtype}, {"n": n}, versions)
    return None if taken is None else int(taken.values["block"])


def test_nothing_is_stored_as_shipped_for_a_device_that_nobody_has_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATTNLAB_CONFIGS", raising=False)
    assert found(100) is None


def test_the_nearest_within_twice_and_half(put) -> None:
    put(entry(100, 1), entry(300, 3))
    assert [found(n) for n in (49, 50, 100, 150, 173, 174, 600, 601)] == [None, 1, 1, 1, 1, 3, 3, None]


def test_what_must_be_equal(put) -> None:
    put(entry(100))
    assert found(100) == 1
    assert found(100, dtype="bfloat16") is None
    assert found(100, kernel="toy/other") is None
    assert stored("toy/mine", CPU, {"dtype": "float32"}, {"n": 100, "k": 1}) is None


@pytest.mark.parametrize("other", [{"threads": 4711}, {"threads": None}], ids=["of other threads", "of a GPU"])
def test_what_is_of_another_place(put, other: dict[str, Any]) -> None:
    put(entry(100, **other))
    assert found(100) is None


def test_what_is_of_another_device(put) -> None:
    put(entry(100), device="another")
    assert found(100) is None


def test_a_compilers_first_two_numbers_count(put) -> None:
    put(entry(100, compilers={"triton": "3.7.1"}))
    assert [found(100, triton=version) for version in ("3.7.0", "3.6.1")] == [1, None]
    assert found(100) is None


def test_a_tensor_without_a_device_has_none(put) -> None:
    put(entry(100))
    assert stored("toy/mine", torch.device("meta"), {"dtype": "float32"}, {"n": 100}) is None


def test_what_cannot_be_read_is_told_with_a_remedy(put, tmp_path: Path) -> None:
    path = put(entry(100), format=2)
    with pytest.raises(DamagedConfigs, match="is of format 2, and this version reads 1; update attnlab"):
        found(100)
    for text in ("{", "[]", '{"format": 1, "device": "x", "entries": [{}]}'):
        path.write_text(text)
        with pytest.raises(DamagedConfigs, match=r"some\.json holds no configurations .*; restore it, or remove it"):
            found(100)


def test_a_processor_is_called_as_the_harness_calls_it() -> None:
    assert device_name(CPU) == describe_device("cpu").name


H200 = Device("cuda", "NVIDIA H200", (9, 0))
SPACES = {
    "attention/triton": ("Hq32-Hkv8-Sq4096-D128-bf16-causal", 60),
    "attention/gluon": ("Hq32-Hkv8-Sq4096-D128-bf16-causal", 7),
    "attention_backward/triton": ("Hq32-Hkv8-Sq4096-D128-bf16-causal", 90),
    "decode_attention/triton": ("B4-Hq32-Hkv8-C8192-D128-bf16", 130),
    "kv_append/triton": ("B16-Hkv8-C8192-D128-bf16-int8_token", 12),
    "sampling/triton": ("B16-V32000-t0.8-p0.9-bf16", 70),
    "rmsnorm/triton": ("M1024-N4096-bf16", 50),
    "layernorm/triton": ("M1024-N20000-fp32", 60),
    "swiglu/triton": ("M1024-N14336-bf16", 24),
    "gelu/triton": ("M1024-N3072-bf16", 20),
    "embedding/triton": ("M1024-N4096-bf16", 20),
    "rope/triton": ("Hq32-Hkv8-Sq1024-bf16", 20),
}


@pytest.mark.parametrize(("key", "case_id", "least"), [(name, *rest) for name, rest in SPACES.items()])
def test_our_triton_kernels_have_spaces_that_a_gpu_has_room_for(key: str, case_id: str, least: int) -> None:
    known = discover()
    operator, _, name = key.partition("/")
    made = known.implementations(operator).get(name)
    case = known.operators.get(operator).case_type.parse(case_id)
    assert made.space is not None
    with target(90):
        planned = tuned_case(made, made.space, case, H200, 0.05)
        told = made.configuration(case)
    assert len(planned.candidates) >= least
    assert next(iter(planned.candidates)) == planned.default
    assert told, "what is built in is told without a set-up"


def test_tiles_that_shared_memory_has_no_room_for_are_left_out() -> None:
    made = discover().implementations("attention").get("triton")
    assert made.space is not None
    case = discover().operators.get("attention").case_type.parse("Sq4096-D256-bf16")
    with target(90):
        planned = tuned_case(made, made.space, case, H200, 0.05)
    reasons = {one.reason.partition(" of ")[2] or one.reason for one in planned.left_out}
    assert "shared memory or more, and a block has 227 KiB" in reasons
    assert planned.default not in {label(one.configuration) for one in planned.left_out}


PLAIN = {
    "attention/triton": "Hq8-Hkv2-Sq256-D64-bf16-causal",
    "attention/tiled": "Hq8-Hkv2-Sq256-D64-bf16-causal",
    "attention_backward/triton": "Hq8-Hkv2-Sq256-D64-bf16-causal",
    "decode_attention/triton": "B2-Hq8-Hkv2-C1024-D64-bf16",
}
ADDED = ("softcap=50", "sinks=learned", "bias=alibi", "bias=relative:32", "mask=chunked:64", "mask=prefix:64", "tree")


@pytest.mark.parametrize("key", PLAIN)
def test_what_was_kept_for_a_plain_case_is_not_taken_for_a_variant(put, key: str) -> None:
    """As it was kept before there were variants, whose names for what must be equal it has alone."""
    operator, _, name = key.partition("/")
    space = discover().implementations(operator).get(name).space
    assert space is not None
    case_type = discover().operators.get(operator).case_type
    plain = case_type.parse(PLAIN[key])
    exact, sizes = space.shape(plain)
    others = {"v_head_dim", "packed"} if "kv_len" in sizes else {"rows", "cache", "layout"}
    assert exact.keys() == {"dtype", "head_dim", "mask"} | others
    kept = {axis: values[0] for axis, values in space.axes.items()}
    put(entry(1, kernel=key, exact=exact, sizes=sizes, configuration=kept))
    chooser = Chooser(key, space)
    assert chooser.take(plain, CPU, None) == kept
    assert chooser.take(replace(plain, batch=plain.batch * 2), CPU, None) == kept
    for text in ADDED:
        axis, _, value = (text if "=" in text else "mask=tree:3x2").partition("=")
        variant = replace(plain, **{axis: value}, **({"q_len": 10} if text == "tree" else {}))
        assert stored(key, CPU, *space.shape(variant)) is None, text


def test_chunks_of_another_length_and_caps_of_another_size(put) -> None:
    """A cap's number is no part of a kernel; how far a chunk reaches is how long it loops."""
    space = discover().implementations("attention").get("triton").space
    parse = discover().operators.get("attention").case_type.parse
    assert space is not None
    exact, sizes = space.shape(parse("Hq8-Hkv2-Sq256-D64-bf16-chunked.64-cap50-sink_learned"))
    put(entry(1, kernel="attention/triton", exact=exact, sizes=sizes))

    def taken(case_id: str) -> bool:
        return stored("attention/triton", CPU, *space.shape(parse(case_id))) is not None

    assert taken("Hq8-Hkv2-Sq256-D64-bf16-chunked.100-cap30-sink_zero")
    assert not taken("Hq8-Hkv2-Sq256-D64-bf16-chunked.16-cap50-sink_learned")
    assert not taken("Hq8-Hkv2-Sq256-D64-bf16-chunked.64-cap50")
    packed, _ = space.shape(parse("Hq2-packed100+20-bf16-causal"))
    assert packed["packed"] == 1
    assert "packed_keys" not in packed
    assert space.shape(parse("Hq2-packed100+20-keys100+30-bf16-causal"))[0]["packed_keys"] == 1
