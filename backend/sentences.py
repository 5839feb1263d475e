"""Text on its way to a voice: a reply into sentences as it streams, a sentence into what can be said, and what was heard.

Pure. All offsets are characters of the whole reply as the model gave it, so that what was *heard* can be shown as a part of
what was *said*. Knows nothing of engines or playback beyond counts of samples.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backend.speakers import Mark


@dataclass(frozen=True, slots=True)
class Sentence:
    """`reply[start:end] == text`, without space around it."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SpokenSentence:
    """A sentence and its sound: `samples` of it (so far made) from `first_sample` of the reply's sound on. `marks` count
    samples from the sentence's first, and characters in `speakable(sentence.text)`."""

    sentence: Sentence
    first_sample: int
    samples: int
    marks: tuple[Mark, ...] = ()


# ---------------------------------------------------------------------------------------------------- into sentences

_LONGEST = 200
"""Characters after which a sentence is cut at a clause, or else between words."""
_LONGEST_FIRST = 80
"""The same for the first sentence, since the voice waits for it; but only at a clause."""

_FENCE = "```"
_CANDIDATE = re.compile(r"\n|(?P<run>[.!?…。！？]+)(?P<closers>[\"'”’»)\]」』）》*_`]*)")
_WIDE_ENDS = re.compile(r"[。！？]")
_LAST_CLAUSE = re.compile(r".*(?:[,;:—–](?=\s)|[，；：、])", re.DOTALL)
_LAST_SPACE = re.compile(r".*\S(?=\s)", re.DOTALL)
_LAST_TOKEN = re.compile(r"[\w.]*$")
_ANYTHING = re.compile(r".*", re.DOTALL)
_INITIAL = re.compile(r"(?:.*\.)?(?!I$)[A-Z]")

_ABBREVIATION = re.compile(
    r"dr|mrs?|ms|mx|prof|st|mt|gen|sen|rep|rev|hon|capt|lt|col|sgt|messrs|mme|mlle|e\.g|i\.e|eg|ie|cf|vs|approx|ca|viz|al|"
    r"z\.b|d\.h|bzw|hr|fr|sra|srta",
    re.IGNORECASE,
)
_BEFORE_NUMBER = re.compile(r"nos?|nr|vol|pp?|ch|fig|art|sec|eq", re.IGNORECASE)
_LIMITS = ((_LONGEST_FIRST, (_LAST_CLAUSE,)), (_LONGEST, (_LAST_CLAUSE, _LAST_SPACE, _ANYTHING)))


class Splitter:
    """Takes a reply in pieces and gives its sentences, each as soon as it is certainly complete. However the reply is cut into
    pieces, the sentences are the same."""

    def __init__(self) -> None:
        self._rest = ""
        self._start = 0
        self._first = True

    def feed(self, piece: str) -> list[Sentence]:
        """The sentences that this piece completes."""
        self._rest += piece
        return list(self._take(final=False))

    def flush(self) -> list[Sentence]:
        """The reply is over: what is left of it."""
        return list(self._take(final=True))

    def _take(self, final: bool) -> Iterator[Sentence]:
        while True:
            self._drop(len(self._rest) - len(self._rest.lstrip()))
            end = _end(self._rest, self._first, final)
            if not end:
                return
            self._first = False
            text = self._rest[:end].rstrip()
            yield Sentence(text, self._start, self._start + len(text))
            self._drop(end)

    def _drop(self, count: int) -> None:
        self._rest = self._rest[count:]
        self._start += count


def _end(text: str, first: bool, final: bool) -> int | None:
    """Where the first sentence of `text` ends; None when that cannot be told before more of it is there."""
    if text.startswith(_FENCE):
        closing = text.find(_FENCE, len(_FENCE))
        return closing + len(_FENCE) if closing > 0 else len(text) if final else None
    for limit, cuts in _LIMITS if first else _LIMITS[1:]:
        end = _full_stop(text, limit, final)
        if end != 0:
            return end
        if len(text) > limit and (cut := _cut(text[:limit], cuts)):
            return cut
    return len(text) if final else None


def _full_stop(text: str, limit: int, final: bool) -> int | None:
    """The end of the first full stop that begins before `limit`; 0 when there is none, None when it cannot be told yet."""
    for candidate in _CANDIDATE.finditer(text):
        if candidate.start() >= limit:
            return 0
        ends = _ends_sentence(text, candidate, final)
        if ends is None:
            return None
        if ends:
            return candidate.end()
    return 0


def _ends_sentence(text: str, candidate: re.Match[str], final: bool) -> bool | None:
    """Whether a sentence ends here; None when what follows has to be seen first."""
    run, closers = candidate["run"], candidate["closers"]
    if run is None:  # a line break
        return True
    after = text[candidate.end() :]
    if not after:
        return True if final else None
    if _WIDE_ENDS.search(run):
        return True
    if not after[0].isspace():
        return False
    if closers or run[-1] in ".…":
        return _goes_on_after_dot(text[: candidate.start()], run, after, final)
    return True


