"""From a conversation to what `gr.Chatbot` shows. Pure.

What people typed and models said is text: it may use Markdown, but holds no HTML, and shows no image from elsewhere. Our own
marks are elements with a class, which is what Gradio's sanitizer leaves of an element. A panel under a reply is only a place;
the page's script fills it.

A message that is streaming only ever grows at its end, so that Gradio sends no more than what is new.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from backend.reply import Reply
from backend.session import Session
from conversations.dialogue import Dialogue, Exchange
from conversations.turn import Audio, Delivery, Status, Turn

Message = dict[str, Any]
"""A message as `gr.Chatbot` takes it: role, content, metadata."""

_LIVE = re.compile(
    r"""
    ^[ ]{0,3} (?P<fence> `{3,} | ~{3,} ) (?P<language> [^`\n]* ) (?: \n .*? ^[ ]{0,3}(?P=fence) | \n .* \Z | \Z )
    | (?<! [\\`] ) ` (?P<code> [^`\n|]+ ) ` (?! ` )
    | < | !\[
    """,
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
"""Code, which is shown as it is, and what would become HTML or an image outside of code."""

_DIAGRAM = re.compile(r"mermaid\b", re.IGNORECASE)
"""The one language whose code is not shown, but drawn; and such drawings may hold images from elsewhere."""


@dataclass(frozen=True, slots=True)
class View:
    """The conversation in two parts: `past` changes once a turn, `live` (the last exchange) with every word."""

    past: Sequence[Message]
    live: Sequence[Message]


def view(session: Session) -> View:
    """All of a conversation."""
    *past, live = [*exchange_messages(session)] or [[]]
    return View([message for messages in past for message in messages], live)


def live(session: Session) -> Sequence[Message]:
    """The last exchange alone."""
    exchanges = session.dialogue.last_exchange()
    return [] if exchanges is None else _exchange(session, exchanges)


def exchange_messages(session: Session) -> list[list[Message]]:
    """Each exchange's messages, in order."""
    return [_exchange(session, exchange) for exchange in session.dialogue.exchanges()]


def _exchange(session: Session, exchange: Exchange) -> list[Message]:
    messages = _user(exchange.user, session.dialogue)
    reply = session.reply
    if reply is not None and reply.reply_to == exchange.user.id and reply.turn not in session.dialogue.turns:
        return messages + _under_way(reply)
    shown = session.shown.get(exchange.user.id)
    candidates = {candidate.id: candidate for candidate in exchange.replies}
    turn = candidates.get(shown or "") or exchange.chosen or (exchange.replies[-1] if exchange.replies else None)
    # While a reply is being played it is neither heard nor unheard.
    playing = reply is not None and turn is not None and reply.turn == turn.id
    return messages if turn is None else messages + _reply(turn, None if playing else session.dialogue.deliveries.get(turn.id))


def _user(turn: Turn, dialogue: Dialogue) -> list[Message]:
    transcript = dialogue.transcripts.get(turn.id)
    words = text(turn.text or (transcript.text if transcript else ""))
    sound = player(turn.audio, "What you said") if turn.audio else ""
    return [_message("user", part) for part in (words, sound) if part]


def _under_way(reply: Reply) -> list[Message]:
    thinking = reply.first_word_at is None
    seconds = None if thinking else reply.timings.get("thinking_ms", 0.0) / 1000
    messages = _reasoning(reply.reasoning, seconds)
    if reply.text:
        messages.append(_message("assistant", text(reply.text)))
    return [*messages, _panel(reply.turn)]


def _reply(turn: Turn, delivery: Delivery | None) -> list[Message]:
    parts = [_words(turn, delivery)]
    if turn.failure:
        parts.append(_boxed("failure", turn.failure, "Failed:"))
    parts += [_boxed("note", note) for note in turn.notes]
    shown = "\n\n".join(part for part in parts if part)
    # The sound stands apart: beside a block of code, Gradio makes an element of it that can't be played.
    sound = player(turn.audio, "The reply") if turn.audio else ""
    seconds = turn.timings.get("thinking_ms", 0.0) / 1000
    said = [_message("assistant", part) for part in (shown, sound) if part]
    return [*_reasoning(turn.reasoning, seconds), *said, _panel(turn.id)]


def _words(turn: Turn, delivery: Delivery | None) -> str:
    """The reply; of one that was interrupted, what was heard and what was not."""
    if turn.status is not Status.INTERRUPTED:
        return text(turn.text)
    if delivery is None:  # it was not spoken
        return "\n\n".join(part for part in (text(turn.text), _boxed("note", "Interrupted here.")) if part)
    heard, unheard = turn.text[: len(delivery.text_heard)], turn.text[len(delivery.text_heard) :].strip()
    cut = _boxed("unheard", unheard, "Interrupted. Not heard:") if unheard else ""
    return "\n\n".join(part for part in (text(heard), cut) if part) or _boxed("note", "Interrupted before a word was said.")


def _reasoning(reasoning: str, seconds: float | None) -> list[Message]:
    """The collapsible panel: open with a spinner while it streams (`seconds` is None), folded with its duration after."""
    if not reasoning:
        return []
    metadata: dict[str, Any] = {"title": "Reasoning", "status": "pending" if seconds is None else "done"}
    if seconds is not None:
        metadata["duration"] = round(seconds, 1)
    return [_message("assistant", text(reasoning), metadata)]


def _panel(turn: str) -> Message:
    return _message("assistant", f'<div class="colloquy-panel turn-{turn}"></div>')


def _message(role: str, content: str, metadata: Mapping[str, Any] | None = None) -> Message:
    return {"role": role, "content": content, "metadata": dict(metadata or {})}


def player(audio: Audio, what: str) -> str:
    """An audio element that plays a kept sound, with its length beside it: nothing is loaded before it is played.

    `what` it is, as screen readers say it: of the ways to name an element, the sanitizer leaves only the title.
    """
    name = f"{what}, {audio.seconds:.1f} seconds"
    source = f"audio/{audio.sha256}.flac"
    element = f'<audio class="colloquy-audio" title="{name}" controls preload="none" src="{source}"></audio>'
    return f'<div class="colloquy-sound">{element}<span>{audio.seconds:.1f} s</span></div>'


def text(written: str) -> str:
    """Text that somebody wrote, for a place that renders Markdown and HTML: without HTML, images and drawings.

    What is not closed yet counts as closed, so that text that grows at its end is shown as one that grows at its end. (A `<`
    between single backticks is the exception, once: it is known to be code only when the second one has come.)
    """
    return _LIVE.sub(_defused, written)


def _defused(found: re.Match[str]) -> str:
    if found["fence"]:
        return _DIAGRAM.sub("text", found[0], 1) if _DIAGRAM.match(found["language"].strip()) else found[0]
    return found[0] if found["code"] else {"<": "&lt;", "![": "!\\["}[found[0]]


def _boxed(kind: str, words: str, label: str = "") -> str:
    """Words in an element of ours, in one line: after an empty one, Markdown would begin again."""
    named = f"<strong>{escape(label)}</strong> " if label else ""
    return f'<div class="colloquy-{kind}">{named}{escape(words).replace(chr(10), "<br>")}</div>'
