"""People's own speech through the real detector and a whole session, at the default settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from backend.record import Archive
from backend.session import Partners, Preferences, Session
from backend.settings import TurnTaking
from backend.vad import FRAME_SAMPLES, Silero
from conversations.dialogue import Dialogue
from conversations.store import Store
from conversations.turn import Role, new_id
from tests.fakes.partners import Listener, ScriptedModel, ScriptedVoice, quiet

USER_TURNS = {"pennies": 1, "conversational": 1, "music-then-speech": 1, "song": 0}
PIECE = 320
"""Samples in a frame of the page: 20 ms."""


@pytest.fixture(scope="module")
def silero() -> Iterator[Silero]:
    vad = Silero()
    yield vad
    vad.close()


def recording(folder: Path, name: str) -> NDArray[np.int16]:
    samples, rate = soundfile.read(folder / f"{name}.wav", dtype="int16")
    assert rate == 16_000
    return np.asarray(samples, np.int16)


@pytest.mark.parametrize("plays_all", [True, False], ids=["reply over at once", "reply still playing"])
@pytest.mark.parametrize(("name", "turns"), USER_TURNS.items())
async def test_a_recording_is_so_many_turns(speech_dir: Path, silero: Silero, name: str, turns: int, plays_all: bool) -> None:
    archive = Archive(Store.in_memory())
    partners = Partners(ScriptedModel(), ScriptedVoice(), silero, archive, "0")
    session = Session(Dialogue(new_id()), partners, Preferences(rules=TurnTaking().rules(), stall_ms=600_000))
    listener = Listener(session, plays_all=plays_all)
    sound = np.concatenate((recording(speech_dir, name), quiet(2000)))
    for start in range(0, len(sound), PIECE):
        await session.hear(sound[start : start + PIECE])
    await session.settled()
    users = [session.dialogue.turns[turn] for turn in session.dialogue.path if session.dialogue.turns[turn].role is Role.USER]
    await session.close()
    listener.close()
    archive.close()
    assert len(users) == turns


async def test_probabilities_are_high_in_speech_and_low_in_music(speech_dir: Path, silero: Silero) -> None:
    sound = recording(speech_dir, "music-then-speech")
    stream = silero.listen()
    frames = sound[: len(sound) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    probabilities = np.array([await stream.probability(frame) for frame in frames])
    second = 16_000 / FRAME_SAMPLES
    assert probabilities[: int(4.4 * second)].max() < 0.35
    assert probabilities[int(4.9 * second) : int(6.5 * second)].mean() > 0.7
