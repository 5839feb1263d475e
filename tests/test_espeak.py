"""The real espeak-ng: sound, marks, cancelling, many at once."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys

import espeakng_loader
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.speakers import SAMPLE_RATE_HZ, Mark, SpeechFailure, Voice
from backend.speakers.espeak import VOICES, Espeak, _engine

SENTENCE = "The quick brown fox jumps over the lazy dog, again and again."
VOICE = Voice("en-gb")


async def speak(text: str, voice: Voice = VOICE) -> tuple[NDArray[np.int16], list[Mark]]:
    pcm = b""
    marks: list[Mark] = []
    async for sound in Espeak().speak(text, voice):
        pcm += sound.pcm
        marks += sound.marks
        assert all(mark.sample <= len(pcm) // 2 for mark in sound.marks), "a mark lies in or before the sound it comes with"
    return np.frombuffer(pcm, np.int16), marks


def seconds(samples: NDArray[np.int16]) -> float:
    """Of the sound without the silence at its ends."""
    loud = np.flatnonzero(np.abs(samples) > 200)
    return float(loud[-1] - loud[0]) / SAMPLE_RATE_HZ


def outline(samples: NDArray[np.int16]) -> NDArray[np.float64]:
    """Loudness in windows of 20 ms: equal for two runs of one text, whose samples are not."""
    windows = samples[: len(samples) // 480 * 480].reshape(-1, 480).astype(float)
    loudness: NDArray[np.float64] = np.sqrt((windows**2).mean(axis=1))
    return loudness


def assert_same_sound(one: NDArray[np.int16], other: NDArray[np.int16]) -> None:
    # The engine is not exact: over 120 runs of one text lengths were up to 10 ms apart, outlines correlated by 0.96 or more.
    assert abs(len(one) - len(other)) < 0.05 * SAMPLE_RATE_HZ
    count = min(len(outline(one)), len(outline(other)))
    assert np.corrcoef(outline(one)[:count], outline(other)[:count])[0, 1] > 0.9


def test_the_voices_begin_with_the_default() -> None:
    assert Espeak().voices[0] == "en-gb"
    assert len(set(VOICES)) == len(VOICES)


async def test_a_sentence_has_sound_and_an_end() -> None:
    samples, _ = await speak(SENTENCE)
    assert 2.5 < seconds(samples) < 6  # 12 words at 175 a minute
    assert np.abs(samples).max() > 3000
    assert not samples[-SAMPLE_RATE_HZ // 4 :].any(), "a pause after it"


async def test_a_tone_stays_where_it_was() -> None:
    """Resampled, and not merely played faster: speech has little above 10 kHz, and most of it below 4 kHz."""
    samples, _ = await speak(SENTENCE)
    power = np.abs(np.fft.rfft(samples.astype(float))) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE_HZ)
    assert power[hertz > 11_100].sum() < 1e-4 * power.sum()  # above what 22,050 Hz can hold
    assert power[hertz < 4_000].sum() > 0.8 * power.sum()


@pytest.mark.parametrize(("speed", "ratio"), [(0.5, 2), (2.0, 0.5), (0.1, 2), (9.0, 0.5)])
async def test_speed_scales_the_duration(speed: float, ratio: float) -> None:
    usual, _ = await speak(SENTENCE)
    changed, _ = await speak(SENTENCE, Voice("en-gb", speed))
    assert seconds(changed) / seconds(usual) == pytest.approx(ratio, rel=0.15)


@pytest.mark.parametrize(
    ("voice", "text", "words"),
    [
        ("en-gb", SENTENCE, SENTENCE.split()),
        ("en-gb", "Café naïve — “smart” 😀 done.", ["Café", "naïve", "smart", "😀", "done"]),
        ("de", "Größe, Straße und Übermut über allem.", ["Größe", "Straße", "und", "Übermut", "über", "allem"]),
        ("ru", "Привет, как дела? Всё хорошо.", ["Привет", "как", "дела", "Всё", "хорошо"]),
        ("cmn", "你好，世界。", ["你", "世", "界"]),
    ],
)
async def test_marks_are_where_the_words_begin(voice: str, text: str, words: list[str]) -> None:
    samples, marks = await speak(text, Voice(voice))
    offsets = [mark.offset for mark in marks]
    assert offsets == sorted(set(offsets))
    assert [mark.sample for mark in marks] == sorted(mark.sample for mark in marks)
    assert {text.index(word) for word in words} <= set(offsets)
    assert marks[0].sample == 0
    assert offsets[-1] == len(text), "the last mark is the end of the last word"
    assert not samples[marks[-1].sample :].any()


async def test_marks_are_when_the_words_begin() -> None:
    """The pause of a paragraph lies before the mark of the word after it."""
    samples, marks = await speak("One.\n\n\nTwo.")
    two = next(mark.sample for mark in marks if mark.offset == 7)
    assert not np.abs(samples[two - 2400 : two - 240]).max() > 200
    assert np.abs(samples[two : two + 4800]).max() > 3000


async def test_markup_is_spoken_and_not_obeyed() -> None:
    plain, _ = await speak("bold")
    for marked in ("<b>bold</b>", "<break time='9s'/>bold", "[[b@Uld]]"):
        samples, _ = await speak(marked)
        assert seconds(plain) + 0.2 < seconds(samples) < 8


@pytest.mark.parametrize("text", ["", "  ", "\n\t "])
async def test_blank_text_has_no_sound(text: str) -> None:
    samples, marks = await speak(text)
    assert not len(samples)
    assert not marks


async def test_text_with_odd_characters_is_spoken_to_its_end() -> None:
    with_zero, marks = await speak("one\0two\ud800 three")
    assert {0, 4} <= {mark.offset for mark in marks}
    assert seconds(with_zero) > 2 * seconds((await speak("one"))[0])


async def test_closing_stops_the_engine_in_mid_text() -> None:
    alone, marks = await speak(SENTENCE)
    async with asyncio.timeout(60):  # to its end, the long text takes many minutes
        for _ in range(3):
            long = Espeak().speak("word " * 3_000_000, VOICE)
            await anext(long)
            await long.aclose()
        after, marks_after = await speak(SENTENCE)
    assert_same_sound(alone, after)
    assert [mark.offset for mark in marks] == [mark.offset for mark in marks_after]


async def test_a_text_cancelled_while_it_waits_is_never_spoken() -> None:
    long = Espeak().speak("word " * 3_000_000, VOICE)
    await anext(long)
    waiting = [asyncio.ensure_future(speak("word " * 3_000_000)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await long.aclose()
    async with asyncio.timeout(60):
        assert len((await speak(SENTENCE))[0])


async def test_two_at_once_do_not_mix() -> None:
    texts = (SENTENCE, "Größe, Straße und Übermut über allem.", "One two three four five.")
    voices = (VOICE, Voice("de", 1.5), Voice("en-us", 0.7))
    alone = [await speak(text, voice) for text, voice in zip(texts, voices, strict=True)]
    together = await asyncio.gather(*(speak(text, voice) for text, voice in zip(texts, voices, strict=True)))
    for (one, one_marks), (other, other_marks) in zip(alone, together, strict=True):
        assert_same_sound(one, other)
        assert [mark.offset for mark in one_marks] == [mark.offset for mark in other_marks]


async def test_a_voice_is_understood_by_language_name_and_file() -> None:
    british, _ = await speak(SENTENCE, Voice("en-gb"))
    for name in ("English (Great Britain)", "gmw/en", "EN-GB"):
        assert_same_sound(british, (await speak(SENTENCE, Voice(name)))[0])
    american, _ = await speak("The bath water is hot.", Voice("en-us"))
    assert abs(len(american) - len((await speak("The bath water is hot."))[0])) > 500


@pytest.mark.parametrize("name", VOICES)
async def test_every_voice_put_forward_speaks(name: str) -> None:
    samples, _ = await speak("Hello 1 2 3", Voice(name))
    assert np.abs(samples).max() > 1000


@pytest.mark.parametrize("name", ["", "nobody", "en-gb+nobody", "en-gb+", "+f3", "../../etc/passwd"])
async def test_an_unknown_voice_is_a_failure_and_the_next_text_is_spoken(name: str) -> None:
    with pytest.raises(SpeechFailure, match="no voice called"):
        await speak(SENTENCE, Voice(name))
    assert len((await speak(SENTENCE))[0])


async def test_a_library_that_does_not_load_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: "/nowhere/libespeak-ng.so")
    _engine.cache_clear()
    try:
        for _ in range(2):
            with pytest.raises(SpeechFailure, match="could not be loaded"):
                await speak(SENTENCE)
    finally:
        monkeypatch.undo()
        _engine.cache_clear()


def test_data_that_is_missing_is_a_failure() -> None:
    """In a process of its own: a library that did not find its data cannot be used again."""
    script = (
        "import asyncio, espeakng_loader\n"
        "espeakng_loader.get_data_path = lambda: '/nowhere'\n"
        "from backend.speakers import Voice\n"
        "from backend.speakers.espeak import Espeak\n"
        "asyncio.run(anext(Espeak().speak('Hello', Voice('en-gb'))))\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert "SpeechFailure: The speech engine espeak-ng did not find its data." in ended.stderr


def test_a_loop_that_is_gone_does_not_stop_the_engine() -> None:
    async def begin() -> None:
        sound = Espeak().speak("word " * 3_000_000, VOICE)
        await anext(sound)

    asyncio.run(begin())
    gc.collect()

    async def again() -> None:
        async with asyncio.timeout(60):
            assert len((await speak(SENTENCE))[0])

    asyncio.run(again())
