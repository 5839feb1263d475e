"""Small conversations, made up, for the tests of what is kept and of what leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from conversations.loaded import Loaded
from conversations.store import Store
from conversations.turn import (
    Comparison,
    Configuration,
    Conversation,
    Form,
    Judgement,
    Origin,
    Prompt,
    PromptTurn,
    Record,
    Role,
    Turn,
)


def sound(seed: int = 0, samples: int = 1600) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-32768, 32768, samples).astype(np.int16)


def configuration(name: str = "default", *, offline: bool = False) -> Configuration:
    parameters = {"temperature": 0.7, "stop": ["</s>"]}
    return Configuration(name, "Step-Audio-R1.5", parameters, "Be brief.", "template", "0.1.0", offline)


MODEL = configuration()


def question(key: str = "c", **more: Any) -> Turn:
    fixed: dict[str, Any] = {"id": f"{key}-user", "conversation": key, "role": Role.USER, "text": "How are you?"}
    return Turn(**fixed | more)


def answer(name: str, text: str | None = None, *, key: str = "c", **more: Any) -> Turn:
    """The reply `key-name` to the question of conversation `key`, by `MODEL` unless told otherwise."""
    fixed: dict[str, Any] = {"id": f"{key}-{name}", "conversation": key, "role": Role.ASSISTANT, "reply_to": f"{key}-user"}
    return Turn(**fixed | {"text": text or f"I am {name}.", "configuration": MODEL.id} | more)


def prompt(reply: Turn, heard: str = "How are you?") -> Prompt:
    return Prompt(reply.id, (PromptTurn(f"{reply.conversation}-user", Role.USER, Form.TEXT, heard),))


def thumb(name: str, turn: str, score: int | None, annotator: str = "ann", **more: Any) -> Judgement:
    return Judgement(name, annotator, turn=turn, score=score, **more)


def verdict(name: str, comparison: str, score: int | None, annotator: str = "ann", **more: Any) -> Judgement:
    return Judgement(name, annotator, comparison=comparison, score=score, **more)


def compared(name: str, left: Turn, right: Turn, origin: Origin = Origin.REGENERATED) -> Comparison:
    return Comparison(name, left.conversation, left.reply_to or "", left.id, right.id, origin)


def records(*replies: Turn, more: tuple[Record, ...] = (), key: str = "c", asked: Turn | None = None) -> list[Record]:
    """A conversation of one question and `replies`, each with its prompt unless it is among `more`; then `more`."""
    given = {record.reply for record in more if isinstance(record, Prompt)}
    prompts = [prompt(reply) for reply in replies if reply.id not in given]
    return [Conversation(key), MODEL, asked or question(key), *replies, *prompts, *more]


def loaded(*replies: Turn, more: tuple[Record, ...] = ()) -> Loaded:
    """The same, as a store gives it back."""
    store = Store.in_memory()
    configurations = [record for record in more if isinstance(record, Configuration)]
    store.keep(*configurations, *records(*replies, more=more))
    found = store.load("c")
    store.close()
    assert found is not None
    return found
