"""The detector by itself: batches, streams, and sound made here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.vad import FRAME_SAMPLES, Silero


@pytest.fixture(scope="module")
def silero() -> Iterator[Silero]:
    vad = Silero()
    yield vad
    vad.close()


def noise(seed: int, frames: int) -> NDArray[np.int16]:
    return np.random.default_rng(seed).normal(0, 3000, (frames, FRAME_SAMPLES)).astype(np.int16)


async def probabilities(silero: Silero, frames: NDArray[np.int16]) -> list[float]:
    stream = silero.listen()
    return [await stream.probability(frame) for frame in frames]


async def test_streams_side_by_side_hear_what_each_hears_alone(silero: Silero) -> None:
    sounds = [noise(seed, 20) for seed in range(8)]
    alone = [await probabilities(silero, sound) for sound in sounds]
    together = await asyncio.gather(*(probabilities(silero, sound) for sound in sounds))
    assert together == alone
    assert len({tuple(one) for one in alone}) == len(alone)


async def test_a_reset_stream_is_a_new_one(silero: Silero) -> None:
    stream = silero.listen()
    first = [await stream.probability(frame) for frame in noise(1, 5)]
    stream.reset()
    assert [await stream.probability(frame) for frame in noise(1, 5)] == first


async def test_silence_is_no_speech(silero: Silero) -> None:
    assert max(await probabilities(silero, np.zeros((50, FRAME_SAMPLES), np.int16))) < 0.1


async def test_a_frame_of_another_length_is_refused(silero: Silero) -> None:
    with pytest.raises(ValueError, match="512 samples"):
        await silero.listen().probability(np.zeros(100, np.int16))
