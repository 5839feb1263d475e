"""The session with scripted partners and a store in memory: who speaks when, what is kept, what the model is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

from backend import events
from backend.models import Done, Said, Thought
from backend.record import Archive
from backend.session import Partners, Preferences, Session
from backend.turns import Rules
from conversations.dialogue import Dialogue
from conversations.store import Store, StoreFailure
from conversations.turn import Delivery, Form, Judgement, Prompt, Record, Role, Status, new_id
from tests.fakes.partners import (
    SAMPLES_A_CHARACTER,
    Listener,
    LoudnessVad,
    Script,
    ScriptedModel,
    ScriptedVoice,
    answer,
    failing,
    loud,
    quiet,
)

PATIENT_MS = 600_000
"""No test's outcome may hang on how fast the machine is: the microphone of a test does not count as stalled."""


class Talk:
    """A session, its partners, its listener, and the store behind it."""

    def __init__(self, *scripts: Script, plays_all: bool = True, preferences: Preferences | None = None) -> None:
        self.model, self.voice = ScriptedModel(*scripts), ScriptedVoice()
        self.store = Store.in_memory()
        self.archive = Archive(self.store)
        partners = Partners(self.model, self.voice, LoudnessVad(), self.archive, "0")
        self.session = Session(Dialogue(new_id()), partners, preferences or Preferences(stall_ms=PATIENT_MS))
        self.listener = Listener(self.session, plays_all=plays_all)

    async def speak(self, ms: int = 1000, silence_ms: int = 800) -> None:
        """A spoken turn, in frames of 20 ms, and the silence after it."""
        await self.hear(loud(ms))
        await self.hear(quiet(silence_ms))

    async def hear(self, samples: np.ndarray) -> None:
        for start in range(0, len(samples), 320):
            await self.session.hear(samples[start : start + 320])

    async def say(self, text: str) -> None:
        await self.session.say(text)
        await self.session.idle()

    @property
    def path(self) -> list[tuple[str, str, str]]:
        turns = (self.session.dialogue.turns[turn] for turn in self.session.dialogue.path)
        return [(turn.role.value, turn.status.value, turn.text) for turn in turns]

    async def close(self) -> None:
        await self.session.close()
        self.listener.close()
        self.archive.close()


@pytest.fixture
async def talks() -> AsyncIterator[Callable[..., Talk]]:
    made: list[Talk] = []

    def make(*scripts: Script, **options: object) -> Talk:
        made.append(Talk(*scripts, **options))  # type: ignore[arg-type]  # passed through
        return made[-1]

    yield make
    for talk in made:
        await talk.close()


async def test_a_spoken_turn_is_kept_answered_and_spoken(talks: Callable[..., Talk]) -> None:
    talk = talks(answer("Hello there. How are you?"))
    await talk.speak()
    await talk.session.idle()
    assert talk.path == [("user", "finished", ""), ("assistant", "finished", "Hello there. How are you?")]
    assert talk.voice.spoken == ["Hello there.", "How are you?"]
    kinds = talk.listener.kinds()
    order = ["SpeechStarted", "SpeechStopped", "TurnKept", "ReplyStarted", "Thought", "Said", "Spoke", "SpeechMade"]
    assert [kind for kind in dict.fromkeys(kinds) if kind in order] == order
    kept = talk.store.load(talk.session.conversation)
    assert kept is not None
    user, reply = (kept.turns[turn] for turn in kept.path)
    assert user.audio is not None
    assert user.audio.seconds == pytest.approx(1.0 + 0.3, abs=0.05)  # no sound came before it; 300 ms are kept after it
    assert reply.reasoning == "They greeted me."
    assert reply.audio is not None
    assert reply.audio.sample_rate_hz == 24_000
    assert kept.configurations[reply.configuration or ""].served_model == "scripted-model"
    assert kept.prompts[reply.id].history[0].turn == user.id
    assert kept.deliveries[reply.id].text_heard == "Hello there. How are you?"
    assert {"silence_ms", "first_word_ms", "thinking_ms", "first_sound_ms"} >= set(reply.timings) >= {"silence_ms"}


async def test_reasoning_is_never_spoken(talks: Callable[..., Talk]) -> None:
    talk = talks([Thought("Secret plan. Very secret."), Said("Open words."), Done("m")])
    await talk.say("Hi")
    assert talk.voice.spoken == ["Open words."]


