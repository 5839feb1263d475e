from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from conversations.loaded import Loaded, current
from conversations.pairs import SENTENCES, Harvest, PairKind, Reason, gather
from conversations.turn import Audio, Delivery, Judgement, Modality, Origin, Record, Status, Superseded, Turn
from tests.made import MODEL, answer, compared, configuration, loaded, prompt, question, thumb, verdict

A = answer("a")
B = answer("b", origin=Origin.REGENERATED)
OTHER = configuration("other")
HEARD = {"modality": Modality.HEARD}
T = TypeVar("T")


def reasons(harvest: Harvest) -> list[tuple[Reason, tuple[str, ...]]]:
    return [(refusal.reason, refusal.judgements) for refusal in harvest.refusals]


def preferred(harvest: Harvest) -> list[tuple[PairKind, str, str, float]]:
    return [(pair.kind, pair.y, pair.y_ref, pair.g) for pair in harvest.pairs]


def labels(harvest: Harvest) -> list[tuple[str, bool, tuple[str, ...]]]:
    return [(single.turn, single.label, single.judgements) for single in harvest.singles]


def harvest(*more: Record, replies: tuple[Turn, ...] = (A, B), offline: bool = False) -> Harvest:
    return gather(loaded(*replies, more=more), include_offline=offline)


# Thumbs


@pytest.mark.parametrize(("first", "second", "g"), [(1, -1, 2), (-1, 1, -2)])
def test_thumbs_up_and_down_on_siblings_are_a_pair(first: int, second: int, g: int) -> None:
    found = harvest(thumb("j1", A.id, first), thumb("j2", B.id, second))
    assert preferred(found) == [(PairKind.THUMB_SIBLINGS, A.id, B.id, g)]
    assert found.pairs[0].judgements == ("j1", "j2")
    assert found.pairs[0].annotators == ("ann",)
    assert (found.singles, found.refusals) == ((), ())


@pytest.mark.parametrize(
    "judgements",
    [
        pytest.param([thumb("j1", A.id, 1)], id="one thumb"),
        pytest.param([thumb("j1", A.id, 1), thumb("j2", B.id, 1)], id="both up"),
        pytest.param([thumb("j1", A.id, -1), thumb("j2", B.id, -1)], id="both down"),
        pytest.param([thumb("j1", A.id, 1), thumb("j2", B.id, -1, "bob")], id="two annotators"),
    ],
)
def test_thumbs_that_pair_with_nothing_stand_alone(judgements: list[Judgement]) -> None:
    found = harvest(*judgements)
    assert labels(found) == [(one.turn, one.score == 1, (one.id,)) for one in judgements]
    assert (found.pairs, found.refusals) == ((), ())


def test_each_thumb_up_pairs_with_each_thumb_down() -> None:
    c = answer("c")
    found = harvest(thumb("j1", A.id, -1), thumb("j2", B.id, 1), thumb("j3", c.id, 1), replies=(A, B, c))
    assert preferred(found) == [
        (PairKind.THUMB_SIBLINGS, A.id, B.id, -2),
        (PairKind.THUMB_SIBLINGS, A.id, c.id, -2),
    ]
    assert found.singles == ()


def test_thumbs_on_different_histories_stand_alone() -> None:
    found = harvest(thumb("j1", A.id, 1), thumb("j2", B.id, -1), prompt(B, "What is new?"))
    assert found.pairs == ()
    assert labels(found) == [(A.id, True, ("j1",)), (B.id, False, ("j2",))]
    assert reasons(found) == [(Reason.DIFFERENT_HISTORIES, ("j1", "j2"))]


def test_replies_to_different_turns_are_no_siblings_even_if_the_history_reads_the_same() -> None:
    elsewhere = replace(B, reply_to="c-2")
    found = harvest(question(id="c-2"), elsewhere, prompt(elsewhere), thumb("j1", A.id, 1), thumb("j2", B.id, -1), replies=(A,))
    assert found.pairs == ()
    assert len(found.singles) == 2


