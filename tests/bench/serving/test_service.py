"""A service's address, its key, and that the key is nowhere else."""

from __future__ import annotations

import base64
import datetime
import pickle
from typing import Any

import pytest

from attnlab.bench.errors import ServiceError
from attnlab.bench.serving.secret import Key
from attnlab.bench.serving.service import Retries, Service

SECRET = "sk-planted-0123456789/+"
VARIABLE = "ATTNLAB_TEST_KEY"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://host",
        "http://",
        "http://h/a b",
        "http://h/\n",
        "http://h\0",
        "http://host:0",
        "http://host:99999",
        "http://host/#part",
        "http://[::1",
    ],
)
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(ServiceError, match="expected one such as http"):
        Service(url)


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{SECRET}@host",
        f"https://{SECRET.replace('/', '')}@host",
        f"http://host/v1?api_key={SECRET}",
        f"http://host/v1?key={SECRET}",
        f"http://host/v1?access-token={SECRET}",
        f"http://host/v1?subscription-key={SECRET}",
        f"http://host/v1?sig={SECRET}",
        f"http://host:{SECRET}",
    ],
)
def test_an_address_with_a_key_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ServiceError) as caught:
        Service(url)
    assert "sk-planted" not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"timeout_s": 0},
        {"timeout_s": float("inf")},
        {"sockets": 0},
        {"processes": 0},
        {"processes": 65},
        {"key_env": SECRET},
        {"headers": {"Authorization": f"Bearer {SECRET}"}},
        {"headers": {"X-Api-Key": SECRET}},
        {"headers": {"bad name": "x"}},
        {"headers": {"X-Route": "a\r\nb"}},
        {"key_header": "a b"},
        {"headers": {"Cookie": SECRET}},
        {"headers": {"X-A": 5}},
        {"model": ""},
        {"headers": {"X-Auth-Token": SECRET}},
        {"extra": {"api_key": SECRET}},
        {"extra": {"inner": [{"client_secret": SECRET}]}},
        {"extra": {"top_p": float("nan")}},
        {"extra": {"when": datetime.date(2026, 1, 1)}},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_fields_that_cannot_be_are_refused_without_the_key(fields: dict[str, Any]) -> None:
    with pytest.raises(ServiceError) as caught:
        Service("http://host", **fields)
    assert "sk-planted" not in str(caught.value)


def test_names_that_look_a_little_like_a_keys_are_taken() -> None:
    extra = {"prompt_cache_key": "a", "max_tokens": 1, "stop_token_ids": []}
    made = Service("http://host?author=me", extra=extra, headers={"Idempotency-Key": "7", "X-Author": "me"})
    assert made.extra == extra


def test_paths_go_behind_the_services_own() -> None:
    assert Service("http://host:1/prefix/").address("/v1/models") == "http://host:1/prefix/v1/models"
    assert Service("https://host?api-version=2").address("/v1/x") == "https://host/v1/x?api-version=2"


def test_fields_of_the_service_go_over_the_body_and_none_takes_one_out() -> None:
    service = Service("http://host", extra={"seed": None, "top_k": 3})
    assert service.body({"seed": 1, "stop": None, "top_k": 1}) == {"stop": None, "top_k": 3}


def test_a_key_is_read_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service("http://host", key_env=VARIABLE)
    for value in (None, "  "):
        monkeypatch.delenv(VARIABLE, raising=False)
        if value is not None:
            monkeypatch.setenv(VARIABLE, value)
        with pytest.raises(ServiceError, match=f"{VARIABLE}, which is (not set|empty)"):
            Key.of(service.key_env)
    monkeypatch.setenv(VARIABLE, f"{SECRET}\n")
    key = Key.of(service.key_env)
    assert key is not None
    assert key.header("Authorization") == {"Authorization": f"Bearer {SECRET}"}
    assert key.header("api-key") == {"api-key": SECRET}
    monkeypatch.setenv(VARIABLE, "sk-\u00e4planted")
    with pytest.raises(ServiceError, match="printable ASCII") as caught:
        Key.of(service.key_env)
    assert "planted" not in str(caught.value)


def test_a_key_is_in_no_form_of_text() -> None:
    key = Key(SECRET)
    encoded = base64.b64encode(f"Bearer {SECRET}".encode()).decode()
    for told in (f"wrong key {SECRET}!", "a?key=sk-planted-0123456789%2F%2B", encoded):
        cleaned = key.out_of(told)
        assert "sk-planted" not in cleaned
        assert encoded[8:24] not in cleaned
    assert SECRET not in repr(key) + str(key) + f"{Service('http://host', key_env=VARIABLE)}"
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_a_word_that_serves_as_a_key_may_stand_in_an_answer() -> None:
    assert Key("EMPTY").out_of_answer("an EMPTY room") == "an EMPTY room"
    assert Key("EMPTY").out_of("wrong key EMPTY") == "wrong key [key]"
    assert SECRET not in Key(SECRET).out_of_answer(f"your key is {SECRET}")


def test_waits_between_tries_double_and_keep_what_the_server_says() -> None:
    retries = Retries(times=9, first_s=0.5, longest_s=4)
    assert [retries.wait_s(n, None) for n in (1, 2, 3, 4, 5)] == [0.5, 1, 2, 4, 4]
    assert (retries.wait_s(1, 3), retries.wait_s(1, 60), retries.wait_s(1, -1)) == (3, 4, 0)
    with pytest.raises(ServiceError):
        Retries(times=-1)
