"""`attnlab serve` as a process: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from attnlab.bench.cli import main
from attnlab.bench.contract.registry import Implementation
from attnlab.bench.errors import ModelUnavailable, Unavailable, UsageError
from attnlab.bench.server.running import listen
from attnlab.bench.server.settings import ServerLimits
from attnlab.bench.server.setup import Served, set_up

WAIT_S = 60


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "attnlab.bench", "serve", *arguments]
    pipe = subprocess.PIPE
    made = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    try:
        yield made
    finally:
        made.kill()
        made.wait()
        for stream in (made.stdin, made.stdout, made.stderr):
            assert stream is not None
            stream.close()


def test_a_child_tells_where_it_is_answers_and_ends_with_its_parent(toy_folder: Path) -> None:
    toy = ("--model", str(toy_folder), "--impl", "naive", "--dtype", "float32", "--port", "0", "--batch", "2")
    with process(*toy, "--device", "cpu", "--announce", "--with-parent") as child:
        assert child.stdout is not None
        told = json.loads(child.stdout.readline())["attnlab_serve"]
        assert told["pid"] == child.pid
        assert told["model"] == "bytes"
        body = json.dumps({"model": told["model"], "prompt": "Hello", "max_tokens": 3}).encode()
        with urllib.request.urlopen(f"{told['url']}/v1/completions", data=body, timeout=WAIT_S) as answer:
            assert json.load(answer)["usage"]["completion_tokens"] <= 3
        assert child.stdin is not None
        child.stdin.close()  # as the system does for a parent that dies
        assert child.wait(WAIT_S) == 0


def test_a_child_whose_parent_dies_while_it_is_set_up_ends_before_it_listens() -> None:
    with process("--port", "0", "--announce", "--with-parent") as child:
        told, _ = child.communicate(timeout=WAIT_S)  # which closes its standard input
        assert (child.returncode, told) == (1, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(toy_folder: Path, number: signal.Signals) -> None:
    toy = ("--model", str(toy_folder), "--impl", "naive", "--dtype", "float32", "--port", "0", "--batch", "1")
    with process(*toy, "--device", "cpu", "--grace", "0") as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith("serving bytes by naive at http://127.0.0.1:")
        os.kill(child.pid, number)
        assert child.wait(WAIT_S) == 0
        assert child.stderr is not None
        assert child.stderr.read() == ""


def test_an_implementation_without_a_live_engine_is_refused_with_those_that_have_one(
    toy_folder: Path, implementations: list[Implementation]
) -> None:
    for name, said in (("llama_cpp", "has no live engine"), ("nonsense", "is no implementation of generate")):
        with pytest.raises(
            UsageError, match=f"{name} {said}, which a server needs; expected one of naive, paged, sdpa"
        ):
            set_up(Served(name, str(toy_folder)), implementations, ServerLimits())


def test_what_cannot_be_served_is_told_before_weights_are_read(
    toy_folder: Path, implementations: list[Implementation]
) -> None:
    def served(**fields: object) -> None:
        set_up(
            Served("paged", **{"model": str(toy_folder), "device": "cpu", **fields}), implementations, ServerLimits()
        )

    with pytest.raises(ModelUnavailable, match="toy has random weights and no tokenizer"):
        served(model="toy")
    with pytest.raises(Unavailable, match=r"layout contiguous_bhsd .* is not served: pages of the dtype only"):
        served(layout="contiguous_bhsd")
    with pytest.raises(UsageError, match="got a context of 1 tokens; expected 2 or more"):
        served(context=1)
    with pytest.raises(UsageError, match="expected at most 512, the context"):
        served(context=4096)
    with pytest.raises(UsageError, match="too few for one request"):
        served(pages=3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "65536"], "got port '65536'; expected 0 to 65535"),
        (["--port", "-1"], "got port '-1'"),
        (["--batch", "0"], "got '0'; expected a whole number, 1 or more"),
        (["--grace", "nan"], "got 'nan'; expected seconds"),
    ],
)
def test_a_wrong_option_is_told(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 2
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in capsys.readouterr().err
    assert main(["serve", "--host", "no.such.host.invalid", "--port", "0"]) == 2
    assert "cannot listen on no.such.host.invalid port 0" in capsys.readouterr().err
