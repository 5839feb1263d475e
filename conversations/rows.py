"""Values as rows, and back. Pure: knows the tables' names and columns, and nothing of the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from conversations.turn import (
    Audio,
    Comparison,
    Configuration,
    Conversation,
    Delivery,
    Form,
    Interrupted,
    Judgement,
    Modality,
    Origin,
    Path,
    Prompt,
    PromptTurn,
    Record,
    Role,
    Status,
    Step,
    Superseded,
    Transcript,
    Turn,
)

Row = dict[str, Any]
Kept = Conversation | Configuration | Turn | Prompt | Path | Step | Delivery | Transcript | Comparison | Judgement
T = TypeVar("T")

TABLES: Mapping[type[Kept], str] = {
    Conversation: "conversations",
    Configuration: "configurations",
    Turn: "turns",
    Prompt: "prompts",
    Path: "paths",
    Step: "steps",
    Delivery: "deliveries",
    Transcript: "transcripts",
    Comparison: "comparisons",
    Judgement: "judgements",
}


def as_row(record: Kept) -> Row:
    """The columns of `record` in its table."""
    match record:
        case Prompt():
            history = [_prompt_turn_as_json(turn) for turn in record.history]
            return {"reply": record.reply, "history": _json(history), "history_hash": record.history_hash}
        case Configuration():
            return {"id": record.id} | _columns(record)
        case _:
            return _columns(record)


def as_value(kind: type[T], row: Row) -> T:
    """The value of type `kind` that `row` holds; columns that the type does not have are left out."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # every T here is one of the dataclasses
    return kind(**{name: _READ.get((kind, name), _same)(value) for name, value in row.items() if name in names})


def as_turn(row: Row, audio: Mapping[str, Audio]) -> Turn:
    """The turn that `row` holds; `audio` has the sounds by hash."""
    return as_value(Turn, row | {"audio": audio[row["audio"]] if row["audio"] else None})


def as_prompt(row: Row) -> Prompt:
    return Prompt(row["reply"], tuple(_prompt_turn(entry) for entry in json.loads(row["history"])))


def conversation_of(record: Record) -> str | None:
    """The conversation that `record` names; None for what only points at a turn, a path or a comparison."""
    match record:
        case Conversation():
            return record.id
        case Turn() | Path() | Comparison():
            return record.conversation
        case Configuration() | Prompt() | Step() | Superseded() | Interrupted() | Delivery() | Transcript() | Judgement():
            return None


def _columns(record: Kept) -> Row:
    return {field.name: _column(getattr(record, field.name)) for field in fields(record)}


def _column(value: Any) -> Any:
    match value:
        case Audio():
            return value.sha256
        case tuple() | Mapping():
            return _json(value)
        case bool():
            return int(value)
        case _:
            return value


def _prompt_turn_as_json(turn: PromptTurn) -> Row:
    audio = turn.audio
    sound = {"sha256": audio.sha256, "sample_rate_hz": audio.sample_rate_hz, "samples": audio.samples} if audio else None
    return turn.as_json() | {"audio": sound}


def _prompt_turn(entry: Row) -> PromptTurn:
    audio = Audio(**entry["audio"]) if entry["audio"] else None
    return PromptTurn(**entry | {"role": Role(entry["role"]), "form": Form(entry["form"]), "audio": audio})


def _json(value: Any) -> str:
    return json.dumps(dict(value) if isinstance(value, Mapping) else value, ensure_ascii=False)


def _strings(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def _same(value: Any) -> Any:
    return value


_READ: Mapping[tuple[type, str], Callable[[Any], Any]] = {
    (Configuration, "parameters"): json.loads,
    (Configuration, "offline"): bool,
    (Turn, "role"): Role,
    (Turn, "origin"): Origin,
    (Turn, "status"): Status,
    (Turn, "notes"): _strings,
    (Turn, "timings"): json.loads,
    (Turn, "usage"): json.loads,
    (Comparison, "origin"): Origin,
    (Judgement, "modality"): Modality,
    (Judgement, "reasons"): _strings,
}
