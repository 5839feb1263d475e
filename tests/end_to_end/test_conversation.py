"""A person, the app and Chromium: one conversation after the other on a scripted model server, everything else real."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, expect

from tests.end_to_end.person import AUDIBLE, SILENT, Visit, app, chromium, model, playwright, visit
from tests.end_to_end.running import App
from tests.fakes.chat_server import ChatServer, Reply
from tests.fakes.partners import quiet
from tests.fakes.speech import spoken

__all__ = ["app", "chromium", "model", "playwright", "visit"]  # fixtures

LONG = " ".join(f"This is sentence number {number} of a rather long story." for number in range(1, 13))


def test_speak_and_be_answered(visit: Callable[..., Visit], model: ChatServer) -> None:
    reasoning = "The person greets me, and sounds calm."
    model.then(Reply("I heard you well. Thank you.", reasoning=reasoning, seconds_per_piece=0.05))
    person = visit()
    person.start_talking()
    person.say(spoken("Hello there, how are you doing today?"))
    expect(person.page.locator("#conversation .user audio")).to_have_count(1)
    expect(person.last).to_contain_text("The person greets me")  # the panel is open while it thinks
    person.hears(f"> {AUDIBLE}")
    expect(person.last).to_contain_text("I heard you well. Thank you.")
    person.state("listening")
    expect(person.last).not_to_contain_text("The person greets me")  # and folded when it is done
    person.last.get_by_text("Reasoning").click()
    expect(person.last).to_contain_text("The person greets me, and sounds calm.")
    expect(person.last.locator("audio")).to_have_count(1)
    expect(person.last).to_contain_text(re.compile(r"waited \d+ ms.*first sound"))
    sent = model.chats[-1].messages[-1]["content"]
    assert [part["type"] for part in sent] == ["input_audio"]


def test_the_second_turn_is_asked_with_the_first(visit: Callable[..., Visit], model: ChatServer) -> None:
    model.then(Reply("Nice to meet you."), Reply("You are Anna."))
    person = visit()
    person.write("My name is Anna.")
    expect(person.last).to_contain_text("Nice to meet you.")
    person.state("ready")
    person.write("What is my name?")
    expect(person.last).to_contain_text("You are Anna.")
    history = [(one["role"], one["content"]) for one in model.chats[-1].messages if one["role"] != "system"]
    texts = [content if isinstance(content, str) else content[0]["text"] for _, content in history]
    assert texts == ["My name is Anna.", "Nice to meet you.", "What is my name?"]


def test_a_cough_ducks_and_an_utterance_cuts(visit: Callable[..., Visit], model: ChatServer) -> None:
    model.then(Reply(LONG), Reply("Yes, I have stopped."))
    person = visit()
    person.start_talking()
    person.say(spoken("Tell me a long story, please."))
    person.state("speaking")
    # Past the time in which going on would make it one turn with what was said before.
    person.page.wait_for_function("window.colloquy.played?.samples > 1.5 * 24000")
    ducked = "window.colloquy.duckedAt !== null"
    cough = spoken("Stop that now please")[4000:7200]  # 200 ms of voice
    person.say(cough)
    person.page.wait_for_function(ducked)
    person.state("speaking")
    person.hears(f"> {AUDIBLE}")
    assert person.page.evaluate("window.colloquy.lastStopAt") is None
    person.say(spoken("Stop, stop, I have heard enough of that story."))
    person.page.wait_for_function("window.colloquy.lastStopAt !== null")
    person.hears(f"< {SILENT}")
    expect(person.last).to_contain_text("Yes, I have stopped.")
    first = person.page.locator("#past .bot.message")
    expect(first.locator(".colloquy-unheard")).to_contain_text("sentence number 12")
    expect(first).to_contain_text("This is sentence number 1 ")
    told = [one for one in model.chats[-1].messages if one["role"] == "assistant"]
    assert "number 1 " in told[0]["content"]
    assert "number 12" not in told[0]["content"]


def test_a_pause_in_mid_turn_makes_one_turn(visit: Callable[..., Visit], model: ChatServer) -> None:
    model.answer = lambda messages: f"You spoke {len(messages) - 1} times."
    person = visit()
    person.start_talking()
    # About 1.1 s of silence: the turn is judged over after 0.7 s, and taken back when the voice goes on.
    person.say(np.concatenate((spoken("First I wanted to say this,"), quiet(750), spoken("and then I wanted to say that."))))
    expect(person.last).to_contain_text("You spoke 1 times.")
    person.state("listening")
    expect(person.page.locator("#conversation .user audio")).to_have_count(1)
    assert [one["role"] for one in model.chats[-1].messages] == ["system", "user"]


def test_push_to_talk_lasts_as_long_as_the_button_is_held(visit: Callable[..., Visit], model: ChatServer) -> None:
    model.then(Reply("I waited for you."))
    person = visit()
    person.page.get_by_label("Push to talk").check()
    person.press("Start talking")
    person.page.wait_for_function("window.colloquy.microphoneRateHz !== null")
    person.page.mouse.click(5, 5)  # the space bar is for talking once no control has the focus
    person.page.keyboard.down(" ")
    person.say(np.concatenate((spoken("This has a long pause."), quiet(2500), spoken("And then it goes on."))))
    assert person.page.locator("#conversation .user").count() == 0
    person.page.keyboard.up(" ")
    expect(person.last).to_contain_text("I waited for you.")
    expect(person.page.locator("#conversation .user audio")).to_have_count(1)


def test_stop_speaking_by_button_and_by_escape(visit: Callable[..., Visit], model: ChatServer) -> None:
    model.then(Reply(LONG), Reply(LONG))
    person = visit()

    def by_button() -> None:
        person.press("Stop speaking")

    def by_escape() -> None:
        person.page.keyboard.press("Escape")

    for stop in (by_button, by_escape):
        person.write("Go on.")
        person.hears(f"> {AUDIBLE}")
        stop()
        person.state("interrupted")
        person.hears(f"< {SILENT}")


def test_verdicts_survive_a_reload_and_come_out_in_the_export(
    visit: Callable[..., Visit], model: ChatServer, app: App, tmp_path: Path
) -> None:
    model.then(Reply("The first answer."), Reply("The second answer."))
    person = visit()
    person.write("A question for two answers.")
    expect(person.last).to_contain_text("The first answer.")
    person.state("ready")
    person.press("Good reply")
    person.press("Correct")
    person.page.get_by_role("textbox", name="Comment", exact=True).fill("To the point.")
    person.page.keyboard.press("Enter")
    expect(person.last).to_contain_text("Saved")
    person.press("Try again")
    expect(person.last).to_contain_text("The second answer.")
    expect(person.last).to_contain_text("2/2")
    person.state("ready")
    person.page.get_by_role("button", name=re.compile("2.*much better")).click()
    expect(person.page.get_by_role("button", name=re.compile("2.*much better"))).to_have_attribute("aria-pressed", "true")
    person.page.reload()
    expect(person.last).to_contain_text("The second answer.")
    expect(person.page.get_by_role("button", name=re.compile("2.*much better"))).to_have_attribute("aria-pressed", "true")
    person.press("Previous reply")
    expect(person.last).to_contain_text("The first answer.")
    expect(person.page.get_by_role("button", name="Good reply")).to_have_attribute("aria-pressed", "true")
    person.press("Reasons (1)")
    expect(person.page.get_by_role("button", name="Correct", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(person.page.get_by_role("textbox", name="Comment", exact=True)).to_have_value("To the point.")

    out = tmp_path / "export"
    app.command("export", "--out", str(out))
    rows = [json.loads(line) for line in (out / "preferences.jsonl").read_text().splitlines()]
    (row,) = [row for row in rows if row["history"][-1]["text"] == "A question for two answers."]
    assert (row["y"]["text"], row["y_ref"]["text"], row["g"]) == ("The first answer.", "The second answer.", -3)
    assert row["pair_kind"] == "regenerate_explicit"


def test_a_killed_server_comes_back_under_an_open_page(chromium: Browser, model: ChatServer, tmp_path: Path) -> None:
    model.then(Reply("Before the end."), Reply("After the end."))
    app = App(tmp_path / "data", "--model-url", model.url).start()
    try:
        person = Visit(chromium.new_page(), app)
        person.write("Remember this.")
        expect(person.last).to_contain_text("Before the end.")
        person.state("ready")
        app.kill()
        person.state("reconnecting")
        app.start()
        person.state("ready")
        expect(person.page.locator("#conversation")).to_contain_text("Before the end.")
        person.write("And now?")
        expect(person.last).to_contain_text("After the end.")
        assert len([one for one in model.chats[-1].messages if one["role"] != "system"]) == 3
        person.leave()
    finally:
        app.stop()


def test_two_pages_at_once_do_not_mix(visit: Callable[..., Visit], model: ChatServer) -> None:
    model.answer = lambda messages: f"You said {messages[-1]['content']}."
    first, second = visit(), visit()
    first.write("apple")
    second.write("banana")
    expect(first.last).to_contain_text("You said apple")
    expect(second.last).to_contain_text("You said banana")
    first.write("pear")
    expect(first.last).to_contain_text("You said pear")
    expect(second.page.locator("#conversation")).not_to_contain_text("apple")
    expect(first.page.locator("#conversation")).not_to_contain_text("banana")


def test_by_keyboard_alone(visit: Callable[..., Visit], model: ChatServer) -> None:
    model.then(Reply(LONG))
    person = visit()
    keyboard = person.page.keyboard

    def tab_to(name: str) -> None:
        for _ in range(60):
            keyboard.press("Tab")
            focused = person.page.evaluate(
                "() => { let e = document.activeElement; while (e?.shadowRoot) e = e.shadowRoot.activeElement;"
                " return e?.getAttribute('aria-label') || e?.labels?.[0]?.innerText || e?.innerText || ''; }"
            )
            if focused.strip() == name:
                return
        raise AssertionError(f"the Tab key does not reach {name!r}")

    tab_to("Start talking")
    keyboard.press("Enter")
    person.state("listening")
    tab_to("Mute")
    keyboard.press("Enter")
    person.state("ready")
    tab_to("Message")
    keyboard.type("Tell me something.")
    keyboard.press("Enter")
    person.hears(f"> {AUDIBLE}")
    keyboard.press("Escape")
    person.state("interrupted")
    person.page.evaluate("() => document.activeElement?.blur()")
    tab_to("Good reply")
    keyboard.press("Enter")
    expect(person.page.get_by_role("button", name="Good reply")).to_have_attribute("aria-pressed", "true")


def test_what_a_model_writes_is_text(visit: Callable[..., Visit], model: ChatServer) -> None:
    model.then(Reply('<img src="http://example.org/x.png"> ![spy](http://example.org/y.png) <b>bold</b> `<code>`'))
    person = visit()
    person.write("<script>alert(1)</script>")
    expect(person.last).to_contain_text("<b>bold</b>")
    expect(person.last.locator("img")).to_have_count(0)
    expect(person.page.locator("#conversation .user")).to_contain_text("<script>alert(1)</script>")


def test_a_new_conversation_and_a_deleted_one(visit: Callable[..., Visit], model: ChatServer, app: App) -> None:
    model.then(Reply("Kept."), Reply("Gone soon."))
    person = visit()
    person.write("One to keep.")
    expect(person.last).to_contain_text("Kept.")
    person.press("New conversation")
    expect(person.replies).to_have_count(0)
    person.write("One to delete: zebra-marker.")
    expect(person.last).to_contain_text("Gone soon.")
    person.state("ready")
    person.press("Delete conversation")
    person.press("Delete it for good")
    expect(person.replies).to_have_count(0)
    expect(person.page.locator("section[data-state]")).to_contain_text("deleted")
    left = b"".join(path.read_bytes() for path in app.data.rglob("*") if path.is_file())
    assert b"zebra-marker" not in left
    assert b"One to keep." in left


def test_on_a_phone_nothing_overflows(visit: Callable[..., Visit], model: ChatServer) -> None:
    model.then(Reply(LONG))
    person = visit(viewport={"width": 390, "height": 844}, color_scheme="dark")
    person.write("A long one.")
    expect(person.last).to_contain_text("number 12")
    assert person.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_without_a_microphone_the_page_says_why(chromium: Browser, app: App) -> None:
    page = chromium.new_page()
    page.add_init_script(
        "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'))"
    )
    page.goto(app.url)
    page.get_by_role("button", name="Start talking").click()
    expect(page.locator('section[data-state="no-microphone"]')).to_contain_text(re.compile("permission|allow", re.IGNORECASE))
    page.close()


def test_a_model_that_fails_is_told_and_the_next_turn_works(visit: Callable[..., Visit], model: ChatServer) -> None:
    model.then(Reply("I was about to", ending="drop"), Reply("Back again."))
    person = visit()
    person.write("Are you there?")
    expect(person.last.locator(".colloquy-failure")).not_to_be_empty()
    person.state("ready")
    person.write("And now?")
    expect(person.last).to_contain_text("Back again.")
