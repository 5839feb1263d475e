"""As somebody meets it who has just cloned it: no model server, the rehearsal partner, Chromium's own fake microphone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Playwright, expect

from tests.end_to_end.browser import executable, hearing
from tests.end_to_end.person import AUDIBLE, Visit, playwright
from tests.end_to_end.running import App
from tests.fakes.partners import quiet
from tests.fakes.speech import spoken

__all__ = ["playwright"]  # a fixture


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    app = App(tmp_path / "data").start()
    yield app
    app.stop()
    assert "Traceback" not in app.log


def listening_to(playwright: Playwright, app: App, folder: Path, *sound: np.ndarray) -> Visit:
    """A person whose browser hears these sounds, one after the other, once the microphone is opened."""
    file = folder / "microphone.wav"
    soundfile.write(file, np.concatenate(sound), 16_000, subtype="PCM_16")
    browser = playwright.chromium.launch(executable_path=executable(), args=hearing(file))
    return Visit(browser.new_page(), app)


def test_a_clone_talks(playwright: Playwright, app: App, tmp_path: Path) -> None:
    short = spoken("Hello.")
    longer = spoken("Now I am talking for quite a bit longer than I did before, as you may have noticed.")
    person = listening_to(playwright, app, tmp_path, quiet(1000), short, quiet(12_000), longer, quiet(60_000))
    page = person.page
    expect(page.get_by_text("rehearsal partner").first).to_be_visible()
    page.get_by_role("button", name="Start talking").click()
    person.hears(f"> {AUDIBLE}")
    expect(person.last).to_contain_text("Reasoning")
    expect(person.last).to_contain_text(re.compile(r"second|words|hello", re.IGNORECASE))
    expect(page.locator("#conversation .user audio")).to_have_count(2, timeout=60_000)
    person.last.get_by_text("Reasoning").click()
    expect(person.last).to_contain_text("longer")  # which it can only know from the first turn
    person.leave()


def test_a_person_is_heard(playwright: Playwright, app: App, tmp_path: Path, speech_dir: Path) -> None:
    recording, _ = soundfile.read(speech_dir / "pennies.wav", dtype="int16")
    person = listening_to(playwright, app, tmp_path, quiet(500), recording, quiet(60_000))
    person.page.get_by_role("button", name="Start talking").click()
    expect(person.page.locator("#conversation .user").first).to_contain_text("pennies", timeout=60_000)
    expect(person.last).to_contain_text("165", timeout=60_000)
    person.leave()


def test_the_rehearsal_partner_is_exported_only_when_asked_for(playwright: Playwright, app: App, tmp_path: Path) -> None:
    person = listening_to(playwright, app, tmp_path, quiet(100))
    person.write("What is two plus three?")
    expect(person.last).to_contain_text("5")
    person.state("ready")
    person.press("Good reply")
    expect(person.page.get_by_role("button", name="Good reply")).to_have_attribute("aria-pressed", "true")
    person.leave()
    app.stop()
    app.command("export", "--out", str(tmp_path / "without"))
    assert (tmp_path / "without" / "unpaired.jsonl").read_text() == ""
    app.command("export", "--out", str(tmp_path / "with"), "--include-offline")
    (row,) = map(json.loads, (tmp_path / "with" / "unpaired.jsonl").read_text().splitlines())
    assert row["offline"]
    assert json.loads((tmp_path / "with" / "manifest.json").read_text())["warnings"]
