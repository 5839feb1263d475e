"""What the page may send over its socket, as types. (What the server sends is made in `ui.voice`.)"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

Identifier = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z_-]+$")]
Comment = Annotated[str, Field(max_length=4000)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Hello(_Message):
    """The first message. `session`, `reply` and `received` say what the page still holds of a reply, when it comes back."""

    type: Literal["hello"]
    token: str = Field(max_length=500)
    conversation: Identifier | None = None
    annotator: Identifier
    session: Identifier | None = None
    reply: int = 0
    received: int = 0


class Microphone(_Message):
    """The microphone is open; frames of PCM16 at this rate may follow."""

    type: Literal["microphone"]
    sample_rate_hz: int
    push_to_talk: bool = False


class Pause(_Message):
    """No frames for now."""

    type: Literal["pause"]
    why: Literal["mute", "release", "stop"]


class Say(_Message):
    type: Literal["say"]
    text: str = Field(max_length=20_000)


class Interrupt(_Message):
    type: Literal["interrupt"]


class Played(_Message):
    """So many samples of a reply were played; `ended`: and no more will be."""

    type: Literal["played"]
    reply: int = Field(ge=0)
    samples: int = Field(ge=0)
    ended: bool = False


class Unplayable(_Message):
    """This page can't play the reply, so that it is read and not heard."""

    type: Literal["unplayable"]
    reply: int = Field(ge=0)


class New(_Message):
    type: Literal["new"]


class Delete(_Message):
    type: Literal["delete"]


class Judge(_Message):
    """A thumb; a score of None takes it back."""

    type: Literal["judge"]
    turn: Identifier
    score: Literal[-1, 1] | None
    reasons: tuple[Annotated[str, Field(max_length=100)], ...] = Field((), max_length=20)
    comment: Comment = ""


class TryAgain(_Message):
    type: Literal["try_again"]
    turn: Identifier


class Show(_Message):
    type: Literal["show"]
    turn: Identifier


class Prefer(_Message):
    """A verdict on two replies; a score of None takes it back."""

    type: Literal["prefer"]
    comparison: Identifier
    score: int | None = Field(ge=-3, le=3)
    qualifier: Literal["", "both_good", "both_bad", "neither"] = ""
    comment: Comment = ""


Message = Microphone | Pause | Say | Interrupt | Played | Unplayable | New | Delete | Judge | TryAgain | Show | Prefer

_hello = TypeAdapter[Hello](Hello)
_message = TypeAdapter[Message](Annotated[Message, Field(discriminator="type")])


def read_hello(text: str) -> Hello:
    """Raises `ValueError` for anything else."""
    return _hello.validate_json(text)


def read(text: str) -> Message:
    """Raises `ValueError` whose text says what is wrong, without the message's content."""
    try:
        return _message.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"The page sent something that was not understood ({place}: {first['msg']}).") from None
