"""How long a voice takes through the whole product: Chromium, socket, Silero VAD, turn taking, store, and back to the sound.

    uv run python -m tests.benchmarks.voice_latency [--n 100] [--out FILE]

The dialogue model and the voice answer at once (`instant.py`); everything else is the real app in a process of its own, at its
default settings, with a page in Chromium. Set `COLLOQUY_SPEECH_DIR` for recordings of people; else espeak-ng is the person.

Server and browser are on one machine, and all moments are milliseconds of its wall clock (`time.time()`, `Date.now()`); the
output says how well they agree. Three moments are measured in the page, by instruments outside the product (`instruments.js`):

- *Recorded*: when a sample of the microphone is recorded. It stands in for the device behind `getUserMedia`, and like a device
  it hands over 10 ms at a time: what a sample waits for its buffer counts as delay.
- *Rendered*: when the block of 128 samples that holds the sound leaves the page's audio graph for the audio device.
- *Audible*: when, by `AudioContext.getOutputTimestamp()`, the device plays that block; `outputLatency` later. Here that is
  Chromium's stand-in for a sound card, which claims 30 ms.

The figures, each given for *rendered*, and where that differs for *audible* too:

(a) From the arrival of the frame on which the server decides that the turn is over, as the session is handed it, to the first
    sample of the reply. Includes the voice detector's run on that frame, keeping the turn on disk, starting the reply, its way
    to the page and into the audio graph. Not the silence waited, nor the frame's way to the server.
(b) From the last sample of speech recorded to the first sample of the reply, less the silence that the server waited. Includes
    all of (a), the microphone's buffers, the page's frame of 16 ms and its way, and how much longer the detector took the
    silence for speech. Each clip ends, loud, where its speech ends.
(c) From the first sample of a barge-in recorded, to the volume at a fifth (ducked) and to silence (cut). The reply has played
    for one to two seconds. The onset is where the clip's first 10 ms come within 30 dB of its loudest; voiceless sounds, which
    the detector knows late, count. Includes the 300 ms of speech that a cut takes.
(d) Bursts of 100 to 250 ms (pieces of speech, noise, coughs) at random moments of replies, 0.8 s or more apart, and a whole
    song: how many of them cut the reply. None of them may.

Of a turn or barge-in that was not followed by what it should be, the output says how many there were; they are in no figure.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.benchmarks import sounds
from tests.benchmarks.report import Count, Figure, machine, publish
from tests.benchmarks.stage import Heard, Person, Said, Server, chromium, serving

SHORT_S, LONG_S = 0.5, 30.0
"""Replies: over before the next turn begins, and long enough to be interrupted."""

AFTERMATH_MS = 1000
"""So long after a burst a cut would still be its doing: the reply's volume is back after 250 ms."""


@dataclass
class Answers:
    """(a) and (b): how long after a turn its answer began."""

    decided: list[tuple[float, float]] = field(default_factory=list)
    spoken: list[tuple[float, float]] = field(default_factory=list)
    silences: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)
    astray: int = 0

    def add(self, server: Server, said: Said, heard: Heard | None) -> None:
        ends = server.notes("SpeechStopped", said.start, heard.rendered) if heard else []
        if heard is None or len(ends) != 1:
            self.astray += 1
            return
        arrived, silence_ms = ends[0]["arrived"], ends[0]["silence_ms"]
        self.silences.append(silence_ms)
        self.decided.append((heard.rendered - arrived, heard.audible - arrived))
        expected = said.end + silence_ms
        self.spoken.append((heard.rendered - expected, heard.audible - expected))
        for event in ("SpeechStopped", "TurnKept", "ReplyStarted", "Spoke"):
            for note in server.notes(event, arrived, heard.rendered)[:1]:
                self.stages.setdefault(event, []).append(note["at"] - arrived)

    def figures(self, when: str) -> list[Figure | Count]:
        a, b = np.transpose(self.decided), np.transpose(self.spoken)
        return [
            Figure(f"(a) turn decided → sound rendered, {when}", "ms", a[0], {"median": 60, "p95": 100}),
            Figure(f"(a) turn decided → sound audible, {when}", "ms", a[1]),
            Figure(f"(b) end of speech → sound rendered, less silence, {when}", "ms", b[0], {"median": 130, "p95": 200}),
            Figure(f"(b) end of speech → sound audible, less silence, {when}", "ms", b[1]),
            Figure(f"    silence waited, {when}", "ms", self.silences),
            *(Figure(f"    turn decided → {event} told, {when}", "ms", stage) for event, stage in self.stages.items()),
            Count(f"    turns astray, {when}", len(self.decided) + self.astray, self.astray),
        ]