def test_thumbs_that_take_each_other_back_say_nothing() -> None:
    same = answer("b", f" {A.text.replace(' ', '  ')}\n")
    found = harvest(thumb("j1", A.id, 1), thumb("j2", B.id, -1), replies=(A, same))
    assert (found.pairs, found.singles) == ((), ())
    assert reasons(found) == [(Reason.SAME_TEXT, ("j1", "j2"))]


def test_reading_and_hearing_make_no_pair() -> None:
    heard = Delivery(B.id, 9, 10, 24_000, "I am")
    found = harvest(heard, thumb("j1", A.id, 1), thumb("j2", B.id, -1, **HEARD))
    assert found.pairs == ()
    assert len(found.singles) == 2
    assert reasons(found) == [(Reason.DIFFERENT_MODALITIES, ("j1", "j2"))]


# Verdicts


@pytest.mark.parametrize("score", [-3, -2, -1, 1, 2, 3])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_verdict_after_try_again_is_a_pair(score: int, swapped: bool) -> None:
    sides = (B, A) if swapped else (A, B)
    found = harvest(compared("x", *sides), verdict("j", "x", score))
    assert preferred(found) == [(PairKind.REGENERATE_EXPLICIT, A.id, B.id, score if swapped else -score)]
    assert (found.singles, found.refusals) == ((), ())
    assert found.pairs[0].qualifier == ""
    assert found.pairs[0].rubric is None


def test_try_again_without_a_verdict_is_nothing() -> None:
    assert harvest(compared("x", A, B)) == Harvest()


@pytest.mark.parametrize(
    ("origin", "second", "kind"),
    [
        (Origin.REGENERATED, B, PairKind.REGENERATE_EXPLICIT),
        (Origin.REGENERATED, replace(B, configuration=OTHER.id), PairKind.REGENERATE_EXPLICIT),
        (Origin.AB, B, PairKind.ON_POLICY_AB),
        (Origin.AB, replace(B, configuration=OTHER.id), PairKind.CROSS_CONFIG),
    ],
)
def test_the_kind_follows_from_the_origin_and_the_configurations(origin: Origin, second: Turn, kind: PairKind) -> None:
    found = harvest(OTHER, compared("x", A, B, origin), verdict("j", "x", 1), replies=(A, second))
    assert [pair.kind for pair in found.pairs] == [kind]


def test_pairs_between_two_configurations_all_face_the_same_way() -> None:
    one, other = sorted((MODEL.id, OTHER.id))
    for first, second, y in ((one, other, A.id), (other, one, B.id)):
        replies = (replace(A, configuration=first), replace(B, configuration=second))
        found = harvest(OTHER, compared("x", A, B, Origin.AB), verdict("j", "x", 3), replies=replies)
        assert [(pair.y, pair.g) for pair in found.pairs] == [(y, 3 if y == B.id else -3)]


@pytest.mark.parametrize("origin", [Origin.SPOKEN, Origin.TYPED, Origin.EDIT, Origin.REPLAY])
def test_comparisons_of_other_origins_are_refused(origin: Origin) -> None:
    found = harvest(compared("x", A, B, origin), verdict("j", "x", 1))
    assert found.pairs == ()
    assert reasons(found) == [(Reason.OTHER_ORIGIN, ("j",))]


@pytest.mark.parametrize(
    ("qualifier", "kept", "singles"),
    [("both_good", "both_good", 0), ("neither", "neither", 0), ("", "neither", 0), ("both_bad", "both_bad", 2)],
)
def test_a_tie_is_a_row_with_a_qualifier(qualifier: str, kept: str, singles: int) -> None:
    found = harvest(compared("x", A, B), verdict("j", "x", 0, qualifier=qualifier))
    assert [(pair.g, pair.qualifier) for pair in found.pairs] == [(0, kept)]
    assert labels(found) == [(A.id, False, ("j",)), (B.id, False, ("j",))][:singles]


