"""What was said, in words, by PocketSphinx and the English model that it brings.

PocketSphinx holds the interpreter for as long as it decodes (a thread that counted beside it stood still for 2.7 s during a
clip of 10 s), so it runs in a process of its own: a script, `hearing_worker.py`, and not a multiprocessing pool, whose workers
would import the app's main module with all that hangs on it. Knows nothing of conversations.

    HearingFailure
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WORKER = (sys.executable, "-P", str(Path(__file__).with_name("hearing_worker.py")))
"""The worker's command line; -P, since the modules of its folder must not hide the library's."""

_MOST_REMEMBERED = 1024


class HearingFailure(Exception):
    """The recogniser could not be run; the next clip is tried with a new process."""


@dataclass(frozen=True, slots=True)
class Heard:
    """`words` as recognised, right or wrong. `fit` tells how well the sound fits them, 0 at best (see `understood`)."""

    words: str
    fit: float

    @property
    def understood(self) -> bool:
        """Whether the words are likely what was said.

        Recordings of people, also soft or with noise at 20 dB, have a fit of −1.7 to −3.4, espeak-ng's voices (of whose words
        next to none are right) −4.4 to −6. The posteriors of the words do not part the two. Words put on silence fit all too
        well (−0.2).
        """
        return bool(self.words) and -3.8 < self.fit < -1.0


class Hearing:
    """One recogniser for all conversations, started when first needed; one clip at a time.

    A caller that is cancelled while it waits for its turn leaves nothing behind. A clip that is being decoded is finished,
    though nobody waits for it (the process cannot be told to stop), and its words are remembered.
    """

    def __init__(self, command: Sequence[str] = WORKER) -> None:
        self._command = command
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._under_way: asyncio.Task[Heard] | None = None
        self._heard: dict[str, Heard] = {}

    def recall(self, sha256: str) -> Heard | None:
        """What was heard in a clip before, if it is still remembered."""
        return self._heard.get(sha256)

    async def hear(self, sha256: str, samples: NDArray[np.int16]) -> Heard:
        """Hear int16 samples, shape (n,), at 16 kHz; the hash is what they are remembered by. Raises `HearingFailure`."""
        async with self._turn:
            if self._under_way is not None:
                await asyncio.wait({self._under_way})  # left by someone who was cancelled
            if (heard := self._heard.get(sha256)) is not None:
                return heard
            self._under_way = asyncio.create_task(self._ask(sha256, samples.astype("<i2").tobytes()))
            return await asyncio.shield(self._under_way)

    async def warm(self) -> None:
        """Start the process and wait until its model is loaded. Raises `HearingFailure`."""
        await self.hear("", np.empty(0, dtype=np.int16))

    async def aclose(self) -> None:
        """End the process at once, whatever it is doing."""
        await self._end()
        if self._under_way is not None:
            await asyncio.wait({self._under_way})

    async def _ask(self, sha256: str, pcm: bytes) -> Heard:
        process = await self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(len(pcm).to_bytes(4, "little") + pcm)
            await process.stdin.drain()
            answer = await process.stdout.readline()
        except ConnectionError:  # the process died while it was being written to
            answer = b""
        if not answer:
            await self._end()
            raise HearingFailure("The speech recogniser stopped while it listened.")
        heard = Heard(**json.loads(answer))
        if pcm:
            self._remember(sha256, heard)
        return heard

    async def _started(self) -> Process:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(*self._command, stdin=PIPE, stdout=PIPE)
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()

    def _remember(self, sha256: str, heard: Heard) -> None:
        self._heard[sha256] = heard
        if len(self._heard) > _MOST_REMEMBERED:
            del self._heard[next(iter(self._heard))]
