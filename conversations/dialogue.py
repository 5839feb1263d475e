"""A conversation as it stands, made from its records: pure, in memory.

The same records that a store keeps are applied here, one after the other, whether they come from the store or have just
happened; so what is shown and what is put before the model can't differ from what is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from conversations.loaded import Loaded
from conversations.turn import (
    Comparison,
    Configuration,
    Conversation,
    Delivery,
    Form,
    Interrupted,
    Judgement,
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
    new_id,
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A user's turn and the replies to it, oldest first; `chosen` is the one on the path, if any is."""

    user: Turn
    replies: tuple[Turn, ...]
    chosen: Turn | None


class Dialogue:
    """One conversation's turns, its path, and what became known about them."""

    def __init__(self, conversation: str) -> None:
        self.conversation = conversation
        self.path_id: str | None = None
        self.path: list[str] = []
        self.turns: dict[str, Turn] = {}
        self.prompts: dict[str, Prompt] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.transcripts: dict[str, Transcript] = {}
        self.configurations: dict[str, Configuration] = {}
        self.comparisons: dict[str, Comparison] = {}
        self.judgements: dict[str, Judgement] = {}
        self._replies: dict[str, list[str]] = {}

    @classmethod
    def of(cls, loaded: Loaded) -> Dialogue:
        """What a store gave back."""
        dialogue = cls(loaded.conversation.id)
        dialogue.apply(
            *loaded.configurations.values(),
            *loaded.turns.values(),
            *loaded.prompts.values(),
            *loaded.deliveries.values(),
            *loaded.transcripts.values(),
            *loaded.comparisons,
            *loaded.judgements,
        )
        dialogue.path_id = loaded.paths[-1].id if loaded.paths else None
        dialogue.path = list(loaded.path)
        return dialogue

    def apply(self, *records: Record) -> None:
        for record in records:
            self._apply(record)

    def _apply(self, record: Record) -> None:
        match record:
            case Turn():
                self.turns[record.id] = record
                if record.reply_to is not None:
                    self._replies.setdefault(record.reply_to, []).append(record.id)
            case Superseded(turn=turn):
                self._restate(turn, Status.SUPERSEDED)
            case Interrupted(turn=turn):
                self._restate(turn, Status.INTERRUPTED)
            case Path(id=path_id, shared=shared):
                self.path_id, self.path = path_id, self.path[:shared]
            case Step(position=position, turn=turn):
                if position != len(self.path):
                    raise ValueError(f"step {position} of a path of {len(self.path)} turns")
                self.path.append(turn)
            case Prompt():
                self.prompts[record.reply] = record
            case Delivery():
                self.deliveries[record.turn] = record
            case Transcript():
                self.transcripts[record.turn] = record
            case Configuration():
                self.configurations[record.id] = record
            case Comparison():
                self.comparisons[record.id] = record
            case Judgement():
                if record.supersedes is not None:
                    self.judgements.pop(record.supersedes, None)
                self.judgements[record.id] = record
            case Conversation():
                pass

    def _restate(self, turn: str, status: Status) -> None:
        self.turns[turn] = replace(self.turns[turn], status=status)

    def step(self, turn: str) -> tuple[Path | Step, ...]:
        """The records that put a turn at the end of the path (and begin the path, where there is none)."""
        if self.path_id is None:
            path = Path(new_id(), self.conversation)
            return path, Step(path.id, 0, turn)
        return (Step(self.path_id, len(self.path), turn),)

    def fork(self, shared: int, *turns: str) -> tuple[Path | Step, ...]:
        """The records of a new path: the first `shared` turns of this one, then `turns`."""
        path = Path(new_id(), self.conversation, self.path_id, shared)
        return path, *(Step(path.id, shared + index, turn) for index, turn in enumerate(turns))

    def exchanges(self) -> list[Exchange]:
        """The path as pairs of a user's turn and its replies."""
        following: Mapping[str, str] = dict(zip(self.path, self.path[1:], strict=False))
        return [self.exchange(turn, following.get(turn)) for turn in self.path if self.turns[turn].role is Role.USER]

    def last_exchange(self) -> Exchange | None:
        """The one that the path ends in."""
        turn = self.last_user_turn()
        if turn is None:
            return None
        position = self.path.index(turn) + 1
        return self.exchange(turn, self.path[position] if position < len(self.path) else None)

    def exchange(self, user_turn: str, following: str | None = None) -> Exchange:
        """The exchange of one user's turn; `following` is what comes after it on the path."""
        replies = tuple(
            self.turns[reply] for reply in self._replies.get(user_turn, ()) if self.turns[reply].status is not Status.SUPERSEDED
        )
        chosen = next((reply for reply in replies if reply.id == following), None)
        return Exchange(self.turns[user_turn], replies, chosen)

    def last_user_turn(self) -> str | None:
        """The user's turn that the path ends in, or that its last reply answers."""
        return next((turn for turn in reversed(self.path) if self.turns[turn].role is Role.USER), None)

    def is_last(self, user_turn: str) -> bool:
        """Whether the conversation goes on from this user's turn."""
        return user_turn == self.last_user_turn()

    def history(self) -> tuple[PromptTurn, ...]:
        """The path as it is to be put before the model."""
        return tuple(turn for turn in map(self._as_prompt, self.path) if turn is not None)

    def _as_prompt(self, turn_id: str) -> PromptTurn | None:
        """Only a spoken reply that was interrupted is cut to what was heard of it. A reply of which nothing reached the
        person is none."""
        turn = self.turns[turn_id]
        if turn.role is Role.USER:
            form = Form.AUDIO if turn.audio else Form.TEXT
            return PromptTurn(turn.id, Role.USER, form, turn.text, turn.audio)
        cut_off = turn.status in (Status.INTERRUPTED, Status.FAILED)
        delivery = self.deliveries.get(turn_id)
        heard_only = turn.status is Status.INTERRUPTED and delivery is not None
        text = delivery.text_heard if heard_only and delivery is not None else turn.text
        return PromptTurn(turn.id, Role.ASSISTANT, Form.TEXT, text, cut_off=cut_off) if text.strip() else None

    def thumb(self, turn: str, annotator: str) -> Judgement | None:
        """This annotator's current thumb on a reply."""
        return self._current(one for one in self.judgements.values() if one.turn == turn and one.annotator == annotator)

    def verdict(self, comparison: str, annotator: str) -> Judgement | None:
        """This annotator's current verdict on two replies."""
        return self._current(
            one for one in self.judgements.values() if one.comparison == comparison and one.annotator == annotator
        )

    @staticmethod
    def _current(judgements: Iterable[Judgement]) -> Judgement | None:
        return max(judgements, key=lambda one: one.id, default=None)

    def comparison_of(self, turn: str) -> Comparison | None:
        """The newest question "which is better" in which this reply takes part."""
        asked = [one for one in self.comparisons.values() if turn in (one.left, one.right)]
        return max(asked, key=lambda one: one.id, default=None)
