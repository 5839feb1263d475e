"""Speech engines: text in, 24 kHz mono PCM16 out, as it is made.

A speaker knows nothing of sessions or of who listens. One that cannot speak raises `SpeechFailure`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

SAMPLE_RATE_HZ = 24_000


class SpeechFailure(Exception):
    """The text could not be spoken; `str(failure)` is a sentence for the person at the page."""


@dataclass(frozen=True, slots=True)
class Voice:
    """`name` as the engine lists it; `speed` 1.0 is the engine's own pace (0.5 to 2)."""

    name: str
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Mark:
    """From `sample` on (counted from the start of this text's sound), the text from character `offset` on is being said."""

    sample: int
    offset: int


@dataclass(frozen=True, slots=True)
class Sound:
    """A piece of sound: `pcm` is mono little-endian PCM16 at 24 kHz; `marks` that lie in or before it, where the engine
    gives them."""

    pcm: bytes
    marks: tuple[Mark, ...] = ()


class Speaker(Protocol):
    @property
    def voices(self) -> Sequence[str]:
        """Names of voices, the default first."""
        ...

    def speak(self, text: str, voice: Voice) -> AsyncGenerator[Sound, None]:
        """Speak `text`. Closing the iterator stops the engine in mid-sentence. Raises `SpeechFailure`."""
        ...

    async def aclose(self) -> None: ...
