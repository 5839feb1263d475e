"""One conversation in progress: who is speaking, the reply under way, and its interruption.

A session takes frames of sound, typed text and reports of what was played, and tells events. It knows nothing of pages,
sockets or Gradio. Everything that changes the conversation happens one after the other, in the order in which it was asked for.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from backend import events
from backend.ears import Ears
from backend.faults import trace
from backend.keeping import configuration_of, deliveries, records
from backend.models import Clip, DialogueModel, Message, ModelFailure, Options
from backend.record import Archive, Log
from backend.reply import Reply
from backend.speakers import SAMPLE_RATE_HZ as SPEECH_RATE_HZ
from backend.speakers import Speaker, Voice
from backend.turns import Confirmed, Decision, Dismissed, Ended, Onset, Rules
from backend.vad import SAMPLE_RATE_HZ, Vad
from conversations.dialogue import Dialogue
from conversations.store import StoreFailure
from conversations.turn import (
    Audio,
    Conversation,
    Interrupted,
    Judgement,
    Origin,
    PromptTurn,
    Record,
    Role,
    Status,
    Superseded,
    Turn,
    new_id,
)

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

State = Literal["ready", "hearing", "thinking", "speaking", "interrupted"]

REPORT_TIMEOUT_S = 0.5
"""How long the page may take to say how much it had played when a reply was cut."""

PLAYBACK_STALL_S = 5.0
"""A page that reports no progress for so long does not play."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the person at the page chose for this conversation."""

    system_prompt: str = ""
    voice: Voice = field(default_factory=lambda: Voice(""))
    speak: bool = True
    rules: Rules = field(default_factory=Rules)
    stall_ms: int = 1000


@dataclass(frozen=True, slots=True)
class Partners:
    """Who takes part beside the person, and what is shared by all sessions."""

    model: DialogueModel
    speaker: Speaker | None
    vad: Vad
    archive: Archive
    app_version: str


@dataclass(frozen=True, slots=True)
class Wish:
    """A reply is wanted, since the moment `at` (of the monotonic clock); `number` says whether it still is."""

    at: float
    number: int


