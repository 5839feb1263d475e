"""The rehearsal partner: its rules by typed turns, and the whole of it with made sound and recordings."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import soundfile
from numpy.typing import NDArray

from backend.models import Clip, Done, Message, ModelFailure, Options, Piece, Said, Thought, Transcribed
from backend.models.hearing import Hearing
from backend.models.numerals import find_sum, numerals, shown, work_out
from backend.models.offline import RehearsalPartner
from conversations.turn import Audio, Role
from tests.test_measure import buzz

NOON = datetime(2026, 3, 14, 12, 34)

SCRIPTED = """
import json, sys
words = {int(pair.split("=")[0]): pair.split("=")[1] for pair in sys.argv[1:]}
while header := sys.stdin.buffer.read(4):
    samples = len(sys.stdin.buffer.read(int.from_bytes(header, "little"))) // 2
    if samples == 13_000:
        sys.exit(1)
    print(json.dumps({"words": words.get(samples, "gibberish"), "fit": -2.0 if samples in words else -5.0}), flush=True)
"""
"""A recogniser that knows clips by their length, takes others for gibberish, and dies of 13 000 samples."""


def hearing(**words: str) -> Hearing:
    """`s16000="hello"` for a clip of 16 000 samples."""
    return Hearing([sys.executable, "-c", SCRIPTED, *(f"{name[1:]}={said}" for name, said in words.items())])


@pytest_asyncio.fixture
async def partner() -> AsyncIterator[RehearsalPartner]:
    partner = RehearsalPartner(
        hearing=hearing(s16000="my name is anna", s20000="what is my name"), pace_s=0, clock=lambda: NOON
    )
    yield partner
    await partner.aclose()


def spoken(signal: NDArray[np.float64], loads: list[int] | None = None, transcript: str = "") -> Message:
    samples = (signal * 32767).astype(np.int16)

    async def load() -> NDArray[np.int16]:
        if loads is not None:
            loads.append(len(samples))
        return samples

    audio = Audio(hashlib.sha256(samples.tobytes()).hexdigest(), 16_000, len(samples))
    return Message(Role.USER, clip=Clip(audio, load), transcript=transcript)


async def replied(partner: RehearsalPartner, history: Sequence[Message], **options: object) -> list[Piece]:
    return [piece async for piece in partner.reply(history, Options(**options))]  # type: ignore[arg-type]  # tests pass fields


def said(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, Said))


def thought(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, Thought))


async def talk(partner: RehearsalPartner, turns: Sequence[str | Message], seed: int = 0, system_prompt: str = "") -> str:
    """A conversation of the user's turns; the last reply."""
    history: list[Message] = []
    for turn in turns:
        history.append(Message(Role.USER, turn) if isinstance(turn, str) else turn)
        text = said(await replied(partner, history, seed=seed, system_prompt=system_prompt))
        history.append(Message(Role.ASSISTANT, text))
    return text


