"""Which judgements make an honest preference pair, which stand alone, and which say nothing about the model, and why. Pure.

A pair is two replies to the same history and how much better one is; a single is one reply that was liked or not. Whatever
is used for neither is refused with a reason, so that a person can see where a judgement went. The order in which the values
arrive plays no part.

    thumbs up and down on siblings, by one annotator                    thumb_siblings      g = ±2
    a verdict after "try again"                                         regenerate_explicit g = the verdict
    a verdict in an A/B comparison, one configuration                   on_policy_ab        g = the verdict
    a verdict in an A/B comparison, two configurations                  cross_config        g = the verdict
    any other thumb; both replies of a comparison that are both bad     single

Two thumbs tell that one reply is better and not by how much: their difference, 2, is the middle of the three steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from statistics import median

from conversations.loaded import Loaded, current
from conversations.turn import Comparison, Judgement, Modality, Origin, Status, Turn

CUT_SHORT = "length"
"""The finish reason of a reply that reached the longest that its server allows."""

VOICE = "voice"
"""The aspect of a judgement that is about how a reply sounded, and not about what it said."""

BOTH_BAD = "both_bad"
NEITHER = "neither"
HEARD_SHARE = 0.5
"""In heard mode a reply counts when at least this share of its sound was played."""


class PairKind(StrEnum):
    ON_POLICY_AB = "on_policy_ab"
    CROSS_CONFIG = "cross_config"
    REGENERATE_EXPLICIT = "regenerate_explicit"
    THUMB_SIBLINGS = "thumb_siblings"


class Reason(StrEnum):
    """Why a judgement was refused."""

    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CUT_OFF = "cut_off"
    SUPERSEDED = "superseded"
    NOT_HEARD = "not_heard"
    VOICE_ONLY = "voice_only"
    OFFLINE = "offline"
    SAME_TEXT = "same_text"
    DIFFERENT_HISTORIES = "different_histories"
    DIFFERENT_MODALITIES = "different_modalities"
    OTHER_ORIGIN = "other_origin"
    SOUND_LOST = "sound_lost"


SENTENCES = {
    Reason.INCOMPLETE: "The reply's text, its prompt or its configuration is not known.",
    Reason.FAILED: "The reply failed.",
    Reason.CUT_OFF: "The reply was interrupted, or cut short by the model's limit.",
    Reason.SUPERSEDED: "The reply was superseded, since the person had not finished speaking.",
    Reason.NOT_HEARD: "The reply was to be judged by ear, and less than half of it was heard.",
    Reason.VOICE_ONLY: "The judgement is about the voice alone, and says nothing about the dialogue model.",
    Reason.OFFLINE: "The reply is the rehearsal partner's, and no model's.",
    Reason.SAME_TEXT: "Both replies say the same.",
    Reason.DIFFERENT_HISTORIES: "The replies answer different histories.",
    Reason.DIFFERENT_MODALITIES: "One reply was judged by reading and the other by ear.",
    Reason.OTHER_ORIGIN: "A comparison of this origin makes no pair.",
    Reason.SOUND_LOST: "A sound that belongs to it is missing or damaged.",
}


@dataclass(frozen=True, slots=True)
class Pair:
    """`y` is better than `y_ref` by `g`, from −3 (much worse) to 3 (much better), where 0 is refined by `qualifier`.

    Of one configuration, y is the reply with the lower id. Of two, it is the one whose configuration has the lower id, so
    that all pairs between two configurations face the same way. `rubric` is c, the rubric's id and version, or None.
    """

    kind: PairKind
    conversation: str
    y: str
    y_ref: str
    g: float
    qualifier: str
    modality: Modality
    annotators: tuple[str, ...]
    judgements: tuple[str, ...]
    offline: bool
    rubric: str | None = None


@dataclass(frozen=True, slots=True)
class Single:
    """One reply that was liked (`label`) or not."""

    conversation: str
    turn: str
    label: bool
    modality: Modality
    annotators: tuple[str, ...]
    judgements: tuple[str, ...]
    offline: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Judgements that make no pair (or, where only one turn is named, no row at all)."""

    conversation: str
    turns: tuple[str, ...]
    judgements: tuple[str, ...]
    reason: Reason


@dataclass(frozen=True, slots=True)
class Harvest:
    pairs: tuple[Pair, ...] = ()
    singles: tuple[Single, ...] = ()
    refusals: tuple[Refusal, ...] = ()


