"""Words for how a voice sounds: from measurements to "softly", "faster than the turn before". Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from backend.models.measure import Voice


@dataclass(frozen=True, slots=True)
class Aspect:
    """One thing that can be told of a voice.

    `asked` finds it in a question. `bands` are upper limits and what is said below each; `figure` is the number itself.
    Two voices differ in it when they are `step` apart, which is a part of the earlier value where `relative`.
    """

    asked: str
    value: Callable[[Voice], float | None]
    figure: str
    bands: tuple[tuple[float, str], ...]
    more: str
    less: str
    step: float
    relative: bool = False

    def said(self, voice: Voice) -> str:
        """How the voice is in this respect, in a few words; empty where it could not be measured."""
        value = self.value(voice)
        return "" if value is None else next(words for limit, words in self.bands if value < limit).format(value)

    def measured(self, voice: Voice) -> str:
        """The figure with its unit; empty where it could not be measured."""
        value = self.value(voice)
        return "" if value is None else self.figure.format(value).replace("-", "−")

    def compared(self, voice: Voice, earlier: Voice) -> str:
        """In what way it differs from the earlier voice ("louder"); empty where there is no difference to speak of."""
        value, before = self.value(voice), self.value(earlier)
        if value is None or before is None:
            return ""
        step = self.step * abs(before) if self.relative else self.step
        return "" if abs(value - before) < step else self.more if value > before else self.less


ASPECTS = (
    Aspect(
        asked=r"\b(?:long|short)(?:er)?\b",
        value=lambda voice: voice.seconds,
        figure="{:.1f} seconds",
        bands=((inf, "for {:.1f} seconds"),),
        more="longer",
        less="shorter",
        step=0.15,
        relative=True,
    ),
    Aspect(
        asked=r"\b(?:loud|soft|quiet)(?:er|ly)?\b|\bvolume\b",
        value=lambda voice: voice.loudness_dbfs,
        figure="{:.0f} dBFS",
        bands=((-34, "softly"), (-18, "neither loudly nor softly"), (inf, "loudly")),
        more="louder",
        less="softer",
        step=2.0,
    ),
    Aspect(
        asked=r"\b(?:high|low|deep)(?:er)?\b|\bpitch\b",
        value=lambda voice: voice.pitch_hz,
        figure="{:.0f} Hz",
        bands=((135, "low in pitch"), (190, "in the middle of the range"), (inf, "high in pitch")),
        more="higher",
        less="lower",
        step=0.06,  # a semitone
        relative=True,
    ),
    Aspect(
        asked=r"\b(?:fast|slow|quick)(?:er|ly)?\b|\bspeed\b|\brate\b",
        value=lambda voice: voice.syllables_per_s,
        figure="{:.1f} syllables a second",
        bands=((3, "slowly"), (5.5, "at an ordinary pace"), (inf, "fast")),
        more="faster",
        less="slower",
        step=0.15,
        relative=True,
    ),
    Aspect(
        asked=r"\bpaus\w+",
        value=lambda voice: voice.pauses,
        figure="a pause count of {:.0f}",
        bands=((0.5, "without a pause"), (1.5, "with one pause"), (inf, "with {:.0f} pauses")),
        more="with more pauses",
        less="with fewer pauses",
        step=1.0,
    ),
)


def aspect_asked(question: str) -> Aspect | None:
    """The first aspect that a question names."""
    return next((aspect for aspect in ASPECTS if re.search(aspect.asked, question, re.IGNORECASE)), None)


def described(voice: Voice) -> str:
    """All that can be told of a voice: "for 2.1 seconds, softly, low in pitch, slowly, without a pause"."""
    return ", ".join(filter(None, (aspect.said(voice) for aspect in ASPECTS)))


def figures(voice: Voice) -> str:
    """All that was measured, with units: "2.1 seconds, −38 dBFS, 118 Hz, 2.4 syllables a second, a pause count of 0"."""
    return ", ".join(filter(None, (aspect.measured(voice) for aspect in ASPECTS)))


def against(voice: Voice, earlier: Voice | None, aspects: Sequence[Aspect] = ASPECTS) -> str:
    """The difference from the turn before, to be put behind a description; empty where there was none before."""
    if earlier is None:
        return ""
    differences = [difference for aspect in aspects if (difference := aspect.compared(voice, earlier))]
    return (
        f"; that is {joined(differences)} than the turn before"
        if differences
        else "; that is about the same as the turn before"
    )


def joined(parts: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))
