"""Reasoning apart from reply, where a model writes both into one text: `<think>…</think>` over any number of pieces.

Pure. What is not certainly part of the reply is reasoning: thinking that never ends leaves no reply. Knows nothing of servers
that send reasoning in a field of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from backend.models import Said, Thought

_OPEN, _CLOSE = "<think>", "</think>"
_TAG = re.compile(f"({_OPEN}|{_CLOSE})")


class Splitter:
    """Takes a text in pieces and gives `Thought`s and `Said`s, in order, holding back only what may be the beginning of a tag
    and white space that a tag may follow.

    `starts_thinking`: the text begins inside the thinking, as when the prompt ended with the opening tag. A tag that changes
    nothing (a second `</think>`, a `<think>` within the thinking) is dropped. White space around the whole reasoning and the
    whole reply is dropped too.
    """

    def __init__(self, starts_thinking: bool = False) -> None:
        self._kind: type[Thought] | type[Said] = Thought if starts_thinking else Said
        self._opened = starts_thinking
        self.unmarked = False
        """Whether what was given as said turned out to be reasoning, by a closing tag without an opening one."""
        self._held = ""
        self._space = {Thought: "", Said: ""}
        self._begun = {Thought: False, Said: False}

    def feed(self, piece: str) -> list[Thought | Said]:
        text = self._held + piece
        whole = len(text) - _beginning_of_tag(text)
        self._held = text[whole:]
        return list(self._split(text[:whole]))

    def flush(self) -> list[Thought | Said]:
        """The text is over: what looked like the beginning of a tag was none."""
        text, self._held = self._held, ""
        return list(self._split(text))

    def _split(self, text: str) -> Iterator[Thought | Said]:
        for part in _TAG.split(text):
            if part == _OPEN:
                self._kind, self._opened = Thought, True
            elif part == _CLOSE:
                self.unmarked = self.unmarked or (not self._opened and self._begun[Said])
                self._kind, self._opened = Said, True
            elif shown := self._trim(part):
                yield self._kind(shown)

    def _trim(self, part: str) -> str:
        """The part without the white space at its end, which is kept until more of the same kind follows."""
        kind = self._kind
        text = self._space[kind] + part if self._begun[kind] else part.lstrip()
        shown = text.rstrip()
        self._space[kind] = text[len(shown) :]
        self._begun[kind] = self._begun[kind] or bool(shown)
        return shown


def _beginning_of_tag(text: str) -> int:
    """How many characters at the end of `text` may become a tag."""
    longest = min(len(text), len(_CLOSE) - 1)
    return next((n for n in range(longest, 0, -1) if _OPEN.startswith(text[-n:]) or _CLOSE.startswith(text[-n:])), 0)
