"""The plain values of a conversation.

Every value here is written once and never changed. What becomes known later about a turn (how much of it was heard, its
transcript, what people thought of it) is a value of its own that points at the turn. The values do not know how they are
stored, played, or shown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from uuid6 import uuid7


def new_id() -> str:
    """A UUIDv7: unique everywhere, so that stores can be merged, and in the order of time."""
    return str(uuid7())


def now() -> str:
    """The time as ISO 8601 in UTC, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Role(StrEnum):
    USER = "user"
    ASSISTANT = "assistant"


class Origin(StrEnum):
    """How a turn came about. For a reply, `SPOKEN` means that it was meant to be heard and `TYPED` that it was shown only."""

    SPOKEN = "spoken"
    TYPED = "typed"
    REGENERATED = "regenerated"
    AB = "ab"
    EDIT = "edit"
    REPLAY = "replay"


class Status(StrEnum):
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    SUPERSEDED = "superseded"


class Form(StrEnum):
    """In which form a turn was put before the model."""

    AUDIO = "audio"
    TEXT = "text"
    TRANSCRIPT = "transcript"


class Modality(StrEnum):
    """Whether a judgement is about what was read or what was heard."""

    READ = "read"
    HEARD = "heard"


@dataclass(frozen=True, slots=True)
class Audio:
    """A piece of sound, by the hash of its samples.

    `sha256` is the hex digest of the mono little-endian PCM16 samples, without a header: it addresses the file and serves as
    the clip's uuid at the model server.
    """

    sha256: str
    sample_rate_hz: int
    samples: int

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate_hz


def audio_of(samples: NDArray[np.int16], sample_rate_hz: int) -> Audio:
    """The address of int16 mono samples, shape (n,)."""
    pcm = np.ascontiguousarray(samples, dtype="<i2").tobytes()
    return Audio(hashlib.sha256(pcm).hexdigest(), sample_rate_hz, len(samples))


@dataclass(frozen=True, slots=True)
class Conversation:
    id: str
    created_at: str = field(default_factory=now)
    title: str = ""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What shaped a reply: addressed by its content, so that equal configurations are one row.

    `parameters` holds sampling, thinking budget and the like; `seed` is not among them, since two seeds of one configuration
    are what an on-policy pair is made of. `served_model` is the model as its server names itself. `offline` marks the
    rehearsal partner.
    """

    name: str
    served_model: str
    parameters: Mapping[str, Any]
    system_prompt: str
    template_hash: str
    app_version: str
    offline: bool

    @property
    def id(self) -> str:
        return _digest(
            {
                "name": self.name,
                "served_model": self.served_model,
                "parameters": dict(self.parameters),
                "system_prompt": self.system_prompt,
                "template_hash": self.template_hash,
                "app_version": self.app_version,
                "offline": self.offline,
            }
        )


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation.

    `text` is what was typed, or the whole reply; a spoken user's turn has none (see `Transcript`). `reply_to` is the user's
    turn that a reply answers. `timings` are milliseconds by name. `failure` is the sentence that the user saw when the
    status is failed. `notes` are remarks of the model's client (trimmed turns, a stopped loop). `finish_reason` is why
    the model's server says that it ended ("stop", or "length" for one that was cut short). `seed` is what the reply was
    sampled with.
    """

    id: str
    conversation: str
    role: Role
    text: str = ""
    reasoning: str = ""
    audio: Audio | None = None
    reply_to: str | None = None
    configuration: str | None = None
    seed: int | None = None
    origin: Origin = Origin.SPOKEN
    status: Status = Status.FINISHED
    failure: str = ""
    notes: tuple[str, ...] = ()
    finish_reason: str = ""
    timings: Mapping[str, float] = field(default_factory=dict)
    usage: Mapping[str, int] = field(default_factory=dict)
    created_at: str = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class PromptTurn:
    """One turn as it was put before the model: `text` is the typed, heard or transcribed text, `cut_off` whether the reply
    was marked as interrupted at that point."""

    turn: str
    role: Role
    form: Form
    text: str = ""
    audio: Audio | None = None
    cut_off: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "turn": self.turn,
            "role": self.role.value,
            "form": self.form.value,
            "text": self.text,
            "audio": self.audio.sha256 if self.audio else None,
            "cut_off": self.cut_off,
        }


@dataclass(frozen=True, slots=True)
class Prompt:
    """The history before one reply, exactly as it was sent (the last entry is the turn that it answers)."""

    reply: str
    history: tuple[PromptTurn, ...]

    @property
    def history_hash(self) -> str:
        return history_hash(self.history)


def history_hash(history: Iterable[PromptTurn]) -> str:
    """Two replies have the same history when this hash is the same, and by nothing else. The system prompt belongs to the
    configuration, not to the history."""
    return _digest([turn.as_json() for turn in history])


@dataclass(frozen=True, slots=True)
class Path:
    """An ordered list of turns: the first `shared` turns of `parent`, then its own steps. The newest path of a conversation
    is the one that goes on. A branch, a changed choice of candidate and a continuation are all a new path."""

    id: str
    conversation: str
    parent: str | None = None
    shared: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """The turn at a position (counted from 0 over the whole path, the shared part included)."""

    path: str
    position: int
    turn: str


@dataclass(frozen=True, slots=True)
class Superseded:
    """The turn was judged over too early; the turn `by` holds all of it. Its status becomes superseded: the status is the
    one thing about a kept turn that changes."""

    turn: str
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A reply that was already kept as finished was cut while it was being played. Its status becomes interrupted."""

    turn: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """How much of a reply reached the person: samples that were played of those that were made, and their text.

    `first_sound_ms` is how long after the user's turn was over the first sample was played.
    """

    turn: str
    played_samples: int
    made_samples: int
    sample_rate_hz: int
    text_heard: str
    first_sound_ms: float | None = None
    id: str = field(default_factory=new_id)
    created_at: str = field(default_factory=now)

    @property
    def played_ms(self) -> int:
        return self.played_samples * 1000 // self.sample_rate_hz


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a user's turn says, in words; `source` names who heard it so (a model, or a person)."""

    turn: str
    text: str
    source: str
    id: str = field(default_factory=new_id)
    created_at: str = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two replies to the same history put before an annotator. Written before the vote, with the sides."""

    id: str
    conversation: str
    reply_to: str
    left: str
    right: str
    origin: Origin
    created_at: str = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one annotator thinks, of one reply (`turn`, a thumb) or of two (`comparison`, a verdict): exactly one is set.

    `score`: for a thumb 1 or −1; for a verdict −3 (left much better) … 3 (right much better); None takes an earlier judgement
    back. `qualifier` refines a 0: "both_good", "both_bad" or "neither". `supersedes` is the judgement that this one replaces.
    """

    id: str
    annotator: str
    turn: str | None = None
    comparison: str | None = None
    score: int | None = None
    qualifier: str = ""
    aspect: str = ""
    reasons: tuple[str, ...] = ()
    comment: str = ""
    modality: Modality = Modality.READ
    heard_ms: int = 0
    supersedes: str | None = None
    created_at: str = field(default_factory=now)


Record = (
    Conversation
    | Configuration
    | Turn
    | Prompt
    | Path
    | Step
    | Superseded
    | Interrupted
    | Delivery
    | Transcript
    | Comparison
    | Judgement
)
"""Everything that a store keeps in rows (audio aside)."""


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
