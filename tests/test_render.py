"""What messages look like: from a conversation's records, and a reply under way, to what `gr.Chatbot` is given."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from backend.models import Options
from backend.record import Archive
from backend.reply import Reply
from backend.session import Partners, Preferences, Session
from conversations.dialogue import Dialogue
from conversations.store import Store
from conversations.turn import Audio, Delivery, Origin, Record, Role, Status, Transcript, Turn
from tests.fakes.partners import LoudnessVad, ScriptedModel, ScriptedVoice
from tests.made import answer, question
from ui import render
from ui.render import Message, text

SOUND = Audio("ab" * 32, 16_000, 40_000)
PLAYER = 'src="audio/' + SOUND.sha256 + '.flac"'


def conversation(*turns: Turn, more: tuple[Record, ...] = (), reply: Reply | None = None) -> Session:
    """A session whose path is `turns`, with a reply under way."""
    archive = Archive(Store.in_memory())
    session = Session(Dialogue("c"), Partners(ScriptedModel(), ScriptedVoice(), LoudnessVad(), archive, "0"), Preferences())
    for turn in turns:
        session.dialogue.apply(turn)
        session.dialogue.apply(*session.dialogue.step(turn.id))
    session.dialogue.apply(*more)
    session.reply = reply
    return session


def messages(*turns: Turn, more: tuple[Record, ...] = (), reply: Reply | None = None) -> list[Message]:
    """Those of the last exchange."""
    return list(render.view(conversation(*turns, more=more, reply=reply)).live)


def contents(shown: list[Message]) -> list[str]:
    return [message["content"] for message in shown]


def under_way(**fields: Any) -> Reply:
    made = Reply(1, "c-live", "c-user", Origin.TYPED, (), Options(), None, over_at=10.0)
    return replace(made, **fields)


def heard(of: Turn, words: str) -> Delivery:
    return Delivery(of.id, 24_000, 48_000, 24_000, words)


# What a person said


def test_a_typed_turn_is_its_text() -> None:
    assert messages(question()) == [{"role": "user", "content": "How are you?", "metadata": {}}]


def test_a_spoken_turn_is_its_sound_with_a_name_and_a_length() -> None:
    (message,) = messages(question(text="", audio=SOUND))
    assert message["role"] == "user"
    assert PLAYER in message["content"]
    assert 'preload="none"' in message["content"]
    assert 'title="What you said, 2.5 seconds"' in message["content"]
    assert "<span>2.5 s</span>" in message["content"]


def test_a_transcribed_turn_is_its_words_and_its_sound() -> None:
    asked = question(text="", audio=SOUND)
    words, sound = messages(asked, more=(Transcript(asked.id, "How are <you>?", "a model"),))
    assert words["content"] == "How are &lt;you>?"
    assert PLAYER in sound["content"]


# What was answered


def test_a_reply_is_its_reasoning_its_words_its_sound_and_a_place_for_verdicts() -> None:
    said = answer("one", "Fine.", reasoning="They ask.", audio=SOUND, timings={"thinking_ms": 1234.0})
    _, reasoning, words, sound, panel = messages(question(), said)
    assert (reasoning["content"], reasoning["metadata"]) == (
        "They ask.",
        {"title": "Reasoning", "status": "done", "duration": 1.2},
    )
    assert words["content"] == "Fine."
    assert PLAYER in sound["content"]
    assert 'title="The reply, 2.5 seconds"' in sound["content"]
    assert panel["content"] == '<div class="colloquy-panel turn-c-one"></div>'


def test_a_failure_is_told_with_what_was_said_before_it() -> None:
    failed = answer("one", "I was", status=Status.FAILED, failure="The <server> broke.\n\n![x](http://elsewhere/x.png)")
    words = contents(messages(question(), failed))[1]
    assert words.startswith("I was\n\n")
    box = '<div class="colloquy-failure"><strong>Failed:</strong> The &lt;server&gt; broke.<br><br>![x]'
    assert box in words
    assert "\n" not in words[words.index("<div") :]  # after an empty line, it would be Markdown again


def test_notes_stand_under_the_words() -> None:
    noted = answer("one", "Fine.", notes=("Two turns were left out.", "It repeated itself & was stopped."))
    words = contents(messages(question(), noted))[1]
    assert '<div class="colloquy-note">Two turns were left out.</div>' in words
    assert '<div class="colloquy-note">It repeated itself &amp; was stopped.</div>' in words


CUT = '<div class="colloquy-unheard"><strong>Interrupted. Not heard:</strong> '
INTERRUPTED: dict[str, tuple[str, str | None, str]] = {
    "in its middle": ("One. Two.", "One.", f"One.\n\n{CUT}Two.</div>"),
    "before a word was heard": ("One. Two.", "", f"{CUT}One. Two.</div>"),
    "after all of it was heard": ("One. Two.", "One. Two.", "One. Two."),
    "before a word was said": ("", "", '<div class="colloquy-note">Interrupted before a word was said.</div>'),
    "and was only shown": ("One. Two", None, 'One. Two\n\n<div class="colloquy-note">Interrupted here.</div>'),
    "before a list": ("One.\n\n- ![x](y)\n- b", "One.", f"One.\n\n{CUT}- ![x](y)<br>- b</div>"),
}


@pytest.mark.parametrize(("said", "reached", "shown"), INTERRUPTED.values(), ids=INTERRUPTED.keys())
def test_of_an_interrupted_reply_what_was_heard_and_what_was_not(said: str, reached: str | None, shown: str) -> None:
    reply = replace(answer("one"), text=said, status=Status.INTERRUPTED)
    more = () if reached is None else (heard(reply, reached),)
    assert contents(messages(question(), reply, more=more))[1] == shown


def test_a_finished_reply_is_whole_however_little_was_played() -> None:
    reply = answer("one", "One. Two.")
    assert contents(messages(question(), reply, more=(heard(reply, "One."),)))[1] == "One. Two."


def test_the_candidate_that_is_looked_at_is_shown() -> None:
    first, second = answer("one", "First."), answer("two", "Second.")
    session = conversation(question(), first, more=(second,))
    assert "First." in contents(list(render.live(session)))
    session.shown["c-user"] = second.id
    assert "Second." in contents(list(render.live(session)))


# What is being answered


def test_while_it_thinks_the_reasoning_is_open_and_the_place_for_verdicts_is_there() -> None:
    _, reasoning, panel = messages(question(), reply=under_way(reasoning="They", first_thought_at=11.0))
    assert reasoning["metadata"] == {"title": "Reasoning", "status": "pending"}
    assert "turn-c-live" in panel["content"]


def test_with_the_first_word_the_reasoning_folds() -> None:
    reply = under_way(reasoning="They ask.", text="Fi", first_thought_at=11.0, first_word_at=13.0)
    _, reasoning, words, _ = messages(question(), reply=reply)
    assert reasoning["metadata"] == {"title": "Reasoning", "status": "done", "duration": 2.0}
    assert words["content"] == "Fi"


STREAMED = [
    "Words, and more words. A < b, <b>bold</b> and ![an image](http://elsewhere/x.png)!",
    "# Title\n\n- one\n- two\n\n```html\n<b>code</b> ![x]\n```\nand after it <i>.",
    "~~~\n<b> ``` <i>\n~~~\n<u>",
    "One `span` and another `here`, and \n a second line.",
]


@pytest.mark.parametrize("said", STREAMED)
def test_what_streams_only_grows_at_its_end(said: str) -> None:
    shown = [text(said[:length]) for length in range(len(said) + 1)]
    for before, after in pairwise(shown):
        assert after.startswith(before)


def test_a_finished_reply_reads_as_it_did_under_way() -> None:
    words = "Fine, `thanks`. And you?"
    live = messages(question(), reply=under_way(text=words, first_word_at=12.0))
    done = messages(question(), answer("live", words))
    assert live == done


# What somebody wrote, as text

WRITTEN: dict[str, tuple[str, str]] = {
    "HTML": ("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"),
    "an image": ("![spy](http://elsewhere/y.png)", "!\\[spy](http://elsewhere/y.png)"),
    "Markdown": ("**Bold**, [a link](http://a) & *more*", "**Bold**, [a link](http://a) & *more*"),
    "code in a line": ("Try `<b>` or `![x]`, not <b>.", "Try `<b>` or `![x]`, not &lt;b>."),
    "a block of code": ("```html\n<b>\n```\n<b>", "```html\n<b>\n```\n&lt;b>"),
    "a block of code that is not closed": ("Look:\n```\n<b>", "Look:\n```\n<b>"),
    "a longer fence": ("````\n```\n<b>\n````\n<b>", "````\n```\n<b>\n````\n&lt;b>"),
    "a backtick that is none": ("\\`<b>`", "\\`&lt;b>`"),
    "backticks over cells": ("a `b | <b> | c` d", "a `b | &lt;b> | c` d"),
    "backticks over lines": ("a `b\n<b>` c", "a `b\n&lt;b>` c"),
    "what only looks like a fence": ("```not``` <b>", "```not``` &lt;b>"),
    "a drawing": ("``` Mermaid\ngraph TD; A-->B\n```", "``` text\ngraph TD; A-->B\n```"),
    "a word about drawings": ("```python\nmermaid = 1\n```", "```python\nmermaid = 1\n```"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("written", "shown"), WRITTEN.values(), ids=WRITTEN.keys())
def test_what_somebody_wrote_is_text(written: str, shown: str) -> None:
    assert text(written) == shown


# Past and present


def exchange(number: int) -> tuple[Turn, Turn]:
    asked = question(id=f"u{number}", text=f"Question {number}")
    return asked, replace(answer(f"{number}", f"Answer {number}"), reply_to=asked.id)


def test_the_last_exchange_alone_is_live() -> None:
    session = conversation(*exchange(1), *exchange(2), *exchange(3))
    shown = render.view(session)
    assert [content for content in contents(list(shown.past)) if "colloquy" not in content] == [
        "Question 1",
        "Answer 1",
        "Question 2",
        "Answer 2",
    ]
    assert contents(list(shown.live))[:2] == ["Question 3", "Answer 3"]
    assert render.live(session) == shown.live


def test_a_new_question_moves_the_last_exchange_to_the_past() -> None:
    before = render.view(conversation(*exchange(1), *exchange(2)))
    asked = question(id="c-user", text="And now?")
    after = render.view(conversation(*exchange(1), *exchange(2), asked, reply=under_way()))
    assert list(after.past) == [*before.past, *before.live]
    assert contents(list(after.live)) == ["And now?", '<div class="colloquy-panel turn-c-live"></div>']


def test_nothing_was_said_yet() -> None:
    shown = render.view(conversation())
    assert (list(shown.past), list(shown.live)) == ([], [])


def test_only_people_and_models_speak() -> None:
    roles = {message["role"] for message in messages(*exchange(1))}
    assert roles == {Role.USER.value, Role.ASSISTANT.value}
