"""Fixtures of the tests in a real browser: Chromium, the app as a process, and a person before a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Locator, Page, Playwright, expect, sync_playwright

from tests.end_to_end.browser import FLAGS, Microphone, executable
from tests.end_to_end.running import App
from tests.fakes.chat_server import ChatServer

SILENT, AUDIBLE = 0.001, 0.02
"""Peaks of what the page plays; full scale is 1."""

expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def model() -> Iterator[ChatServer]:
    with ChatServer() as server:
        yield server


@pytest.fixture(scope="module")
def app(model: ChatServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    app = App(tmp_path_factory.mktemp("app") / "data", "--model-url", model.url).start()
    yield app
    app.stop()
    assert "Traceback" not in app.log


class Visit:
    """One open page, and the person before it. `speaks`: its microphone is the test's, else it is Chromium's."""

    def __init__(self, page: Page, app: App, *, speaks: bool = False) -> None:
        self.page = page
        self._wrong: list[str] = []
        page.on("request", lambda sent: self._foreign(sent.url, app.url))
        page.on("pageerror", lambda error: self._wrong.append(str(error)))
        self.microphone = Microphone(page) if speaks else None
        page.goto(app.url)
        self.state("ready")

    def _foreign(self, url: str, own: str) -> None:
        if not url.startswith((own, "data:", "blob:")):
            self._wrong.append(url)

    def leave(self) -> None:
        """Close the page; nothing may have gone wrong in it, and it may have asked no other host."""
        self.page.context.close()
        assert self._wrong == []

    def state(self, wanted: str) -> None:
        expect(self.page.locator(f'section[data-state="{wanted}"]')).to_be_attached()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).last.click()

    def write(self, text: str) -> None:
        self.page.get_by_role("textbox", name="Message").fill(text)
        self.press("Send")

    def start_talking(self) -> None:
        self.press("Start talking")
        self.state("listening")

    def say(self, sound: NDArray[np.int16]) -> None:
        """Speak; int16 at 16 kHz. Returns when it was said."""
        assert self.microphone is not None
        self.microphone.say(sound)

    def hears(self, condition: str) -> None:
        """Wait until the loudest of what the page plays meets the condition."""
        self.page.wait_for_function(f"window.colloquy.peak {condition}", timeout=30_000)

    @property
    def replies(self) -> Locator:
        return self.page.locator("#conversation .bot.message")

    @property
    def last(self) -> Locator:
        return self.replies.last


@pytest.fixture
def visit(chromium: Browser, app: App) -> Iterator[Callable[..., Visit]]:
    """Opens the page as somebody, whose microphone is silent until the test speaks into it."""
    visits: list[Visit] = []

    def open_page(**options: Any) -> Visit:
        visits.append(Visit(chromium.new_context(**options).new_page(), app, speaks=True))
        return visits[-1]

    yield open_page
    for visit in visits:
        visit.leave()
