from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.sound import Chunker, SoundBuffer

LENGTHS = st.lists(st.integers(0, 50), max_size=30)


@given(LENGTHS)
def test_chunks_are_the_stream(lengths: list[int]) -> None:
    stream = np.arange(sum(lengths), dtype=np.int16)
    chunker, frames = Chunker(16), []
    for piece in np.split(stream, np.cumsum(lengths)[:-1]) if lengths else []:
        frames += chunker.feed(piece)
    assert all(len(frame) == 16 for frame in frames)
    joined = np.concatenate(frames) if frames else np.zeros(0, np.int16)
    np.testing.assert_array_equal(joined, stream[: len(stream) // 16 * 16])


@given(LENGTHS, st.integers(0, 1500), st.data())
def test_what_was_not_forgotten_can_be_taken(lengths: list[int], forgotten: int, data: st.DataObject) -> None:
    stream = np.arange(sum(lengths), dtype=np.int16)
    buffer = SoundBuffer()
    for piece in np.split(stream, np.cumsum(lengths)[:-1]) if lengths else []:
        buffer.add(piece)
    buffer.forget(forgotten)
    start = data.draw(st.integers(min(forgotten, len(stream)), len(stream)))
    end = data.draw(st.integers(start, len(stream)))
    np.testing.assert_array_equal(buffer.take(start, end), stream[start:end])


def test_what_was_forgotten_or_never_came_is_an_error() -> None:
    buffer = SoundBuffer()
    buffer.add(np.zeros(10, np.int16))
    buffer.add(np.zeros(10, np.int16))
    buffer.forget(10)
    with pytest.raises(IndexError):
        buffer.take(5, 15)
    with pytest.raises(IndexError):
        buffer.take(15, 25)