@pytest.mark.parametrize(
    ("scores", "g", "qualifier"),
    [
        ((3, 1, -2), 1, ""),
        ((3, 3, -3, -3), 0, "neither"),
        ((1, 2), 1.5, ""),
        ((2, 2), 2, ""),
        ((0, 0, 0), 0, "both_bad"),
        ((1, 0, -1), 0, "neither"),
    ],
)
def test_of_several_annotators_the_median_counts(scores: tuple[int, ...], g: float, qualifier: str) -> None:
    verdicts = [verdict(f"j{n}", "x", score, f"ann{n}", qualifier="both_bad") for n, score in enumerate(scores)]
    (pair,) = harvest(compared("x", B, A), *verdicts).pairs
    assert (pair.g, pair.qualifier) == (g, qualifier)
    assert pair.annotators == tuple(f"ann{n}" for n in range(len(scores)))
    assert pair.judgements == tuple(f"j{n}" for n in range(len(scores)))


def test_a_repetition_with_the_sides_swapped_gives_no_second_row() -> None:
    found = harvest(
        compared("x1", A, B, Origin.AB), compared("x2", B, A, Origin.AB), verdict("j1", "x2", 3), verdict("j2", "x1", 2)
    )
    assert [(pair.g, pair.judgements) for pair in found.pairs] == [(-2, ("j2",))]


def test_reading_and_hearing_are_rows_of_their_own() -> None:
    heard = [Delivery(turn.id, 9, 10, 24_000, "I am") for turn in (A, B)]
    found = harvest(*heard, compared("x", A, B), verdict("j1", "x", 3), verdict("j2", "x", -3, "bob", **HEARD))
    assert {(pair.modality, pair.g) for pair in found.pairs} == {(Modality.READ, -3), (Modality.HEARD, 3)}


def test_a_verdict_on_different_histories_is_refused() -> None:
    found = harvest(compared("x", A, B), verdict("j", "x", 3), prompt(B, "What is new?"))
    assert found.pairs == ()
    assert reasons(found) == [(Reason.DIFFERENT_HISTORIES, ("j",))]


# Only what holds


@pytest.mark.parametrize(
    ("judgements", "holding"),
    [
        pytest.param([thumb("j1", A.id, 1), thumb("j2", A.id, -1, supersedes="j1")], ["j2"], id="changed"),
        pytest.param([thumb("j1", A.id, 1), thumb("j2", A.id, None, supersedes="j1")], [], id="taken back"),
        pytest.param(
            [thumb("j1", A.id, 1), thumb("j2", A.id, None, supersedes="j1"), thumb("j3", A.id, -1, supersedes="j2")],
            ["j3"],
            id="taken back and given again",
        ),
        pytest.param(
            [thumb("j1", A.id, 1, aspect="voice"), thumb("j2", A.id, 1, supersedes="j1")], ["j2"], id="another aspect"
        ),
        pytest.param(
            [thumb("j1", A.id, 1, created_at="2"), thumb("j2", A.id, -1, created_at="1", supersedes="j1")],
            ["j2"],
            id="changed after the clock was set back",
        ),
        pytest.param([thumb("j1", A.id, 1, created_at="1"), thumb("j2", A.id, -1, created_at="2")], ["j2"], id="two windows"),
        pytest.param([thumb("j1", A.id, 1), thumb("j2", A.id, 1, "bob")], ["j1", "j2"], id="two annotators"),
        pytest.param([thumb("j1", A.id, 1), thumb("j2", A.id, -1, aspect="voice")], ["j1", "j2"], id="two aspects"),
    ],
)
def test_only_current_judgements_count(judgements: list[Judgement], holding: list[str]) -> None:
    for order in (judgements, judgements[::-1]):
        assert [one.id for one in current(order)] == holding


def test_a_pair_that_was_taken_back_is_gone() -> None:
    found = harvest(compared("x", A, B), verdict("j1", "x", 3), verdict("j2", "x", None, supersedes="j1"))
    assert found == Harvest()