def _goes_on_after_dot(before: str, run: str, after: str, final: bool) -> bool | None:
    """A dot (or anything in quotes) ends a sentence unless it belongs to an abbreviation or a lower-case word follows."""
    following = after.lstrip()
    if "\n" in after[: len(after) - len(following)]:
        return True
    if not following:
        return True if final else None
    if following[0].islower():
        return False
    return not (run == "." and _is_abbreviation(before, following[0]))


def _is_abbreviation(before: str, following: str) -> bool:
    found = _LAST_TOKEN.search(before)
    token = found[0] if found else ""
    is_list_number = before.isdigit()
    return (
        is_list_number
        or _ABBREVIATION.fullmatch(token) is not None
        or (following.isdigit() and _BEFORE_NUMBER.fullmatch(token) is not None)
        or _INITIAL.fullmatch(token) is not None
    )


def _cut(text: str, cuts: Sequence[re.Pattern[str]]) -> int:
    return next((found.end() for cut in cuts if (found := cut.match(text))), 0)


# -------------------------------------------------------------------------------------------------- into what is said

_SPEAKABLE: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), spoken)
    for pattern, spoken in (
        (r"```[\s\S]*?(?:```|\Z)", " "),  # a block of code is to be read, not heard
        (r"<\|[^<>|]*\|>", " "),  # special tokens
        (r"!?\[([^\[\]]*)\]\([^()\s]*(?:\s+\"[^\"]*\")?\)", r"\1"),  # links and pictures
        (r"<?\bhttps?://(?:www\.)?([^\s/?#<>]*\w)(?:[/?#][^\s<>)\]]*(?<=[\w/=#&+-]))?>?", r"\1"),  # of an address its host
        (r"</?[a-zA-Z][^<>]*>", " "),  # HTML
        (r"^\s*(?:[-*_]\s*){3,}$", " "),  # a line across
        (r"^\s*\|?(?:\s*:?-{3,}:?\s*\|)+\s*:?-*:?\s*$", " "),  # the line under a table's head
        (r"^\s*(?:>\s?)+", ""),  # quotations
        (r"^\s*#{1,6}\s+|\s+#+\s*$", ""),  # headings
        (r"^\s*[-*+•]\s+(?:\[[ xX]\]\s+)?", ""),  # list items
        (r"^\s*\|\s*|\s*\|\s*$", ""),  # a table's cells
        (r"\s+\|\s+", ", "),
        (r"\*{2,}|~~|`+|\\(?=[^\w\s])", ""),  # strong, struck out, code, escapes
        (r"(?<![\w*])\*(?=\S)|(?<=\S)\*(?![\w*])", ""),  # emphasis, at the edge of a word only: not 3*4, not a_name
        (r"(?<!\w)_+(?=\S)|(?<=\S)_+(?!\w)", ""),
        # emoji and what joins and varies them; flags
        ("[\U0001f000-\U0001faff\u2600-\u27bf\u2b50\u2b55\ufe0e\ufe0f\u200d\u20e3\U000e0020-\U000e007f]+", " "),
        (r"\s+", " "),
        (r" +(?=[,;:.!?…](?:\s|$))", ""),
    )
)


def speakable(text: str) -> str:
    """What a voice should say of `text`: without Markdown, code blocks, addresses' paths and emoji. Empty when there is nothing
    in it that can be said. Text without any of that comes back as it is, but for its white space."""
    for pattern, spoken in _SPEAKABLE:
        text = pattern.sub(spoken, text)
    text = text.strip()
    return text if any(character.isalnum() for character in text) else ""


# --------------------------------------------------------------------------------------------------------- what was heard

_WIDE = "\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_WIDE}]|[^\s{_WIDE}]+")


def heard_text(reply_text: str, spoken: Sequence[SpokenSentence], played_samples: int) -> str:
    """The beginning of the reply that was heard when `played_samples` of its sound were played.

    `spoken`: the sentences in their order. Those played whole count whole; of the next one the words whose sound was over:
    exactly by its marks; without marks, or where what was said differs from what is written, the words (Chinese and Japanese:
    characters) in proportion to time, each weighing its letters.
    """
    end = 0
    for one in spoken:
        played = played_samples - one.first_sample
        if played <= 0:
            break
        heard = len(one.sentence.text) if played >= one.samples else _heard_of(one, played)
        if heard:
            end = one.sentence.start + heard
    return reply_text[:end].rstrip()


def _heard_of(one: SpokenSentence, played: int) -> int:
    text = one.sentence.text
    if one.marks and speakable(text) == text:
        offsets = [mark.offset for mark in one.marks if mark.sample <= played]
        return _start_of_word(text, max(offsets, default=0))
    words = list(_WORD.finditer(text))
    letters = sum(len(word[0]) for word in words)
    end, said = 0, 0
    for word in words:
        said += len(word[0])
        if said * one.samples > played * letters:
            break
        end = word.end()
    return end


def _start_of_word(text: str, offset: int) -> int:
    """An engine says "3.50" as several words: what is inside a written word belongs to it."""
    while 0 < offset < len(text) and not (_parts(text[offset - 1]) or _parts(text[offset])):
        offset -= 1
    return min(offset, len(text))


def _parts(character: str) -> bool:
    return character.isspace() or unicodedata.east_asian_width(character) in "WF"
