"""Dialogue models: what a session asks of one, and what one answers.

A model hears a history of messages and yields its reasoning and its reply as they come. It knows nothing of sessions,
stores, or speech. A model that cannot answer raises `ModelFailure`, whose text is a sentence for the person at the page:

    ModelFailure
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from conversations.turn import Audio, Role


class ModelFailure(Exception):
    """The reply could not be made; `str(failure)` is a sentence for the person at the page, without secrets."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Recorded speech in a message: `load()` gives its samples, int16, shape (audio.samples,), at 16 kHz."""

    audio: Audio
    load: Callable[[], Awaitable[NDArray[np.int16]]]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn as the model is to see it: sound or text. `cut_off` marks a reply that the person interrupted. `transcript` is
    what the sound is known to say: for a partner that hears badly, and not to be put before one that hears well."""

    role: Role
    text: str = ""
    clip: Clip | None = None
    cut_off: bool = False
    transcript: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """How to answer. `conversation` is an opaque key that is the same for all turns of a conversation."""

    system_prompt: str = ""
    seed: int = 0
    conversation: str = ""


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of reasoning. Never spoken."""

    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of the reply."""

    text: str


@dataclass(frozen=True, slots=True)
class Transcribed:
    """What the model heard in the last message, in words."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The reply is complete. `model` is the model as its server names itself."""

    model: str
    finish_reason: str = "stop"
    usage: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


Piece = Thought | Said | Transcribed | Done


class DialogueModel(Protocol):
    """A partner in dialogue."""

    @property
    def name(self) -> str:
        """The name of the configuration."""
        ...

    @property
    def offline(self) -> bool:
        """Whether this is the rehearsal partner, whose replies are no model's."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Sampling and what else shapes the replies, as JSON; the seed is not among them."""
        ...

    def reply(self, history: Sequence[Message], options: Options) -> AsyncGenerator[Piece, None]:
        """Answer the last message of `history`. Closing the iterator stops the generation. Raises `ModelFailure`."""
        ...

    async def warm(self) -> None:
        """A person is about to talk: make ready what the first reply needs."""
        ...

    async def ready(self) -> str:
        """An empty string when a reply could be made now, else a sentence that says why not."""
        ...

    async def aclose(self) -> None: ...
