"""Chat templates are rendered in a sandbox, with the settings and functions that they rely on."""

from __future__ import annotations

from typing import Any

import pytest

from attnlab.bench.errors import ModelError
from attnlab.bench.llm.models.chat import ChatTemplate, Message, render_chat

TURNS = [Message("system", "Be brief."), Message("user", "Hi <b>"), Message("assistant", "Hé"), Message("user", "?")]
TEMPLATES = {
    "plain": "{% for m in messages %}{{ m.role }}: {{ m['content'] }}\n{% endfor %}{{ '>' if add_generation_prompt }}",
    "blocks": """
    {%- for message in messages %}
        {%- if message['role'] == 'assistant' %}
            {%- continue %}
        {%- endif %}
        {{ bos_token + message['content'] | trim }}
    {%- endfor %}
    {% if tools is not none %}
        {{ tools | tojson }}
    {% endif %}
    """,
    "json": "{{ messages[1] | tojson }}{{ messages | tojson(indent=2) }}",
    "namespace": "{% set n = namespace(i=0) %}{% for m in messages %}{% set n.i = 9 %}{% break %}{% endfor %}{{ n.i }}",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_read_as_in_transformers(name: str) -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="package tokenizers is not installed")
    transformers = pytest.importorskip("transformers", reason="package transformers is not installed")
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    peer: Any = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>")
    messages = [{"role": turn.role, "content": turn.content} for turn in TURNS]
    for goes_on in (True, False):
        expected = peer.apply_chat_template(
            messages, chat_template=TEMPLATES[name], tokenize=False, add_generation_prompt=goes_on
        )
        assert render_chat(TEMPLATES[name], TURNS, goes_on, bos_token="<s>") == expected


def test_a_template_brings_its_special_tokens() -> None:
    assert (
        ChatTemplate("{{ bos_token }}{{ messages[0].content }}", {"bos_token": "<s>"}).render(TURNS) == "<s>Be brief."
    )


def test_a_date_is_the_same_on_every_day() -> None:
    assert render_chat("{{ strftime_now('%d %b %Y') }}", TURNS) == "26 Jul 2024"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('roles must alternate') }}", "for these 4 messages: roles must alternate"),
        ("{% for m in messages %}", "Unexpected end of template"),
        ("{{ messages.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe|not safely"),
        ("{{ nobody.name }}", "'nobody' is undefined"),
    ],
)
def test_templates_that_refuse_or_reach_out_are_errors(template: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        render_chat(template, TURNS)
