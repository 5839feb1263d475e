"""The server and the browser that a benchmark uses, and the page with a person before it."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.benchmarks.instant import PEAK
from tests.benchmarks.sounds import RATE_HZ, Clip
from tests.end_to_end.browser import FLAGS, executable
from tests.end_to_end.running import ROOT

INSTRUMENTS = (Path(__file__).parent / "instruments.js").read_text()
MICROPHONE_HZ = 48_000
START_TIMEOUT_S = 60


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        yield browser
        browser.close()


@dataclass(frozen=True, slots=True)
class Heard:
    """The level of what the page plays changed. Milliseconds of the wall clock: when its first block was `rendered` to the
    audio device, and when the device's own clock says it is `audible`."""

    level: str
    rendered: float
    audible: float


@dataclass(frozen=True, slots=True)
class Said:
    """When speech began and when the clip's last sample was recorded, in milliseconds of the wall clock."""

    start: float
    end: float


class Person:
    """Somebody at the page, with their microphone open. `clips` are said by their index."""

    def __init__(self, browser: Browser, url: str, clips: Sequence[Clip]) -> None:
        self.page: Page = browser.new_page()
        self.page.add_init_script(f"{{ const FULL = {PEAK};\n{INSTRUMENTS} }}")
        self.page.goto(url)
        self._reached("ready")
        self.press("Start talking")
        self._reached("listening")
        for clip in clips:
            samples = np.asarray(soxr.resample(clip.samples, RATE_HZ, MICROPHONE_HZ), "<i2")
            pcm = base64.b64encode(samples.tobytes()).decode()
            self.page.evaluate("([pcm, lead]) => bench.keep(pcm, lead)", [pcm, clip.lead * MICROPHONE_HZ // RATE_HZ])

    def _reached(self, state: str) -> None:
        expect(self.page.locator(f'section[data-state="{state}"]')).to_be_attached(timeout=30_000)

    def say(self, clip: int) -> Said:
        """Returns when it was said."""
        return Said(**self.page.evaluate("(clip) => bench.say(clip)", clip))

    def write(self, text: str) -> float:
        """Send a message; when, in milliseconds of the wall clock."""
        self.page.get_by_role("textbox", name="Message").fill(text)
        now = time.time() * 1000
        self.press("Send")
        return now

    def hear(self, level: str, since: float) -> Heard | None:
        """The first change to this level since then; None when there is none in ten seconds."""
        found = self.page.evaluate("([levels, since]) => bench.until(levels, since)", [[level], since])
        return None if found is None else Heard(**found)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def wait(self, seconds: float) -> None:
        self.page.wait_for_timeout(seconds * 1000)

    def device(self) -> str:
        """What the audio device says of itself."""
        base, output = self.page.evaluate("bench.latencies()")
        return f"buffer {base:.0f} ms, latency {output:.0f} ms"

    def clocks(self) -> str:
        """How far the page's clock may be from this process's: what a round trip leaves open, and both clocks of the page."""
        trips = []
        for _ in range(50):
            before = time.time() * 1000
            fine, coarse = self.page.evaluate("[performance.timeOrigin + performance.now(), Date.now()]")
            after = time.time() * 1000
            trips.append((after - before, fine - (before + after) / 2, coarse - fine))
        trip, offset, apart = min(trips)
        return f"page − server {offset:+.1f} ± {trip / 2:.1f} ms; in the page, wall clock − performance clock {apart:+.1f} ms"


class Server:
    """The real app with partners that answer at once, in a process of its own."""

    def __init__(self, folder: Path, reply_seconds: float) -> None:
        folder.mkdir(parents=True)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port: int = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._stamps = folder / "stamps.jsonl"
        options = ["--stamps", str(self._stamps), "--reply-seconds", str(reply_seconds)]
        flags = ["--port", str(port), "--data-dir", str(folder / "data")]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COLLOQUY_")}
        with (folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.instant", *options, "--", *flags],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )
        self._wait(port)

    def _wait(self, port: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise TimeoutError("the server did not start")

    def notes(self, event: str, start: float, end: float) -> list[dict[str, Any]]:
        """What the server noted of these events between two moments, milliseconds of the wall clock."""
        lines = map(json.loads, self._stamps.read_text().splitlines())
        return [note for note in lines if note["event"] == event and start <= note["at"] <= end]

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)


@contextmanager
def serving(folder: Path, reply_seconds: float) -> Iterator[Server]:
    server = Server(folder, reply_seconds)
    try:
        yield server
    finally:
        server.stop()
