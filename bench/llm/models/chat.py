"""Chat templates: a conversation as the text that a model was trained on."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn

from attnlab.bench.errors import ModelError

A_DAY = datetime.datetime(2024, 7, 26)
"""What templates that write down the date are given: a prompt must read the same on every day."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: str
    """`system`, `user` or `assistant`."""
    content: str


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja template from a model's file, with the names of its special tokens."""

    text: str
    special: Mapping[str, str] = field(default_factory=dict)
    """`bos_token` and `eos_token`, where the model has them."""

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = True) -> str:
        """The conversation, ending where the answer begins."""
        return render_chat(self.text, messages, add_generation_prompt, **self.special)


def render_chat(
    template: str, messages: Sequence[Message], add_generation_prompt: bool = True, **variables: Any
) -> str:
    """`messages` through a Jinja template, in a sandbox, with the settings and functions of transformers.

    variables: such as `bos_token`. Raises ModelError where the template is none, or refuses the conversation.
    """
    import jinja2

    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        text: str = compiled(template).render(
            messages=turns, tools=None, documents=None, add_generation_prompt=add_generation_prompt, **variables
        )
        return text
    except jinja2.TemplateError as error:
        raise ModelError(f"the chat template cannot be used for these {len(turns)} messages: {error}") from error


@lru_cache(maxsize=8)
def compiled(template: str) -> Any:
    """The template as Jinja renders it; compiling takes longer than rendering, and a server renders the same again."""
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = to_json
    environment.globals |= {"raise_exception": refuse, "strftime_now": A_DAY.strftime}
    return environment.from_string(template)


def refuse(message: str) -> NoReturn:
    """What templates call for conversations that they do not take."""
    import jinja2

    raise jinja2.TemplateError(message)


def to_json(value: Any, indent: int | None = None) -> str:
    """Unlike Jinja's own, without escapes for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)