class Session:
    """A conversation with one person. Make it with `Dialogue` of what is kept already, or an empty one."""

    def __init__(self, dialogue: Dialogue, partners: Partners, preferences: Preferences) -> None:
        self.dialogue = dialogue
        self.partners = partners
        self.preferences = preferences
        self.id = new_id()
        """Unlike the conversation's id, not the same after a restart of the server."""
        self.feed = events.Feed()
        self.reply: Reply | None = None
        self._log = Log(partners.archive, self._tell_of_log)
        self._ears = Ears(partners.vad, preferences.rules, preferences.stall_ms, self._follow, lambda: self.reply is not None)
        self._begun = bool(dialogue.turns)
        self._continues = False  # what is being said goes on from the user's last turn
        self._interrupted = False
        self._wishes = 0  # counts what makes a reply that was wanted before it out of date
        self._ducked = False
        self._drawing: events.Subscription | None = None
        self._replies = 0
        self._progress = asyncio.Event()
        self.attended = False
        """Whether somebody listens now; without, nothing can be played."""
        self.shown: dict[str, str] = {}
        """By user's turn, the reply that is looked at, where it is not the one on the path."""
        self._cut: Reply | None = None
        self._task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._in_order = asyncio.Lock()

    # What is told

    @property
    def conversation(self) -> str:
        return self.dialogue.conversation

    @property
    def state(self) -> State:
        # While a reply is under way a sound is no turn until it has proved itself, and then the reply is over.
        if self.reply is not None:
            return "speaking" if self.reply.audible or self.reply.complete else "thinking"
        if self._ears.hearing:
            return "hearing"
        return "interrupted" if self._interrupted else "ready"

    @property
    def problem(self) -> str:
        """While the conversation can't be kept, the sentence that says so."""
        return self._log.problem

    def user_turn_of(self, reply: str) -> str:
        """The user's turn that a reply answers, whether it is kept or still under way."""
        if self.reply is not None and self.reply.turn == reply:
            return self.reply.reply_to
        kept = self.dialogue.turns.get(reply)
        return (kept.reply_to if kept else None) or ""

    def followed_by(self, subscription: events.Subscription) -> None:
        """The page is drawn by this subscription from now on; the one before it ends."""
        if self._drawing is not None:
            self._drawing.put(events.Closed())
        self._drawing = subscription

    def subscribe(self) -> events.Subscription:
        return self.feed.subscribe()

    def _tell(self, event: events.Event) -> None:
        if isinstance(event, events.Spoke) and self._ears.hearing and not self._ducked:
            self._duck(event.reply)
        self.feed.tell(event)

    def _tell_of_log(self, text: str, failing: bool) -> None:
        self._tell(events.Notice(text, warning=failing))

    # What is heard

    async def hear(self, samples: NDArray[np.int16]) -> None:
        """Take int16 mono samples at 16 kHz, any number of them. Call it for one piece after the other."""
        await self._ears.hear(samples)

    def pause(self) -> None:
        """No more sound for now: the microphone was muted, released or closed."""
        self._ears.pause()

    def prefer(self, preferences: Preferences) -> None:
        """From now on, these; whether a button is held stays as it is."""
        self.preferences = preferences
        self._ears.follow(preferences.rules, preferences.stall_ms)

    def open_ears(self, *, hold: bool) -> None:
        """A microphone is open; `hold`: for push-to-talk."""
        self._spawn(self.partners.model.warm())
        self._ears.hold(hold)

    def _follow(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            match decision:
                case Onset(at=at):
                    self._interrupted = False
                    if self.reply is not None and self.reply.audible:
                        self._duck(self.reply.number)
                    self._tell(events.SpeechStarted(at, confirmed=False))
                case Dismissed():
                    self._restore()
                    self._tell(events.SpeechDismissed())
                case Confirmed():
                    self._recognise(decision)
                case Ended():
                    self._finish_hearing(decision)

    def _duck(self, reply: int) -> None:
        self._ducked = True
        self.feed.tell(events.Ducked(reply))

    def _restore(self) -> None:
        if self._ducked and self.reply is not None:
            self._tell(events.Restored(self.reply.number))
        self._ducked = False

    def _recognise(self, confirmed: Confirmed) -> None:
        """Somebody is really speaking: the reply under way gives way, or was begun too early."""
        self._continues = confirmed.continues
        if confirmed.continues and (turn := self.dialogue.last_user_turn()) is not None:
            self._tell(events.TurnContinued(turn))
        self._stop_reply()
        self._tell(events.SpeechStarted(confirmed.start, confirmed=True))

    def _finish_hearing(self, ended: Ended) -> None:
        samples = self._ears.take(ended)
        silence_ms = (ended.at - ended.speech_end) * 1000 // SAMPLE_RATE_HZ
        self._tell(events.SpeechStopped(silence_ms))
        self._do(self._take_spoken(samples, silence_ms, self._continues, self._wish()))

    # What is done, in order

    def say(self, text: str) -> asyncio.Task[None]:
        """A typed turn. Raises `ValueError` for one without text."""
        if not text.strip():
            raise ValueError("There is nothing to send.")
        self._close_turn()
        self._stop_reply()
        return self._do(self._take_typed(text.strip(), self._wish()))

    def interrupt(self) -> None:
        """Stop the reply under way, or the one that is about to begin."""
        if self._stop_reply():
            self._interrupted = True
        self._close_turn()

    def try_again(self, turn: str) -> asyncio.Task[None]:
        """Make another reply to the history of this one. Raises `ValueError` where that can't be."""
        if turn not in self.dialogue.prompts or self.dialogue.turns[turn].status is Status.SUPERSEDED:
            raise ValueError("This reply can't be made again: it is not one of this conversation.")
        self._close_turn()
        self._stop_reply()
        return self._do(self._take_again(turn, self._wish()))

    def choose(self, turn: str) -> asyncio.Task[None]:
        """Show this candidate; where it answers the last turn, the conversation goes on from it."""
        if turn not in self.dialogue.turns or self.dialogue.turns[turn].reply_to is None:
            raise ValueError("There is no such reply in this conversation.")
        return self._do(self._take_choice(turn))

    def judge(self, judgement: Judgement) -> asyncio.Task[bool]:
        """Keep what an annotator thinks of a reply or of two. True once it is on disk; else that is told."""
        return self._do(self._take_judgement(judgement))

    def played(self, number: int, samples: int, *, ended: bool) -> None:
        """The page has played so many samples of a reply; `ended`: and will play no more of it."""
        reply = self._by_number(number)
        if reply is None:
            return
        reply.played = min(max(reply.played, samples), reply.made)
        if reply.first_sound_at is None and samples > 0:
            reply.first_sound_at = time.monotonic()
            self._tell(events.Played(reply.turn, reply.first_sound_ms or 0.0))
        if ended:
            reply.playback_ended.set()
        self._progress.set()

    def cannot_play(self, number: int) -> None:
        """The page has no way to play this reply: it is read, and stays whole."""
        reply = self._by_number(number)
        if reply is not None:
            reply.speech_failure = "The page could not play it."
            reply.playback_ended.set()
            self._progress.set()

    async def close(self) -> None:
        """End the session: a reply under way is kept as interrupted, a turn in the middle as far as it got."""
        self.pause()
        await self.settled()
        self._stop_reply()
        await self.settled()
        await self._log.settle()
        self._tell(events.Closed())

    async def settled(self) -> None:
        """Wait until everything that was asked for is done, a reply under way apart."""
        while others := [task for task in self._tasks if task is not self._task]:
            await asyncio.wait(others)

    async def idle(self) -> None:
        """Wait until nothing is under way: no reply, nothing to be kept."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _wish(self) -> Wish:
        return Wish(time.monotonic(), self._wishes)

    def _close_turn(self) -> None:
        """Something else is said or asked for: what is being said does not continue the turn before it."""
        self._ears.close_turn()
        self._continues = False

    def _do(self, work: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
        async def in_order() -> Answer:
            async with self._in_order:
                return await work

        return self._spawn(in_order())

    def _spawn(self, work: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # A fault of ours. The log names it without the conversation's content; the person gets a sentence.
            log.error("a session's task failed:\n%s", trace(error))
            self._tell(events.Notice("Something went wrong inside the app; the log has the details.", warning=True))

    # The steps, each with the conversation to itself

    async def _take_spoken(self, samples: NDArray[np.int16], silence_ms: int, continues: bool, wish: Wish) -> None:
        audio = await self._log.keep_sound(samples, SAMPLE_RATE_HZ)
        turn = Turn(new_id(), self.conversation, Role.USER, audio=audio, timings={"silence_ms": silence_ms})
        await self._enter(turn, self.dialogue.last_user_turn() if continues else None)
        self._answer(turn.id, self.dialogue.history(), wish, silence_ms)

    async def _take_typed(self, text: str, wish: Wish) -> None:
        turn = Turn(new_id(), self.conversation, Role.USER, text, origin=Origin.TYPED)
        await self._enter(turn)
        self._answer(turn.id, self.dialogue.history(), wish)

    async def _enter(self, turn: Turn, continued: str | None = None) -> None:
        """Put a user's turn on the path, in place of the one that it continues, and on disk, before anything answers it."""
        await self._halt_and_bury()
        new: list[Record] = [turn]
        if continued is None:
            new += self.dialogue.step(turn.id)
        else:
            earlier = self.dialogue.exchange(continued)
            new += [Superseded(old.id, turn.id) for old in (earlier.user, *earlier.replies)]
            new += self.dialogue.fork(self.dialogue.path.index(continued), turn.id)
        await self._keep(*new)
        self._tell(events.TurnKept(turn))

    async def _take_again(self, turn: str, wish: Wish) -> None:
        await self._halt_and_bury()
        prompt = self.dialogue.prompts[turn]
        user_turn = prompt.history[-1].turn
        self._answer(user_turn, prompt.history, wish, instead_of=turn)

    async def _take_choice(self, turn: str) -> None:
        user_turn = self.dialogue.turns[turn].reply_to or ""
        self.shown[user_turn] = turn
        if self.dialogue.is_last(user_turn) and turn not in self.dialogue.path:
            await self._keep(*self.dialogue.fork(self.dialogue.path.index(user_turn) + 1, turn))
        self._tell(events.Changed(user_turn))

    async def _take_judgement(self, judgement: Judgement) -> bool:
        kept = await self._keep(judgement)
        if not kept:
            self._tell(events.Notice("Your verdict could not be kept yet; it will be tried again.", warning=True))
        self._tell(events.Changed(self._judged_exchange(judgement)))
        return kept

    def _judged_exchange(self, judgement: Judgement) -> str:
        if judgement.comparison is not None:
            return self.dialogue.comparisons[judgement.comparison].reply_to
        return self.user_turn_of(judgement.turn or "")

    # The reply

    def _answer(
        self,
        user_turn: str,
        history: tuple[PromptTurn, ...],
        wish: Wish,
        silence_ms: int | None = None,
        instead_of: str | None = None,
    ) -> None:
        if wish.number != self._wishes:
            return  # while the turn was being kept, the person went on, or did not want the reply any more
        preferences = self.preferences
        voice = preferences.voice if preferences.speak and self.partners.speaker is not None else None
        ordinary = Origin.SPOKEN if voice else Origin.TYPED
        self._replies += 1
        reply = Reply(
            number=self._replies,
            turn=new_id(),
            reply_to=user_turn,
            origin=Origin.REGENERATED if instead_of else ordinary,
            history=history,
            options=Options(preferences.system_prompt, self._seed(user_turn), self.conversation),
            voice=voice,
            over_at=wish.at,
            silence_ms=silence_ms,
            instead_of=instead_of,
        )
        self.reply = reply
        self._interrupted = False
        self._tell(events.ReplyStarted(reply.number, reply.turn, user_turn))
        self._task = self._spawn(self._conduct(reply))

    def _seed(self, user_turn: str) -> int:
        """By chance; for another reply to the same turn, one more than the last."""
        earlier = [reply.seed for reply in self.dialogue.exchange(user_turn).replies if reply.seed is not None]
        return earlier[-1] + 1 if earlier else random.SystemRandom().getrandbits(31)

    async def _conduct(self, reply: Reply) -> None:
        messages = [self._message(turn) for turn in reply.history]
        try:
            await reply.make(self.partners.model, messages, self.partners.speaker, self._tell)
        except Exception as error:
            # A fault of ours must not leave the conversation stuck: the turn is kept as failed, and says so.
            log.error("a reply failed:\n%s", trace(error))
            reply.failure = "Something went wrong inside the app; the log has the details."
            reply.complete = True
            self._tell(events.SpeechMade(reply.number, reply.made))
        # What follows is shielded: an interruption at this point must not leave half of it undone.
        await asyncio.shield(self._do(self._keep_reply(reply)))
        await self._play_out(reply)
        await asyncio.shield(self._do(self._keep_delivery(reply)))

    def _message(self, turn: PromptTurn) -> Message:
        clip = None if turn.audio is None else self._clip(turn.audio)
        transcript = self.dialogue.transcripts.get(turn.turn)
        return Message(turn.role, turn.text, clip, turn.cut_off, transcript.text if transcript else "")

    def _clip(self, audio: Audio) -> Clip:
        async def load() -> NDArray[np.int16]:
            try:
                return await self._log.samples(audio.sha256)
            except (KeyError, StoreFailure) as problem:
                raise ModelFailure("A recording of this conversation can't be read, so it can't be answered.") from problem

        return Clip(audio, load)

    async def _play_out(self, reply: Reply) -> None:
        """Wait until the page has played all of it, or plays no more."""
        while reply.audible:
            self._progress.clear()
            try:
                async with asyncio.timeout(PLAYBACK_STALL_S):
                    await self._progress.wait()
            except TimeoutError:
                if self.attended:
                    self._tell(events.Notice("The reply could not be played here; it is shown as text.", warning=True))
                    # Else it might be played later, when nobody's voice could stop it any more.
                    self._tell(events.Interrupted(reply.number, reply.turn))
                    return

    def _halt(self) -> tuple[Reply, asyncio.Task[None]] | None:
        """Cut the reply under way, at once: its task is cancelled, its sound stopped. What it reached is yet to be kept."""
        reply, task = self.reply, self._task
        if reply is None or task is None:
            return None
        self.reply = self._task = None
        self._ducked = False
        task.cancel()
        self._tell(events.Interrupted(reply.number, reply.turn))
        self._cut = reply
        return reply, task

    def _stop_reply(self) -> bool:
        self._wishes += 1
        halted = self._halt()
        if halted is not None:
            self._do(self._bury(*halted))
        return halted is not None

    async def _halt_and_bury(self) -> None:
        halted = self._halt()
        if halted is not None:
            await self._bury(*halted)

    async def _bury(self, reply: Reply, task: asyncio.Task[None]) -> None:
        """Keep a reply that was cut, with what was heard of it."""
        await asyncio.wait([task])
        if reply.audible and self.attended:
            await self._hear_how_far(reply)
        if reply.turn not in self.dialogue.turns:
            await self._keep_whole(reply, Status.INTERRUPTED, *deliveries(reply))
        else:
            cut = [Interrupted(reply.turn)] if reply.played < reply.made else []
            await self._keep(*cut, *deliveries(reply))
        self._tell(events.Finished(self.dialogue.turns[reply.turn]))

    async def _hear_how_far(self, reply: Reply) -> None:
        try:
            async with asyncio.timeout(REPORT_TIMEOUT_S):
                await reply.playback_ended.wait()
        except TimeoutError:
            log.warning("the page did not say how much of a reply it had played")

    async def _keep_reply(self, reply: Reply) -> None:
        if reply.turn in self.dialogue.turns:
            return  # it was cut, and kept so
        await self._keep_whole(reply, Status.FAILED if reply.failure else Status.FINISHED)
        if reply.failure:
            self._tell(events.Failed(reply.turn, reply.failure))
        self._tell(events.Finished(self.dialogue.turns[reply.turn]))

    async def _keep_whole(self, reply: Reply, status: Status, *more: Record) -> None:
        """Keep a reply in the state that it reached, and show it; `more` with it, or not at all."""
        if reply.made:
            reply.audio = await self._log.keep_sound(np.frombuffer(bytes(reply.pcm), np.int16), SPEECH_RATE_HZ)
        configuration = configuration_of(reply, self.partners.model, self.partners.app_version)
        await self._keep(*records(reply, status, configuration, self.dialogue), *more)
        if reply.turn in self.dialogue.path:
            self.shown.pop(reply.reply_to, None)
        else:
            self.shown[reply.reply_to] = reply.turn

    async def _keep_delivery(self, reply: Reply) -> None:
        if self.reply is not reply:
            return  # it was cut meanwhile, which keeps the delivery too
        self._restore()
        self.reply = self._task = None
        await self._keep(*deliveries(reply))
        self._tell(events.Changed(reply.reply_to))

    async def _keep(self, *new: Record) -> bool:
        """Keep records and apply them to the dialogue: first on disk, then in what is shown and sent."""
        if not self._begun:
            self._begun = True
            new = (Conversation(self.conversation), *new)
        kept = await self._log.keep(*new)
        self.dialogue.apply(*new)
        return kept

    def _by_number(self, number: int) -> Reply | None:
        """The reply with this number, if its playback still matters: the one under way, or the one that was just cut."""
        return next((reply for reply in (self.reply, self._cut) if reply is not None and reply.number == number), None)