# Refused


def spoken(seconds: float, turn: str = B.id) -> Delivery:
    return Delivery(turn, int(seconds * 24_000), 48_000, 24_000, "I am")


TWO_SECONDS = Audio("0" * 64, 24_000, 48_000)


REFUSED = [
    pytest.param(replace(B, status=Status.FAILED), {}, Reason.FAILED, id="failed"),
    pytest.param(replace(B, status=Status.INTERRUPTED), {}, Reason.CUT_OFF, id="interrupted"),
    pytest.param(replace(B, status=Status.SUPERSEDED), {}, Reason.SUPERSEDED, id="superseded"),
    pytest.param(replace(B, text=" "), {}, Reason.INCOMPLETE, id="no text"),
    pytest.param(replace(B, configuration=None), {}, Reason.INCOMPLETE, id="no configuration"),
    pytest.param(B, {"aspect": "voice"}, Reason.VOICE_ONLY, id="voice"),
    pytest.param(B, HEARD, Reason.NOT_HEARD, id="never heard"),
    pytest.param(replace(B, configuration=configuration("rehearsal", offline=True).id), {}, Reason.OFFLINE, id="offline"),
]


@pytest.mark.parametrize(("reply", "about", "reason"), REFUSED)
def test_a_refused_thumb_makes_neither_pair_nor_single(reply: Turn, about: dict[str, Any], reason: Reason) -> None:
    offline = configuration("rehearsal", offline=True)
    found = harvest(offline, thumb("j1", A.id, 1), thumb("j2", B.id, -1, **about), replies=(A, reply))
    assert reasons(found) == [(reason, ("j2",))]
    assert labels(found) == [(A.id, True, ("j1",))]
    assert found.pairs == ()


@pytest.mark.parametrize(("reply", "about", "reason"), REFUSED)
@pytest.mark.parametrize("score", [3, 0])
def test_a_refused_verdict_makes_neither_pair_nor_single(
    reply: Turn, about: dict[str, Any], reason: Reason, score: int
) -> None:
    offline = configuration("rehearsal", offline=True)
    judged = verdict("j", "x", score, qualifier="both_bad", **about)
    found = harvest(offline, spoken(2, A.id), compared("x", A, B), judged, replies=(A, reply))
    assert reasons(found) == [(reason, ("j",))]
    assert (found.pairs, found.singles) == ((), ())


@pytest.mark.parametrize("aspect", ["", "content", "both"])
def test_a_judgement_of_the_content_counts(aspect: str) -> None:
    found = harvest(compared("x", A, B), verdict("j", "x", 3, aspect=aspect), thumb("j2", A.id, 1, aspect=aspect))
    assert len(found.pairs) == len(found.singles) == 1


@pytest.mark.parametrize(
    ("audio", "played_s", "heard_ms", "counts"),
    [
        pytest.param(TWO_SECONDS, 0.99, 0, False, id="less than half"),
        pytest.param(TWO_SECONDS, 1.0, 0, True, id="half"),
        pytest.param(TWO_SECONDS, None, 1000, True, id="half of a replay"),
        pytest.param(TWO_SECONDS, 0.5, 999, False, id="too little of both"),
        pytest.param(None, 1.0, 0, True, id="sound not kept"),
        pytest.param(None, None, 5000, False, id="never spoken"),
    ],
)
def test_in_heard_mode_half_of_the_reply_has_to_be_heard(
    audio: Audio | None, played_s: float | None, heard_ms: int, counts: bool
) -> None:
    found = loaded(B, more=(thumb("j", B.id, 1, heard_ms=heard_ms, **HEARD),))
    turns = {**found.turns, B.id: replace(B, audio=audio)}
    deliveries = {} if played_s is None else {B.id: spoken(played_s)}
    assert len(gather(replace(found, turns=turns, deliveries=deliveries)).singles) == counts


