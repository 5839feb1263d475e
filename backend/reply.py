"""One reply in the making: the model's words as they come, and the sound of its sentences.

Knows a model and a speaker, and whom to tell; nothing of turn taking, of the store, or of who else is in the conversation.
Cancelling `make` stops the model and the engine; what was reached by then stands in the reply's fields.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from backend import events, models
from backend.models import DialogueModel, Message, ModelFailure, Options
from backend.sentences import Sentence, Splitter, SpokenSentence, heard_text, speakable
from backend.speakers import Mark, Speaker, SpeechFailure, Voice
from conversations.turn import Audio, Origin, PromptTurn

Tell = Callable[[events.Event], None]


@dataclass(slots=True)
class Reply:
    """What is known of a reply under way. Times are seconds of the monotonic clock; positions are samples at 24 kHz."""

    number: int
    turn: str
    reply_to: str
    origin: Origin
    history: tuple[PromptTurn, ...]
    options: Options
    voice: Voice | None
    """The voice that it is to be spoken with; None: it is shown as text only."""
    over_at: float
    """When the user's turn was known to be over."""
    silence_ms: int | None = None
    """The silence that was waited for before that; None for a typed turn."""

    instead_of: str | None = None
    """The reply that it was asked for in place of."""

    text: str = ""
    reasoning: str = ""
    transcript: str = ""
    """What the model heard in the user's turn, where it says so."""
    model: str = ""
    finish_reason: str = ""
    usage: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    failure: str = ""
    speech_failure: str = ""

    pcm: bytearray = field(default_factory=bytearray)
    spoken: list[SpokenSentence] = field(default_factory=list)
    audio: Audio | None = None
    complete: bool = False
    """The model is done, and all sound was made."""

    played: int = 0
    first_thought_at: float | None = None
    first_word_at: float | None = None
    first_sound_at: float | None = None
    playback_ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def made(self) -> int:
        """Samples made so far."""
        return len(self.pcm) // 2

    @property
    def audible(self) -> bool:
        """Whether there is sound that the person may be hearing now."""
        return self.made > 0 and not self.playback_ended.is_set()

    @property
    def text_heard(self) -> str:
        return heard_text(self.text, self.spoken, self.played)

    @property
    def timings(self) -> dict[str, float]:
        """Milliseconds: the silence waited, then from the end of the turn to the first word, and what of it was reasoning."""
        timings: dict[str, float] = {} if self.silence_ms is None else {"silence_ms": self.silence_ms}
        if self.first_word_at is not None:
            timings["first_word_ms"] = _ms(self.first_word_at - self.over_at)
            if self.first_thought_at is not None:
                timings["thinking_ms"] = _ms(self.first_word_at - self.first_thought_at)
        if self.first_sound_ms is not None:
            timings["first_sound_ms"] = self.first_sound_ms
        return timings

    @property
    def first_sound_ms(self) -> float | None:
        """From the end of the turn to the first sample played."""
        return None if self.first_sound_at is None else _ms(self.first_sound_at - self.over_at)

    async def make(
        self,
        model: DialogueModel,
        messages: Sequence[Message],
        speaker: Speaker | None,
        tell: Tell,
    ) -> None:
        """Ask the model, and speak its sentences as they are complete. A failure of either is left in the fields."""
        sentences: asyncio.Queue[Sentence | None] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._speak(sentences, speaker, tell))
            await self._ask(model, messages, sentences, tell)
        self.complete = True
        tell(events.SpeechMade(self.number, self.made))

    async def _ask(
        self,
        model: DialogueModel,
        messages: Sequence[Message],
        sentences: asyncio.Queue[Sentence | None],
        tell: Tell,
    ) -> None:
        splitter = Splitter()
        try:
            async with aclosing(model.reply(messages, self.options)) as pieces:
                async for piece in pieces:
                    for sentence in self._take(piece, splitter, tell):
                        sentences.put_nowait(sentence)
            if not self.text.strip():
                raise ModelFailure("The model ended without saying anything.")
        except ModelFailure as failure:
            self.failure = str(failure)
        for sentence in splitter.flush():
            sentences.put_nowait(sentence)
        sentences.put_nowait(None)

    def _take(self, piece: models.Piece, splitter: Splitter, tell: Tell) -> Sequence[Sentence]:
        match piece:
            case models.Thought(text):
                self.first_thought_at = self.first_thought_at or time.monotonic()
                self.reasoning += text
                tell(events.Thought(self.turn, text))
            case models.Said(text):
                self.first_word_at = self.first_word_at or time.monotonic()
                self.text += text
                tell(events.Said(self.turn, text))
                return splitter.feed(text)
            case models.Transcribed(text):
                self.transcript = text
                tell(events.Transcribed(self.reply_to, text))
            case models.Done():
                self.model, self.finish_reason = piece.model, piece.finish_reason
                self.usage, self.notes = piece.usage, piece.notes
        return ()

    async def _speak(self, sentences: asyncio.Queue[Sentence | None], speaker: Speaker | None, tell: Tell) -> None:
        while (sentence := await sentences.get()) is not None:
            if speaker is None or self.voice is None or self.speech_failure or not (text := speakable(sentence.text)):
                continue
            try:
                await self._speak_one(sentence, text, speaker, self.voice, tell)
            except SpeechFailure as failure:
                self.speech_failure = str(failure)
                tell(events.Notice(f"{failure} The reply is shown as text.", warning=True))

    async def _speak_one(self, sentence: Sentence, text: str, speaker: Speaker, voice: Voice, tell: Tell) -> None:
        first_sample, marks = self.made, tuple[Mark, ...]()
        index = len(self.spoken)
        async with aclosing(speaker.speak(text, voice)) as sounds:
            async for sound in sounds:
                self.pcm += sound.pcm
                marks += sound.marks
                # Kept up to date while the sentence is being made, so that a cut in its middle knows what was heard.
                self.spoken[index:] = [SpokenSentence(sentence, first_sample, self.made - first_sample, marks)]
                tell(events.Spoke(self.number, sound.pcm))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
