"""The real app, with a dialogue model and a voice that answer at once, and a note of when what happened.

    python -m tests.benchmarks.instant --stamps FILE --reply-seconds 30 -- --port 8000 --data-dir DIR

What follows `--` is the app's own command line. Only the model and the voice are stand-ins; turn detection, store, socket and
page are what a person gets. The notes are JSON lines: an event's name and its fields, `at` and, for events that a frame of
sound brought about, `arrived`: when the session was handed that frame. Both are milliseconds of the wall clock.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

import app
from backend import events
from backend.models import Done, Message, Options, Piece, Said
from backend.session import Session
from backend.speakers import SAMPLE_RATE_HZ, Sound, Voice

PEAK = 0.25
"""Of the tone that stands for speech; full scale is 1."""

TONE_HZ = 750  # 32 samples a period: each block of the audio clock has the same peak
PIECE_S = 0.1


class InstantModel:
    """Answers every turn with the same sentence."""

    name = "instant"
    offline = False
    parameters: Mapping[str, Any] = {}  # never changed

    async def reply(self, history: Sequence[Message], options: Options) -> AsyncGenerator[Piece, None]:
        yield Said("I have an answer to that at once.")
        yield Done("instant")

    async def warm(self) -> None:
        pass

    async def ready(self) -> str:
        return ""

    async def aclose(self) -> None:
        pass


class InstantVoice:
    """Says everything as a steady tone of `seconds`, as fast as it is taken, in pieces of 100 ms."""

    voices = ("tone",)

    def __init__(self, seconds: float) -> None:
        self._pieces = round(seconds / PIECE_S)
        time_s = np.arange(round(PIECE_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
        self._piece = np.cos(2 * np.pi * TONE_HZ * time_s) * PEAK * 32767  # a cosine: loud from its first sample

    async def speak(self, text: str, voice: Voice) -> AsyncGenerator[Sound, None]:
        for _ in range(self._pieces):
            yield Sound(self._piece.astype("<i2").tobytes())

    async def aclose(self) -> None:
        pass


class Notebook:
    """Notes what sessions tell, and when."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1)
        self._arrived: float | None = None
        self._speaking = 0

    def hearing(self, hear: Callable[..., Any]) -> Callable[..., Any]:
        async def timed(session: Session, samples: NDArray[np.int16]) -> None:
            self._arrived = _now_ms()
            await hear(session, samples)
            self._arrived = None

        return timed

    def telling(self, tell: Callable[..., None]) -> Callable[..., None]:
        def noted(feed: events.Feed, event: events.Event) -> None:
            self._note(event)
            tell(feed, event)

        return noted

    def _note(self, event: events.Event) -> None:
        more: dict[str, object] = {}
        match event:
            case events.Spoke(reply=reply):
                if reply == self._speaking:
                    return
                self._speaking = reply
            case events.SpeechStopped(silence_ms=silence_ms):
                more = {"silence_ms": silence_ms}
            case events.SpeechStarted(confirmed=confirmed):
                more = {"confirmed": confirmed}
        note = {"event": type(event).__name__, "at": _now_ms(), "arrived": self._arrived, **more}
        self._file.write(json.dumps(note) + "\n")


def _now_ms() -> float:
    return time.time() * 1000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stamps", type=Path, required=True)
    parser.add_argument("--reply-seconds", type=float, required=True)
    parser.add_argument("rest", nargs="*")
    asked = parser.parse_args()
    notes = Notebook(asked.stamps)
    with (
        patch.object(app, "make_model", lambda settings: InstantModel()),
        patch.object(app, "make_speaker", lambda settings: InstantVoice(asked.reply_seconds)),
        patch.object(Session, "hear", notes.hearing(Session.hear)),
        patch.object(events.Feed, "tell", notes.telling(events.Feed.tell)),
    ):
        app.serve(asked.rest)


if __name__ == "__main__":
    main()
