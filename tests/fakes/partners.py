"""Partners of a conversation, scripted: a model, a voice, a VAD, and a listener who plays what is said.

Each implements the public interface of the real thing, and does at once what the real thing takes time for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend import events
from backend.models import Done, Message, ModelFailure, Options, Piece, Said, Thought
from backend.session import Session
from backend.speakers import SAMPLE_RATE_HZ, Mark, Sound, SpeechFailure, Voice

Script = Sequence[Piece | Exception | asyncio.Event]

SAMPLES_A_CHARACTER = SAMPLE_RATE_HZ // 100
"""The scripted voice takes 10 ms a character."""


def answer(text: str, reasoning: str = "They greeted me.") -> Script:
    """Reasoning, then the reply word by word."""
    words = text.split(" ")
    said = [Said(word if index == 0 else f" {word}") for index, word in enumerate(words)]
    return [Thought(reasoning), *said, Done("scripted-model")]


class ScriptedModel:
    """Says what it was told to, in turn; an `asyncio.Event` in the script is waited for. Without a script it says "Yes."."""

    name = "scripted"
    offline = False
    parameters: Mapping[str, Any] = {"temperature": 0.7}  # never changed

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.heard: list[list[Message]] = []
        self.options: list[Options] = []
        self.cancelled = 0

    async def reply(self, history: Sequence[Message], options: Options) -> AsyncGenerator[Piece, None]:
        self.heard.append(list(history))
        self.options.append(options)
        try:
            for part in self.scripts.pop(0) if self.scripts else answer("Yes."):
                await asyncio.sleep(0)
                if isinstance(part, Exception):
                    raise part
                if isinstance(part, asyncio.Event):
                    await part.wait()
                else:
                    yield part
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise

    async def warm(self) -> None:
        pass

    async def ready(self) -> str:
        return ""

    async def aclose(self) -> None:
        pass


class ScriptedVoice:
    """Hums 10 ms a character, a word at a time, with a mark at each word. `broken` makes it fail."""

    voices = ("hum", "low hum")

    def __init__(self) -> None:
        self.spoken: list[str] = []
        self.broken = False

    async def speak(self, text: str, voice: Voice) -> AsyncGenerator[Sound, None]:
        if self.broken:
            raise SpeechFailure("The voice is hoarse.")
        self.spoken.append(text)
        offset = 0
        for word in text.split(" "):
            await asyncio.sleep(0)
            length = (len(word) + 1) * SAMPLES_A_CHARACTER
            yield Sound(hum(length).tobytes(), (Mark(offset * SAMPLES_A_CHARACTER, offset),))
            offset += len(word) + 1

    async def aclose(self) -> None:
        pass


class LoudnessVad:
    """Takes whatever is loud for speech, without delay."""

    def listen(self) -> LoudnessVad:
        return self

    async def probability(self, frame: NDArray[np.int16]) -> float:
        return 0.95 if np.abs(frame).max(initial=0) > 1000 else 0.02

    def reset(self) -> None:
        pass


class Listener:
    """Sits where the page sits: keeps the events, and reports playing as it is told to."""

    def __init__(self, session: Session, *, plays_all: bool = True) -> None:
        self.session = session
        self.plays_all = plays_all
        self.events: list[events.Event] = []
        self._subscription = session.subscribe()
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._follow())
        session.attended = True

    async def _follow(self) -> None:
        async for event in self._subscription:
            self.events.append(event)
            match event:
                case events.SpeechMade(reply=reply, samples=samples) if self.plays_all:
                    self.session.played(reply, samples, ended=True)
                case events.Interrupted(reply=reply):
                    self.session.played(reply, 0, ended=True)
            self._news.set()

    async def until(self, kind: type[events.Event], count: int = 1) -> Any:
        """Wait for the event of this kind that is the `count`-th so far, and return it."""
        async with asyncio.timeout(10):
            while len(found := [event for event in self.events if isinstance(event, kind)]) < count:
                self._news.clear()
                await self._news.wait()
        return found[count - 1]

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    def close(self) -> None:
        self._task.cancel()
        self._subscription.close()


def hum(samples: int) -> NDArray[np.int16]:
    """A loud sound, int16."""
    return np.asarray(8000 * np.sin(np.arange(samples) * 0.1), np.int16)


def quiet(ms: int) -> NDArray[np.int16]:
    """Silence at 16 kHz."""
    return np.zeros(ms * 16, np.int16)


def loud(ms: int) -> NDArray[np.int16]:
    """What `LoudnessVad` takes for speech, at 16 kHz."""
    return hum(ms * 16)


def failing(sentence: str, *before: Piece) -> Script:
    """A reply that fails after `before`."""
    return [*before, ModelFailure(sentence)]
