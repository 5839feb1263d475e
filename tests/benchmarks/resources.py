"""What the app takes: memory while nobody talks, time from its start to a usable page, and what one more token costs.

    uv run python -m tests.benchmarks.resources [--starts 7] [--turns 50] [--out FILE]

*Idle memory* is that of the app and its children some seconds after the start, before anybody opens a page: resident memory
summed over processes (what they share counts twice), and their proportional share of it. The rehearsal partner starts its
recogniser, a process of its own, when a microphone is opened; with that is a row of its own.

*Warm start* is from the start of the process to a page of Chromium (which runs already) whose socket was welcomed and whose
"Start talking" can be pressed. One start before them, which is not counted, compiles and caches what there is to.

*One more token*: a typed conversation with a scripted model server that sends 50 tokens a second, words only, with a page open.
In the replies of five turns from turn 2 on, and of five from turn 50 on, a stretch of 200 tokens in the reply's middle is
measured: the server's processor time (user and system, all threads), and the bytes that reach the page, by Chromium's count of
what HTTP and the socket bring. What a turn costs once, at its start and its end, is not in it.
"""

from __future__ import annotations

import argparse
import base64
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from playwright.sync_api import Browser, Page, expect

from tests.benchmarks.report import Figure, machine, publish
from tests.benchmarks.stage import chromium
from tests.end_to_end.running import App
from tests.fakes.chat_server import ChatServer, Hold, Reply

IDLE_S = 5.0
TOKENS = 200
STRETCH = 5
"""Replies that are measured at the beginning and at the end."""

REASONING = "The person wants to hear a little more, and there is no reason to refuse that. " * 2
MIB = 1 << 20
CPU_OF_A_PROCESS = 2  # in the kernel's clock ids: scheduled time of all threads, in nanoseconds


def main() -> None:
    asked = _arguments()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a start is warm only if the first one may keep what it compiles
    about = machine()
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        found = [*start(browser, Path(folder) / "start", asked.starts), *memory(browser, Path(folder) / "idle")]
        found += tokens(browser, Path(folder) / "tokens", asked.turns)
    publish("resources", found, {**about, "load after": machine()["load"]}, asked.out)


def start(browser: Browser, folder: Path, n: int) -> list[Figure]:
    """From the start of the process to a page that one can talk to."""
    seconds = []
    for _ in range(n + 1):
        began = time.monotonic()
        with _running(folder) as app:
            page = _open(browser, app)
            expect(page.get_by_role("button", name="Start talking", exact=True)).to_be_enabled()
            seconds.append(time.monotonic() - began)
            page.close()
    return [Figure("warm start to a usable page", "s", seconds[1:], {"median": 5})]


def memory(browser: Browser, folder: Path) -> list[Figure]:
    """Of the app with its rehearsal partner."""
    with _running(folder) as app:
        time.sleep(IDLE_S)
        idle = _memory(app.pid)
        page = _open(browser, app)
        page.get_by_role("button", name="Start talking", exact=True).click()
        _reach(page, "listening")
        time.sleep(IDLE_S)
        listening = _memory(app.pid)
        page.close()
    return [
        Figure("memory when idle: resident", "MiB", [idle[0]], {"most": 350}),
        Figure("memory when idle: proportional share", "MiB", [idle[1]]),
        Figure("memory with a page that listens: resident", "MiB", [listening[0]]),
        Figure("memory with a page that listens: proportional share", "MiB", [listening[1]]),
    ]


def tokens(browser: Browser, folder: Path, turns: int) -> list[Figure]:
    """What one more token costs at the beginning and at the end of a conversation."""
    measured = {2: Costs(), turns: Costs()}
    with ChatServer() as model, _running(folder, "--model-url", model.url, "--speaker", "none") as app:
        page = _open(browser, app)
        traffic = Traffic(page)
        for turn in range(1, turns + STRETCH):
            costs = next((costs for first, costs in measured.items() if first <= turn < first + STRETCH), None)
            if costs is None:
                model.then(Reply("".join(_words(2 * TOKENS)), REASONING))
                _say(page, turn)
            else:
                _measure(page, model, app.pid, traffic, costs, turn)
            _reach(page, "ready")
    return _token_figures(measured)


class Costs:
    """Of one more token, by reply."""

    def __init__(self) -> None:
        self.cpu_us: list[float] = []
        self.octets: list[float] = []


