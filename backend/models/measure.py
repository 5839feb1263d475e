"""How a voice sounds, measured from its samples with numpy.

Pure: samples in, one `Voice` out. Knows nothing of words, and makes no judgement ("loud", "fast") of what it measures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000

_HOP = 160  # 10 ms
_WINDOW = 400  # 25 ms
_SILENCE_DB = -60.0  # nothing below this is speech, however quiet the rest
_PAUSE_S = 0.3  # de Jong & Wempe 2009 take the same
_DIP_DB = 2.0
_PITCH_HZ = (60.0, 420.0)
_PITCH_HOP = 320
_APERIODICITY = 0.2
_LONGEST_LAG = int(SAMPLE_RATE_HZ / _PITCH_HZ[0])
_SHORTEST_LAG = int(SAMPLE_RATE_HZ / _PITCH_HZ[1])
_PITCH_WINDOW = 480


@dataclass(frozen=True, slots=True)
class Voice:
    """`seconds` reaches from the first sound of speech to the last (0 when there is none), pauses included.

    `loudness_dbfs` is the RMS of what is not pause, in dB, where 0 is a square wave at full scale. `pitch_hz` is the median
    over voiced frames, None where nothing is voiced. `syllables_per_s` leaves pauses out. A pause is 0.3 s or longer.
    """

    seconds: float = 0.0
    loudness_dbfs: float = -120.0
    pitch_hz: float | None = None
    syllables_per_s: float = 0.0
    pauses: int = 0
    longest_pause_s: float = 0.0


def measure(samples: NDArray[np.int16]) -> Voice:
    """The voice in int16 samples, shape (n,), mono, at 16 kHz."""
    signal = samples.astype(np.float32) / np.float32(32768)
    level_db = _levels(signal)
    active = _activity(level_db)
    if not active.any():
        return Voice()
    first, last = np.flatnonzero(active)[[0, -1]]
    pauses_s = _pauses(active[first : last + 1])
    seconds = float(last - first + 1) * _HOP / SAMPLE_RATE_HZ
    return Voice(
        seconds=seconds,
        loudness_dbfs=float(10 * np.log10(np.mean(10 ** (level_db[active] / 10)))),
        pitch_hz=_pitch(signal, active),
        syllables_per_s=_syllables(level_db, active) / (seconds - sum(pauses_s)),
        pauses=len(pauses_s),
        longest_pause_s=max(pauses_s, default=0.0),
    )


def _levels(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """RMS in dB of frames of 25 ms, one every 10 ms; shape (frames,)."""
    if len(signal) < _WINDOW:
        return np.empty(0, dtype=np.float32)
    frames = sliding_window_view(signal, _WINDOW)[::_HOP]
    return np.asarray(10 * np.log10(np.mean(np.square(frames), axis=1) + 1e-12), dtype=np.float32)


def _activity(level_db: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which frames are not pause: within 25 dB of the loud ones, and nearer to them where noise fills the pauses."""
    if not len(level_db):
        return np.empty(0, dtype=np.bool_)
    quiet, loud = np.percentile(level_db, (5, 95))
    threshold = max(loud - np.clip(0.6 * (loud - quiet), 6, 25), _SILENCE_DB)
    return np.asarray(level_db >= threshold)


def _pauses(active: NDArray[np.bool_]) -> list[float]:
    """Lengths in seconds of the stretches without activity that are long enough to be pauses."""
    edges = np.flatnonzero(np.diff(active.astype(np.int8)))  # begins and ends in activity: edges come in pairs
    lengths_s = (edges[1::2] - edges[::2]) * _HOP / SAMPLE_RATE_HZ
    return [float(length) for length in lengths_s if length >= _PAUSE_S]


def _syllables(level_db: NDArray[np.float32], active: NDArray[np.bool_]) -> int:
    """Peaks of intensity with a dip of 2 dB or more between them (de Jong & Wempe, "Praat script to detect syllable nuclei",
    Behavior Research Methods 41, 2009), without their test of voicing."""
    above = np.where(active, level_db - level_db[active].min(), 0)
    smooth = np.convolve(np.pad(above, 4), np.hanning(9) / 4, mode="valid")[active]
    peaks, rising, extreme = 0, True, -np.inf
    for level in smooth:
        extreme = max(extreme, level) if rising else min(extreme, level)
        if abs(level - extreme) >= _DIP_DB:
            peaks += rising
            rising, extreme = not rising, level
    return peaks + rising


def _pitch(signal: NDArray[np.float32], active: NDArray[np.bool_]) -> float | None:
    """Median fundamental by YIN (de Cheveigné & Kawahara, JASA 111, 2002: equations 7 and 8, steps 2 to 5)."""
    length = _PITCH_WINDOW + _LONGEST_LAG
    if len(signal) < length:
        return None
    starts = np.arange(0, len(signal) - length + 1, _PITCH_HOP)
    frames = sliding_window_view(signal, length)[starts[active[starts // _HOP]]]
    lags = [lag for lag in map(_period, _normalised_difference(frames)) if lag is not None]
    return float(SAMPLE_RATE_HZ / np.median(lags)) if lags else None


def _normalised_difference(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """YIN's d′ for every frame and lag; shape (frames, longest lag + 1)."""
    size = 1024
    spectrum = np.fft.rfft(frames, size)
    head = np.fft.rfft(frames[:, :_PITCH_WINDOW], size)
    correlation = np.fft.irfft(spectrum * np.conj(head), size)[:, : _LONGEST_LAG + 1]
    squares = np.pad(np.cumsum(np.square(frames), axis=1), ((0, 0), (1, 0)))
    energy = squares[:, _PITCH_WINDOW:] - squares[:, : _LONGEST_LAG + 1]
    difference = np.maximum(energy[:, :1] + energy - 2 * correlation, 0)
    cumulative = np.cumsum(difference[:, 1:], axis=1)
    normalised = np.ones_like(difference)
    normalised[:, 1:] = difference[:, 1:] * np.arange(1, _LONGEST_LAG + 1) / np.maximum(cumulative, 1e-9)
    return np.asarray(normalised, dtype=np.float32)


def _period(normalised: NDArray[np.float32]) -> float | None:
    """The first dip under the threshold, followed to its bottom and refined by a parabola; in samples."""
    under = np.flatnonzero(normalised[_SHORTEST_LAG:-1] < _APERIODICITY)
    if not len(under):
        return None
    lag = int(under[0]) + _SHORTEST_LAG
    while lag + 2 < len(normalised) and normalised[lag + 1] < normalised[lag]:
        lag += 1
    before, here, after = (float(value) for value in normalised[lag - 1 : lag + 2])
    bend = before - 2 * here + after
    return lag + (0.5 * (before - after) / bend if bend > 0 else 0.0)
