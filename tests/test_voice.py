"""The page's socket over a real connection: what it tells, what it refuses, and that nothing kills the server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from backend import events
from backend.models import Done, Said, Thought
from conversations.store import Store, StoreFailure
from conversations.turn import Role, Status, new_id
from tests.fakes.partners import ScriptedModel, answer, loud, quiet
from tests.fakes.served import Caller, Served, serving
from ui.access import Access
from ui.voice import Line


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "data", ScriptedModel(answer("Hello there. Nice to meet you."))) as served:
        yield served


async def closing(caller: Caller) -> tuple[int, str]:
    """The code and the reason that the server closes with."""
    async with asyncio.timeout(10):
        with suppress(ConnectionClosed):
            async for _ in caller.socket:
                pass
    return caller.socket.close_code or 0, caller.socket.close_reason or ""


async def test_a_spoken_turn_comes_back_as_sound(served: Served) -> None:
    async with served.dial() as socket:
        caller = Caller(socket)
        welcome = await caller.hello(served.access.token("p"))
        await caller.send(type="microphone", sample_rate_hz=16_000)
        await caller.speak(np.concatenate((quiet(300), loud(1000), quiet(900))))
        reply = await caller.until("reply")
        spoken = await caller.until("spoken")
        assert len(caller.sound[reply["reply"]]) == 2 * spoken["samples"] > 0
        await caller.send(type="played", reply=reply["reply"], samples=spoken["samples"], ended=True)
        await caller.until("state", state="ready")
    kept = await served.load(welcome["conversation"])
    assert kept is not None
    assert [kept.turns[turn].text for turn in kept.path] == ["", "Hello there. Nice to meet you."]
    states = [message["state"] for message in caller.messages if message["type"] == "state"]
    assert (states[0], states[-1]) == ("ready", "ready")
    assert [state for state in states if state in ("thinking", "speaking")] == ["thinking", "speaking"]


async def test_sound_at_another_rate_is_resampled(served: Served) -> None:
    async with served.dial() as socket:
        caller = Caller(socket)
        welcome = await caller.hello(served.access.token("p"))
        await caller.send(type="microphone", sample_rate_hz=48_000)
        await caller.speak(np.repeat(np.concatenate((loud(1000), quiet(900))), 3), piece=960)
        await caller.until("spoken")
    kept = await served.load(welcome["conversation"])
    assert kept is not None
    audio = kept.turns[kept.path[0]].audio
    assert audio is not None
    assert audio.seconds == pytest.approx(1.3, abs=0.1)


async def test_verdicts_are_kept_and_there_again(served: Served) -> None:
    async with served.dial() as socket:
        caller = Caller(socket)
        welcome = await caller.hello(served.access.token("p"))
        await caller.send(type="say", text="Hi")
        turn = (await caller.until("reply"))["turn"]
        spoken = await caller.until("spoken")
        await caller.send(type="played", reply=spoken["reply"], samples=spoken["samples"], ended=True)
        await caller.until("state", state="ready")
        await caller.send(type="judge", turn=turn, score=1, reasons=["Natural"], comment="Warm.")
        while (await caller.until("panel", turn=turn))["panel"]["score"] != 1:
            pass
    async with served.dial() as socket:
        again = await Caller(socket).hello(served.access.token("q"), welcome["conversation"])
    panel = again["panels"][turn]
    assert (panel["score"], panel["reasons"], panel["comment"]) == (1, ["Natural"], "Warm.")


async def test_another_annotator_has_a_panel_of_their_own(served: Served) -> None:
    async with served.dial() as socket:
        caller = Caller(socket)
        welcome = await caller.hello(served.access.token("p"))
        await caller.send(type="say", text="Hi")
        turn = (await caller.until("reply"))["turn"]
        spoken = await caller.until("spoken")
        await caller.send(type="played", reply=spoken["reply"], samples=spoken["samples"], ended=True)
        await caller.until("state", state="ready")
        await caller.send(type="judge", turn=turn, score=-1)
        while (await caller.until("panel", turn=turn))["panel"]["score"] != -1:
            pass
    async with served.dial() as socket:
        again = await Caller(socket).hello(served.access.token("q"), welcome["conversation"], annotator="bob")
    assert again["panels"][turn]["score"] is None


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown type": ({"type": "dance"}, "not understood"),
    "a field too many": ({"type": "interrupt", "why": 1}, "not understood"),
    "an empty message": ({"type": "say", "text": "  "}, "nothing to send"),
    "a rate that nobody has": ({"type": "microphone", "sample_rate_hz": 11_025}, "11025 Hz"),
    "a verdict on nothing": ({"type": "judge", "turn": "nowhere", "score": 1}, "no such reply"),
    "a comparison of nothing": ({"type": "prefer", "comparison": "none", "score": 1}, "no such comparison"),
    "a score too high": ({"type": "prefer", "comparison": "none", "score": 4}, "not understood"),
    "nothing to try again": ({"type": "try_again", "turn": "nowhere"}, "can't be made again"),
    "nothing to show": ({"type": "show", "turn": "nowhere"}, "no such reply"),
}


@pytest.mark.parametrize(("message", "sentence"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_wrong_is_said_and_the_socket_lives(served: Served, message: dict[str, Any], sentence: str) -> None:
    async with served.dial() as socket:
        caller = Caller(socket)
        await caller.hello(served.access.token("p"))
        await caller.send(**message)
        assert sentence in (await caller.until("error"))["text"]
        await caller.send(type="say", text="Still there?")
        await caller.until("reply")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"hello"', '{"type": 1}'])
async def test_what_is_no_message_is_said(served: Served, text: str) -> None:
    async with served.dial() as socket:
        caller = Caller(socket)
        await caller.hello(served.access.token("p"))
        await socket.send(text)
        assert "not understood" in (await caller.until("error"))["text"]


async def test_half_a_sample_is_said(served: Served) -> None:
    async with served.dial() as socket:
        caller = Caller(socket)
        await caller.hello(served.access.token("p"))
        await socket.send(b"abc")
        assert "half a sample" in (await caller.until("error"))["text"]


async def test_a_frame_too_large_closes_with_a_reason(served: Served) -> None:
    async with served.dial() as socket:
        caller = Caller(socket)
        await caller.hello(served.access.token("p"))
        await socket.send(bytes(200_000))
        assert await closing(caller) == (4400, "A frame of sound was too large.")


@pytest.mark.parametrize("first", ['{"type":"say","text":"hi"}', "nonsense", b"\0\0"])
async def test_whoever_does_not_say_hello_is_closed(served: Served, first: str | bytes) -> None:
    async with served.dial() as socket:
        await socket.send(first)
        assert (await closing(Caller(socket)))[0] == 4400


async def test_a_wrong_token_is_closed(served: Served, tmp_path: Path) -> None:
    async with served.dial() as socket:
        caller = Caller(socket)
        await caller.send(type="hello", token=served.access.token("p") + "x", conversation=None, annotator="ann")
        assert (await closing(caller))[0] == 4401


async def test_a_foreign_origin_is_closed(served: Served) -> None:
    async with served.dial(origin="https://elsewhere.example") as socket:
        assert (await closing(Caller(socket)))[0] == 4403


async def test_the_own_origin_is_welcome(served: Served) -> None:
    async with served.dial(origin=served.url) as socket:
        await Caller(socket).hello(served.access.token("p"))


async def test_a_second_page_takes_the_conversation(served: Served) -> None:
    async with served.dial() as first, served.dial() as second:
        one, two = Caller(first), Caller(second)
        welcome = await one.hello(served.access.token("p"))
        assert (await two.hello(served.access.token("q"), welcome["conversation"]))["conversation"] == welcome["conversation"]
        assert (await closing(one))[0] == 4409
        await two.send(type="say", text="Mine now")
        await two.until("reply")


async def test_two_pages_do_not_mix(tmp_path: Path) -> None:
    model = ScriptedModel(answer("For the first."), answer("For the second."))
    async with serving(tmp_path / "data", model) as served, served.dial() as first, served.dial() as second:
        one, two = Caller(first), Caller(second)
        a, b = await one.hello(served.access.token("p")), await two.hello(served.access.token("q"))
        await one.send(type="say", text="I am one")
        await one.until("spoken")
        await two.send(type="say", text="I am two")
        await two.until("spoken")
        kept = [await served.load(welcome["conversation"]) for welcome in (a, b)]
    texts = [[loaded.turns[turn].text for turn in loaded.path] for loaded in kept if loaded]
    assert texts == [["I am one", "For the first."], ["I am two", "For the second."]]


async def test_a_lost_connection_finds_its_reply_again(tmp_path: Path) -> None:
    held = asyncio.Event()
    model = ScriptedModel([Said("One. Two. "), held, Said("Three."), Done("m")])
    async with serving(tmp_path / "data", model) as served:
        async with served.dial() as socket:
            caller = Caller(socket)
            welcome = await caller.hello(served.access.token("p"))
            await caller.send(type="say", text="Count")
            await caller.until("state", state="speaking")
            had = len(caller.sound[1]) // 2
        async with served.dial() as socket:
            again = Caller(socket)
            back = await again.hello(
                served.access.token("p"), welcome["conversation"], session=welcome["session"], reply=1, received=had
            )
            assert back["session"] == welcome["session"]
            held.set()
            spoken = await again.until("spoken")
            assert had + len(again.sound[1]) // 2 == spoken["samples"]


async def test_a_page_loaded_anew_stops_the_sound_that_it_lost(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", ScriptedModel(answer("A long story."))) as served:
        async with served.dial() as socket:
            caller = Caller(socket)
            welcome = await caller.hello(served.access.token("p"))
            await caller.send(type="say", text="Go")
            await caller.until("spoken")
        async with served.dial() as socket:
            await Caller(socket).hello(served.access.token("q"), welcome["conversation"])
            session = await served.sessions.open(welcome["conversation"])
            await session.idle()
            assert session.dialogue.turns[session.dialogue.path[1]].status is Status.INTERRUPTED


async def test_a_page_that_stays_away_interrupts_its_reply(tmp_path: Path) -> None:
    held = asyncio.Event()
    model = ScriptedModel([Thought("Hm."), held])
    async with serving(tmp_path / "data", model, linger_s=0) as served:
        async with served.dial() as socket:
            caller = Caller(socket)
            welcome = await caller.hello(served.access.token("p"))
            session = await served.sessions.open(welcome["conversation"])
            await caller.send(type="say", text="Think")
            await caller.until("state", state="thinking")
        await session.idle()
        kept = await served.load(welcome["conversation"])
    assert kept is not None
    assert model.cancelled == 1
    assert kept.turns[kept.path[-1]].status is Status.INTERRUPTED


async def test_a_deleted_conversation_leaves_nothing(served: Served, tmp_path: Path) -> None:
    async with served.dial() as socket:
        caller = Caller(socket)
        welcome = await caller.hello(served.access.token("p"))
        await caller.speak(np.concatenate((loud(1000), quiet(900))))
        await caller.until("spoken")
        await caller.send(type="say", text="xylophone-marker")
        await caller.until("spoken", reply=2)
        await caller.send(type="delete")
        fresh = await caller.until("welcome")
        await caller.until("notice")
    assert fresh["conversation"] != welcome["conversation"]
    assert await served.load(welcome["conversation"]) is None
    left = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert b"xylophone-marker" not in left
    assert not list((tmp_path / "data" / "audio").rglob("*.flac"))


async def test_kept_sound_is_served_and_nothing_else(served: Served) -> None:
    async with served.dial() as socket:
        caller = Caller(socket)
        welcome = await caller.hello(served.access.token("p"))
        await caller.speak(np.concatenate((loud(1000), quiet(900))))
        await caller.until("spoken")
    kept = await served.load(welcome["conversation"])
    assert kept is not None
    audio = kept.turns[kept.path[0]].audio
    assert audio is not None
    async with httpx.AsyncClient(base_url=served.url) as client:
        found = await client.get(f"/audio/{audio.sha256}.flac")
        assert (found.status_code, found.content[:4]) == (200, b"fLaC")
        assert found.headers["cache-control"] == "no-store"
        assert (await client.get(f"/audio/{'0' * 64}.flac")).status_code == 404
        assert (await client.get("/audio/..%2fsecret.flac")).status_code in (404, 422)


@pytest.mark.parametrize(
    ("host", "status"), [("localhost:1", 200), ("127.0.0.1", 200), ("[::1]:7860", 200), ("evil.example", 403), ("", 403)]
)
async def test_a_name_that_only_leads_here_is_refused(served: Served, host: str, status: int) -> None:
    async with httpx.AsyncClient(base_url=served.url, headers={"host": host}) as client:
        assert (await client.get("/colloquy/voice.js")).status_code == status


async def test_behind_a_key_everything_wants_the_login(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", api_key="sesame", gradio=True) as served:
        async with httpx.AsyncClient(base_url=served.url) as client:
            closed = ["/config", "/metrics", f"/audio/{'0' * 64}.flac", "/colloquy/voice.js", "/gradio_api/info", "/queue/join"]
            assert {path: (await client.get(path)).status_code for path in closed} == dict.fromkeys(closed, 401)
            assert (await client.get("/healthz")).status_code == 200
            page = await client.get("/", headers={"accept": "text/html"})
            assert (page.status_code, page.headers["location"]) == (303, "login")
            assert (await client.post("/login", data={"key": "open"})).status_code == 401
            assert (await client.get("/config")).status_code == 401
            entered = await client.post("/login", data={"key": "sesame"})
            assert entered.status_code == 303
            cookie = entered.headers["set-cookie"].lower()
            assert "httponly" in cookie
            assert "samesite=strict" in cookie
            assert (await client.get("/config")).status_code == 200
            bearer = {"authorization": "Bearer sesame"}
            async with httpx.AsyncClient(base_url=served.url, headers=bearer) as program:
                assert (await program.get("/config")).status_code == 200
        with pytest.raises(InvalidStatus):
            async with served.dial():
                pass
        async with served.dial(additional_headers=bearer) as socket:
            await Caller(socket).hello(served.access.token("p"))


def failing_store(*_: object) -> None:
    raise StoreFailure("Locked.")


async def test_a_page_that_calls_again_before_its_lost_line_was_noticed(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", linger_s=0) as served:
        token = served.access.token("p")
        async with served.dial() as lost, served.dial() as socket:
            welcome = await Caller(lost).hello(token)
            caller = Caller(socket)
            await caller.hello(token, welcome["conversation"], session=welcome["session"])
            assert (await closing(Caller(lost)))[0] == 4409
            await caller.send(type="say", text="Still there?")
            await caller.until("spoken")
            assert len(served.sessions) == 1


async def test_a_session_that_is_ending_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, written, ending = asyncio.Event(), threading.Event(), threading.Event()
    keep_audio = Store.keep_audio

    def keep_late(store: Store, *sound: Any) -> object:
        ending.set()
        written.wait(10)
        return keep_audio(store, *sound)

    async with serving(tmp_path / "data", ScriptedModel([Said("One. Two. "), held]), linger_s=0) as served:
        async with served.dial() as socket:
            caller = Caller(socket)
            welcome = await caller.hello(served.access.token("p"))
            await caller.send(type="say", text="First")
            await caller.until("state", state="speaking")
            monkeypatch.setattr(Store, "keep_audio", keep_late)
        await asyncio.to_thread(ending.wait, 10)
        async with served.dial() as socket:
            caller = Caller(socket)
            back = asyncio.create_task(caller.hello(served.access.token("q"), welcome["conversation"]))
            asyncio.get_running_loop().call_later(0.05, written.set)
            await back
            await caller.send(type="say", text="Second")
            await caller.until("spoken")
        kept = await served.load(welcome["conversation"])
    assert kept is not None
    statuses = [(kept.turns[turn].role, kept.turns[turn].status) for turn in kept.path]
    assert statuses[:3] == [(Role.USER, Status.FINISHED), (Role.ASSISTANT, Status.INTERRUPTED), (Role.USER, Status.FINISHED)]
    assert not [message for message in caller.messages if message["type"] in ("notice", "error")]


async def test_the_id_of_a_deleted_conversation_gives_a_new_one(served: Served) -> None:
    async with served.dial() as socket:
        caller = Caller(socket)
        welcome = await caller.hello(served.access.token("p"))
        await caller.send(type="say", text="Forget this")
        await caller.until("spoken")
        await caller.send(type="delete")
        await caller.until("notice")
    async with served.dial() as socket:
        caller = Caller(socket)
        again = await caller.hello(served.access.token("q"), welcome["conversation"])
        assert again["conversation"] != welcome["conversation"]
        await caller.send(type="say", text="Keep this")
        await caller.until("spoken")
        assert await served.load(again["conversation"]) is not None


async def test_a_conversation_that_cannot_be_deleted_goes_on(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "delete", failing_store)
    async with served.dial() as socket:
        caller = Caller(socket)
        welcome = await caller.hello(served.access.token("p"))
        await caller.send(type="say", text="Hi")
        await caller.until("spoken")
        await caller.send(type="delete")
        assert (await caller.until("welcome"))["conversation"] == welcome["conversation"]
        assert (await caller.until("error"))["text"] == "Locked."
        await caller.send(type="say", text="Go on")
        await caller.until("spoken")


async def test_a_conversation_that_cannot_be_read_says_so_in_a_new_one(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "load", failing_store)
    async with served.dial() as socket:
        caller = Caller(socket)
        welcome = await caller.hello(served.access.token("p"), new_id())
        assert welcome["notice"] == "The conversation can't be opened. Locked."
        await caller.send(type="say", text="Hi")
        await caller.until("spoken")


async def test_a_page_loaded_anew_is_told_that_nothing_is_kept(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "keep", failing_store)
    async with served.dial() as socket:
        caller = Caller(socket)
        welcome = await caller.hello(served.access.token("p"))
        await caller.send(type="say", text="Hi")
        await caller.until("notice")
    async with served.dial() as socket:
        again = await Caller(socket).hello(served.access.token("q"), welcome["conversation"])
    assert "not being kept" in again["notice"]


async def test_a_verdict_outlives_the_page_that_gave_it(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    written, writing = threading.Event(), threading.Event()
    keep = Store.keep

    def keep_late(store: Store, *records: Any) -> None:
        writing.set()
        written.wait(10)
        keep(store, *records)

    async with served.dial() as first, served.dial() as second:
        one, two = Caller(first), Caller(second)
        welcome = await one.hello(served.access.token("p"))
        await one.send(type="say", text="Hi")
        turn = (await one.until("reply"))["turn"]
        spoken = await one.until("spoken")
        await one.send(type="played", reply=1, samples=spoken["samples"], ended=True)
        await one.until("state", state="ready")
        with monkeypatch.context() as patch:
            patch.setattr(Store, "keep", keep_late)
            await one.send(type="judge", turn=turn, score=1)
            await asyncio.to_thread(writing.wait, 10)
            await two.hello(served.access.token("q"), welcome["conversation"])
            written.set()
        await two.send(type="say", text="More")
        await two.until("spoken")
        kept = await served.load(welcome["conversation"])
    assert kept is not None
    assert [judgement.score for judgement in kept.judgements] == [1]
    assert [kept.turns[turn].text for turn in kept.path[::2]] == ["Hi", "More"]


async def test_a_verdict_that_is_not_kept_says_so(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served.dial() as socket:
        caller = Caller(socket)
        await caller.hello(served.access.token("p"))
        await caller.send(type="say", text="Hi")
        turn = (await caller.until("reply"))["turn"]
        await caller.until("panel", turn=turn)
        await caller.until("spoken")
        monkeypatch.setattr(Store, "keep", failing_store)
        await caller.send(type="judge", turn=turn, score=1)
        assert "not being kept" in (await caller.until("notice"))["text"]
        assert "could not be kept yet" in (await caller.until("notice"))["text"]


async def test_a_verdict_during_the_sound_says_how_much_was_heard(served: Served) -> None:
    async with served.dial() as socket:
        caller = Caller(socket)
        welcome = await caller.hello(served.access.token("p"))
        await caller.send(type="say", text="Hi")
        reply = await caller.until("reply")
        await caller.until("spoken")
        await caller.until("panel", turn=reply["turn"])
        await caller.send(type="played", reply=reply["reply"], samples=2400)
        await caller.send(type="judge", turn=reply["turn"], score=1)
        while (await caller.until("panel", turn=reply["turn"]))["panel"]["score"] != 1:
            pass
        kept = await served.load(welcome["conversation"])
    assert kept is not None
    assert [judgement.heard_ms for judgement in kept.judgements] == [100]


async def test_no_sound_comes_twice_after_a_lost_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = asyncio.Event()
    greet = Line._greet

    async with serving(tmp_path / "data", ScriptedModel([Said("One. Two. "), held, Said("Three."), Done("m")])) as served:
        async with served.dial() as socket:
            caller = Caller(socket)
            welcome = await caller.hello(served.access.token("p"))
            session = await served.sessions.open(welcome["conversation"])
            await caller.send(type="say", text="Count")
            await caller.until("state", state="speaking")

        async def greet_slowly(*arguments: Any, **options: Any) -> None:
            made = session.subscribe()
            held.set()
            async for event in made:
                if isinstance(event, events.SpeechMade):
                    break
            await greet(*arguments, **options)

        monkeypatch.setattr(Line, "_greet", greet_slowly)
        async with served.dial() as socket:
            again = Caller(socket)
            await again.hello(served.access.token("p"), welcome["conversation"], session=welcome["session"])
            spoken = await again.until("spoken")
            await again.send(type="played", reply=1, samples=spoken["samples"], ended=True)
            await again.until("state", state="ready")
    assert len(again.sound[1]) // 2 == spoken["samples"]


async def test_a_page_that_goes_during_its_welcome_leaves_nothing_behind(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: Any, **__: Any) -> None:
        raise WebSocketDisconnect(1006)

    session = await served.sessions.open(None)
    monkeypatch.setattr(Line, "_greet", gone)
    async with served.dial() as socket:
        await Caller(socket).send(
            type="hello", token=served.access.token("p"), conversation=session.conversation, annotator="ann"
        )
        await closing(Caller(socket))
    assert session.feed.subscriptions == set()


async def test_frames_without_sound_count_for_nothing(served: Served) -> None:
    async with served.dial() as socket:
        caller = Caller(socket)
        welcome = await caller.hello(served.access.token("p"))
        session = await served.sessions.open(welcome["conversation"])
        await caller.speak(loud(1000), piece=16_000)
        for _ in range(100):
            await socket.send(b"")
        await caller.send(type="say", text="Hi")
        await caller.until("reply")
        assert len(session._ears._sound._pieces) == 1


def test_a_secret_that_was_cut_off_by_a_crash_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("")
    token = Access(tmp_path, "").token("p")
    assert (tmp_path / "secret").read_text()
    assert Access(tmp_path, "").page_of(token) == "p", "and then it stays"
