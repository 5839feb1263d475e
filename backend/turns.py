"""From speech probabilities to turns: pure, without a clock.

Time is the number of samples heard, so that replays and tests are exact, and where no sound comes no time passes. The
detector knows nothing of where the sound comes from, of what is done with a turn, or of how a reply is made; it is told with
each frame whether one is under way.

A piece of speech goes through three stages:

    onset      the first frame that sounds like speech: a reply that is being spoken is ducked
    confirmed  enough of it to be an utterance: it interrupts the reply, or continues the turn that was judged over too early
    ended      enough silence after it: the turn is over

or is dismissed after the onset (a cough, a "mm-hm"): the volume comes back, and nothing was said.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.vad import FRAME_SAMPLES, SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers of turn taking; `backend.settings` explains each."""

    start_probability: float = 0.5
    end_probability: float = 0.35
    duck_probability: float = 0.3
    min_speech_ms: int = 250
    silence_ms: int = 700
    preroll_ms: int = 300
    longest_turn_ms: int = 60_000
    continuation_ms: int = 800
    confirm_ms: int = 300
    restore_ms: int = 250
    hold: bool = False
    """Push-to-talk: silence does not end a turn, only the release of the button does."""


@dataclass(frozen=True, slots=True)
class Onset:
    """Something that sounds like speech began at sample `at`."""

    at: int


@dataclass(frozen=True, slots=True)
class Dismissed:
    """It was no utterance. `at` is the sample up to which was heard."""

    at: int


@dataclass(frozen=True, slots=True)
class Confirmed:
    """It is an utterance; its audio starts at sample `start` (pre-roll included). `continues`: the turn before was not over
    after all, and `start` is that turn's."""

    start: int
    at: int
    continues: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """The turn is over: samples `start` to `end`. The last speech ended at sample `speech_end`; that it was over was known at
    sample `at`."""

    start: int
    end: int
    speech_end: int
    at: int


Decision = Onset | Dismissed | Confirmed | Ended


@dataclass(slots=True)
class _Utterance:
    onset: int
    start: int
    speech: int = 0
    speech_end: int = 0
    confirmed: bool = False


class TurnDetector:
    """Turns speech probabilities into decisions. `rules` may be replaced at any time."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._heard = 0
        self._in_speech = False
        self._utterance: _Utterance | None = None
        self._before: Ended | None = None  # the turn that may still be continued
        self._taken = 0  # samples up to here belong to an earlier turn

    @property
    def heard(self) -> int:
        """Samples heard so far."""
        return self._heard

    @property
    def oldest_needed(self) -> int:
        """Samples before this one can't become part of a turn any more."""
        recent = self._heard - _samples(self.rules.preroll_ms)
        held = [one.start for one in (self._utterance, self._before) if one is not None]
        return max(0, min([recent, *held]))

    @property
    def hearing(self) -> bool:
        """Whether something that sounds like speech is under way, confirmed or not."""
        return self._utterance is not None

    def hear(self, probability: float, *, answering: bool) -> list[Decision]:
        """Take the next frame of 512 samples. `answering`: a reply is under way, so that speech has to prove itself."""
        self._heard += FRAME_SAMPLES
        threshold = self.rules.end_probability if self._in_speech else self.rules.start_probability
        self._in_speech = probability >= threshold
        decisions: list[Decision] = []
        # A reply is ducked at the first hint of speech; only speech that is certain counts towards an utterance.
        if self._in_speech or (answering and probability >= self.rules.duck_probability):
            if self._utterance is None:
                self._utterance = self._begin(self._heard - FRAME_SAMPLES)
                decisions.append(Onset(self._utterance.onset))
            if self._in_speech:
                self._utterance.speech += FRAME_SAMPLES
            if self._in_speech or not self._utterance.confirmed:
                self._utterance.speech_end = self._heard
        if self._utterance is not None:
            decisions += self._judge(self._utterance, answering)
        self._forget()
        return decisions

    def pause(self) -> list[Decision]:
        """No more frames for now (mute, release, a closed page, a stalled microphone): ends a turn or dismisses what was too
        short to be one. What is said afterwards is a new turn."""
        self._in_speech = False
        utterance = self._utterance
        decisions: list[Decision] = []
        if utterance is not None:
            decisions.append(self._end(utterance) if utterance.confirmed else self._dismiss())
        self._before = None
        return decisions

    def close_turn(self) -> None:
        """The turn before can't be continued any more (something else was said since); what continues it now stands alone."""
        self._before = None
        if self._utterance is not None:
            self._utterance.start = self._begin(self._utterance.onset).start

    def _begin(self, onset: int) -> _Utterance:
        return _Utterance(onset, start=max(self._taken, onset - _samples(self.rules.preroll_ms)))

    def _judge(self, utterance: _Utterance, answering: bool) -> list[Decision]:
        silence = self._heard - utterance.speech_end
        if not utterance.confirmed:
            if utterance.speech >= _samples(self.rules.confirm_ms if answering else self.rules.min_speech_ms):
                return [self._confirm(utterance)]
            too_quiet = silence >= _samples(self.rules.restore_ms if answering else self.rules.silence_ms)
            return [self._dismiss()] if too_quiet else []
        if silence >= _samples(self.rules.silence_ms) and not self.rules.hold:
            return [self._end(utterance)]
        if self._heard - utterance.start >= _samples(self.rules.longest_turn_ms):
            ended = self._end(utterance)
            self._before = None  # the rest of an overlong turn is a turn of its own
            return [ended]
        return []

    def _confirm(self, utterance: _Utterance) -> Confirmed:
        utterance.confirmed = True
        continues = self._before is not None and self._continues(self._before, utterance)
        if continues and self._before is not None:
            utterance.start = self._before.start
        self._before = None
        return Confirmed(utterance.start, self._heard, continues)

    def _continues(self, before: Ended, utterance: _Utterance) -> bool:
        soon_enough = utterance.onset - before.at <= _samples(self.rules.continuation_ms)
        short_enough = self._heard - before.start < _samples(self.rules.longest_turn_ms)
        return soon_enough and short_enough

    def _end(self, utterance: _Utterance) -> Ended:
        # As much silence is kept after the speech as before it.
        end = min(self._heard, utterance.speech_end + _samples(self.rules.preroll_ms))
        ended = Ended(utterance.start, end, utterance.speech_end, self._heard)
        self._utterance, self._before, self._taken = None, ended, end
        return ended

    def _dismiss(self) -> Dismissed:
        self._utterance = None
        return Dismissed(self._heard)

    def _forget(self) -> None:
        """Let go of the turn before once nothing can continue it."""
        if self._before is not None and self._utterance is None:
            limit = self._before.at + _samples(self.rules.continuation_ms)
            if self._heard > limit:
                self._before = None


def _samples(milliseconds: int) -> int:
    return milliseconds * SAMPLE_RATE_HZ // 1000