def test_the_same_thumb_by_reading_needs_no_sound() -> None:
    assert len(harvest(thumb("j", B.id, 1)).singles) == 1


def test_both_replies_of_a_heard_verdict_have_to_be_heard() -> None:
    for heard in (A.id, B.id):
        found = harvest(spoken(2, heard), compared("x", A, B), verdict("j", "x", 3, heard_ms=9000, **HEARD))
        assert reasons(found) == [(Reason.NOT_HEARD, ("j",))]
    assert len(harvest(spoken(2, A.id), spoken(2), compared("x", A, B), verdict("j", "x", 3, **HEARD)).pairs) == 1


def test_the_rehearsal_partner_is_marked_when_it_is_asked_for() -> None:
    offline = configuration("rehearsal", offline=True)
    replies = (replace(A, configuration=offline.id), replace(B, configuration=offline.id), answer("c"))
    judgements = (thumb("j1", A.id, 1), thumb("j2", B.id, -1), thumb("j3", "c-c", 1, "bob"))
    found = harvest(offline, *judgements, replies=replies, offline=True)
    assert [(pair.y, pair.offline) for pair in found.pairs] == [(A.id, True)]
    found = harvest(offline, *judgements, replies=replies)
    assert labels(found) == [("c-c", True, ("j3",))]
    assert not found.singles[0].offline
    assert reasons(found) == [(Reason.OFFLINE, ("j1",)), (Reason.OFFLINE, ("j2",))]


def test_a_reply_without_its_prompt_is_refused() -> None:
    found = loaded(A, more=(thumb("j", A.id, 1),))
    assert reasons(gather(replace(found, prompts={}))) == [(Reason.INCOMPLETE, ("j",))]


def test_a_superseded_question_takes_its_replies_along() -> None:
    """A continuation supersedes the question and the reply that was under way."""
    found = loaded(A, more=(Superseded("c-user"), Superseded(A.id), thumb("j", A.id, 1)))
    assert reasons(gather(found)) == [(Reason.SUPERSEDED, ("j",))]


def test_every_reason_has_its_sentence() -> None:
    assert SENTENCES.keys() == set(Reason)


# In any order


def shuffled(found: Loaded, seed: int) -> Loaded:
    draw = random.Random(seed)

    def mix(values: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(draw.sample(values, len(values)))

    def mix_keys(values: dict[str, T]) -> dict[str, T]:
        return {key: values[key] for key in mix(tuple(values))}

    return replace(
        found,
        turns=mix_keys(dict(found.turns)),
        prompts=mix_keys(dict(found.prompts)),
        deliveries=mix_keys(dict(found.deliveries)),
        configurations=mix_keys(dict(found.configurations)),
        comparisons=mix(found.comparisons),
        judgements=mix(found.judgements),
    )


def test_the_order_of_the_values_plays_no_part() -> None:
    c = answer("c", configuration=OTHER.id)
    same = answer("d", A.text)
    more: list[Record] = [
        OTHER,
        *(spoken(2, turn.id) for turn in (A, B)),
        *(thumb(f"t{n}", turn.id, score) for n, (turn, score) in enumerate([(A, 1), (B, -1), (c, -1), (same, -1)])),
        *(thumb(f"h{n}", turn.id, score, "bob", **HEARD) for n, (turn, score) in enumerate([(A, -1), (B, 1), (c, 1)])),
        *(thumb(f"s{n}", turn.id, 1, "eve") for n, turn in enumerate([A, B])),
        compared("x1", A, B),
        compared("x2", B, A, Origin.AB),
        compared("x3", c, A, Origin.AB),
        *(verdict(f"v{n}", f"x{n % 3 + 1}", n % 7 - 3, f"ann{n % 4}", qualifier="both_bad") for n in range(20)),
    ]
    found = loaded(A, B, c, same, more=tuple(more))
    expected = gather(found)
    assert expected.pairs
    assert expected.singles
    assert expected.refusals
    for seed in range(20):
        assert gather(shuffled(found, seed)) == expected