CONVERSATIONS = [
    # facts
    (["my name is Anna", "what is my name?"], ["Anna"]),
    (["hi my name is anna what time is it", "who am i"], ["your name is Anna"]),
    (["My name's Zoë.", "What's my name?"], ["Zoë"]),
    (["I like chess and I live in New York.", "what do I like?"], ["you like chess"]),
    (["I like chess and I live in New York.", "where do I live"], ["New York"]),
    (["I like chess", "I like tea", "do I like tea?"], ["chess", "tea"]),
    (["my dog is called Rex", "what is my dog called?"], ["dog is called Rex"]),
    (["my dog's name is Rex", "what is the name of my dog"], ["Rex"]),
    (["I have a cat named Tom", "what's my cat's name?"], ["Tom"]),
    (["my favourite colour is blue", "what is my favourite colour?"], ["favourite colour is blue"]),
    (["I am thirty four years old", "how old am I?"], ["34"]),
    (["I work as a plumber", "what do I do"], ["as a plumber"]),
    (["I'm from Peru", "my name is Ada", "what do you know about me?"], ["from Peru", "name is Ada"]),
    (["my name is Anna", "my name is Berta", "what is my name"], ["Berta"]),
    (["what is my name?"], []),
    # instructions
    (["call me captain", "hello"], ["Captain"]),
    (["call me captain", "call me Al", "what is 1 plus 1"], ["Al", "2"]),
    # what was said
    (["I like tea.", "what did I say?"], ["“I like tea”"]),
    (["hello", "I like tea", "what was the first thing I said?"], ["“hello”"]),
    (["what time is it", "what did you say?"], ["12:34"]),
    (["what is 2 plus 3", "repeat that"], ["5"]),
    (["repeat after me: the sea is wide"], ["the sea is wide"]),
    # sums
    (["what is twenty three plus nineteen"], ["42"]),
    (["how much is 7 divided by 2?"], ["3.5"]),
    (["what is 2 + 3 * 4"], ["14"]),
    (["how many more is three hundred and eighty-eight than two hundred and twenty-three"], ["165"]),
    (["what is ten percent of fifty"], ["5"]),
    (["what is 1 over 0"], ["divide by zero"]),
    (["Kate has 223 pennies. John has 388 pennies. How many more pennies does John have?"], ["John", "165 more", "Kate"]),
    (["Kate has 223 pennies", "John has 388", "hello", "John has 388 pennies", "how many do they have together"], ["611"]),
    (["Kate has 5 pens", "John has 7 pens", "how many more does Kate have than John"], ["Kate", "2 fewer", "John"]),
    # time
    (["what time is it?"], ["12:34"]),
    (["what day is it today"], ["Saturday, 14 March 2026"]),
    # corrections
    (["my name is Hana", "no, I meant Hannah", "what is my name?"], ["Hannah"]),
    (["my name is Hana", "No, Hannah.", "who am I"], ["Hannah"]),
    (["what is 20 plus 19", "no, I meant twenty nine"], ["49"]),
    (["I like tea", "sorry, I meant coffee", "what do I like"], ["you like coffee"]),
    (["my dog is Rex", "my cat is Tom", "what is my dog called", "no, I meant my cat"], ["Tom"]),
    (["call me Al", "no, I meant Alan", "hello"], ["Alan"]),
    (["hello", "no, I meant what is 5 times 5"], ["25"]),
    (["what is 1 plus 1", "no, thank you"], []),
    # itself
    (["who are you?"], ["rehearsal partner", "not Step-Audio"]),
    (["are you a real model?"], ["rehearsal partner"]),
    (["count to twelve"], ["10, 11, 12"]),
    (["how do I sound?"], []),
]


@pytest.mark.parametrize(("turns", "expected"), CONVERSATIONS, ids=lambda value: value[-1] if value else "any")
async def test_rules(partner: RehearsalPartner, turns: list[str], expected: list[str]) -> None:
    for seed in range(3):
        text = await talk(partner, turns, seed)
        assert [words for words in expected if words.lower() not in text.lower()] == [], text


@pytest.mark.parametrize(
    ("turns", "unwanted"),
    [
        (["I like tea", "sorry, I meant coffee", "what do I like"], "tea"),
        (["my name is Anna", "no, thank you", "who am I"], "thank"),
        (["tell me a story in one sentence", "hello", "what do you know about me"], "sentence"),
        (["how do I sound?"], "you spoke"),
        (["what is my name?"], "your name is"),
        (["call me back later", "hello"], "Back"),
    ],
)
async def test_what_must_not_be_said(partner: RehearsalPartner, turns: list[str], unwanted: str) -> None:
    for seed in range(3):
        assert unwanted not in await talk(partner, turns, seed)


async def test_facts_last_over_many_turns(partner: RehearsalPartner) -> None:
    told = ["my name is Anna", "my dog is called Rex", *["what is 1 plus 1", "hello", "how are you"] * 10]
    assert "Anna" in await talk(partner, [*told, "what is my name?"])
    assert "Rex" in await talk(partner, [*told, "what is my dog called?"])


def sentences(text: str) -> int:
    return sum(text.count(end) for end in ".!?")


async def test_an_instruction_is_kept_until_it_is_taken_back(partner: RehearsalPartner) -> None:
    turns = ["answer in one sentence", "hello", "tell me a story"]
    assert sentences(await talk(partner, turns)) == 1
    assert sentences(await talk(partner, [*turns, "you may answer at length again", "tell me a story"])) > 3
    assert sentences(await talk(partner, ["reply in two sentences", "tell me a story"])) == 2


async def test_the_system_prompt_may_ask_for_brevity(partner: RehearsalPartner) -> None:
    assert sentences(await talk(partner, ["tell me a story"], system_prompt="Answer in one sentence.")) == 1
    assert sentences(await talk(partner, ["answer at length", "tell me a story"], system_prompt="Be brief.")) > 3


ONE_OF_EACH = [
    "hello", "how are you", "thank you", "goodbye", "who are you", "what can you do", "what time is it", "what day is it",
    "what is 2 plus 2", "my name is Anna", "what is my name", "call me Al", "be brief", "tell me a story", "how do I sound",
    "xyzzy", "count to 3", "repeat after me: yes", "Kate has 2 pens. John has 3 pens. How many more does John have?",
]  # fmt: skip


