"""`attnlab list` names all there is, with the reason why something cannot be used here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from attnlab.bench import Needs, discover, registry
from attnlab.bench.cli.list import KINDS, TITLES


@pytest.fixture
def entries(cli, helpers: Path) -> dict[tuple[str, str], dict[str, str | None]]:
    ended = cli("list", "--json", "--plugin", helpers / "toy_operator.py")
    assert (ended.code, ended.err) == (0, "")
    return {(entry["kind"], entry["name"]): entry for entry in json.loads(ended.out)}


def test_json_names_everything(entries) -> None:
    discover()
    for operator in registry.operators:
        assert ("operator", operator.name) in entries
        for name in registry.implementations(operator.name).names():
            assert ("implementation", f"{operator.name}/{name}") in entries
        for axis in operator.case_type.axes():
            assert ("axis", f"{operator.name}.{axis}") in entries
    for suite in registry.suites.names():
        assert entries["suite", suite]["summary"]
    for metric in registry.metrics:
        assert ("metric", metric.name) in entries
    assert all(entry["summary"] for entry in entries.values())


def test_a_plugins_operator_implementations_suite_and_metric_are_among_them(entries) -> None:
    assert entries["operator", "toy"]["summary"] == "twice the input"
    assert entries["implementation", "toy/plus"]["summary"] == "Adds the input to itself."
    assert entries["axis", "toy.n"]["summary"] == "elements"
    assert entries["suite", "toys"]["summary"] == "Twice the input, at three sizes"
    assert entries["metric", "calls_per_s"]["summary"] == "Calls that fit into a second. [1/s]"


def test_what_cannot_run_here_says_why(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from attnlab.bench import implements

    implements("attention", name="elsewhere", needs=Needs(packages=("no_such_package",)))(lambda inputs: None)
    implements("attention", name="unproven", unverified="their release 1.2")(lambda inputs: None)
    listed = {e["name"]: e for e in json.loads(cli("list", "--json", "--device", "cpu").out)}
    assert listed["attention/elsewhere"]["reason"] == "package no_such_package is not installed"
    assert listed["attention/unproven"]["note"] == "unverified: their release 1.2"
    assert listed["attention/flash_attn"]["reason"] == "needs an NVIDIA GPU"
    assert listed["attention/naive"]["reason"] is None


def test_text_has_the_same_names_and_reasons(cli) -> None:
    text = cli("list", "all", "--device", "cpu").out
    assert text.startswith("on cpu (")
    for entry in json.loads(cli("list", "--json", "--device", "cpu").out):
        line = next(line for line in text.splitlines() if line.split(" ")[0] == entry["name"])
        assert (entry["reason"] or "") in line
        assert entry["summary"][:60] in line


def test_brackets_are_shown_as_they_are(cli) -> None:
    from attnlab.bench import implements

    def one(inputs: object) -> None:
        """[red]Fast[/red] [/b]."""

    implements("attention", name="bracketed")(one)
    text = cli("list", "all").out
    assert "attention/bracketed" in text
    assert "[red]Fast[/red] [/b]." in text


def test_the_short_list_counts_what_can_run_here(cli) -> None:
    from attnlab.bench import implements

    implements("attention", name="elsewhere", needs=Needs(packages=("no_such_package",)))(lambda inputs: None)
    entries = json.loads(cli("list", "--json", "--device", "cpu").out)
    own = [e for e in entries if e["kind"] == "implementation" and e["name"].startswith("attention/")]
    cannot = sum(e["reason"] is not None for e in own)
    text = cli("list", "--device", "cpu").out
    row = next(line for line in text.splitlines() if line.startswith("attention "))
    assert row.split()[1:3] == [str(len(own) - cannot), str(cannot)]
    kinds = [e["kind"] for e in entries]
    assert f"{kinds.count('suite')} suites, {kinds.count('metric')} metrics." in text
    assert len(text.splitlines()) < kinds.count("operator") + 8


def test_all_of_one_operator(cli) -> None:
    named = {e["name"] for e in json.loads(cli("list", "rope", "--json").out)}
    every = {e["name"] for e in json.loads(cli("list", "--json").out)}
    assert named == {"rope"} | {name for name in every if name.startswith(("rope/", "rope."))}
    text = cli("list", "rope").out
    assert all(name in text for name in named)
    assert "attention" not in text


@pytest.mark.parametrize("kind", TITLES)
def test_all_of_one_kind(kind: str, cli) -> None:
    entries = json.loads(cli("list", TITLES[kind], "--json").out)
    assert {e["kind"] for e in entries} == {kind}
    assert len(entries) == [e["kind"] for e in json.loads(cli("list", "--json").out)].count(kind)


def test_what_there_is_not(cli) -> None:
    ended = cli("list", "atention")
    assert ended.code == 2
    assert "unknown operator or kind of thing 'atention'; did you mean 'attention'?" in ended.err
    assert not set(KINDS) & set(registry.operators.names()), "each word has one meaning"


def test_the_short_list_of_a_process_of_its_own_imports_no_torch(cli) -> None:
    code = (
        "import sys\nfrom attnlab.bench.cli import main\n"
        "assert main(['list', '--device', 'cpu']) == 0\n"
        "sys.exit(f'imported torch' if 'torch' in sys.modules else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    whole = subprocess.run(
        [
            sys.executable,
            "-c",
            code.replace(
                "from attnlab", "import torch\nfrom attnlab.bench import discover\ndiscover()\nfrom attnlab", 1
            ).replace("if 'torch'", "if not 'torch'"),
        ],
        capture_output=True,
        text=True,
    )
    assert whole.stdout == ended.stdout, "as what is registered says"


@pytest.mark.parametrize("width", [80, 40])
def test_an_operator_takes_one_line_of_a_terminal(cli, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setattr("attnlab.bench.text_table.terminal_width", lambda: width)
    lines = cli("list", "--device", "cpu").out.splitlines()
    assert max(map(len, lines[2:])) <= width or width == 40
    attention = [at for at, line in enumerate(lines) if line.split()[:1] == ["attention"]]
    if width == 80:
        assert lines[attention[0]].endswith("…")
        assert lines[attention[0] + 1].startswith("attention_backward ")
    else:
        assert lines[attention[0] + 1].split()[:2] == ["runs", "here"]
    assert max(map(len, lines)) <= 200
