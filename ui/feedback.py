"""The panel under a reply: what it shows, as the page's script wants it, and what people may tick. Pure."""

from __future__ import annotations

from typing import Any

from backend.session import Session
from backend.speakers import SAMPLE_RATE_HZ
from conversations.turn import Comparison, Judgement, Modality, Status, new_id
from ui.messages import Judge, Prefer

REASONS = {
    "up": ["Helpful", "Correct", "Natural", "Right length", "Good reasoning", "Remembered", "Heard my tone"],
    "down": ["Misheard me", "Wrong", "Ignored what I asked", "Too long", "Forgot", "Unnatural", "Bad reasoning", "Voice"],
}
"""Short, and more than one may be ticked."""


def panels(session: Session, annotator: str) -> dict[str, dict[str, Any]]:
    """The panels under all replies of the conversation, by turn."""
    return {
        turn: content
        for exchange in session.dialogue.exchanges()
        for turn, content in panels_of(session, exchange.user.id, annotator).items()
    }


def panels_of(session: Session, user_turn: str, annotator: str) -> dict[str, dict[str, Any]]:
    """The panels under the replies to one user's turn."""
    candidates = [reply.id for reply in session.dialogue.exchange(user_turn).replies]
    live = session.reply
    if live is not None and live.reply_to == user_turn and live.turn not in candidates:
        candidates.append(live.turn)
    return {turn: _panel(session, turn, candidates, annotator) for turn in candidates}


def _panel(session: Session, turn: str, candidates: list[str], annotator: str) -> dict[str, Any]:
    thumb = session.dialogue.thumb(turn, annotator)
    comparison = session.dialogue.comparison_of(turn)
    busy = turn not in session.dialogue.turns
    return {
        "turn": turn,
        "score": thumb.score if thumb else None,
        "reasons": list(thumb.reasons) if thumb else [],
        "comment": thumb.comment if thumb else "",
        "candidates": candidates,
        "comparison": _comparison(session, comparison, annotator) if comparison else None,
        "latency": _latency(session, turn),
        "busy": busy,
        "can_try_again": not busy and turn in session.dialogue.prompts,
    }


def _comparison(session: Session, comparison: Comparison, annotator: str) -> dict[str, Any]:
    verdict = session.dialogue.verdict(comparison.id, annotator)
    return {
        "id": comparison.id,
        "left": comparison.left,
        "right": comparison.right,
        "score": verdict.score if verdict else None,
        "qualifier": verdict.qualifier if verdict else "",
        "comment": verdict.comment if verdict else "",
    }


def _latency(session: Session, turn: str) -> dict[str, float | None]:
    """Milliseconds: the silence waited, the reasoning, and from the end of the turn to the first word and first sound."""
    if session.reply is not None and session.reply.turn == turn:
        timings = session.reply.timings
    else:
        # What it was once it was kept, and the first sound, which may have come later.
        kept, delivery = session.dialogue.turns[turn], session.dialogue.deliveries.get(turn)
        timings = dict(kept.timings)
        if delivery is not None and delivery.first_sound_ms is not None:
            timings["first_sound_ms"] = delivery.first_sound_ms
    return {name: timings.get(name) for name in ("silence_ms", "thinking_ms", "first_word_ms", "first_sound_ms")}


def thumb(session: Session, message: Judge, annotator: str) -> Judgement:
    """The thumb that was given, as a row that replaces the annotator's earlier one. Raises `ValueError`."""
    turn = session.dialogue.turns.get(message.turn)
    if turn is None or turn.reply_to is None or turn.status is Status.SUPERSEDED:
        raise ValueError("There is no such reply in this conversation, so the verdict was not kept.")
    earlier = session.dialogue.thumb(message.turn, annotator)
    return Judgement(
        new_id(),
        annotator,
        turn=message.turn,
        score=message.score,
        reasons=message.reasons,
        comment=message.comment,
        modality=Modality.READ,  # the page always shows the text; how much was heard stands beside it
        heard_ms=_heard_ms(session, message.turn),
        supersedes=earlier.id if earlier else None,
    )


def _heard_ms(session: Session, turn: str) -> int:
    """How much of the reply's sound was played by now: many judge while it is still speaking."""
    if session.reply is not None and session.reply.turn == turn:
        return session.reply.played * 1000 // SAMPLE_RATE_HZ
    delivery = session.dialogue.deliveries.get(turn)
    return delivery.played_ms if delivery else 0


def verdict(session: Session, message: Prefer, annotator: str) -> Judgement:
    """The verdict on two replies, as a row that replaces the annotator's earlier one. Raises `ValueError`."""
    if message.comparison not in session.dialogue.comparisons:
        raise ValueError("There is no such comparison in this conversation, so the verdict was not kept.")
    earlier = session.dialogue.verdict(message.comparison, annotator)
    return Judgement(
        new_id(),
        annotator,
        comparison=message.comparison,
        score=message.score,
        qualifier=message.qualifier,
        comment=message.comment,
        supersedes=earlier.id if earlier else None,
    )
