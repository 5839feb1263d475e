"""The page's socket over a real connection: what it tells, what it refuses, and that nothing kills the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from backend.models import Done, Said, Thought
from conversations.turn import Status
from tests.fakes.partners import ScriptedModel, answer, loud, quiet
from tests.fakes.served import Caller, Served, serving


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