@pytest.mark.parametrize("turn", ONE_OF_EACH)
async def test_seeds_vary_the_wording_and_repeat_it(partner: RehearsalPartner, turn: str) -> None:
    texts = [await talk(partner, [turn], seed) for seed in (1, 2, 2**31 - 1)]
    assert texts == [await talk(partner, [turn], seed) for seed in (1, 2, 2**31 - 1)]
    assert texts[0] != texts[1]


async def test_the_same_history_gives_the_same_reply_in_a_new_process(partner: RehearsalPartner) -> None:
    turns = ["my name is Anna", "I like chess", "what do you know about me"]
    fresh = RehearsalPartner(pace_s=0, clock=lambda: NOON)
    assert await talk(partner, turns, 5) == await talk(fresh, turns, 5)


async def test_an_interrupted_reply_is_said_again_whole(partner: RehearsalPartner) -> None:
    history = [Message(Role.USER, "tell me a story")]
    whole = said(await replied(partner, history))
    cut = [*history, Message(Role.ASSISTANT, whole[:20], cut_off=True)]
    for turn in ("what were you saying?", "go on", "what did you say?"):
        assert whole in said(await replied(partner, [*cut, Message(Role.USER, turn)]))


async def test_asking_again_and_again_gets_the_same(partner: RehearsalPartner) -> None:
    history = [Message(Role.USER, "what is 6 times 7"), *[Message(Role.USER, "go on")] * 300]
    assert "42" in said(await replied(partner, history))


async def test_a_reply_of_which_nothing_was_heard_is_said_again(partner: RehearsalPartner) -> None:
    history = [Message(Role.USER, "what is 6 times 7"), Message(Role.USER, "what were you saying?")]
    assert "42" in said(await replied(partner, history))


async def test_reasoning_comes_before_the_reply_and_in_pieces(partner: RehearsalPartner) -> None:
    pieces = await replied(partner, [Message(Role.USER, "my name is Anna"), Message(Role.USER, "what is 2 plus 2")])
    kinds = [type(piece) for piece in pieces]
    assert kinds == sorted(kinds, key=[Thought, Said, Done].index)
    assert kinds.count(Thought) > 3
    assert kinds.count(Said) > 3
    assert "your name is Anna" in thought(pieces)
    assert "a sum" in thought(pieces)
    assert pieces[-1] == Done("colloquy-rehearsal-partner")


async def test_spoken_words_are_told_first_and_remembered(partner: RehearsalPartner) -> None:
    told, asked = spoken(buzz(120, 1)), spoken(buzz(120, 1.25))
    pieces = await replied(partner, [told])
    assert pieces[0] == Transcribed("my name is anna")
    assert "120 Hz" in thought(pieces)
    assert "name is Anna" in said(await replied(partner, [told, Message(Role.ASSISTANT, "Noted."), asked]))


async def test_words_not_made_out_are_not_pretended(partner: RehearsalPartner) -> None:
    quiet, loud = spoken(buzz(120, 0.9, 0.01)), spoken(buzz(220, 2, 0.5))
    first = await replied(partner, [quiet])
    assert not any(isinstance(piece, Transcribed) for piece in first)
    assert "softly, low in pitch" in said(first)
    assert "turn before" not in said(first)
    assert "gibberish" not in said(first) + thought(first)
    second = said(await replied(partner, [quiet, Message(Role.ASSISTANT, "Once more?"), loud]))
    assert "that is longer, louder, higher and slower than the turn before" in second
    brief = said(await replied(partner, [quiet, loud], system_prompt="Be brief."))
    assert "that is longer, louder, higher and slower than the turn before" in brief


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("was I louder than before?", "that is louder than the turn before"),
        ("how fast did I speak?", "syllables a second"),
        ("is my voice high or low?", "high in pitch"),
        ("how do I sound?", "longer, louder, higher and slower than the turn before"),
        ("how many pauses did I make?", "without a pause"),
        ("what did I say?", "could not make out; you spoke for 2.0 seconds"),
    ],
)
async def test_questions_on_how_one_sounds(partner: RehearsalPartner, question: str, expected: str) -> None:
    for seed in range(3):
        turns: list[str | Message] = [spoken(buzz(120, 0.9, 0.01)), spoken(buzz(220, 2, 0.5)), question]
        assert expected in await talk(partner, turns, seed)


