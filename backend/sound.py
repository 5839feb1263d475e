"""The last stretch of a stream of sound, addressed by sample numbers counted from its start. Knows nothing of turns."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray


class SoundBuffer:
    """Samples that may still be needed; int16, mono."""

    def __init__(self) -> None:
        self._pieces: deque[NDArray[np.int16]] = deque()
        self._first = 0
        self._end = 0

    @property
    def start(self) -> int:
        """The oldest sample that is still held."""
        return self._first

    @property
    def end(self) -> int:
        """The number of samples that were ever added."""
        return self._end

    def add(self, samples: NDArray[np.int16]) -> None:
        self._pieces.append(samples)
        self._end += len(samples)

    def forget(self, before: int) -> None:
        """Let go of whole pieces that lie before this sample."""
        while self._pieces and self._first + len(self._pieces[0]) <= before:
            self._first += len(self._pieces.popleft())

    def take(self, start: int, end: int) -> NDArray[np.int16]:
        """A copy of samples `start` to `end`. Raises `IndexError` for samples that were let go of or never came."""
        if start < self._first or end > self._end:
            raise IndexError(f"samples {start} to {end} are not within {self._first} to {self._end}")
        held = np.concatenate(self._pieces) if self._pieces else np.zeros(0, np.int16)
        return held[start - self._first : end - self._first].copy()


class Chunker:
    """Cuts a stream into frames of one length, whatever the lengths it comes in."""

    def __init__(self, frame_samples: int) -> None:
        self._frame_samples = frame_samples
        self._rest = np.zeros(0, np.int16)

    def feed(self, samples: NDArray[np.int16]) -> list[NDArray[np.int16]]:
        """The frames that are complete now, each of shape (frame_samples,)."""
        waiting = np.concatenate((self._rest, samples))
        whole = len(waiting) // self._frame_samples * self._frame_samples
        self._rest = waiting[whole:]
        return list(waiting[:whole].reshape(-1, self._frame_samples))

    def reset(self) -> None:
        self._rest = self._rest[:0]
