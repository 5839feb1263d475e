"""Turn taking over tables of probabilities: no sound, no clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from backend.turns import Confirmed, Decision, Dismissed, Ended, Onset, Rules, TurnDetector
from backend.vad import FRAME_SAMPLES

FRAME_MS = 32


@dataclass(frozen=True)
class Sound:
    """So many milliseconds (rounded up to frames) at one probability; `answering`: a reply is under way meanwhile."""

    ms: int
    probability: float
    answering: bool = False


def speech(ms: int, *, answering: bool = False) -> Sound:
    return Sound(ms, 0.95, answering)


def silence(ms: int, *, answering: bool = False) -> Sound:
    return Sound(ms, 0.02, answering)


PAUSE = "pause"


def run(*script: Sound | str, rules: Rules | None = None) -> list[Decision]:
    return list(_run(TurnDetector(rules or Rules()), *script))


def _run(detector: TurnDetector, *script: Sound | str) -> Iterator[Decision]:
    for part in script:
        if isinstance(part, str):
            yield from detector.pause()
            continue
        for _ in range(-(-part.ms // FRAME_MS)):
            yield from detector.hear(part.probability, answering=part.answering)


def kinds(decisions: list[Decision]) -> list[str]:
    return [
        ("Continued" if decision.continues else "Confirmed") if isinstance(decision, Confirmed) else type(decision).__name__
        for decision in decisions
    ]


ONE_TURN = ["Onset", "Confirmed", "Ended"]
AFTER_ONE_TURN = [silence(300), speech(1500), silence(704)]

TABLE: dict[str, tuple[list[Sound | str], list[str]]] = {
    "nothing": ([silence(5000)], []),
    "an utterance": ([silence(500), speech(1000), silence(1000)], ONE_TURN),
    "a cough in silence": ([silence(500), speech(160), silence(1000)], ["Onset", "Dismissed"]),
    "just under the minimum": ([silence(500), speech(224), silence(1000)], ["Onset", "Dismissed"]),
    "just over the minimum": ([silence(500), speech(256), silence(1000)], ONE_TURN),
    "syllables with gaps add up": ([speech(160), silence(320), speech(160), silence(1000)], ONE_TURN),
    "a pause shorter than the silence": ([speech(800), silence(640), speech(800), silence(1000)], ONE_TURN),
    "between the thresholds speech goes on": ([speech(400), Sound(2000, 0.4), silence(1000)], ONE_TURN),
    "between the thresholds no speech begins": ([Sound(3000, 0.45)], []),
    "a long pause, continued just before the limit": (
        [*AFTER_ONE_TURN, silence(768, answering=True), speech(1000, answering=True), silence(1000)],
        [*ONE_TURN, "Onset", "Continued", "Ended"],
    ),
    "continued just after the limit is a barge-in": (
        [*AFTER_ONE_TURN, silence(832, answering=True), speech(1000, answering=True), silence(1000)],
        [*ONE_TURN, "Onset", "Confirmed", "Ended"],
    ),
    "continued twice": (
        [*AFTER_ONE_TURN, silence(320), speech(1000), silence(1024), speech(1000), silence(1000)],
        [*ONE_TURN, "Onset", "Continued", "Ended", "Onset", "Continued", "Ended"],
    ),
    "a cough in the window leaves it open": (
        [
            *AFTER_ONE_TURN,
            speech(96, answering=True),
            silence(256, answering=True),
            speech(1000, answering=True),
            silence(1000),
        ],
        [*ONE_TURN, "Onset", "Dismissed", "Onset", "Continued", "Ended"],
    ),
    "a cough during the reply": (
        [*AFTER_ONE_TURN, silence(2000, answering=True), speech(224, answering=True), silence(1000, answering=True)],
        [*ONE_TURN, "Onset", "Dismissed"],
    ),
    "mm-hm during the reply": (
        [*AFTER_ONE_TURN, silence(2000, answering=True), speech(288, answering=True), silence(1000, answering=True)],
        [*ONE_TURN, "Onset", "Dismissed"],
    ),
    "two mm-hms apart are two": (
        [
            *AFTER_ONE_TURN,
            silence(2000, answering=True),
            speech(192, answering=True),
            silence(320, answering=True),
            speech(192, answering=True),
            silence(320, answering=True),
        ],
        [*ONE_TURN, "Onset", "Dismissed", "Onset", "Dismissed"],
    ),
    "a hint of speech ducks the reply and cuts nothing": (
        [*AFTER_ONE_TURN, silence(2000, answering=True), Sound(2000, 0.4, answering=True), silence(320, answering=True)],
        [*ONE_TURN, "Onset", "Dismissed"],
    ),
    "a barge-in that begins with a hint needs as much certain speech": (
        [*AFTER_ONE_TURN, silence(2000, answering=True), Sound(64, 0.4, answering=True), speech(288, answering=True)],
        [*ONE_TURN, "Onset"],
    ),
    "a barge-in": (
        [*AFTER_ONE_TURN, silence(2000, answering=True), speech(320, answering=True), speech(500), silence(1000)],
        [*ONE_TURN, "Onset", "Confirmed", "Ended"],
    ),
    "barge-in during the first word: speech began before the reply did": (
        [*AFTER_ONE_TURN, silence(1000), speech(192), speech(128, answering=True), speech(500), silence(1000)],
        [*ONE_TURN, "Onset", "Confirmed", "Ended"],
    ),
    "mute in mid-speech ends the turn": ([speech(1000), PAUSE, silence(2000)], ONE_TURN),
    "mute in mid-cough drops it": ([speech(160), PAUSE, silence(2000)], ["Onset", "Dismissed"]),
    "after a mute it is a new turn": ([speech(1000), PAUSE, speech(1000), silence(1000)], ONE_TURN * 2),
    "mute in silence says nothing": ([silence(500), PAUSE], []),
    "mute closes the window of continuation": ([*AFTER_ONE_TURN, PAUSE, speech(1000), silence(1000)], ONE_TURN * 2),
    "a minute of speech ends, the rest is a turn of its own": (
        [speech(60_000), speech(2000, answering=True), silence(1000)],
        [*ONE_TURN, "Onset", "Confirmed", "Ended"],
    ),
}


@pytest.mark.parametrize(("script", "expected"), TABLE.values(), ids=TABLE.keys())
def test_decisions(script: list[Sound | str], expected: list[str]) -> None:
    assert kinds(run(*script)) == expected


def test_a_turn_holds_its_preroll_and_as_much_silence_after_it() -> None:
    ended = run(silence(960), speech(960), silence(1000))[-1]
    assert ended == Ended(
        start=30 * FRAME_SAMPLES - 4800,
        end=60 * FRAME_SAMPLES + 4800,
        speech_end=60 * FRAME_SAMPLES,
        at=(60 + 22) * FRAME_SAMPLES,  # 700 ms are 21.9 frames
    )


def test_preroll_does_not_reach_before_the_stream() -> None:
    ended = run(silence(64), speech(640), silence(1000))[-1]
    assert isinstance(ended, Ended)
    assert ended.start == 0


def test_a_continued_turn_is_one_piece_from_the_first_start() -> None:
    decisions = run(*AFTER_ONE_TURN, silence(320), speech(1000), silence(1000))
    first, second = (decision for decision in decisions if isinstance(decision, Ended))
    continued = decisions[-2]
    assert isinstance(continued, Confirmed)
    assert continued.start == first.start == second.start
    assert second.end > first.end


def test_two_turns_share_no_sample() -> None:
    decisions = run(speech(1000), silence(704), silence(832), speech(1000), silence(1000), rules=Rules(preroll_ms=2000))
    first, second = (decision for decision in decisions if isinstance(decision, Ended))
    assert second.start == first.end


def test_a_minute_is_cut_at_a_minute() -> None:
    ended = next(decision for decision in run(speech(70_000)) if isinstance(decision, Ended))
    assert ended.end - ended.start == pytest.approx(60 * 16_000, abs=FRAME_SAMPLES)


def test_what_would_be_longer_than_the_longest_turn_is_not_continued() -> None:
    rules = Rules(longest_turn_ms=3000)
    decisions = run(speech(2000), silence(704), silence(160), speech(1000), silence(1000), rules=rules)
    assert kinds(decisions) == ONE_TURN * 2


def test_holding_the_button_outlasts_silence() -> None:
    decisions = run(speech(640), silence(3000), speech(640), PAUSE, rules=Rules(hold=True))
    assert kinds(decisions) == ONE_TURN


def test_what_was_said_otherwise_closes_the_window() -> None:
    detector = TurnDetector(Rules())
    list(_run(detector, *AFTER_ONE_TURN))
    detector.close_turn()
    assert kinds(list(_run(detector, silence(320), speech(1000), silence(1000)))) == ONE_TURN


def test_what_can_still_be_needed_is_kept_and_no_more() -> None:
    detector = TurnDetector(Rules())
    list(_run(detector, silence(10_016)))
    assert detector.oldest_needed == detector.heard - 4800
    list(_run(detector, speech(2016)))
    start = detector.oldest_needed
    assert start == 313 * FRAME_SAMPLES - 4800
    list(_run(detector, silence(704), silence(640)))
    assert detector.oldest_needed == start, "the turn may still be continued"
    list(_run(detector, silence(320)))
    assert detector.oldest_needed == detector.heard - 4800


def test_the_onset_is_where_the_speech_began() -> None:
    decisions = run(silence(320), speech(640))
    assert decisions[0] == Onset(10 * FRAME_SAMPLES)
    assert not any(isinstance(decision, Dismissed) for decision in decisions)


def test_what_goes_on_after_the_turn_was_closed_stands_alone() -> None:
    detector = TurnDetector(Rules())
    first = list(_run(detector, *AFTER_ONE_TURN))[-1]
    assert isinstance(first, Ended)
    assert kinds(list(_run(detector, speech(600)))) == ["Onset", "Continued"]
    detector.close_turn()
    rest = list(_run(detector, silence(704)))[-1]
    assert isinstance(rest, Ended)
    assert rest.start >= first.end