def gather(loaded: Loaded, *, include_offline: bool = False) -> Harvest:
    """What the current judgements of a conversation come to."""
    judgements = current(loaded.judgements)
    found = [
        *_from_thumbs(loaded, [one for one in judgements if one.turn], include_offline),
        *_from_verdicts(loaded, [one for one in judgements if one.comparison], include_offline),
    ]
    return Harvest(
        pairs=tuple(
            sorted((one for one in found if isinstance(one, Pair)), key=lambda one: (one.y, one.y_ref, one.judgements))
        ),
        singles=tuple(sorted((one for one in found if isinstance(one, Single)), key=lambda one: (one.turn, one.judgements))),
        refusals=tuple(sorted((one for one in found if isinstance(one, Refusal)), key=lambda one: (one.turns, one.judgements))),
    )


def _from_thumbs(loaded: Loaded, thumbs: list[Judgement], include_offline: bool) -> Iterator[Pair | Single | Refusal]:
    siblings: dict[tuple[str, str | None], list[Judgement]] = defaultdict(list)
    for thumb in thumbs:
        turn = _about(thumb)
        if reason := _fault(loaded, turn, thumb, include_offline):
            yield Refusal(loaded.conversation.id, (turn,), (thumb.id,), reason)
        else:
            siblings[thumb.annotator, loaded.turns[turn].reply_to].append(thumb)
    for family in siblings.values():
        yield from _from_siblings(loaded, family)


def _from_siblings(loaded: Loaded, thumbs: list[Judgement]) -> Iterator[Pair | Single | Refusal]:
    """Thumbs of one annotator on replies to one turn: each up with each down, and alone what pairs with nothing."""
    used = set()
    for up, down in product((one for one in thumbs if _score(one) > 0), (one for one in thumbs if _score(one) < 0)):
        reason = _mismatch(loaded, _about(up), _about(down))
        if reason is None and up.modality != down.modality:
            reason = Reason.DIFFERENT_MODALITIES
        # Liked and disliked for the same words: the two take each other back, and neither stands alone.
        if reason in {None, Reason.SAME_TEXT}:
            used |= {up.id, down.id}
        if reason:
            yield Refusal(loaded.conversation.id, *_turns_and_ids(up, down), reason)
        else:
            yield _pair_of_thumbs(loaded, up, down)
    for thumb in thumbs:
        if thumb.id not in used and _score(thumb):
            yield _single(loaded, _about(thumb), _score(thumb) > 0, [thumb])


def _pair_of_thumbs(loaded: Loaded, up: Judgement, down: Judgement) -> Pair:
    y, y_ref = _oriented(loaded, _about(up), _about(down))
    g = _score(up) - _score(down)
    return Pair(
        kind=PairKind.THUMB_SIBLINGS,
        conversation=loaded.conversation.id,
        y=y,
        y_ref=y_ref,
        g=g if y == up.turn else -g,
        qualifier="",
        modality=up.modality,
        annotators=(up.annotator,),
        judgements=tuple(sorted((up.id, down.id))),
        offline=_offline(loaded, y, y_ref),
    )


def _from_verdicts(loaded: Loaded, verdicts: list[Judgement], include_offline: bool) -> Iterator[Pair | Single | Refusal]:
    """One pair for each two replies (and modality), however often and on whichever sides they were compared."""
    comparisons = {comparison.id: comparison for comparison in loaded.comparisons}
    usable: dict[tuple[str, str, Modality], list[Judgement]] = defaultdict(list)
    for verdict in verdicts:
        comparison = comparisons[_about(verdict)]
        y, y_ref = _oriented(loaded, comparison.left, comparison.right)
        if reason := _fault_of_verdict(loaded, comparison, verdict, include_offline):
            yield Refusal(loaded.conversation.id, (y, y_ref), (verdict.id,), reason)
        else:
            usable[y, y_ref, verdict.modality].append(verdict)
    for (y, y_ref, _), judgements in usable.items():
        pair = _pair_of_verdicts(loaded, y, y_ref, _firsts(judgements), comparisons)
        yield pair
        if pair.qualifier == BOTH_BAD:
            both_bad = [judgement for judgement in judgements if judgement.id in pair.judgements]
            yield from (_single(loaded, turn, False, both_bad) for turn in (y, y_ref))


def _pair_of_verdicts(
    loaded: Loaded, y: str, y_ref: str, verdicts: list[Judgement], comparisons: dict[str, Comparison]
) -> Pair:
    first = comparisons[_about(verdicts[0])]
    # The score says how much better the right side is.
    g = median(_score(one) if comparisons[_about(one)].right == y else -_score(one) for one in verdicts)
    return Pair(
        kind=_kind(loaded, first),
        conversation=loaded.conversation.id,
        y=y,
        y_ref=y_ref,
        g=int(g) if g == int(g) else g,
        qualifier="" if g else _qualifier(verdicts),
        modality=verdicts[0].modality,
        annotators=tuple(sorted(one.annotator for one in verdicts)),
        judgements=tuple(sorted(one.id for one in verdicts)),
        offline=_offline(loaded, y, y_ref),
    )


