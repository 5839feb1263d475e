"""Speech by espeak-ng: small, quick, robotic, in many languages, and without downloads.

The library and its data come with the package `espeakng-loader`; it is called by ctypes, after its header `speak_lib.h`. The
library keeps its state in globals, so one process has one engine: a thread of its own that says one text after the other,
whoever asks. A text whose iterator was closed is dropped at the engine's next callback, every 60 ms of sound; the engine makes
sound about a thousand times faster than it is heard, so nobody waits long.

Two runs of one text are not equal sample for sample: the engine carries a little noise from one text into the next.
Knows nothing of sentences (what it is given is said as a whole) or of who listens.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from functools import cache
from queue import SimpleQueue
from typing import Any, NoReturn

import espeakng_loader
import numpy as np
import soxr

from backend.speakers import SAMPLE_RATE_HZ, Mark, Sound, SpeechFailure, Voice

VOICES = (
    *("en-gb", "en-us", "en-gb+f3", "en-us+f3", "en-gb-scotland", "en-gb-x-rp"),
    *("cmn", "yue", "ja", "ko", "vi", "id", "hi", "ar", "tr", "ru", "uk", "pl", "cs", "el", "hu", "fi"),
    *("de", "nl", "sv", "da", "nb", "fr-fr", "es", "es-419", "it", "pt", "pt-br", "ro"),
)
"""The voices put forward. Any other that espeak-ng lists is understood as well, by its language ("en-gb"), its name
("English (Great Britain)") or its file ("gmw/en"), and so is one with a variant ("en-gb+f3")."""

_WORDS_PER_MINUTE = 175  # the engine's own pace
_PAUSE_SAMPLES = 3 * SAMPLE_RATE_HZ // 10
"""Silence after a text, as long as the engine's own between two sentences: it has none after the last."""

# Out of speak_lib.h
_SYNCHRONOUS = 2  # the callback runs inside espeak_Synth
_DONT_EXIT = 0x8000  # data that is missing is an error code, not the end of the process
_RATE = 1
_UTF8 = 1  # and by leaving out the rest: no SSML, no [[phonemes]]
_BY_CHARACTER = 1
_LIST_ENDS, _WORD = 0, 1


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


class _Listed(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),  # a byte of priority and a string, again and again, then a zero byte
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Espeak:
    """A `Speaker`. All of a process share one engine, so that any number may speak at once."""

    def __init__(self) -> None:
        self._engine = _engine()

    @property
    def voices(self) -> Sequence[str]:
        return VOICES

    async def speak(self, text: str, voice: Voice) -> AsyncGenerator[Sound, None]:
        """Speak `text` as it stands, markup included; `voice.speed` is clamped to 0.5–2.

        Yields sound as the engine makes it, with a mark per word and one at the end of the last, and then a short pause.
        Nothing is yielded for blank text. Raises `SpeechFailure` for an unknown voice and a broken installation.
        """
        if not text.strip():
            return
        utterance = _Utterance(text, voice)
        self._engine.say(utterance)
        try:
            while (made := await utterance.made.get()) is not None:
                if isinstance(made, Exception):
                    raise made
                yield made
        finally:
            utterance.dropped = True

    async def aclose(self) -> None:
        """Nothing to close: the engine is the process's."""


class _Utterance:
    """One text on its way: made in the engine's thread, awaited in the loop of the one who asked."""

    def __init__(self, text: str, voice: Voice) -> None:
        self.text = text
        self.voice = voice
        self.made: asyncio.Queue[Sound | Exception | None] = asyncio.Queue()
        self.dropped = False
        self._loop = asyncio.get_running_loop()

    def give(self, made: Sound | Exception | None) -> None:
        """From the engine's thread: sound, a failure, or None for the end."""
        try:
            self._loop.call_soon_threadsafe(self.made.put_nowait, made)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self.dropped = True


class _Resampled:
    """The engine's sound and words at our rate, put together into `Sound`s."""

    def __init__(self, rate_hz: int, characters: int) -> None:
        self._rate_hz = rate_hz
        self._characters = characters
        self._stream = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="int16")
        self._samples_in = 0
        self._samples_out = 0
        self._marks: list[Mark] = []
        self._offset = -1

    def word(self, sample: int, offset: int) -> None:
        """The engine says a word. A number is many words at one place in the text: the first of them counts."""
        if offset > self._offset:
            self._offset = offset
            self._marks.append(Mark(round(sample * SAMPLE_RATE_HZ / self._rate_hz), offset))

    def add(self, pcm: bytes) -> Sound | None:
        """None while the resampler holds everything back."""
        self._samples_in += len(pcm) // 2
        return self._sound(self._stream.resample_chunk(np.frombuffer(pcm, np.int16)).tobytes())

    def end(self) -> Sound | None:
        """What was held back, and the pause."""
        self.word(self._samples_in, self._characters)
        rest = self._stream.resample_chunk(np.empty(0, np.int16), last=True).tobytes()
        return self._sound(rest + bytes(2 * _PAUSE_SAMPLES))

    def _sound(self, pcm: bytes) -> Sound | None:
        """With the marks that it reaches: the resampler is some milliseconds behind the words."""
        if not pcm:
            return None
        self._samples_out += len(pcm) // 2
        reached = tuple(mark for mark in self._marks if mark.sample <= self._samples_out)
        del self._marks[: len(reached)]
        return Sound(pcm, reached)


