"""A page with the voice widget alone, and the server's end of its socket in the test's hands.

No Gradio, no dialogue: the test says what the server says, and sees what the page sent. The server runs in the test's own
event loop.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

ASSETS = Path(__file__).parents[2] / "assets"

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Stub</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="assets/colloquy.css"></head>
<body><main id="chat"></main>%s
<script type="module">
  import { mount } from "./assets/voice.js";
  mount(document.querySelector(".colloquy-voice"), { token: "a token", onWelcome: (id) => (window.welcomed = id) });
</script></body></html>"""

WELCOME = {
    "type": "welcome",
    "conversation": "c1",
    "resumed": False,
    "partner": "a stub",
    "offline": False,
    "notice": "",
    "reasons": {"up": ["correct", "clear"], "down": ["wrong", "too long"]},
    "panels": {},
}


class StubServer:
    """The server's end of the line to one page."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.app.get("/", response_class=HTMLResponse)(self.page)
        self.app.websocket("/voice")(self.voice)
        self.app.mount("/assets", StaticFiles(directory=ASSETS))
        self.welcome: dict[str, Any] = dict(WELCOME)
        self.url = ""
        self._socket: WebSocket | None = None
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._frames: asyncio.Queue[bytes] = asyncio.Queue()

    def page(self) -> str:
        return PAGE % (ASSETS / "voice.html").read_text(encoding="utf-8")

    async def voice(self, line: WebSocket) -> None:
        await line.accept()
        self._socket = line
        try:
            while True:
                self._take(await line.receive())
        except WebSocketDisconnect:
            return

    def _take(self, message: Any) -> None:
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        if message.get("bytes"):
            self._frames.put_nowait(message["bytes"])
        else:
            self._messages.put_nowait(json.loads(message["text"]))

    async def greet(self) -> dict[str, Any]:
        """Wait for the page's hello, and welcome it."""
        hello = await self.heard("hello")
        await self.say(**self.welcome)
        return hello

    async def heard(self, type_: str, **wanted: Any) -> dict[str, Any]:
        """The next message of this type with these values; what comes before it is let go."""
        async with asyncio.timeout(20):
            while True:
                message = await self._messages.get()
                if message["type"] == type_ and wanted.items() <= message.items():
                    return message

    async def frame(self) -> bytes:
        """The next frame of the microphone."""
        async with asyncio.timeout(20):
            return await self._frames.get()

    def silence_since(self) -> int:
        """How many frames came that nobody asked for yet; forgets them."""
        count = self._frames.qsize()
        while not self._frames.empty():
            self._frames.get_nowait()
        return count

    async def say(self, **message: Any) -> None:
        assert self._socket is not None
        await self._socket.send_text(json.dumps(message))

    async def speak(self, reply: int, pcm: bytes) -> None:
        """Send `pcm` (PCM16, 24 kHz) as speech of a reply."""
        assert self._socket is not None
        await self._socket.send_bytes(struct.pack("<I", reply) + pcm)

    async def hang_up(self, code: int, reason: str = "") -> None:
        assert self._socket is not None
        await self._socket.close(code, reason)


@asynccontextmanager
async def serve() -> AsyncIterator[StubServer]:
    """A running stub server at a free port of this machine."""
    stub = StubServer()
    listener = socket.create_server(("127.0.0.1", 0))  # who comes before the server is up waits in its queue
    stub.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(stub.app, lifespan="off", log_level="warning"))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    yield stub
    server.should_exit = True
    server.force_exit = True
    await running