async def test_the_users_turn_is_kept_before_the_reply_starts(talks: Callable[..., Talk]) -> None:
    held = asyncio.Event()
    talk = talks([held, *answer("Late.")])
    await talk.session.say("Are you there?")
    kept = talk.store.load(talk.session.conversation)
    assert kept is not None
    assert [kept.turns[turn].text for turn in kept.path] == ["Are you there?"]
    assert talk.session.state == "thinking"
    held.set()


async def test_the_history_grows_by_turns_without_reasoning(talks: Callable[..., Talk]) -> None:
    talk = talks(answer("One."), answer("Two."))
    await talk.say("First")
    await talk.speak()
    await talk.session.idle()
    seen = [(message.role, message.text, message.clip is not None) for message in talk.model.heard[-1]]
    assert seen == [(Role.USER, "First", False), (Role.ASSISTANT, "One.", False), (Role.USER, "", True)]
    clip = talk.model.heard[-1][-1].clip
    assert clip is not None
    assert len(await clip.load()) == clip.audio.samples


async def test_a_barge_in_cuts_the_reply_to_what_was_heard(talks: Callable[..., Talk]) -> None:
    talk = talks(answer("One two three four five six seven eight nine ten."), answer("Fine."), plays_all=False)
    await talk.session.say("Count")
    made = await talk.listener.until(events.SpeechMade)
    talk.session.played(made.reply, len("One two three ") * SAMPLES_A_CHARACTER + 10, ended=False)
    await talk.hear(loud(96))
    ducked = await talk.listener.until(events.Ducked)
    assert ducked.reply == made.reply
    await talk.hear(loud(320))
    await talk.listener.until(events.Interrupted)
    assert talk.voice.spoken == ["One two three four five six seven eight nine ten."]
    talk.listener.plays_all = True
    await talk.hear(quiet(800))
    await talk.session.idle()
    assert [status for _, status, _ in talk.path] == ["finished", "interrupted", "finished", "finished"]
    told = talk.model.heard[-1][1]
    assert (told.text, told.cut_off) == ("One two three", True)
    interrupted = talk.session.dialogue.turns[talk.session.dialogue.path[1]]
    assert interrupted.text.endswith("nine ten."), "what was said in full is kept beside what was heard"


async def test_a_cough_ducks_and_cuts_nothing(talks: Callable[..., Talk]) -> None:
    talk = talks(answer("A long story that goes on."), plays_all=False)
    await talk.session.say("Tell me")
    made = await talk.listener.until(events.SpeechMade)
    await talk.hear(loud(224))
    await talk.hear(quiet(400))
    assert [kind for kind in talk.listener.kinds() if kind in ("Ducked", "Restored", "Interrupted")] == []  # not yet read
    await talk.listener.until(events.Restored)
    assert "Interrupted" not in talk.listener.kinds()
    assert talk.session.state == "speaking"
    talk.session.played(made.reply, made.samples, ended=True)
    await talk.session.idle()
    assert talk.path[-1][1] == "finished"


async def test_noise_while_the_model_thinks_cancels_nothing(talks: Callable[..., Talk]) -> None:
    held = asyncio.Event()
    talk = talks([Thought("Hm."), held, Said("Done."), Done("m")])
    await talk.session.say("Think")
    await talk.listener.until(events.Thought)
    await talk.hear(loud(200))
    await talk.hear(quiet(900))
    held.set()
    await talk.session.idle()
    assert talk.model.cancelled == 0
    assert talk.path[-1] == ("assistant", "finished", "Done.")


async def test_going_on_soon_makes_one_turn(talks: Callable[..., Talk]) -> None:
    held = asyncio.Event()
    talk = talks([Thought("Hm."), held], answer("All of it."))
    await talk.speak(1000)
    await talk.listener.until(events.Thought)
    await talk.hear(quiet(300))
    await talk.speak(1000)
    await talk.session.idle()
    assert talk.path == [("user", "finished", ""), ("assistant", "finished", "All of it.")]
    assert len(talk.model.heard[-1]) == 1
    kept = talk.store.load(talk.session.conversation)
    assert kept is not None
    merged = kept.turns[kept.path[0]]
    assert merged.audio is not None
    assert merged.audio.seconds == pytest.approx(1.0 + 1.1 + 1.0 + 0.3, abs=0.07)
    superseded = [turn for turn in kept.turns.values() if turn.status is Status.SUPERSEDED]
    assert {turn.role for turn in superseded} == {Role.USER, Role.ASSISTANT}
    assert talk.listener.kinds().count("TurnContinued") == 1
    assert not held.is_set()
    assert talk.model.cancelled == 1


