"""Replies into sentences, sentences into speech, and what was heard of them."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.sentences import Sentence, Splitter, SpokenSentence, heard_text, speakable
from backend.speakers import Mark

CLAUSE = "and then we went on along the river for a good while"


def split(*pieces: str) -> list[Sentence]:
    splitter = Splitter()
    sentences = [sentence for piece in pieces for sentence in splitter.feed(piece)]
    return sentences + splitter.flush()


def texts(*pieces: str) -> list[str]:
    return [sentence.text for sentence in split(*pieces)]


REPLIES = {
    "full stops": ("One. Two! Three? Four… Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
    "nothing": ("", []),
    "blank": (" \n ", []),
    "abbreviations": ("Ask Dr. Smith, e.g. at St. Mary's. He knows.", ["Ask Dr. Smith, e.g. at St. Mary's.", "He knows."]),
    "initials": ("J. R. Smith is in the U.S. Army. I am not.", ["J. R. Smith is in the U.S. Army.", "I am not."]),
    "the word I": ("Nobody but I. He left.", ["Nobody but I.", "He left."]),
    "at the end": (
        "It was 5 p.m. when we left. We left at 5 p.m. It rained.",
        ["It was 5 p.m. when we left.", "We left at 5 p.m.", "It rained."],
    ),
    "decimals": ("It is 3.5 metres. Not 4.", ["It is 3.5 metres.", "Not 4."]),
    "numbers": ("See No. 5 there. I said no. Five is right.", ["See No. 5 there.", "I said no.", "Five is right."]),
    "ellipses": ("Well... maybe. Hm... No?! Yes.", ["Well... maybe.", "Hm...", "No?!", "Yes."]),
    "quotes": (
        "“Go.” He went. “Why?” she asked. (Really.) Yes.",
        ["“Go.”", "He went.", "“Why?” she asked.", "(Really.)", "Yes."],
    ),
    "straight quotes": ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
    "addresses": ("See https://a.example/b?c=d. Then go.", ["See https://a.example/b?c=d.", "Then go."]),
    "lines": ("A heading\n\n- one\n- two\n1. First\n2. Second", ["A heading", "- one", "- two", "1. First", "2. Second"]),
    "strong": ("**Yes.** And *no.* Perhaps.", ["**Yes.**", "And *no.*", "Perhaps."]),
    "Chinese": ("你好。今天天气很好！是吗？“好。”他说", ["你好。", "今天天气很好！", "是吗？", "“好。”", "他说"]),
    "code": ("So:\n```py\na. B\nc! D\n```\nDone. Bye", ["So:", "```py\na. B\nc! D\n```", "Done.", "Bye"]),
    "open code": ("```\na. B\nc", ["```\na. B\nc"]),
    "long first": (f"Well, {CLAUSE}, {CLAUSE}.", [f"Well, {CLAUSE},", f"{CLAUSE}."]),
    "long": (f"Yes! {', '.join([CLAUSE] * 5)}.", ["Yes!", f"{CLAUSE}, {CLAUSE}, {CLAUSE},", f"{CLAUSE}, {CLAUSE}."]),
    "long without clauses": ("word " * 50, [("word " * 40).strip(), ("word " * 10).strip()]),
    "long without spaces": ("a" * 450, ["a" * 200, "a" * 200, "a" * 50]),
}


@pytest.mark.parametrize(("reply", "sentences"), REPLIES.values(), ids=REPLIES.keys())
def test_a_reply_into_its_sentences(reply: str, sentences: list[str]) -> None:
    assert texts(reply) == sentences


@pytest.mark.parametrize("reply", [reply for reply, _ in REPLIES.values()], ids=REPLIES.keys())
def test_pieces_cut_anywhere_give_the_same_sentences(reply: str) -> None:
    whole = split(reply)
    for at in range(len(reply) + 1):
        assert split(reply[:at], reply[at:]) == whole
    assert split(*reply) == whole


REPLY_LIKE = st.text(st.sampled_from('ab I.Dr.?!…。，,;\n\t "”)*`1-5好é') | st.characters(codec="utf-8"), max_size=300)


@given(REPLY_LIKE, st.lists(st.integers(0, 300), max_size=5))
def test_sentences_cover_the_reply_however_it_is_cut(reply: str, cuts: list[int]) -> None:
    at = [0, *sorted(min(cut, len(reply)) for cut in cuts), len(reply)]
    sentences = split(*(reply[a:b] for a, b in pairwise(at)))
    assert sentences == split(reply)
    assert all(sentence.text == reply[sentence.start : sentence.end] for sentence in sentences)
    ends = [0, *(position for sentence in sentences for position in (sentence.start, sentence.end)), len(reply)]
    assert ends == sorted(ends)
    assert all(not reply[a:b].strip() for a, b in zip(ends[::2], ends[1::2], strict=True))


@pytest.mark.parametrize(
    ("fed", "sentences"),
    [
        ("Hello! ", ["Hello!"]),
        ("Hello there. H", ["Hello there."]),
        ("Hello there. ", []),  # "Hello there. and" would go on
        ("Hello there", []),
        ("你好。今", ["你好。"]),
        ("A line\n", ["A line"]),
        (f"Well, {CLAUSE}, {CLAUSE}", [f"Well, {CLAUSE},"]),
    ],
)
def test_a_sentence_goes_out_as_soon_as_it_is_certain(fed: str, sentences: list[str]) -> None:
    assert [sentence.text for sentence in Splitter().feed(fed)] == sentences


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Nothing to change: 3.5 - 2 = 1.5, isn't it?", "Nothing to change: 3.5 - 2 = 1.5, isn't it?"),
        ("**Bold**, *slanted*, _so_, __too__, ~~gone~~.", "Bold, slanted, so, too, gone."),
        ("**Cut off by a sentence.", "Cut off by a sentence."),
        ("3 * 4 is 3*4, a_name and __init__", "3 * 4 is 3*4, a_name and init"),
        ("Use `print()` here.", "Use print() here."),
        ("```py\nx = 1\n```", ""),
        ("```never closed", ""),
        ("## A heading ##", "A heading"),
        ("- an item", "an item"),
        ("* [x] done", "done"),
        ("2. second", "2. second"),
        ("> quoted", "quoted"),
        ("See [the page](https://a.example/b \"title\") now.", "See the page now."),
        ("![a cat](cat.png)", "a cat"),
        ("Look at https://www.a.example/b?c=d#e, please.", "Look at a.example, please."),
        ("At <https://a.example>.", "At a.example."),
        ("One<br>two", "One two"),
        ("a < b and c > d", "a < b and c > d"),
        ("Great 😀! 👍🏽 👨‍👩‍👧 🇩🇪", "Great!"),
        ("| a | b |", "a, b"),
        ("|---|:-:|", ""),
        ("---", ""),
        ("…", ""),
        ("你好，**世界**！", "你好，世界！"),
        ("The end.<|EOT|>", "The end."),
        ("two\n  lines", "two lines"),
    ],
)  # fmt: skip
def test_what_a_voice_says(written: str, said: str) -> None:
    assert speakable(written) == said


@given(st.text(max_size=80))
def test_what_a_voice_says_is_one_line_with_something_in_it(text: str) -> None:
    once = speakable(text)
    assert not once or re.search(r"\w", once)
    assert "\n" not in once


def spoken(reply: str, samples: int = 1000, marks: tuple[tuple[Mark, ...], ...] = ()) -> list[SpokenSentence]:
    sentences = split(reply)
    given_marks = marks or ((),) * len(sentences)
    return [
        SpokenSentence(sentence, index * samples, samples, its)
        for index, (sentence, its) in enumerate(zip(sentences, given_marks, strict=True))
    ]


@pytest.mark.parametrize(
    ("reply", "played", "heard"),
    [
        ("One two. Three four.", 0, ""),
        ("One two. Three four.", 999, "One"),
        ("One two. Three four.", 1000, "One two."),
        ("One two. Three four.", 1499, "One two."),
        ("One two. Three four.", 1500, "One two. Three"),
        ("One two. Three four.", 2000, "One two. Three four."),
        ("One two. Three four. \n", 9000, "One two. Three four."),
        ("A 1,234.5 C", 800, "A"),
        ("A 1,234.5 C", 899, "A 1,234.5"),
        ("你好世界。", 400, "你好"),
        ("我说 hello", 572, "我说"),
        ("“Go,” he said.", 583, "“Go,”"),
        ("“Go,” he said.", 584, "“Go,” he"),
        ("**Very** good. Yes", 999, "**Very**"),
        ("", 100, ""),
    ],
)
def test_words_in_proportion_to_time(reply: str, played: int, heard: str) -> None:
    assert heard_text(reply, spoken(reply), played) == heard


@pytest.mark.parametrize(
    ("played", "heard"),
    [
        (0, ""),
        (99, ""),
        (100, "It"),  # "costs" begins, so "It" is over
        (599, "It"),
        (600, "It costs"),
        (700, "It costs"),  # within "$3.50"
        (800, "It costs $3.50,"),
        (950, "It costs $3.50, friend."),  # the mark at the end
        (1000, "It costs $3.50, friend."),
    ],
)
def test_words_by_their_marks(played: int, heard: str) -> None:
    marks = (Mark(0, 0), Mark(100, 3), Mark(600, 9), Mark(650, 10), Mark(700, 11), Mark(800, 16), Mark(900, 23))
    reply = "It costs $3.50, friend. Bye."
    assert heard_text(reply, spoken(reply, marks=(marks, ())), played) == heard


def test_marks_within_chinese_stand_for_themselves() -> None:
    reply = "你好，世界。"
    marks = ((Mark(0, 0), Mark(400, 3), Mark(600, 4), Mark(800, 6)),)
    assert heard_text(reply, spoken(reply, marks=marks), 400) == "你好，"
    assert heard_text(reply, spoken(reply, marks=marks), 700) == "你好，世"


def test_marks_of_another_text_are_not_used() -> None:
    reply = "**a** b c d"  # said as "a b c d": the marks do not count these characters
    marks = ((Mark(0, 0), Mark(250, 2), Mark(500, 4), Mark(750, 6)),)
    assert heard_text(reply, spoken(reply, marks=marks), 760) == "**a** b"


def test_a_sentence_without_sound_is_heard_with_what_follows() -> None:
    reply = "---\nYes."
    rule, yes = split(reply)
    parts = [SpokenSentence(rule, 0, 0), SpokenSentence(yes, 0, 100)]
    assert heard_text(reply, parts, 0) == ""
    assert heard_text(reply, parts, 100) == reply


@given(REPLY_LIKE, st.lists(st.integers(0, 5000), min_size=2, max_size=6))
def test_what_is_heard_grows_with_what_is_played(reply: str, played: list[int]) -> None:
    heard = [heard_text(reply, spoken(reply), samples) for samples in sorted(played)]
    assert all(reply.startswith(text) for text in heard)
    assert all(later.startswith(earlier) for earlier, later in pairwise(heard))
