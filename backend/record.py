"""The log of one conversation: what a session hands to the store, off the event loop and in order.

When the store can't keep something, the conversation goes on, the person is told once that it is not being kept, and what was
not kept waits in memory: it is tried again with the next thing to be kept, so that a disk that is full for a minute costs
nothing. It never pretends: `keep` says whether everything so far is on disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from conversations.store import Gone, Store, StoreFailure
from conversations.turn import Audio, Record, audio_of

Answer = TypeVar("Answer")


class Archive:
    """A store and the one thread that uses it. A call whose caller was cancelled is still carried out."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    async def call(self, function: Callable[..., Answer], *arguments: object) -> Answer:
        """Run a function of the store in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def close(self) -> None:
        self._thread.submit(self.store.close)
        self._thread.shutdown()


class Log:
    """One conversation's way to the archive. `tell(text, failing)` is called when keeping begins or ceases to fail."""

    def __init__(self, archive: Archive, tell: Callable[[str, bool], None]) -> None:
        self._archive = archive
        self._tell = tell
        self._unkept: list[Record] = []
        self._unkept_sound: dict[str, tuple[NDArray[np.int16], int]] = {}
        self.problem = ""
        """While keeping fails, the sentence that says so."""
        self._in_order = asyncio.Lock()

    async def keep(self, *records: Record) -> bool:
        """Keep the records, and whatever could not be kept before, in one transaction. True once all is kept."""
        async with self._in_order:
            self._unkept += records
            return await self._try()

    async def settle(self) -> bool:
        """Try once more to keep what waits, before it is let go of. True once all is kept."""
        return await self.keep() if self._unkept or self._unkept_sound else True

    async def keep_sound(self, samples: NDArray[np.int16], sample_rate_hz: int) -> Audio:
        """Keep int16 mono samples; where that fails they stay in memory, and are tried again with the next record."""
        async with self._in_order:
            audio = audio_of(samples, sample_rate_hz)
            self._unkept_sound[audio.sha256] = (samples, sample_rate_hz)
            await self._try(sound_only=True)
            return audio

    async def samples(self, sha256: str) -> NDArray[np.int16]:
        """The samples of a kept piece of sound, or of one that still waits. Raises `KeyError`, `StoreFailure`."""
        if sha256 in self._unkept_sound:
            return self._unkept_sound[sha256][0]
        return await self._archive.call(self._archive.store.samples, sha256)

    async def _try(self, *, sound_only: bool = False) -> bool:
        try:
            for sha256, (samples, sample_rate_hz) in list(self._unkept_sound.items()):
                await self._archive.call(self._archive.store.keep_audio, samples, sample_rate_hz)
                del self._unkept_sound[sha256]
            if not sound_only:
                await self._archive.call(self._archive.store.keep, *self._unkept)
                self._unkept.clear()
        except Gone as gone:
            # The conversation was deleted while something of it was still to be kept: that goes with it.
            self._unkept.clear()
            self._unkept_sound.clear()
            self._tell(str(gone), True)
            return False
        except StoreFailure as failure:
            self._note(f"{failure} The conversation goes on, but is not being kept.")
            return False
        if not sound_only:
            self._note("")
        return True

    def _note(self, problem: str) -> None:
        """Tell when keeping begins or ceases to fail; a problem that merely changes is told to whoever asks."""
        before, self.problem = self.problem, problem
        if bool(before) != bool(problem):
            self._tell(problem or "The conversation is being kept again; nothing was lost.", bool(problem))