async def test_a_reply_interrupted_before_it_was_heard_is_not_in_the_history(talks: Callable[..., Talk]) -> None:
    held = asyncio.Event()
    talk = talks([Thought("Hm."), Said("I wanted"), held], answer("Yes?"))
    await talk.session.say("First")
    await talk.listener.until(events.Said)
    await talk.say("Second")
    assert [message.text for message in talk.model.heard[-1]] == ["First", "Second"]
    assert talk.path[1] == ("assistant", "interrupted", "I wanted")


async def test_a_reply_that_is_only_shown_stays_whole(talks: Callable[..., Talk]) -> None:
    held = asyncio.Event()
    talk = talks([Said("Shown so far"), held], answer("Yes?"), preferences=Preferences(speak=False, stall_ms=PATIENT_MS))
    await talk.session.say("First")
    await talk.listener.until(events.Said)
    await talk.say("Second")
    assert [message.text for message in talk.model.heard[-1]] == ["First", "Shown so far", "Second"]
    assert talk.voice.spoken == []


async def test_a_reply_whose_speech_failed_stays_whole(talks: Callable[..., Talk]) -> None:
    talk = talks(answer("Hello there."), answer("Yes?"))
    talk.voice.broken = True
    await talk.say("First")
    await talk.say("Second")
    assert [message.text for message in talk.model.heard[-1]] == ["First", "Hello there.", "Second"]
    assert "hoarse" in (await talk.listener.until(events.Notice)).text


async def test_a_reply_that_the_page_cannot_play_stays_whole(talks: Callable[..., Talk]) -> None:
    talk = talks(answer("Read by eye."), answer("Yes?"), plays_all=False)
    await talk.session.say("First")
    started = await talk.listener.until(events.ReplyStarted)
    talk.session.cannot_play(started.reply)
    await talk.session.idle()
    talk.listener.plays_all = True
    await talk.say("Second")
    assert [message.text for message in talk.model.heard[-1]] == ["First", "Read by eye.", "Second"]


async def test_stop_speaking(talks: Callable[..., Talk]) -> None:
    talk = talks(answer("A long story."), plays_all=False)
    await talk.session.say("Go")
    await talk.listener.until(events.SpeechMade)
    talk.session.interrupt()
    assert talk.session.state == "interrupted"
    await talk.session.idle()
    assert talk.path[-1][1] == "interrupted"


async def test_a_model_that_fails_says_so_and_the_next_turn_works(talks: Callable[..., Talk]) -> None:
    talk = talks(failing("The server is gone.", Said("I was ")), answer("Back."))
    await talk.say("One")
    assert (await talk.listener.until(events.Failed)).text == "The server is gone."
    failed = talk.session.dialogue.turns[talk.session.dialogue.path[1]]
    assert (failed.status, failed.failure, failed.text) == (Status.FAILED, "The server is gone.", "I was ")
    await talk.say("Two")
    assert talk.path[-1] == ("assistant", "finished", "Back.")


async def test_a_fault_in_a_model_does_not_leave_the_conversation_stuck(talks: Callable[..., Talk]) -> None:
    talk = talks([ZeroDivisionError()], answer("Back."))
    await talk.say("One")
    assert talk.path[-1][1] == "failed"
    await talk.say("Two")
    assert talk.path[-1] == ("assistant", "finished", "Back.")


async def test_the_log_of_a_fault_names_its_place_and_not_what_was_said(
    talks: Callable[..., Talk], caplog: pytest.LogCaptureFixture
) -> None:
    talk = talks([ValueError("a secret, quoted")])
    await talk.say("One")
    assert "ValueError" in caplog.text
    assert "partners.py" in caplog.text
    assert "secret" not in caplog.text


async def test_frames_that_stop_coming_end_the_turn(talks: Callable[..., Talk]) -> None:
    talk = talks(answer("I heard that."), preferences=Preferences(stall_ms=1))
    await talk.hear(loud(1000))
    await talk.listener.until(events.Finished)
    assert [role for role, _, _ in talk.path] == ["user", "assistant"]


