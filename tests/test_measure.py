"""Measurements on sound whose pitch, level, pauses and syllables are known because it was made so."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.models.measure import SAMPLE_RATE_HZ, Voice, measure
from backend.models.voice_words import against, described

Signal = NDArray[np.float64]


def time_s(seconds: float) -> Signal:
    return np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ


def buzz(pitch_hz: float, seconds: float, level: float = 0.2) -> Signal:
    """A voice-like tone: harmonics up to 4 kHz, louder around two formants."""
    harmonics = np.arange(1, int(4000 / pitch_hz) + 1) * pitch_hz
    weights = np.exp(-(((harmonics - 500) / 300) ** 2)) + 0.5 * np.exp(-(((harmonics - 1500) / 400) ** 2)) + 0.05
    tone = (weights[:, None] * np.sin(2 * np.pi * harmonics[:, None] * time_s(seconds))).sum(axis=0)
    return np.asarray(tone / np.abs(tone).max() * level)


def gap(seconds: float) -> Signal:
    return np.zeros(int(seconds * SAMPLE_RATE_HZ))


def noise(seconds: float, level: float) -> Signal:
    return np.random.default_rng(1).normal(0, level, int(seconds * SAMPLE_RATE_HZ))


def heard(*signals: Signal) -> Voice:
    return measure((np.concatenate(signals) * 32767).round().astype(np.int16))


@pytest.mark.parametrize("pitch_hz", [80, 120, 220, 350])
def test_pitch_of_a_buzz(pitch_hz: float) -> None:
    assert heard(buzz(pitch_hz, 1)).pitch_hz == pytest.approx(pitch_hz, rel=0.02)


def test_pitch_in_noise_and_at_low_level() -> None:
    assert heard(buzz(120, 1, level=0.01)).pitch_hz == pytest.approx(120, rel=0.02)
    assert heard(buzz(220, 1) + noise(1, 0.01)).pitch_hz == pytest.approx(220, rel=0.05)


def test_noise_has_no_pitch() -> None:
    assert heard(noise(1, 0.1)).pitch_hz is None


@pytest.mark.parametrize("amplitude", [0.9, 0.1, 0.01])
def test_loudness_of_a_sine_is_3_db_under_its_peak(amplitude: float) -> None:
    sine = amplitude * np.sin(2 * np.pi * 200 * time_s(1))
    assert heard(sine).loudness_dbfs == pytest.approx(20 * np.log10(amplitude) - 3.01, abs=0.1)


def test_silence_around_speech_changes_nothing() -> None:
    bare, padded = heard(buzz(120, 1)), heard(gap(0.5), buzz(120, 1), gap(0.9))
    assert padded.seconds == pytest.approx(1, abs=0.05)
    assert padded.loudness_dbfs == pytest.approx(bare.loudness_dbfs, abs=0.3)
    assert padded.pauses == 0


@pytest.mark.parametrize("samples", [0, 1, 399, 16_000])
def test_silence_is_no_voice(samples: int) -> None:
    assert measure(np.zeros(samples, dtype=np.int16)) == Voice()


def test_a_click_is_measured_without_complaint() -> None:
    click = np.zeros(600, dtype=np.int16)
    click[300] = 32767
    assert all(value is None or np.isfinite(value) for value in astuple(measure(click)))


@pytest.mark.parametrize("floor", [0.0, 0.005])
def test_pauses_are_counted_from_300_ms_on(floor: float) -> None:
    pieces = np.concatenate([buzz(120, 0.6), gap(0.15), buzz(120, 0.6), gap(0.5), buzz(120, 0.6), gap(0.9), buzz(120, 0.6)])
    voice = heard(pieces + noise(len(pieces) / SAMPLE_RATE_HZ, floor))
    assert voice.pauses == 2
    assert voice.longest_pause_s == pytest.approx(0.9, abs=0.05)
    assert voice.seconds == pytest.approx(3.95, abs=0.05)


@pytest.mark.parametrize("syllables_per_s", [2, 4, 6])
def test_syllables_are_swells_of_energy(syllables_per_s: int) -> None:
    swell = 0.15 + 0.85 * np.sin(np.pi * syllables_per_s * time_s(3)) ** 2
    assert heard(buzz(120, 3) * swell).syllables_per_s == pytest.approx(syllables_per_s, rel=0.15)


def test_pauses_do_not_slow_the_rate() -> None:
    swell = 0.15 + 0.85 * np.sin(np.pi * 4 * time_s(1.5)) ** 2
    phrase = buzz(120, 1.5) * swell
    assert heard(phrase, gap(1), phrase).syllables_per_s == pytest.approx(heard(phrase).syllables_per_s, rel=0.15)


@pytest.mark.parametrize(
    ("now", "before", "words"),
    [
        (buzz(120, 1, 0.5), buzz(120, 1, 0.05), "; that is louder than the turn before"),
        (buzz(120, 1, 0.05), buzz(120, 1, 0.5), "; that is softer than the turn before"),
        (buzz(132, 1), buzz(120, 1), "; that is higher than the turn before"),
        (buzz(120, 1), buzz(120, 1), "; that is about the same as the turn before"),
    ],
)
def test_two_voices_are_compared_in_words(now: Signal, before: Signal, words: str) -> None:
    assert against(heard(now), heard(before)) == words


def test_a_voice_is_described_in_words() -> None:
    voice = Voice(seconds=2.1, loudness_dbfs=-40, pitch_hz=118, syllables_per_s=2.4, pauses=1)
    assert described(voice) == "for 2.1 seconds, softly, low in pitch, slowly, with one pause"
    assert "pitch" not in described(Voice(seconds=1, loudness_dbfs=-40))
