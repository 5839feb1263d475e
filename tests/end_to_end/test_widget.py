"""The page's own JavaScript in Chromium, with a fake microphone and the test as the server (see stub_page.py)."""

from __future__ import annotations

import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.end_to_end.browser import executable, hearing
from tests.end_to_end.stub_page import StubServer, serve

TONE_HZ = 440
SPEECH_HZ = 24000


def tone(seconds: float, rate_hz: int = SPEECH_HZ, peak: float = 0.5) -> bytes:
    """PCM16; `peak` 1 is full scale."""
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    return (peak * 32767 * np.sin(2 * np.pi * TONE_HZ * time)).astype("<i2").tobytes()


def panel(turn: str, **changes: Any) -> dict[str, Any]:
    latency = {"silence_ms": 700, "thinking_ms": 1210, "first_word_ms": None, "first_sound_ms": 42}
    empty = {"turn": turn, "score": None, "reasons": [], "comment": "", "candidates": [turn], "comparison": None}
    return empty | {"latency": latency, "busy": False, "can_try_again": True} | changes


@pytest.fixture
async def chromium(tmp_path: Path) -> AsyncIterator[Browser]:
    """A browser whose microphone hears a tone."""
    path = executable()
    sound = tmp_path / "tone.wav"
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(tone(10, rate_hz=16000))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=hearing(sound))
        yield browser
        await browser.close()


@pytest.fixture
async def server() -> AsyncIterator[StubServer]:
    async with serve() as stub:
        yield stub


@pytest.fixture
async def page(chromium: Browser, server: StubServer) -> AsyncIterator[Page]:
    """The page, before the server's welcome. At the end it must not have complained, nor asked anyone else for anything."""
    page = await chromium.new_page()
    wrong: list[str] = []
    page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda sent: wrong.append(sent.url) if not sent.url.startswith((server.url, "data:")) else None)
    await page.goto(server.url)
    yield page
    assert wrong == []


async def state(page: Page, wanted: str) -> None:
    await expect(page.locator(f'section[data-state="{wanted}"]')).to_be_attached()


async def press(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name, exact=True).click()


async def start_talking(page: Page, server: StubServer) -> dict[str, Any]:
    await server.greet()
    await press(page, "Start talking")
    return await server.heard("microphone")


async def start_speaking(server: StubServer, reply: int, seconds: float = 20, peak: float = 0.5) -> None:
    """A reply of which the first sample was played."""
    await server.say(type="reply", reply=reply, turn="t1")
    for _ in range(int(seconds * 10)):
        await server.speak(reply, tone(0.1, peak=peak))
    played = await server.heard("played")
    assert (played["reply"], played["ended"]) == (reply, False)


async def peak(page: Page, condition: str) -> None:
    """Wait until the loudest of what is played meets the condition."""
    await page.wait_for_function(f"window.colloquy.peak {condition}", timeout=10_000)


async def test_the_microphone_arrives_in_frames_of_16_ms(page: Page, server: StubServer) -> None:
    announced = await start_talking(page, server)
    assert (announced["sample_rate_hz"], announced["push_to_talk"]) == (16000, False)
    await state(page, "listening")
    frames = [await server.frame() for _ in range(50)]
    assert {len(frame) for frame in frames} == {512}
    spectrum = np.abs(np.fft.rfft(np.frombuffer(b"".join(frames[25:]), "<i2")))
    assert abs(int(spectrum.argmax()) * 16000 / (25 * 256) - TONE_HZ) < 10


async def test_muted_nothing_is_sent(page: Page, server: StubServer) -> None:
    await start_talking(page, server)
    await server.frame()
    await press(page, "Mute")
    assert (await server.heard("pause"))["why"] == "mute"
    server.silence_since()
    await page.wait_for_timeout(200)
    assert server.silence_since() == 0
    await press(page, "Mute")
    await server.frame()
    await press(page, "Stop talking")
    assert (await server.heard("pause"))["why"] == "stop"
    await state(page, "ready")


async def test_push_to_talk_by_the_space_bar_but_not_while_typing(page: Page, server: StubServer) -> None:
    await server.greet()
    await page.get_by_label("Push to talk").check()
    await page.get_by_label("Message").focus()
    await page.keyboard.press("Space")
    assert await page.get_by_label("Message").input_value() == " "
    await page.get_by_label("Message").blur()
    await page.keyboard.down("Space")
    assert (await server.heard("microphone"))["push_to_talk"]
    await server.frame()
    await page.keyboard.up("Space")
    assert (await server.heard("pause"))["why"] == "release"
    await page.get_by_role("button", name="Hold to talk").hover()
    await page.mouse.down()
    server.silence_since()
    await server.frame()
    await page.evaluate("window.dispatchEvent(new Event('blur'))")
    assert (await server.heard("pause"))["why"] == "release"


async def test_a_typed_message_is_answered_aloud_with_the_keyboard_alone(page: Page, server: StubServer) -> None:
    await server.greet()
    while await page.evaluate("document.activeElement.shadowRoot?.activeElement?.ariaLabel") != "Message":
        await page.keyboard.press("Tab")
    await page.keyboard.type("hello")
    await page.keyboard.press("Enter")
    assert (await server.heard("say"))["text"] == "hello"
    await start_speaking(server, reply=1, seconds=0.3)
    await peak(page, "> 0.4")
    await server.say(type="spoken", reply=1, samples=7200)
    assert (await server.heard("played", ended=True))["samples"] == 7200
    assert await page.evaluate("window.colloquy.underruns") == 0
    await page.keyboard.press("Escape")
    await server.heard("interrupt")