async def test_silence_is_called_silence(partner: RehearsalPartner) -> None:
    pieces = await replied(partner, [spoken(np.zeros(16_000))])
    assert "make out" not in said(pieces)
    assert "nothing that I can take for speech" in thought(pieces)


async def test_clips_are_loaded_and_measured_once(partner: RehearsalPartner) -> None:
    loads: list[int] = []
    first, second = spoken(buzz(120, 1), loads), spoken(buzz(120, 1.25), loads)
    await replied(partner, [first])
    await replied(partner, [first, second])
    await replied(partner, [first, second], seed=7)
    assert loads == [16_000, 20_000]


async def test_a_known_transcript_is_not_heard_again() -> None:
    partner = RehearsalPartner(hearing=Hearing(["/no/such/recogniser"]), pace_s=0)
    pieces = await replied(partner, [spoken(buzz(120, 1), transcript="what is 2 plus 2")])
    assert pieces[0] == Transcribed("what is 2 plus 2")
    assert "4" in said(pieces)


async def test_a_recogniser_that_dies_is_owned_up_to(partner: RehearsalPartner) -> None:
    pieces = await replied(partner, [spoken(buzz(120, 13_000 / 16_000))])
    assert "you spoke for 0.8 seconds" in said(pieces)
    assert isinstance(pieces[-1], Done)
    assert pieces[-1].notes == ("The speech recogniser stopped while it listened. The voice was only measured.",)


async def test_after_a_restart_only_the_latest_speech_is_heard_again() -> None:
    history = [spoken(buzz(100 + n, 12.0)) for n in range(6)]
    partner = RehearsalPartner(hearing=hearing(), pace_s=0)
    pieces = await replied(partner, history)
    await partner.aclose()
    assert isinstance(pieces[-1], Done)
    assert pieces[-1].notes == ("Earlier spoken turns that were measured but not listened to again: 3.",)


async def test_closing_a_reply_stops_it() -> None:
    partner = RehearsalPartner(pace_s=3600)
    reply = partner.reply([Message(Role.USER, "tell me a story")], Options())
    assert isinstance(await anext(reply), Thought)
    waiting = asyncio.ensure_future(anext(reply))
    await asyncio.wait({waiting}, timeout=0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await reply.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(reply)


@pytest.mark.parametrize("history", [[], [Message(Role.ASSISTANT, "Hello.")]])
async def test_without_a_turn_there_is_no_reply(partner: RehearsalPartner, history: list[Message]) -> None:
    with pytest.raises(ModelFailure):
        await replied(partner, history)


async def test_very_long_and_odd_text_is_answered(partner: RehearsalPartner) -> None:
    for text in ("my a " * 50_000, "9" * 5_000 + " times 3", "{how}", "\x00", "🙂", "no, no, no", "I meant", "say"):
        assert said(await replied(partner, [Message(Role.USER, "hello"), Message(Role.USER, text)]))


async def test_a_person_is_answered(speech_dir: Path) -> None:
    samples, _ = soundfile.read(speech_dir / "pennies.wav")
    partner = RehearsalPartner(pace_s=0)
    await partner.warm()
    pieces = await replied(partner, [spoken(samples)])
    await partner.aclose()
    assert "165 more" in said(pieces)
    assert isinstance(pieces[0], Transcribed)


@pytest.mark.parametrize(
    ("words", "digits"),
    [
        ("two hundred and twenty-three", "223"),
        ("two thousand three hundred and five", "2305"),
        ("a hundred thousand", "100000"),
        ("five six", "5 6"),
        ("ten five", "10 5"),
        ("between three and five", "between 3 and 5"),
        ("someone weighed it", "someone weighed it"),
    ],
)
def test_numerals(words: str, digits: str) -> None:
    assert numerals(words) == digits


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("the sum of 2 and 3", "5"),
        ("subtract 5 from 12", "7"),
        ("the difference between 3 and 5", "2"),
        ("8 - 3 - 2", "3"),
        ("2 times 3 plus 4 times 5", "26"),
        ("1 / 3", "about 0.3333"),
        ("1,000 x 3", "3000"),
        ("3 point 5 plus 1", "4.5"),
        ("9 squared", "81"),
    ],
)
def test_sums(text: str, value: str) -> None:
    expression = find_sum(text)
    assert expression
    assert shown(work_out(expression)) == value


@pytest.mark.parametrize("text", ["room 12 and 13", "I am 34", "in 2026", "7"])
def test_no_sum(text: str) -> None:
    assert find_sum(text) is None
