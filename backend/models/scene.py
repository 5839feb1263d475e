"""What a conversation says, as the rehearsal partner reads it: facts told, instructions given, corrections made.

Pure: it is all read off the conversation anew each time, so that another branch, a regenerated reply or a restarted server
find exactly what they should. Knows nothing of answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from backend.models.measure import Voice
from backend.models.numerals import NUMBER, find_sum, numerals
from conversations.turn import Role

_LONGEST_READ = 1_000  # characters: rules look for phrases, and need not read a whole pasted book
_VALUE = r"(?P<value>[^.,;!?]+?)(?=\W*$|[.,;!?]| and (?:i|my|we|you)\b| (?:but|what|how|who|where|when)\b)"
_NAME = r"(?P<value>(?!not\b|what\b)[^\W\d][\w'-]*)"
_NOUN = r"(?P<noun>(?!name\b|question\b|point\b)[\w ]{1,30}?)"

FACTS = (
    (rf"\bmy name(?: is|'s) {_NAME}", "name", "your name is {value}"),
    (rf"\bi(?: am|'m)? liv(?:e|ing) in {_VALUE}", "home", "you live in {value}"),
    (rf"\bi(?: am|'m| come) from {_VALUE}", "origin", "you are from {value}"),
    (r"\bi(?: am|'m) (?P<value>\d+)\b", "age", "you are {value} years old"),
    (rf"\bi work (?P<noun>as|at|for|in) {_VALUE}", "work", "you work {noun} {value}"),
    (rf"\bi (?:really )?(?P<noun>like|love|hate|prefer|play) {_VALUE}", "{noun} {value}", "you {noun} {value}"),
    (rf"\b(?:my|have an?) {_NOUN}(?: is)? (?:called|named) {_NAME}", "{noun}", "your {noun} is called {value}"),
    (rf"\bmy {_NOUN}'s name is {_NAME}", "{noun}", "your {noun} is called {value}"),
    (rf"\bmy {_NOUN} is (?!called|named){_VALUE}", "{noun}", "your {noun} is {value}"),
    (r"\b(?P<noun>[a-z]+) has (?P<value>\d+) (?P<things>[a-z]+)", "{noun} has", "{noun} has {value} {things}"),
)
"""What can be told: a pattern, the key that it is kept under, and how it is said back."""

_PROPER_VALUES = ("name", "home", "origin")

_ANSWER = r"\b(?:answer|reply|respond|speak|talk|use|always|only|everything)\b[^.!?]*?\b"

LENGTHS = (
    (rf"{_ANSWER}(?:a single|an?|1|one) (?:short )?sentence\b", 1),
    (rf"{_ANSWER}(?:2|two) (?:short )?sentences\b", 2),
    (r"\b(?:be brief|keep (?:it|your answers) (?:short|brief)|(?:answer|reply|speak) (?:briefly|in short)|short answers)\b", 1),
    (r"\b(?:at length|long(?:er)? answers|as long as you like|in full)\b", 0),
)
"""Instructions on how long an answer may be, in sentences (0: as long as it likes)."""

CALL = r"\bcall me (?P<value>(?!by\b|when\b|back\b|later\b)[\w'-]+(?-i: [A-Z][\w'-]+)?)"

_CORRECTION = (
    r"^\W*(?:(?:no|nope|sorry|wait|actually|oh)\b\W*)*\bi (?:meant(?: to say)?|mean|said)\b\W*(?P<meant>.+)"
    r"|^\W*(?:no|nope|wait|sorry)\s*[,.!—-]+\s*(?P<bare>[^\s,]+(?: [^\s,]+)?)\W*$"
)
_STANDS_ALONE = (
    r"^(?:what|how|who|where|when|which|was|am|do|did|does|is|are|can|could|will|would|please|tell|count|say|repeat|answer|call"
    r"|go|stop|be|keep|hello|hi|thanks?|yes|it|that|not|never|i|you|we)\b"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One turn: its words (none where none were made out), and the voice if it was spoken."""

    role: Role
    words: str = ""
    voice: Voice | None = None
    cut_off: bool = False


@dataclass(frozen=True, slots=True)
class Fact:
    key: str
    value: str
    sentence: str


