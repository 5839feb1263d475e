"""The rehearsal partner: a dialogue model without a server or a download, for trying the app out.

PocketSphinx hears English, numpy measures the voice, and a table of rules answers. Nothing is remembered from reply to reply
but what was heard and measured in a clip, by its hash: the rest is read off the history each time. It is not Step-Audio, and
says so when asked.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from backend.models import Done, Message, ModelFailure, Options, Piece, Said, Thought, Transcribed
from backend.models.hearing import Hearing, HearingFailure
from backend.models.measure import Voice, measure
from backend.models.rules import Answer, answer
from backend.models.scene import Line, Scene
from backend.models.voice_words import against, figures, joined
from conversations.turn import Role

MODEL = "colloquy-rehearsal-partner"

_MOST_REMEMBERED = 1024
_LISTENED_AGAIN_S = 30.0
"""How much of earlier speech is listened to when its words are not remembered (after a restart): hearing takes about a quarter
of the time that the speech took, and somebody is waiting."""


class RehearsalPartner:
    """`pace_s` is waited between two pieces, so that a person sees them come. Closing a reply stops it at once; a clip that is
    being heard then is still finished in its process (see `Hearing`), and one that is being measured in its thread."""

    name = "offline"
    offline = True

    def __init__(
        self,
        *,
        hearing: Hearing | None = None,
        pace_s: float = 0.015,
        clock: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._hearing = hearing or Hearing()
        self._pace_s = pace_s
        self._clock = clock
        self._voices: dict[str, Voice] = {}

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"rules": 1}

    async def reply(self, history: Sequence[Message], options: Options) -> AsyncGenerator[Piece, None]:
        """Answer the last message, a user's: what was heard in it, then the reasoning, then the reply.

        A message with a clip and a transcript is only measured.
        """
        if not history or history[-1].role is not Role.USER:
            raise ModelFailure("There is nothing to answer yet.")
        lines, notes = await self._listen(history)
        if history[-1].clip and lines[-1].words:
            yield Transcribed(lines[-1].words)
        scene = Scene(lines, self._clock(), options.system_prompt, options.seed)
        answered = answer(scene)
        for text in _pieces(self._reasoning(history[-1], scene, answered), words=4):
            yield Thought(text)
            await asyncio.sleep(self._pace_s)
        for text in _pieces(answered.text, words=1):
            yield Said(text)
            await asyncio.sleep(self._pace_s)
        yield Done(model=MODEL, notes=tuple(notes))

    async def warm(self) -> None:
        """Start the recogniser (half a second, and about 110 MB in a process of its own) before it is needed."""
        with suppress(HearingFailure):  # the reply that needs it tries again, and says what went wrong
            await self._hearing.warm()

    async def ready(self) -> str:
        return ""

    async def aclose(self) -> None:
        await self._hearing.aclose()

    async def _listen(self, history: Sequence[Message]) -> tuple[list[Line], list[str]]:
        """The history in words and voices, and what is to be noted about it. The newest turns are heard first."""
        lines, notes, listened_s, passed_over = [], [], 0.0, 0
        for message in reversed(history):
            new = self._is_new(message)
            hear = new and listened_s < _LISTENED_AGAIN_S
            passed_over += new and not hear
            listened_s += message.clip.audio.seconds if new and message.clip else 0
            try:
                line = await self._line(message, hear)
            except HearingFailure as failure:
                notes.append(f"{failure} The voice was only measured.")
                listened_s = math.inf
                line = await self._line(message, hear=False)
            lines.append(line)
        if passed_over:
            notes.append(f"Earlier spoken turns that were measured but not listened to again: {passed_over}.")
        return lines[::-1], notes

    def _is_new(self, message: Message) -> bool:
        """Whether its words would have to be heard."""
        return message.clip is not None and not message.transcript and self._hearing.recall(message.clip.audio.sha256) is None

    async def _line(self, message: Message, hear: bool) -> Line:
        clip = message.clip
        if clip is None:
            return Line(message.role, message.text, cut_off=message.cut_off)
        sha256 = clip.audio.sha256
        voice = self._voices.get(sha256)
        if voice is None or hear:
            samples = await clip.load()
            voice = await asyncio.to_thread(measure, samples)
            self._remember(sha256, voice)
            if hear and voice.seconds:
                await self._hearing.hear(sha256, samples)
        heard = self._hearing.recall(sha256)
        return Line(message.role, message.transcript or (heard.words if heard and heard.understood else ""), voice)

    def _remember(self, sha256: str, voice: Voice) -> None:
        self._voices[sha256] = voice
        if len(self._voices) > _MOST_REMEMBERED:
            del self._voices[next(iter(self._voices))]

    def _reasoning(self, last: Message, scene: Scene, answered: Answer) -> str:
        """What was heard and measured, what is kept in mind, and which rule applies; a sentence each."""
        words = scene.lines[-1].words
        sentences = [*self._measured(last, scene)] if last.clip else [f"The turn was typed: “{words}”."]
        if scene.corrected:
            sentences.append(f"It corrects the turn before, so I read: “{scene.words}”.")
        if scene.facts:
            sentences.append(f"I was told that {joined([fact.sentence for fact in scene.facts.values()])}.")
        if scene.sentences:
            sentences.append(f"The answer may have {scene.sentences} sentence{'s' if scene.sentences > 1 else ''}.")
        return " ".join([*sentences, answered.because])

    def _measured(self, last: Message, scene: Scene) -> Iterator[str]:
        voice, earlier = [*scene.voices, None][:2]
        if voice is None or not voice.seconds:
            yield "The sound holds nothing that I can take for speech."
            return
        yield f"The turn was spoken: {figures(voice)}{against(voice, earlier)}."
        heard = last.clip and self._hearing.recall(last.clip.audio.sha256)
        if words := scene.lines[-1].words:
            yield f"The words are “{words}”."
        elif heard and heard.words:
            yield f"The recogniser's words fit the sound badly ({heard.fit:.1f} a frame), so I do not trust them.".replace(
                "-", "−"
            )
        else:
            yield "The recogniser found no words."


def _pieces(text: str, words: int) -> list[str]:
    """The text cut into pieces of so many words, each with the space that follows it."""
    return re.findall(rf"(?:\S+\s*){{1,{words}}}", text)