@dataclass
class Cuts:
    """(c): how long after the onset of a barge-in the reply was ducked, and silent."""

    ducked: list[float] = field(default_factory=list)
    cut: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)
    astray: int = 0

    def add(self, server: Server, said: Said, ducked: Heard | None, cut: Heard | None) -> None:
        orders = [server.notes(event, said.start, said.end)[:1] for event in ("Ducked", "Interrupted")]
        if ducked is None or cut is None or not all(orders) or not said.start < ducked.rendered < cut.rendered:
            self.astray += 1
            return
        self.ducked.append(ducked.rendered - said.start)
        self.cut.append(cut.rendered - said.start)
        for (order,), done in zip(orders, (ducked, cut), strict=True):
            self.stages.setdefault(f"onset → {order['event']}'s frame", []).append(order["arrived"] - said.start)
            self.stages.setdefault(f"{order['event']}'s frame → in effect", []).append(done.rendered - order["arrived"])

    def figures(self) -> list[Figure | Count]:
        return [
            Figure("(c) onset of a barge-in → ducked", "ms", self.ducked, {"median": 150, "p95": 220}),
            Figure("(c) onset of a barge-in → silent", "ms", self.cut, {"median": 450, "p95": 600}),
            *(Figure(f"    {stage}", "ms", values) for stage, values in self.stages.items()),
            Count("    barge-ins astray", len(self.cut) + self.astray, self.astray),
        ]


def converse(person: Person, server: Server, clips: int, n: int, chance: random.Random) -> Answers:
    """One turn after the other, each when the reply to the last is over, and too late to continue it."""
    answers = Answers()
    for index in range(n):
        said = person.say(index % clips)
        answers.add(server, said, person.hear("loud", said.end))
        person.wait(chance.uniform(1.0, 1.4))
    return answers


def barge_in(person: Person, server: Server, clips: int, n: int, chance: random.Random) -> tuple[Cuts, Answers]:
    """Each turn interrupts the reply to the last."""
    cuts, answers = Cuts(), Answers()
    person.hear("loud", person.write("Begin."))
    for index in range(n):
        person.wait(chance.uniform(1.0, 2.0))
        said = person.say(index % clips)
        cuts.add(server, said, person.hear("low", said.start), person.hear("silent", said.start))
        answers.add(server, said, person.hear("loud", said.end))
    return cuts, answers


def disturb(person: Person, server: Server, first: int, kinds: Sequence[str], chance: random.Random) -> list[Count]:
    """Say the clips from `first` on, of these kinds, at random moments of replies, and count what that did."""
    followed = {event: Counter[str]() for event in ("Interrupted", "Ducked")}
    over_at = 0.0
    for clip, kind in enumerate(kinds, first):
        if time.time() > over_at:
            person.hear("loud", person.write("Go on."))
            over_at = time.time() + LONG_S - 5
        person.wait(chance.uniform(0.0, 1.0))
        said = person.say(clip)
        until = said.end + AFTERMATH_MS
        person.wait(AFTERMATH_MS / 1000)
        for event, counts in followed.items():
            counts[kind] += bool(server.notes(event, said.start, until))
    cut, ducked = followed.values()
    return [
        Count("(d) bursts that cut the reply", len(kinds), cut.total(), 0, dict(cut)),
        Count("    bursts that lowered its volume", len(kinds), ducked.total(), None, dict(ducked)),
    ]


def sing(person: Person, server: Server, clip: int) -> Count:
    """A song over a reply: how often that cut it."""
    person.hear("loud", person.write("Go on."))
    said = person.say(clip)
    person.wait(AFTERMATH_MS / 1000)
    cuts = server.notes("Interrupted", said.start, said.end + AFTERMATH_MS)
    return Count("(d) cuts in a song", 1, len(cuts), 0)


def main() -> None:
    asked = _arguments()
    chance = random.Random(asked.seed)
    utterances, song = sounds.utterances(), sounds.song()
    kinds, bursts = zip(*sounds.bursts(asked.n, np.random.default_rng(asked.seed)), strict=True)
    about = {"sound": sounds.source(), "seed": asked.seed, **machine()}
    found: list[Figure | Count] = []
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        with serving(Path(folder) / "short", SHORT_S) as server:
            person = Person(browser, server.url, utterances)
            about |= {"clocks": person.clocks()}
            found += converse(person, server, len(utterances), asked.n, chance).figures("after silence")
            about |= {"audio device": person.device()}
            person.page.close()
        with serving(Path(folder) / "long", LONG_S) as server:
            person = Person(browser, server.url, [*utterances, *bursts, *([] if song is None else [song])])
            cuts, answers = barge_in(person, server, len(utterances), asked.n, chance)
            found += [*answers.figures("after a barge-in"), *cuts.figures()]
            person.press("Stop speaking")  # else the old session's end, half a minute later, would be noted among the bursts
            person.press("New conversation")
            found += disturb(person, server, len(utterances), kinds, chance)
            if song is not None:
                found.append(sing(person, server, len(utterances) + len(bursts)))
    publish("voice_latency", found, {**about, "load after": machine()["load"]}, asked.out)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How long a voice takes through the whole product.")
    parser.add_argument("--n", type=int, default=100, help="how many turns, barge-ins and bursts")
    parser.add_argument("--seed", type=int, default=1, help="for the moments and the bursts")
    parser.add_argument("--out", type=Path, help="append the figures to this file, as JSON lines")
    return parser.parse_args()


if __name__ == "__main__":
    main()
