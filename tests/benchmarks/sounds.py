"""What is said into the microphone: utterances, bursts that are no utterances, and a song. Int16 at 16 kHz.

They are cut from recordings of people where `COLLOQUY_SPEECH_DIR` names a folder of them, else made by espeak-ng.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from tests.fakes.speech import spoken

RATE_HZ = 16_000
FLOOR_DB = -30
"""Where speech begins and ends: at the first and the last 10 ms that are at most so far below the loudest."""

LEAD_S = 0.2
"""So much of what comes before the speech is kept with it: a detector listens differently to a voice out of nothing."""

CUTS = {  # seconds; all places where speech begins after a pause, up to the next pause or 1.7 s
    "pennies": [(0.0, 1.7), (3.5, 5.2), (7.2, 8.9)],
    "conversational": [(1.1, 2.7), (4.6, 6.2), (7.3, 8.3), (9.1, 10.7), (11.0, 11.8), (11.9, 13.3)],
}
SENTENCES = (
    "Stop for a moment, please.",
    "I have another question for you.",
    "How many pennies does she have?",
    "That is not what I wanted to know.",
    "Tell me about the weather tomorrow.",
    "Could we talk about something else?",
)


@dataclass(frozen=True, slots=True)
class Clip:
    """Int16 samples; the first `lead` of them are not yet speech."""

    samples: NDArray[np.int16]
    lead: int = 0

    @property
    def speech(self) -> NDArray[np.int16]:
        return self.samples[self.lead :]


def folder() -> Path | None:
    named = os.environ.get("COLLOQUY_SPEECH_DIR")
    return Path(named) if named else None


def source() -> str:
    return "recordings of people" if folder() else "speech synthesised by espeak-ng"


def utterances() -> list[Clip]:
    """Speech of 0.6 to 1.7 s, loud to its last sample."""
    recordings = folder()
    if recordings is None:
        return [_trimmed(spoken(sentence)) for sentence in SENTENCES]
    return [
        _trimmed(_read(recordings, name)[: int(end * RATE_HZ)], int(start * RATE_HZ))
        for name, cuts in CUTS.items()
        for start, end in cuts
    ]


def song() -> Clip | None:
    """A person singing; there is none without recordings."""
    recordings = folder()
    return Clip(_read(recordings, "song")) if recordings else None


def bursts(count: int, chance: np.random.Generator) -> list[tuple[str, Clip]]:
    """Kind and sound of short noises that people make and rooms have: 100 to 250 ms, peaks of 0.1 to 0.6 of full scale."""
    speech = np.concatenate([clip.speech for clip in utterances()])
    made = []
    for index in range(count):
        length = int(chance.uniform(0.1, 0.25) * RATE_HZ)
        kind = ("speech", "noise", "cough")[index % 3]
        match kind:
            case "speech":
                sound = _piece(speech, length, chance)
            case "noise":
                sound = _noise(length, chance)
            case _:
                sound = _cough(length, chance)
        made.append((kind, Clip(_scaled(sound, chance.uniform(0.1, 0.6)))))
    return made


def _piece(speech: NDArray[np.int16], length: int, chance: np.random.Generator) -> NDArray[np.float64]:
    """From somewhere in people's speech, from where it is loud."""
    pieces = (speech[start : start + length] for start in chance.integers(0, len(speech) - length, 100))
    piece = next(piece for piece in pieces if np.abs(piece).max() > np.abs(speech).max() / 4)
    return piece.astype(np.float64) * _faded(length)


def _noise(length: int, chance: np.random.Generator) -> NDArray[np.float64]:
    """Something rustles, or a door shuts: noise, lowpassed by chance, that swells and fades."""
    kernel = np.ones(int(chance.integers(1, 12)))
    swell: NDArray[np.float64] = np.sin(np.linspace(0, np.pi, length)) ** chance.uniform(0.3, 2)
    return np.convolve(chance.standard_normal(length), kernel, "same") * swell


def _cough(length: int, chance: np.random.Generator) -> NDArray[np.float64]:
    """A burst of air that opens sharply, through a throat's resonances, over a short rough voice that dies away."""
    time_s = np.arange(length) / RATE_HZ
    voice = np.sign(np.sin(2 * np.pi * chance.uniform(150, 350) * time_s)) * np.exp(-time_s / 0.08) * 0.4
    air = chance.standard_normal(length) * np.exp(-time_s / chance.uniform(0.03, 0.08))
    sound = air + voice
    for centre_hz in (chance.uniform(400, 700), chance.uniform(1200, 1800)):
        ringing = np.exp(-np.arange(160) / 40) * np.cos(2 * np.pi * centre_hz * np.arange(160) / RATE_HZ)
        sound = sound + np.convolve(sound, ringing)[:length] * 0.5
    return sound * np.minimum(1, time_s / 0.004) * _faded(length)


def _faded(length: int) -> NDArray[np.float64]:
    """Full, but for 5 ms at either end."""
    edge = np.arange(length) / (0.005 * RATE_HZ)
    return np.minimum(1, np.minimum(edge, edge[::-1]))


def _scaled(sound: NDArray[np.float64], peak: float) -> NDArray[np.int16]:
    return np.asarray(sound / np.abs(sound).max() * peak * 32767, np.int16)


def _trimmed(sound: NDArray[np.int16], after: int = 0) -> Clip:
    """The speech after this sample, with what leads to it."""
    step = RATE_HZ // 100
    heard = sound[after:]
    frames = heard[: len(heard) // step * step].reshape(-1, step).astype(np.float64)
    loudness = np.sqrt((frames**2).mean(axis=1))
    loud = np.flatnonzero(loudness >= loudness.max() * 10 ** (FLOOR_DB / 20))
    start, end = after + loud[0] * step, after + (loud[-1] + 1) * step
    first = max(0, start - round(LEAD_S * RATE_HZ))
    return Clip(sound[first:end], int(start - first))


def _read(recordings: Path, name: str) -> NDArray[np.int16]:
    samples, rate_hz = soundfile.read(recordings / f"{name}.wav", dtype="int16")
    if rate_hz != RATE_HZ:
        raise ValueError(f"{name}.wav has {rate_hz} Hz, not {RATE_HZ}")
    return np.asarray(samples, np.int16)