async def test_ducking_lowers_and_stopping_silences_for_good(page: Page, server: StubServer) -> None:
    await start_talking(page, server)
    await start_speaking(server, reply=1)
    await peak(page, "> 0.4")
    await server.say(type="duck")
    await peak(page, "< 0.11")
    await server.say(type="restore")
    await peak(page, "> 0.4")
    await server.say(type="stop", reply=1)
    answer = await server.heard("played", reply=1, ended=True)
    assert 0 < answer["samples"] < 20 * SPEECH_HZ
    await peak(page, "< 0.001")
    await page.evaluate("() => { window.loudest = 0; }")
    await page.evaluate("() => { setInterval(() => (window.loudest = Math.max(window.loudest, window.colloquy.peak)), 5); }")
    await server.speak(1, tone(1))  # was on its way already
    await start_speaking(server, reply=2, peak=0.1)
    await page.wait_for_function("window.loudest > 0.05")
    assert await page.evaluate("window.loudest") < 0.2


async def test_the_line_comes_back_by_itself(page: Page, server: StubServer) -> None:
    await start_talking(page, server)
    await server.hang_up(1012)
    await state(page, "reconnecting")
    hello = await server.heard("hello")
    assert (hello["conversation"], hello["token"]) == ("c1", "a token")
    await server.say(**server.welcome)
    await server.heard("microphone")
    server.silence_since()
    await server.frame()
    await page.reload()
    assert (await server.greet())["annotator"] == hello["annotator"]
    await page.wait_for_function("window.welcomed === 'c1'")


@pytest.mark.parametrize(
    ("code", "reason", "sentence", "button"),
    [
        (4401, "", "too old", "Reload the page"),
        (4403, "", "from this address", "Reload the page"),
        (4409, "", "opened in another page", "Use it here"),
        (4400, "a frame of 9 MB", "a frame of 9 MB", "Connect again"),
    ],
)
async def test_a_refusal_is_said_and_left_to_the_person(
    page: Page, server: StubServer, code: int, reason: str, sentence: str, button: str
) -> None:
    await server.greet()
    await server.hang_up(code, reason)
    await expect(page.get_by_role("alert")).to_contain_text(sentence)
    await state(page, "disconnected")
    await press(page, button)
    await server.greet()
    await state(page, "ready")


async def test_without_a_microphone_the_page_says_why(page: Page, server: StubServer) -> None:
    await server.greet()
    fail = "Promise.reject(new DOMException('', 'NotFoundError'))"
    await page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = () => {fail}; }}")
    await press(page, "Start talking")
    await state(page, "no-microphone")
    await expect(page.get_by_role("status").first).to_contain_text("No device was found")


async def test_deleting_asks_first(page: Page, server: StubServer) -> None:
    await server.greet()
    await press(page, "Delete conversation")
    await press(page, "Keep it")
    await press(page, "New conversation")
    await press(page, "Delete conversation")
    await press(page, "Delete it for good")
    assert [(await server.heard(wanted))["type"] for wanted in ("new", "delete")] == ["new", "delete"]


async def put_panel(page: Page, turn: str) -> None:
    """What Gradio does at any moment: throw the old node away, and make a new one."""
    html = f'<p>A reply.</p><div class="colloquy-panel turn-{turn}"></div>'
    await page.evaluate("html => (document.getElementById('chat').innerHTML = html)", html)


async def test_verdicts_survive_what_gradio_does_to_the_page(page: Page, server: StubServer) -> None:
    server.welcome |= {"panels": {"t1": panel("t1")}}
    await server.greet()
    await put_panel(page, "t1")
    await expect(page.get_by_text("waited 700 ms · thought 1.2 s · first sound 42 ms")).to_be_visible()
    await press(page, "Bad reply")
    assert (await server.heard("judge"))["score"] == -1
    await press(page, "too long")
    comment = page.get_by_label("Comment")
    await comment.fill("half a sen")
    await put_panel(page, "t1")
    await expect(comment).to_be_focused()
    await page.keyboard.type("tence")
    await page.keyboard.press("Enter")
    judged = await server.heard("judge", comment="half a sentence")
    assert (judged["score"], judged["reasons"]) == (-1, ["too long"])
    await server.say(
        type="panel", turn="t1", panel=panel("t1", **{key: judged[key] for key in ("score", "reasons", "comment")})
    )
    await expect(page.get_by_text("Saved")).to_be_visible()
    await expect(page.get_by_role("button", name="too long")).to_have_attribute("aria-pressed", "true")
    await press(page, "Bad reply")
    taken_back = await server.heard("judge", score=None)
    assert (taken_back["reasons"], taken_back["comment"]) == ([], "")


async def test_candidates_are_stepped_through_and_compared(page: Page, server: StubServer) -> None:
    question = {"id": "q", "left": "t1", "right": "t2", "score": None, "qualifier": "", "comment": ""}
    panels = {turn: panel(turn, candidates=["t1", "t2"], comparison=question) for turn in ("t1", "t2")}
    server.welcome |= {"panels": panels}
    await server.greet()
    await put_panel(page, "t2")
    await press(page, "Try again")
    assert (await server.heard("try_again"))["turn"] == "t2"
    await press(page, "‹2› slightly better")
    assert (await server.heard("prefer"))["score"] == 1
    await press(page, "both bad")
    verdict = await server.heard("prefer")
    assert (verdict["comparison"], verdict["score"], verdict["qualifier"]) == ("q", 0, "both_bad")
    await press(page, "both bad")
    assert (await server.heard("prefer"))["score"] is None
    await press(page, "Previous reply")
    assert (await server.heard("show"))["turn"] == "t1"
    await put_panel(page, "t1")
    await expect(page.get_by_role("button", name="Next reply")).to_be_focused()