class Traffic:
    """Counts what reaches a page, after decompression."""

    def __init__(self, page: Page) -> None:
        self.octets = 0
        devtools = page.context.new_cdp_session(page)
        devtools.on("Network.dataReceived", lambda event: self._count(event["dataLength"]))
        devtools.on("Network.webSocketFrameReceived", lambda event: self._count(_payload(event["response"])))
        devtools.send("Network.enable")

    def _count(self, octets: int) -> None:
        self.octets += octets


def _payload(frame: dict[str, Any]) -> int:
    data: str = frame["payloadData"]
    return len(data.encode()) if frame["opcode"] == 1 else len(base64.b64decode(data))


def _measure(page: Page, model: ChatServer, pid: int, traffic: Traffic, costs: Costs, turn: int) -> None:
    """A reply that waits before and after the tokens that are measured."""
    before, after = model.hold(), model.hold()
    words = _words(2 * TOKENS)
    half = TOKENS // 2
    pieces: list[str | Hold] = [
        *words[:half],
        "one-mark ",
        before,
        *words[half : half + TOKENS],
        "two-mark ",
        after,
        *words[half + TOKENS :],
    ]
    model.then(Reply(pieces, REASONING, seconds_per_piece=0.02))
    _say(page, turn)
    started = _settle(page, before, "one-mark", pid, traffic)
    before.release()
    ended = _settle(page, after, "two-mark", pid, traffic)
    after.release()
    costs.cpu_us.append((ended[0] - started[0]) / 1000 / TOKENS)
    costs.octets.append((ended[1] - started[1]) / TOKENS)


def _settle(page: Page, hold: Hold, mark: str, pid: int, traffic: Traffic) -> tuple[int, int]:
    """Once everything up to the hold is shown: the server's processor time in nanoseconds, and the bytes so far."""
    hold.reached.wait(60)
    expect(page.locator("#live")).to_contain_text(mark, timeout=60_000)
    page.wait_for_timeout(500)
    return time.clock_gettime_ns(~pid << 3 | CPU_OF_A_PROCESS), traffic.octets


def _token_figures(measured: dict[int, Costs]) -> list[Figure]:
    figures = []
    for name, unit in (("cpu_us", "µs"), ("octets", "bytes")):
        costs = {turn: getattr(one, name) for turn, one in measured.items()}
        what = {"cpu_us": "server's processor time", "octets": "to the page"}[name]
        figures += [Figure(f"one more token at turn {turn}: {what}", unit, values) for turn, values in costs.items()]
        early, late = (float(np.median(values)) for values in costs.values())
        figures.append(Figure(f"    ratio of the medians: {what}", "×", [late / early], {"median": 1.2}))
    return figures


def _words(count: int) -> list[str]:
    vocabulary = (
        "once",
        "there",
        "was",
        "a",
        "house",
        "by",
        "the",
        "sea",
        "and",
        "nobody",
        "knew",
        "who",
        "lived",
        "in",
        "it.",
    )
    return [f"{vocabulary[index % len(vocabulary)]} " for index in range(count)]


def _say(page: Page, turn: int) -> None:
    page.get_by_role("textbox", name="Message").fill(f"This is my message number {turn}; please go on with your story.")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#live")).to_contain_text(f"message number {turn};", timeout=60_000)


def _open(browser: Browser, app: App) -> Page:
    page = browser.new_page()
    page.goto(app.url)
    _reach(page, "ready")
    return page


def _reach(page: Page, state: str) -> None:
    expect(page.locator(f'section[data-state="{state}"]')).to_be_attached(timeout=60_000)


def _memory(pid: int) -> Sequence[float]:
    """Resident memory and proportional share of a process and its children, in MiB."""
    process = psutil.Process(pid)
    infos = [one.memory_full_info() for one in (process, *process.children(recursive=True))]
    return sum(info.rss for info in infos) / MIB, sum(info.pss for info in infos) / MIB


@contextmanager
def _running(folder: Path, *flags: str) -> Iterator[App]:
    folder.mkdir(parents=True, exist_ok=True)
    app = App(folder / "data", *flags).start()
    try:
        yield app
    finally:
        app.stop()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What the app takes in memory, time and traffic.")
    parser.add_argument("--starts", type=int, default=7, help="how many starts")
    parser.add_argument("--turns", type=int, default=50, help="at which turn the late tokens are measured")
    parser.add_argument("--out", type=Path, help="append the figures to this file, as JSON lines")
    return parser.parse_args()


if __name__ == "__main__":
    main()