@dataclass(frozen=True)
class Scene:
    """A conversation up to the user's turn that is to be answered, and what else shapes the answer."""

    lines: Sequence[Line]
    time: datetime
    prompt: str = ""
    seed: int = 0

    @cached_property
    def users(self) -> list[Line]:
        return [line for line in self.lines if line.role is Role.USER]

    @cached_property
    def meant(self) -> list[str]:
        """The user's turns as they were meant, numbers in digits. What a correction rewrites is empty in its old place."""
        meant: list[str] = []
        for line in self.users:
            words = _read(line)
            if meant:
                meant[-1], words = amended(meant[-1], words)
            meant.append(words)
        return meant

    @property
    def words(self) -> str:
        return self.meant[-1]

    @property
    def corrected(self) -> bool:
        return self.words != _read(self.users[-1])

    @cached_property
    def facts(self) -> dict[str, Fact]:
        """What was told so far; a later fact takes the place of an earlier one."""
        return {fact.key: fact for words in self.meant for fact in told(words)}

    @property
    def sentences(self) -> int:
        """How many sentences an answer may have, by the last instruction; 0: any number."""
        lengths = (length(words) for words in (*reversed(self.meant), self.prompt))
        return next((sentences for sentences in lengths if sentences is not None), 0)

    @property
    def address(self) -> str:
        """What the user wants to be called."""
        calls = (re.search(CALL, words, re.IGNORECASE) for words in reversed(self.meant))
        return next((named(call["value"]) for call in calls if call), "")

    @property
    def voices(self) -> list[Voice]:
        """How the user's spoken turns sounded, the latest first."""
        return [line.voice for line in reversed(self.users) if line.voice]

    @property
    def last_said(self) -> Line | None:
        return next((line for line in reversed(self.lines) if line.role is Role.ASSISTANT), None)

    @property
    def before(self) -> Scene | None:
        """The scene at the user's turn before this one."""
        places = [place for place, line in enumerate(self.lines) if line.role is Role.USER]
        return replace(self, lines=self.lines[: places[-2] + 1]) if len(places) > 1 else None


def told(words: str) -> Iterator[Fact]:
    """The facts in one turn, in the order of the table."""
    for pattern, key, sentence in FACTS:
        for match in re.finditer(pattern, words, re.IGNORECASE):
            blanks = {name: text.strip() for name, text in match.groupdict().items()}
            if key in _PROPER_VALUES or _NAME in pattern:
                blanks["value"] = named(blanks["value"])
            if "things" in blanks:
                blanks["noun"] = named(blanks["noun"])
            yield Fact(key.format(**blanks).lower(), blanks["value"], sentence.format(**blanks))


def length(words: str) -> int | None:
    """The instruction on length in some words, if there is one (see `LENGTHS`)."""
    return next((sentences for pattern, sentences in LENGTHS if re.search(pattern, words, re.IGNORECASE)), None)


def amended(before: str, words: str) -> tuple[str, str]:
    """A turn and the next one as they were meant: where the next is a correction it says the whole thing anew, and the first
    is empty."""
    correction = re.search(_CORRECTION, words, re.IGNORECASE)
    if correction is None:
        return before, words
    new = correction["meant"] or correction["bare"]
    if re.search(_STANDS_ALONE, new, re.IGNORECASE) or any(told(new)) or find_sum(new):
        return before, new if correction["meant"] else words
    corrected = _put_right(before, new.rstrip(" .!?"))
    return ("", corrected) if corrected else (before, new if correction["meant"] else words)


def named(value: str) -> str:
    """As a name is written: recognised speech comes in small letters."""
    return value.title() if value.islower() else value


def _read(line: Line) -> str:
    return numerals(line.words[:_LONGEST_READ].replace("’", "'"))


def _put_right(before: str, new: str) -> str:
    """The earlier words with the new ones in the place of what they can stand for: the last number, what was asked about, the
    value of a fact, a name. Empty where there is no such thing."""
    number = (rf"(?P<value>{NUMBER})(?!.*\d)",) if re.fullmatch(NUMBER, new) else ()
    asked = (r"\bwhat(?:'s| is) (?P<value>my .+?)\W*$",) if new.lower().startswith("my ") else ()
    for pattern in (*number, *asked, *(pattern for pattern, _, _ in FACTS), CALL):
        if match := re.search(pattern, before, re.IGNORECASE):
            start, end = match.span("value")
            return before[:start] + new + before[end:]
    return ""