class _Engine:
    """The thread, and the texts that wait for it."""

    def __init__(self, library: str, data: str) -> None:
        self._library = library
        self._data = data
        self._waiting: SimpleQueue[_Utterance] = SimpleQueue()
        threading.Thread(target=self._run, name="espeak", daemon=True).start()

    def say(self, utterance: _Utterance) -> None:
        self._waiting.put(utterance)

    def _run(self) -> None:
        try:
            synthesizer = _Synthesizer(self._library, self._data)
        except SpeechFailure as failure:
            self._refuse(str(failure))
        while True:
            utterance = self._waiting.get()
            try:
                synthesizer.say(utterance)
            except Exception as failure:  # raised again where the sound is awaited
                utterance.give(failure)
            else:
                utterance.give(None)

    def _refuse(self, why: str) -> NoReturn:
        while True:
            self._waiting.get().give(SpeechFailure(why))


@cache
def _engine() -> _Engine:
    return _Engine(espeakng_loader.get_library_path(), str(espeakng_loader.get_data_path()))


class _Synthesizer:
    """The library itself. Only ever used in one thread."""

    def __init__(self, library: str, data: str) -> None:
        try:
            self._lib = ctypes.CDLL(library)
        except OSError as error:
            raise SpeechFailure("The speech engine espeak-ng could not be loaded on this machine.") from error
        self._rate_hz = self._lib.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DONT_EXIT)
        if self._rate_hz <= 0:
            raise SpeechFailure("The speech engine espeak-ng did not find its data.")
        self._lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Listed))
        self._files = self._files_by_name()
        self._variants = {_stem(listed.identifier) for listed in self._listed(b"variant")}
        self._callback = _Callback(self._take)  # kept, since the library does not
        self._lib.espeak_SetSynthCallback(self._callback)
        self._utterance: _Utterance | None = None
        self._sound: _Resampled | None = None

    def say(self, utterance: _Utterance) -> None:
        """Give the utterance its sound. Raises `SpeechFailure`."""
        if utterance.dropped:
            return
        self._choose(utterance.voice)
        text = utterance.text.replace("\0", " ").encode(errors="replace")  # "replace" keeps the count of characters
        self._utterance, self._sound = utterance, _Resampled(self._rate_hz, len(utterance.text))
        size = ctypes.c_size_t(len(text) + 1)
        status = self._lib.espeak_Synth(text, size, 0, _BY_CHARACTER, 0, _UTF8, None, None)
        sound, self._utterance, self._sound = self._sound, None, None
        if status:
            raise SpeechFailure("The speech engine espeak-ng could not speak this text.")
        if not utterance.dropped:
            utterance.give(sound.end())

    def _take(self, samples: Any, count: int, events: Any) -> int:
        """The engine's callback: 60 ms of sound, and what begins in it. 1 stops the engine."""
        utterance, sound = self._utterance, self._sound
        assert utterance is not None
        assert sound is not None
        for event in _until_end(events):
            if event.type == _WORD:
                sound.word(event.sample, event.text_position - 1)
        if count and not utterance.dropped and (made := sound.add(ctypes.string_at(samples, 2 * count))):
            utterance.give(made)
        return int(utterance.dropped)

    def _choose(self, voice: Voice) -> None:
        name, plus, variant = voice.name.strip().partition("+")
        file = self._files.get(name.lower())
        if file is None or (plus and variant not in self._variants):
            raise SpeechFailure(f"espeak-ng has no voice called “{voice.name}”.")
        if self._lib.espeak_SetVoiceByName(f"{file}{plus}{variant}".encode()):
            raise SpeechFailure(f"espeak-ng could not load its voice “{voice.name}”.")
        speed = min(max(voice.speed, 0.5), 2.0)
        self._lib.espeak_SetParameter(_RATE, round(_WORDS_PER_MINUTE * speed), 0)

    def _files_by_name(self) -> dict[str, str]:
        """Each voice by its file, its name and its languages. A voice's first language goes before another's second."""
        files: dict[str, str] = {}
        lesser: list[tuple[str, str]] = []
        for listed in self._listed():
            file = listed.identifier.decode()
            languages = list(_languages(listed))
            for name in (file, _stem(listed.identifier), listed.name.decode(), *languages[:1]):
                files.setdefault(name.strip().lower(), file)
            lesser.extend((language.lower(), file) for language in languages[1:])
        for language, file in lesser:
            files.setdefault(language, file)
        return files

    def _listed(self, kind: bytes = b"") -> Iterator[_Listed]:
        """The voices, or with a kind (such as "variant") what the engine lists beside them."""
        wanted = ctypes.cast(ctypes.c_char_p(kind), ctypes.c_void_p)
        listed = self._lib.espeak_ListVoices(ctypes.byref(_Listed(languages=wanted)) if kind else None)
        index = 0
        while listed[index]:
            yield listed[index].contents
            index += 1


def _until_end(events: Any) -> Iterator[_Event]:
    index = 0
    while events[index].type != _LIST_ENDS:
        yield events[index]
        index += 1


def _languages(listed: _Listed) -> Iterator[str]:
    at = listed.languages
    while ctypes.string_at(at, 1) != b"\0":
        language = ctypes.string_at(at + 1)
        yield language.decode()
        at += len(language) + 2


def _stem(identifier: bytes) -> str:
    return identifier.decode().rpartition("/")[2]
