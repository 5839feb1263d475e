"""Reasoning apart from reply."""

from __future__ import annotations

from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.models import Said, Thought
from backend.reasoning import Splitter

Runs = list[tuple[type[Thought] | type[Said], str]]


def test_a_closing_tag_that_nothing_opened_is_noticed() -> None:
    splitter = Splitter()
    splitter.feed("I think that")
    assert not splitter.unmarked
    splitter.feed("</think>Hello.")
    assert splitter.unmarked


def test_what_was_opened_or_is_empty_is_no_surprise() -> None:
    for text in ("<think>a</think>b</think>c", "</think>Hello.", " </think>Hello."):
        splitter = Splitter()
        splitter.feed(text)
        assert not splitter.unmarked, text


def split(*pieces: str, starts_thinking: bool = False) -> Runs:
    """Kinds and texts, pieces of one kind put together."""
    splitter = Splitter(starts_thinking)
    found = [part for piece in pieces for part in splitter.feed(piece)] + splitter.flush()
    return [(kind, "".join(part.text for part in parts)) for kind, parts in groupby(found, type)]


T, S = Thought, Said
FORMS: dict[str, tuple[bool, str, Runs]] = {
    "no tags": (False, "Hello there.", [(S, "Hello there.")]),
    "both tags": (False, "<think>Hm.</think>Hello.", [(T, "Hm."), (S, "Hello.")]),
    "space around": (False, "\n<think>\n Hm. \n</think>\n\nHello. \n", [(T, "Hm."), (S, "Hello.")]),
    "space within": (False, "<think>a \n b</think>c  d", [(T, "a \n b"), (S, "c  d")]),
    "no opening tag": (True, "Hm.\n</think>\n\nHello.", [(T, "Hm."), (S, "Hello.")]),
    "an opening tag all the same": (True, "<think>\nHm.</think>Hello.", [(T, "Hm."), (S, "Hello.")]),
    "never closed": (False, "<think>Hm. Well", [(T, "Hm. Well")]),
    "never opened nor closed": (True, "Hm. Well", [(T, "Hm. Well")]),
    "closed twice": (False, "<think>Hm.</think>Hello.</think> Bye.", [(T, "Hm."), (S, "Hello. Bye.")]),
    "opened twice": (False, "<think>Hm, <think>so.</think>Hello.", [(T, "Hm, so."), (S, "Hello.")]),
    "thinks again": (False, "<think>a</think>Yes. <think>b</think>No.", [(T, "a"), (S, "Yes."), (T, "b"), (S, " No.")]),
    "empty reasoning": (False, "<think>\n\n</think>\n\nHello.", [(S, "Hello.")]),
    "no reasoning at all": (True, "</think>Hello.", [(S, "Hello.")]),
    "no reply": (False, "<think>Hm.</think>\n", [(T, "Hm.")]),
    "nothing": (True, "", []),
    "no tag after all": (False, "a < b, <think, </thin", [(S, "a < b, <think, </thin")]),
    "a tag within a beginning": (False, "<<think>Hm.<</think>Hello.", [(S, "<"), (T, "Hm.<"), (S, "Hello.")]),
}


@pytest.mark.parametrize(("starts_thinking", "text", "runs"), FORMS.values(), ids=FORMS.keys())
def test_the_forms_of_reasoning_however_they_are_cut(starts_thinking: bool, text: str, runs: Runs) -> None:
    assert split(text, starts_thinking=starts_thinking) == runs
    assert split(*text, starts_thinking=starts_thinking) == runs
    for at in range(len(text) + 1):
        assert split(text[:at], text[at:], starts_thinking=starts_thinking) == runs


TAGGED = st.lists(st.sampled_from(["<think>", "</think>", "<", "</", "think>", " ", "\n", "a", "好"]), max_size=20).map("".join)


@given(TAGGED, st.booleans(), st.lists(st.integers(0, 100), max_size=4))
def test_pieces_cut_anywhere_give_the_same(text: str, starts_thinking: bool, cuts: list[int]) -> None:
    at = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(at)]
    assert split(*pieces, starts_thinking=starts_thinking) == split(text, starts_thinking=starts_thinking)


@given(TAGGED)
def test_thinking_that_never_closes_says_nothing(text: str) -> None:
    runs = split("<think>", text.replace("/", ""))  # without a slash nothing closes
    assert all(kind is Thought for kind, _ in runs)


def test_what_is_certain_comes_at_once() -> None:
    splitter = Splitter()
    assert splitter.feed("Hello <th") == [Said("Hello")]
    assert splitter.feed("is") == [Said(" <this")]
    assert splitter.feed("<think>so") == [Thought("so")]