async def test_a_pause_in_mid_speech_ends_the_turn(talks: Callable[..., Talk]) -> None:
    talk = talks(answer("I heard that."))
    await talk.hear(loud(1000))
    talk.session.pause()
    await talk.session.idle()
    assert [role for role, _, _ in talk.path] == ["user", "assistant"]


async def test_try_again_has_the_same_history_and_asks_which_is_better(talks: Callable[..., Talk]) -> None:
    talk = talks(answer("First try."), answer("Second try."))
    await talk.say("Tell me a joke")
    first = talk.session.dialogue.path[1]
    talk.session.try_again(first)
    await talk.session.idle()
    second = talk.session.dialogue.path[1]
    prompts = talk.session.dialogue.prompts
    assert prompts[first].history_hash == prompts[second].history_hash
    assert talk.model.options[0].seed != talk.model.options[1].seed
    kept = talk.store.load(talk.session.conversation)
    assert kept is not None
    (comparison,) = kept.comparisons
    assert (comparison.left, comparison.right) == (first, second)
    exchange = talk.session.dialogue.exchanges()[0]
    assert [reply.text for reply in exchange.replies] == ["First try.", "Second try."]
    assert exchange.chosen is not None
    assert exchange.chosen.id == second
    await talk.session.choose(first)
    assert talk.session.dialogue.path[1] == first
    reloaded = talk.store.load(talk.session.conversation)
    assert reloaded is not None
    assert reloaded.path == tuple(talk.session.dialogue.path)


async def test_try_again_in_the_middle_leaves_the_path(talks: Callable[..., Talk]) -> None:
    talk = talks(answer("One."), answer("Two."), answer("One again."))
    await talk.say("First")
    await talk.say("Second")
    path = list(talk.session.dialogue.path)
    talk.session.try_again(path[1])
    await talk.session.idle()
    assert talk.session.dialogue.path == path
    assert [message.text for message in talk.model.heard[-1]] == ["First"]


async def test_judgements_are_kept_and_replaced_by_newer_ones(talks: Callable[..., Talk]) -> None:
    talk = talks(answer("One."))
    await talk.say("First")
    reply = talk.session.dialogue.path[1]
    up = Judgement(new_id(), "ann", turn=reply, score=1)
    assert await talk.session.judge(up)
    assert await talk.session.judge(Judgement(new_id(), "ann", turn=reply, score=-1, supersedes=up.id))
    thumb = talk.session.dialogue.thumb(reply, "ann")
    assert thumb is not None
    assert thumb.score == -1
    kept = talk.store.load(talk.session.conversation)
    assert kept is not None
    assert [judgement.score for judgement in kept.judgements] == [1, -1]


async def test_closing_keeps_the_reply_as_interrupted(talks: Callable[..., Talk]) -> None:
    talk = talks(answer("A long story."), plays_all=False)
    await talk.session.say("Go")
    await talk.listener.until(events.SpeechMade)
    await talk.session.close()
    kept = talk.store.load(talk.session.conversation)
    assert kept is not None
    assert kept.turns[kept.path[1]].status is Status.INTERRUPTED


async def test_a_turn_without_text_is_refused(talks: Callable[..., Talk]) -> None:
    with pytest.raises(ValueError, match="nothing to send"):
        talks().session.say("   ")


async def test_speech_during_the_first_word_starts_it_ducked(talks: Callable[..., Talk]) -> None:
    held = asyncio.Event()
    talk = talks([held, *answer("Well then.")], plays_all=False)
    await talk.session.say("Go")
    await talk.hear(loud(96))
    held.set()
    await talk.listener.until(events.Spoke)
    kinds = talk.listener.kinds()
    assert kinds.index("Ducked") < kinds.index("Spoke")


async def test_the_form_of_each_turn_is_kept_with_the_prompt(talks: Callable[..., Talk]) -> None:
    talk = talks()
    await talk.say("Typed")
    await talk.speak()
    await talk.session.idle()
    prompt = talk.session.dialogue.prompts[talk.session.dialogue.path[-1]]
    assert [turn.form for turn in prompt.history] == [Form.TEXT, Form.TEXT, Form.AUDIO]


