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

_CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)


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
    messages = [_user(exchange.user, session.dialogue)]
    reply = session.reply
    if reply is not None and reply.reply_to == exchange.user.id and reply.turn not in session.dialogue.turns:
        return messages + _under_way(reply)
    shown = session.shown.get(exchange.user.id)
    candidates = {candidate.id: candidate for candidate in exchange.replies}
    turn = candidates.get(shown or "") or exchange.chosen or (exchange.replies[-1] if exchange.replies else None)
    # While a reply is being played it is neither heard nor unheard.
    playing = reply is not None and turn is not None and reply.turn == turn.id
    return messages if turn is None else messages + _reply(turn, None if playing else session.dialogue.deliveries.get(turn.id))


def _user(turn: Turn, dialogue: Dialogue) -> Message:
    transcript = dialogue.transcripts.get(turn.id)
    words = text(turn.text or (transcript.text if transcript else ""))
    if turn.audio is None:
        return _message("user", words)
    shown = words or f"*Spoken, {turn.audio.seconds:.1f} s*"
    return _message("user", f"{shown}\n\n{player(turn.audio)}")


def _under_way(reply: Reply) -> list[Message]:
    thinking = reply.first_word_at is None
    seconds = None if thinking else reply.timings.get("thinking_ms", 0.0) / 1000
    messages = _reasoning(reply.reasoning, seconds)
    if reply.text:
        messages.append(_message("assistant", text(reply.text)))
    return [*messages, _panel(reply.turn)]


def _reply(turn: Turn, delivery: Delivery | None) -> list[Message]:
    messages = _reasoning(turn.reasoning, turn.timings.get("thinking_ms", 0.0) / 1000)
    parts = [_words(turn, delivery)]
    if turn.failure:
        parts.append(f'<div class="colloquy-failure">{escape(turn.failure)}</div>')
    parts += [f'<div class="colloquy-note">{escape(note)}</div>' for note in turn.notes]
    if turn.audio is not None:
        parts.append(player(turn.audio))
    shown = "\n\n".join(part for part in parts if part)
    return [*messages, *([_message("assistant", shown)] if shown else []), _panel(turn.id)]


def _words(turn: Turn, delivery: Delivery | None) -> str:
    """The reply; of one that was interrupted, what was heard and what was not."""
    if turn.status is not Status.INTERRUPTED or delivery is None:
        return text(turn.text)
    heard, unheard = turn.text[: len(delivery.text_heard)], turn.text[len(delivery.text_heard) :].strip()
    cut = f'<div class="colloquy-unheard" title="Not heard">{escape(unheard)}</div>' if unheard else ""
    return "\n\n".join(part for part in (text(heard), cut) if part) or "*Interrupted before a word was said.*"


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


def player(audio: Audio) -> str:
    """An audio element that plays a kept sound."""
    return f'<audio class="colloquy-audio" controls preload="none" src="audio/{audio.sha256}.flac"></audio>'


def text(written: str) -> str:
    """Text that somebody wrote, for a place that renders Markdown and HTML: without HTML, and without images."""
    parts = _CODE.split(written)
    return "".join(part if index % 2 else _defused(part) for index, part in enumerate(parts))


def _defused(part: str) -> str:
    return part.replace("<", "&lt;").replace("![", "!\\[")
