"""Speech made here, for tests that must pass without recordings of people."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import soxr
from numpy.typing import NDArray

from backend.speakers import SAMPLE_RATE_HZ, Voice
from backend.speakers.espeak import Espeak


@cache
def spoken(text: str, voice: str = "en-us", speed: float = 1.0) -> NDArray[np.int16]:
    """Int16 at 16 kHz, as espeak-ng says it; speech to a detector, though not to a recogniser."""

    async def say() -> bytes:
        return b"".join([sound.pcm async for sound in Espeak().speak(text, Voice(voice, speed))])

    with ThreadPoolExecutor(1) as thread:  # of its own: a browser test's thread has a running loop already
        samples = np.frombuffer(thread.submit(asyncio.run, say()).result(), "<i2")
    return np.asarray(soxr.resample(samples, SAMPLE_RATE_HZ, 16_000), np.int16)
