"""What is to be kept of a reply: from its state to records. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from backend.models import DialogueModel
from backend.reply import Reply
from backend.speakers import SAMPLE_RATE_HZ
from conversations.dialogue import Dialogue
from conversations.turn import (
    Comparison,
    Configuration,
    Delivery,
    Origin,
    Prompt,
    Record,
    Role,
    Status,
    Transcript,
    Turn,
    new_id,
)


def configuration_of(reply: Reply, model: DialogueModel, app_version: str) -> Configuration:
    """What shaped the reply; the model as its server named itself in the answer."""
    voice = {"name": reply.voice.name, "speed": reply.voice.speed} if reply.voice else None
    return Configuration(
        name=model.name,
        served_model=reply.model,
        parameters={**model.parameters, "voice": voice},
        system_prompt=reply.options.system_prompt,
        template_hash="",
        app_version=app_version,
        offline=model.offline,
    )


def records(reply: Reply, status: Status, configuration: Configuration, dialogue: Dialogue) -> Sequence[Record]:
    """Everything that is to be kept of a reply, its delivery apart; in the order in which a store can take it."""
    turn = Turn(
        id=reply.turn,
        conversation=dialogue.conversation,
        role=Role.ASSISTANT,
        text=reply.text,
        reasoning=reply.reasoning,
        audio=reply.audio,
        reply_to=reply.reply_to,
        configuration=configuration.id,
        seed=reply.options.seed,
        origin=reply.origin,
        status=status,
        failure=reply.failure,
        notes=(*reply.notes, *([reply.speech_failure] if reply.speech_failure else [])),
        finish_reason=reply.finish_reason,
        timings=reply.timings,
        usage=dict(reply.usage),
    )
    return (
        configuration,
        turn,
        Prompt(turn.id, reply.history),
        *_transcript(reply, configuration, dialogue),
        *_place(reply, status, dialogue),
        *_question(reply, status, dialogue),
    )


def deliveries(reply: Reply) -> Sequence[Delivery]:
    """How much of a spoken reply was heard. None of one that was shown only, or whose speech failed: that stays whole."""
    if reply.voice is None or reply.speech_failure:
        return ()
    return (Delivery(reply.turn, reply.played, reply.made, SAMPLE_RATE_HZ, reply.text_heard, reply.first_sound_ms),)


def _transcript(reply: Reply, configuration: Configuration, dialogue: Dialogue) -> Sequence[Transcript]:
    if not reply.transcript or reply.reply_to in dialogue.transcripts:
        return ()
    return (Transcript(reply.reply_to, reply.transcript, configuration.served_model or configuration.name),)


def _place(reply: Reply, status: Status, dialogue: Dialogue) -> Sequence[Record]:
    """Where the reply stands on the path: at its end, or as the new choice for the last turn; otherwise beside it. A failure
    takes no other reply's place."""
    if not dialogue.is_last(reply.reply_to):
        return ()
    position = dialogue.path.index(reply.reply_to) + 1
    if position == len(dialogue.path):
        return dialogue.step(reply.turn)
    return () if status is Status.FAILED else dialogue.fork(position, reply.turn)


def _question(reply: Reply, status: Status, dialogue: Dialogue) -> Sequence[Comparison]:
    """Which is better: asked, before anybody votes, once there are two complete replies to the same history."""
    before = dialogue.turns.get(reply.instead_of or "")
    if before is None or status is not Status.FINISHED or before.status is not Status.FINISHED:
        return ()
    return (Comparison(new_id(), dialogue.conversation, reply.reply_to, before.id, reply.turn, Origin.REGENERATED),)
