"""A whole conversation as values: what a store gives back. Knows nothing of where it came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from conversations.turn import (
    Comparison,
    Configuration,
    Conversation,
    Delivery,
    Judgement,
    Path,
    Prompt,
    Record,
    Step,
    Transcript,
    Turn,
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything of one conversation.

    `turns` holds all of them by id, superseded ones too; `path` the ids of those on the newest path, in order. `deliveries`
    and `transcripts` have the latest by turn, `prompts` what was sent by reply, `configurations` those in use by id.
    `paths`, `steps`, `comparisons` and `judgements` are all there are, in the order in which they were kept.
    """

    conversation: Conversation
    turns: Mapping[str, Turn]
    path: tuple[str, ...]
    paths: tuple[Path, ...]
    steps: tuple[Step, ...]
    deliveries: Mapping[str, Delivery]
    transcripts: Mapping[str, Transcript]
    configurations: Mapping[str, Configuration]
    prompts: Mapping[str, Prompt]
    comparisons: tuple[Comparison, ...]
    judgements: tuple[Judgement, ...]

    def records(self) -> Iterator[Record]:
        """The same as records, in an order in which another store, or a dialogue, can take them."""
        yield self.conversation
        yield from self.configurations.values()
        yield from self.turns.values()
        yield from self.prompts.values()
        for path in self.paths:
            yield path
            yield from (step for step in self.steps if step.path == path.id)
        yield from self.deliveries.values()
        yield from self.transcripts.values()
        yield from self.comparisons
        yield from self.judgements


def resolve(paths: Sequence[Path], steps: Iterable[Step]) -> tuple[str, ...]:
    """Turn ids of the last of `paths`: the part that it shares with its parent, and so on upwards, then its own steps."""
    own: dict[str, list[Step]] = {path.id: [] for path in paths}
    for step in steps:
        own[step.path].append(step)
    by_id = {path.id: path for path in paths}
    turns: dict[int, str] = {}
    path = paths[-1] if paths else None
    shared: int | None = None
    while path is not None:
        turns |= {step.position: step.turn for step in own[path.id] if shared is None or step.position < shared}
        shared = path.shared if shared is None else min(shared, path.shared)
        path = by_id[path.parent] if path.parent else None
    return tuple(turns[position] for position in sorted(turns))


def current(judgements: Iterable[Judgement]) -> tuple[Judgement, ...]:
    """The judgements that hold, by id: not superseded, not taken back, and of several that one annotator left on the same
    thing and aspect (from two windows, say) the latest."""
    ordered = sorted(judgements, key=lambda judgement: (judgement.created_at, judgement.id))
    superseded = {judgement.supersedes for judgement in ordered}
    latest = {
        (judgement.annotator, judgement.turn, judgement.comparison, judgement.aspect): judgement
        for judgement in ordered
        if judgement.id not in superseded
    }
    return tuple(sorted((one for one in latest.values() if one.score is not None), key=lambda judgement: judgement.id))