async def test_a_store_that_fails_does_not_end_the_conversation(
    talks: Callable[..., Talk], monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = talks(answer("One."), answer("Two."))

    def full(*_: object) -> None:
        raise StoreFailure("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(talk.store, "keep", full)
        await talk.say("First")
        notice = await talk.listener.until(events.Notice)
        assert notice.warning
        assert "not being kept" in notice.text
    await talk.say("Second")
    assert [text for _, _, text in talk.path] == ["First", "One.", "Second", "Two."]
    kept = talk.store.load(talk.session.conversation)
    assert kept is not None
    assert [kept.turns[turn].text for turn in kept.path] == ["First", "One.", "Second", "Two."], "and nothing was lost"


async def test_a_conversation_goes_on_after_a_restart(talks: Callable[..., Talk]) -> None:
    talk = talks(answer("One."), answer("Two."))
    await talk.say("First")
    kept = talk.store.load(talk.session.conversation)
    assert kept is not None
    again = Session(Dialogue.of(kept), talk.session.partners, talk.session.preferences)
    listener = Listener(again)
    await again.say("Second")
    await again.idle()
    listener.close()
    assert [message.text for message in talk.model.heard[-1]] == ["First", "One.", "Second"]
    kept = talk.store.load(talk.session.conversation)
    assert kept is not None
    assert [kept.turns[turn].text for turn in kept.path] == ["First", "One.", "Second", "Two."]


async def test_a_consumer_that_falls_behind_is_told_so_and_slows_nobody() -> None:
    feed = events.Feed()
    slow = feed.subscribe()
    for number in range(events.MOST_WAITING + 2):
        feed.tell(events.Ducked(number))
    assert await slow.batch() == [
        events.Behind(),
        events.Ducked(events.MOST_WAITING),
        events.Ducked(events.MOST_WAITING + 1),
    ]


async def test_what_is_typed_in_mid_sentence_is_not_taken_for_the_turn_that_goes_on(talks: Callable[..., Talk]) -> None:
    talk = talks()
    await talk.speak(1000)
    await talk.hear(loud(500))
    await talk.session.say("Typed meanwhile")
    await talk.hear(quiet(900))
    await talk.session.idle()
    first, typed, rest = (turn for turn in talk.session.dialogue.turns.values() if turn.role is Role.USER)
    assert [turn.status for turn in (first, typed, rest)] == [Status.FINISHED] * 3
    assert first.audio is not None
    assert rest.audio is not None
    assert rest.audio.seconds == pytest.approx(0.3 + 0.5 + 0.3, abs=0.07), "without what was said before"


@pytest.mark.parametrize("go_on", [Session.interrupt, lambda session: session.say("Rather this")], ids=["stop", "typing"])
async def test_a_reply_that_nobody_wants_any_more_does_not_begin(
    talks: Callable[..., Talk], go_on: Callable[[Session], object]
) -> None:
    talk = talks()
    talk.session.say("Wait")
    go_on(talk.session)  # while the turn is still being kept
    await talk.session.idle()
    assert all(turn.status is Status.FINISHED for turn in talk.session.dialogue.turns.values())
    assert [reply.text for reply in talk.session.dialogue.exchanges()[0].replies] == []


async def test_nobody_speaks_over_a_person_who_went_on_while_the_turn_was_being_kept(
    talks: Callable[..., Talk], monkeypatch: pytest.MonkeyPatch
) -> None:
    talk, written = talks(), threading.Event()
    keep = talk.store.keep

    def keep_late(*records: Record) -> None:
        written.wait(10)
        keep(*records)

    monkeypatch.setattr(talk.store, "keep", keep_late)
    await talk.speak(1000)
    await talk.hear(loud(500))
    written.set()
    await talk.session.settled()
    assert talk.session.reply is None
    await talk.hear(quiet(900))
    await talk.session.idle()
    assert [len(history) for history in talk.model.heard] == [1]
    assert talk.path == [("user", "finished", ""), ("assistant", "finished", "Yes.")]


async def test_a_longer_preroll_than_there_is_sound_takes_what_there_is(talks: Callable[..., Talk]) -> None:
    talk = talks()
    await talk.hear(quiet(5000))
    talk.session.prefer(Preferences(rules=Rules(preroll_ms=2000), stall_ms=PATIENT_MS))
    await talk.speak(1000)
    await talk.session.idle()
    assert [role for role, _, _ in talk.path] == ["user", "assistant"]


async def test_the_volume_comes_back_where_a_reply_ends_ducked(talks: Callable[..., Talk]) -> None:
    talk = talks(answer("A long story."), plays_all=False)
    await talk.session.say("Go")
    made = await talk.listener.until(events.SpeechMade)
    await talk.hear(loud(96))
    talk.session.played(made.reply, made.samples, ended=True)
    await talk.session.idle()
    await talk.listener.until(events.Restored)


async def test_a_try_that_fails_takes_no_reply_out_of_the_history(talks: Callable[..., Talk]) -> None:
    talk = talks(answer("Good."), failing("The server is gone."), answer("Next."))
    await talk.say("First")
    good = talk.session.dialogue.path[1]
    talk.session.try_again(good)
    await talk.session.idle()
    assert [reply.status for reply in talk.session.dialogue.exchanges()[0].replies] == [Status.FINISHED, Status.FAILED]
    assert talk.session.shown, "the failure is shown all the same"
    await talk.say("Second")
    assert [message.text for message in talk.model.heard[-1]] == ["First", "Good.", "Second"]


async def test_another_try_in_the_middle_is_the_one_that_is_shown(talks: Callable[..., Talk]) -> None:
    talk = talks(answer("One."), answer("Two."), answer("One again."))
    await talk.say("First")
    await talk.say("Second")
    user, reply = talk.session.dialogue.path[:2]
    talk.session.try_again(reply)
    await talk.session.idle()
    assert talk.session.dialogue.turns[talk.session.shown[user]].text == "One again."


async def test_a_choice_made_during_another_try_gives_way_to_it(talks: Callable[..., Talk]) -> None:
    held = asyncio.Event()
    talk = talks(answer("One."), [Said("One "), held, Said("again."), Done("m")])
    await talk.say("First")
    user, first = talk.session.dialogue.path
    await talk.session.try_again(first)
    await talk.session.choose(first)
    held.set()
    await talk.session.idle()
    assert talk.session.dialogue.path[1] != first
    assert user not in talk.session.shown, "what is shown is what the conversation goes on from"


async def test_a_superseded_reply_is_not_made_again(talks: Callable[..., Talk]) -> None:
    talk = talks()
    await talk.speak(1000)
    await talk.session.idle()
    old = talk.session.dialogue.path[1]
    await talk.speak(1000)
    await talk.session.idle()
    assert talk.session.dialogue.turns[old].status is Status.SUPERSEDED
    with pytest.raises(ValueError, match="can't be made again"):
        talk.session.try_again(old)


async def test_a_model_that_only_thinks_has_failed(talks: Callable[..., Talk]) -> None:
    talk = talks([Thought("Hm."), Done("m", "length")])
    await talk.say("First")
    assert "without saying anything" in (await talk.listener.until(events.Failed)).text


async def test_a_fault_in_mid_speech_ends_the_sound(talks: Callable[..., Talk]) -> None:
    talk = talks([Said("One. Two. "), ZeroDivisionError()])
    await talk.say("First")
    assert "SpeechMade" in talk.listener.kinds()


async def test_sound_that_nobody_plays_is_dropped(talks: Callable[..., Talk], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.session.PLAYBACK_STALL_S", 0.01)
    talk = talks(answer("Can you hear me?"), plays_all=False)
    await talk.say("First")
    assert "could not be played" in (await talk.listener.until(events.Notice)).text
    await talk.listener.until(events.Interrupted)
    assert talk.path[-1][1] == "finished"


async def test_an_interrupted_reply_and_what_was_heard_of_it_are_kept_together(
    talks: Callable[..., Talk], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = asyncio.Event()
    talk = talks([Said("One two three. "), held], plays_all=False)
    keep, kept = talk.store.keep, list[list[type]]()

    def keep_and_tell(*records: Record) -> None:
        kept.append([type(record) for record in records])
        keep(*records)

    monkeypatch.setattr(talk.store, "keep", keep_and_tell)
    await talk.session.say("Go")
    await talk.listener.until(events.Said)
    talk.session.interrupt()
    await talk.session.idle()
    assert [Delivery in records for records in kept if Prompt in records] == [True]


async def test_what_could_not_be_kept_is_kept_at_the_latest_when_the_session_ends(
    talks: Callable[..., Talk], monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = talks()

    def locked(*_: object) -> None:
        raise StoreFailure("Locked.")

    with monkeypatch.context() as patch:
        patch.setattr(talk.store, "keep", locked)
        await talk.say("First")
        assert "Locked." in talk.session.problem
    await talk.session.close()
    kept = talk.store.load(talk.session.conversation)
    assert kept is not None
    assert len(kept.path) == 2