def _single(loaded: Loaded, turn: str, label: bool, judgements: list[Judgement]) -> Single:
    return Single(
        conversation=loaded.conversation.id,
        turn=turn,
        label=label,
        modality=judgements[0].modality,
        annotators=tuple(sorted(one.annotator for one in judgements)),
        judgements=tuple(sorted(one.id for one in judgements)),
        offline=_offline(loaded, turn),
    )


def _firsts(verdicts: Iterable[Judgement]) -> list[Judgement]:
    """Each annotator's verdict in the earliest comparison: a repetition with the sides swapped measures consistency."""
    first: dict[str, Judgement] = {}
    for verdict in sorted(verdicts, key=lambda one: (_about(one), one.id)):
        first.setdefault(verdict.annotator, verdict)
    return list(first.values())


def _qualifier(verdicts: list[Judgement]) -> str:
    """What all agree on who found the replies equal; "neither" where they do not, or opposite verdicts made the zero."""
    named = {one.qualifier if _score(one) == 0 else NEITHER for one in verdicts}
    return (named.pop() if len(named) == 1 else "") or NEITHER


def _kind(loaded: Loaded, comparison: Comparison) -> PairKind:
    if comparison.origin is Origin.REGENERATED:
        return PairKind.REGENERATE_EXPLICIT
    left, right = loaded.turns[comparison.left], loaded.turns[comparison.right]
    return PairKind.ON_POLICY_AB if left.configuration == right.configuration else PairKind.CROSS_CONFIG


def _oriented(loaded: Loaded, one: str, other: str) -> tuple[str, str]:
    """The two replies as (y, y_ref)."""
    y, y_ref = sorted((one, other), key=lambda turn: (loaded.turns[turn].configuration or "", turn))
    return y, y_ref


def _fault_of_verdict(loaded: Loaded, comparison: Comparison, verdict: Judgement, include_offline: bool) -> Reason | None:
    if comparison.origin not in {Origin.REGENERATED, Origin.AB}:
        return Reason.OTHER_ORIGIN
    sides = (comparison.left, comparison.right)
    faults = (_fault(loaded, turn, verdict, include_offline) for turn in sides)
    return next(filter(None, faults), None) or _mismatch(loaded, *sides)


def _fault(loaded: Loaded, turn: str, judgement: Judgement, include_offline: bool) -> Reason | None:
    """Why `judgement` says nothing about the model that made the reply `turn`, if so."""
    reply = loaded.turns[turn]
    match reply.status:
        case Status.FAILED:
            return Reason.FAILED
        case Status.INTERRUPTED:
            return Reason.CUT_OFF
        case Status.SUPERSEDED:
            return Reason.SUPERSEDED
    if reply.finish_reason == CUT_SHORT:
        return Reason.CUT_OFF
    if not reply.text.strip() or turn not in loaded.prompts or reply.configuration is None:
        return Reason.INCOMPLETE
    if judgement.aspect == VOICE:
        return Reason.VOICE_ONLY
    if judgement.modality is Modality.HEARD and _heard_share(loaded, reply, judgement) < HEARD_SHARE:
        return Reason.NOT_HEARD
    if _offline(loaded, turn) and not include_offline:
        return Reason.OFFLINE
    return None


def _mismatch(loaded: Loaded, one: str, other: str) -> Reason | None:
    """Why two sound replies do not make a pair, if so."""
    if loaded.prompts[one].history_hash != loaded.prompts[other].history_hash:
        return Reason.DIFFERENT_HISTORIES
    if loaded.turns[one].text.split() == loaded.turns[other].text.split():
        return Reason.SAME_TEXT
    return None


def _heard_share(loaded: Loaded, reply: Turn, judgement: Judgement) -> float:
    """How much of the reply's sound was played: live, or, for a thumb, as its annotator heard it later."""
    delivery = loaded.deliveries.get(reply.id)
    played_seconds = delivery.played_samples / delivery.sample_rate_hz if delivery else 0.0
    made_seconds = delivery.made_samples / delivery.sample_rate_hz if delivery else 0.0
    seconds = reply.audio.seconds if reply.audio else made_seconds
    return max(played_seconds, judgement.heard_ms / 1000 if judgement.turn else 0.0) / seconds if seconds else 0.0


def _offline(loaded: Loaded, *turns: str) -> bool:
    return any(loaded.configurations[loaded.turns[turn].configuration or ""].offline for turn in turns)


def _about(judgement: Judgement) -> str:
    """The id of the turn or of the comparison that was judged."""
    return judgement.turn or judgement.comparison or ""


def _score(judgement: Judgement) -> int:
    return judgement.score or 0


def _turns_and_ids(up: Judgement, down: Judgement) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(sorted((_about(up), _about(down)))), tuple(sorted((up.id, down.id)))
