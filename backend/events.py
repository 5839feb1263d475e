"""What a session tells: one stream of events, consumed with `match` by the page, the terminal, other protocols and the log.

Each consumer has a queue of its own with a bound. One that falls behind loses what it has not read, gets `Behind` in its
place, and looks at the session's state anew: it never slows the session. The events hold no sockets, pages or stores.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from conversations.turn import Turn


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Something that sounds like speech began; `confirmed` once it is certain to be an utterance."""

    at_sample: int
    confirmed: bool


@dataclass(frozen=True, slots=True)
class SpeechDismissed:
    """It was a cough, or too short to be an utterance."""


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The turn is over, `silence_ms` after the last speech."""

    silence_ms: int


@dataclass(frozen=True, slots=True)
class TurnKept:
    """A user's turn is on disk (or in memory, where the person declined logging) and on the path."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class TurnContinued:
    """The person goes on: the turn was not over, and will be replaced by one that holds all of it."""

    turn: str


@dataclass(frozen=True, slots=True)
class Transcribed:
    turn: str
    text: str


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """A reply is under way; `reply` numbers its sound."""

    reply: int
    turn: str
    reply_to: str


@dataclass(frozen=True, slots=True)
class Thought:
    turn: str
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    turn: str
    text: str


@dataclass(frozen=True, slots=True)
class Spoke:
    """Sound of the reply: mono PCM16 at 24 kHz."""

    reply: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class SpeechMade:
    """All of the reply's sound was told: `samples` in all."""

    reply: int
    samples: int


@dataclass(frozen=True, slots=True)
class Ducked:
    reply: int


@dataclass(frozen=True, slots=True)
class Restored:
    reply: int


@dataclass(frozen=True, slots=True)
class Played:
    """The first sample of the reply reached the person's ear, `first_sound_ms` after the turn was over."""

    turn: str
    first_sound_ms: float


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The reply was cut: what was told of its sound and not played yet is to be dropped at once."""

    reply: int
    turn: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The reply is complete and was kept, in whatever state it reached."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class Changed:
    """Something else about the exchange of this user's turn changed: the candidate shown, a judgement, what was heard."""

    user_turn: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The reply failed; `text` is the sentence for the person."""

    turn: str
    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the person should know."""

    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Behind:
    """The consumer fell behind, and events were lost to it."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The session is over: nothing follows."""


Event = (
    SpeechStarted
    | SpeechDismissed
    | SpeechStopped
    | TurnKept
    | TurnContinued
    | Transcribed
    | ReplyStarted
    | Thought
    | Said
    | Spoke
    | SpeechMade
    | Ducked
    | Restored
    | Played
    | Interrupted
    | Finished
    | Changed
    | Failed
    | Notice
    | Behind
    | Closed
)

MOST_WAITING = 4096
"""Events that a consumer may leave unread: minutes of a reply's sound."""


class Subscription:
    """The events told since it was made, for one consumer."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._waiting: deque[Event] = deque()
        self._news = asyncio.Event()

    def put(self, event: Event) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.clear()
            self._waiting.append(Behind())
        self._waiting.append(event)
        self._news.set()

    async def batch(self) -> list[Event]:
        """Wait for news, then everything that is there."""
        await self._news.wait()
        self._news.clear()
        events = list(self._waiting)
        self._waiting.clear()
        return events

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            for event in await self.batch():
                yield event
                if isinstance(event, Closed):
                    return

    def close(self) -> None:
        self._feed.subscriptions.discard(self)


class Feed:
    """Tells every subscription."""

    def __init__(self) -> None:
        self.subscriptions: set[Subscription] = set()

    def subscribe(self) -> Subscription:
        subscription = Subscription(self)
        self.subscriptions.add(subscription)
        return subscription

    def tell(self, event: Event) -> None:
        for subscription in self.subscriptions:
            subscription.put(event)
