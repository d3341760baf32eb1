"""Servers that a suite or a command line names: what is wrong is told by its line, and a key is never stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attnlab.bench import UsageError, discover
from attnlab.bench.cli import main
from attnlab.bench.cli._servers import with_servers
from attnlab.bench.errors import SuiteError, Unavailable
from attnlab.bench.measuring.draft import choose_suite, draft_run
from attnlab.bench.measuring.steps import plan
from attnlab.bench.measuring.suite_file import load_suite
from attnlab.bench.ops.serve import servers

REGISTRY = discover()
BENCH = '[[bench]]\noperator = "serve"\nimplementations = ["openai_chat"]\ncases = ["at_gpu-served-chat-bf16"]\n'


@pytest.fixture(autouse=True)
def no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(servers.VARIABLE, "{}")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_all_of_a_table_reaches_every_process_and_the_run_but_for_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret-1234567890")
    table = (
        '[servers.gpu]\nurl = "https://gpu.example:8443/v1"\nmodel = "big"\nkey_env = "MY_KEY"\ntimeout_s = 20\n'
        'verify_tls = false\ncompression = true\nsockets = 4\nprocesses = 2\nretries = 2\nomit = ["ignore_eos"]\n'
        "[servers.gpu.extra]\nmin_tokens = 3\n"
    )
    suite = choose_suite(str(written(tmp_path, f"{table}{BENCH}")), REGISTRY)
    service = servers.named("gpu")
    assert service == suite.servers["gpu"]
    assert (service.model, service.timeout_s, service.verify_tls, service.sockets) == ("big", 20, False, 4)
    assert service.processes == 2
    assert service.retries.times == 2
    assert service.body({"ignore_eos": True, "stream": True}) == {"stream": True, "min_tokens": 3}
    run = draft_run(suite, tuple(plan(suite, REGISTRY)), "cpu", "attnlab run", timed=False)
    assert run.extra["servers"]["gpu"]["url"] == "https://gpu.example:8443/v1"
    assert "secret" not in json.dumps(run.extra)


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("[servers.gpu]\nmodel = 'x'\n", 1, "lacks its url"),
        ("[servers.gpu]\nurl = 'http://h'\ntimeout = 3\n", 3, "did you mean 'timeout_s'"),
        ("[servers.gpu]\nurl = 'h:80'\n", 2, "expected one such as http"),
        ("[servers.gpu]\nurl = 'http://u:pw@h'\n", 2, "name or password in it"),
        ("[servers.gpu]\nurl = 3\n", 2, "expected an address such as"),
        ("[servers.gpu]\nurl = 'http://h'\nkey_env = 'sk-a b'\n", 3, "no name of an environment variable"),
        ("[servers.gpu]\nurl = 'http://h'\nsockets = 0\n", 3, "expected 1 or more"),
        ("[servers.gpu]\nurl = 'http://h'\nretries = -1\n", 3, "got retries=-1"),
        ("[servers.gpu]\nurl = 'http://h'\nomit = [1]\n", 3, "a list of fields"),
        ("[servers.embedded]\nurl = 'http://h'\n", 1, "got the name 'embedded'"),
        ("[servers]\ngpu = 3\n", 1, "expected tables"),
        ("[servers.gpt]\nurl = 'http://h'\n", 6, "did you mean 'gpt'"),
    ],
)
def test_what_is_wrong_in_a_table_is_told_by_its_line(tmp_path: Path, text: str, place: int, said: str) -> None:
    path = written(tmp_path, f"{text}{BENCH}")
    with pytest.raises(SuiteError) as error:
        load_suite(path, REGISTRY)
    assert str(error.value).startswith(f"{path}:{place}: ")
    assert said in str(error.value)
    assert "sk-a" not in str(error.value)
    assert "pw" not in str(error.value)


def test_a_server_of_the_command_line() -> None:
    axes = with_servers(["http://127.0.0.1:8000/?a=b", "gpu=http://h:1"], ["gpu=GPU_KEY"], {"prompts": ["chat"]})
    assert axes == {"prompts": ["chat"], "server": ["server", "gpu"]}
    assert servers.named("gpu").key_env == "GPU_KEY"
    assert servers.named("server").url == "http://127.0.0.1:8000/?a=b"
    assert with_servers(["http://h"], [], {"server": ["gpu"]}) == {"server": ["gpu"]}
    with pytest.raises(Unavailable, match=r"no server 'other' is known here \(known: gpu, server\)"):
        servers.named("other")


@pytest.mark.parametrize(
    ("given", "keys", "said"),
    [
        (["h:1"], [], "--server: got the address"),
        (["a=http://h", "a=http://i"], [], "server 'a' is given twice"),
        (["embedded=http://h"], [], "expected another name"),
        (["a=http://h"], ["KEY"], "got --key-env of server 'server'"),
        (["http://h"], ["sk-1-2"], "no name of an environment variable"),
    ],
)
def test_what_a_command_line_cannot_say(given: list[str], keys: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        with_servers(given, keys, {})


def test_a_check_takes_a_server_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Nothing listens on port 9 of this machine, so that the check is told why there is none."""
    case = ["-a", "model=served", "-a", "requests=1", "-a", "load=concurrency:1"]
    code = main(["check", "serve", "--impl", "openai_chat", "--server", "gpu=http://127.0.0.1:9", *case])
    told = capsys.readouterr()
    assert code == 3, told.err
    assert "127.0.0.1:9" in told.out + told.err
    assert "is known here" not in told.out + told.err
