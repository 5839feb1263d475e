"""A session's ears: from pieces of sound to decisions about turns, and the sound of a turn that was decided on.

Knows the stream, the speech detector and the turn detector; nothing of what a turn means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backend.sound import Chunker, SoundBuffer
from backend.turns import Decision, Ended, Rules, TurnDetector
from backend.vad import FRAME_SAMPLES, Vad


class Ears:
    """`decided` gets the decisions, `answering` says whether a reply is under way. The rules may be changed at any time."""

    def __init__(
        self,
        vad: Vad,
        rules: Rules,
        stall_ms: int,
        decided: Callable[[Sequence[Decision]], None],
        answering: Callable[[], bool],
    ) -> None:
        self._decided = decided
        self._answering = answering
        self._detector = TurnDetector(rules)
        self._stream = vad.listen()
        self._chunks = Chunker(FRAME_SAMPLES)
        self._sound = SoundBuffer()
        self._stall_ms = stall_ms
        self._stall: asyncio.TimerHandle | None = None

    @property
    def hearing(self) -> bool:
        """Whether something that sounds like speech is under way."""
        return self._detector.hearing

    async def hear(self, samples: NDArray[np.int16]) -> None:
        """Take int16 mono samples at 16 kHz, any number of them. Call it for one piece after the other."""
        if not len(samples):
            return  # no sound, no time: neither keeps a turn open
        self._watch_for_stall()
        self._sound.add(samples)
        for frame in self._chunks.feed(samples):
            probability = await self._stream.probability(frame)
            self._decided(self._detector.hear(probability, answering=self._answering()))
        self._sound.forget(self._detector.oldest_needed)

    def pause(self) -> None:
        """No more sound for now: the microphone was muted, released, closed, or stalled."""
        if self._stall is not None:
            self._stall.cancel()
        self._decided(self._detector.pause())
        self._stream.reset()

    def take(self, ended: Ended) -> NDArray[np.int16]:
        """The samples of a turn that has just ended."""
        # A longer pre-roll was asked for a moment ago: what came before the last one was let go of.
        return self._sound.take(max(ended.start, self._sound.start), ended.end)

    def close_turn(self) -> None:
        """What is being said, and what will be, does not continue the last turn."""
        self._detector.close_turn()

    def follow(self, rules: Rules, stall_ms: int) -> None:
        """From now on, these; whether a button is held stays as it is."""
        self._stall_ms = stall_ms
        self._detector.rules = replace(rules, hold=self._detector.rules.hold)

    def hold(self, held: bool) -> None:
        """Push-to-talk, or hands-free."""
        self._detector.rules = replace(self._detector.rules, hold=held)

    def _watch_for_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
        self._stall = asyncio.get_running_loop().call_later(self._stall_ms / 1000, self.pause)
