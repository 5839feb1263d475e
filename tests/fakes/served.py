"""The whole web application with scripted partners, on a real port of this machine, in the test's own event loop."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from websockets.asyncio.client import ClientConnection, connect

from backend.models import DialogueModel
from backend.record import Archive
from backend.session import Partners, Preferences
from backend.sessions import Sessions
from backend.settings import TurnTaking
from backend.speakers import Voice
from conversations.store import Loaded, Store
from tests.fakes.partners import LoudnessVad, ScriptedModel, ScriptedVoice
from ui.access import Access
from ui.page import Defaults
from ui.server import make, make_routes


@dataclass
class Served:
    """A running server, and what is behind it."""

    port: int
    sessions: Sessions
    access: Access

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def load(self, conversation: str) -> Loaded | None:
        """What is kept of a conversation by now; asked in the store's own thread."""
        archive = self.sessions.partners.archive
        return await archive.call(archive.store.load, conversation)

    def dial(self, **options: Any) -> connect:
        """A socket as the page opens it."""
        return connect(f"ws://127.0.0.1:{self.port}/voice", **options)


@asynccontextmanager
async def serving(
    folder: Path, model: DialogueModel | None = None, *, api_key: str = "", linger_s: float = 30, gradio: bool = False
) -> AsyncIterator[Served]:
    """`gradio`: with its pages too, which take seconds to build."""
    store = Store.open(folder)
    archive = Archive(store)
    voice = ScriptedVoice()
    partners = Partners(model or ScriptedModel(), voice, LoudnessVad(), archive, "0")
    sessions = Sessions(partners, Preferences(voice=Voice("hum"), stall_ms=600_000), linger_s)
    access = Access(folder, api_key)
    if gradio:
        defaults = Defaults("Be kind.", Voice("hum"), True, list(voice.voices), TurnTaking())
        app = make(sessions, access, defaults, "Scripted.")
    else:
        app, _ = make_routes(sessions, access)
    listener = socket.create_server(("127.0.0.1", 0))  # who comes before the server is up waits in its queue
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws_max_size=1 << 20))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield Served(listener.getsockname()[1], sessions, access)
    finally:
        server.should_exit = True
        await task
        archive.close()


class Caller:
    """The page's end of the socket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []
        self.sound: dict[int, bytes] = {}

    async def hello(self, token: str, conversation: str | None = None, annotator: str = "ann", **more: Any) -> dict[str, Any]:
        await self.send(type="hello", token=token, conversation=conversation, annotator=annotator, **more)
        return await self.until("welcome")

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def speak(self, samples: np.ndarray, piece: int = 320) -> None:
        for start in range(0, len(samples), piece):
            await self.socket.send(samples[start : start + piece].astype("<i2").tobytes())

    async def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The next message of this kind with these fields; sound is gathered on the way."""
        async with asyncio.timeout(10):
            while True:
                frame = await self.socket.recv()
                if isinstance(frame, bytes):
                    reply = int.from_bytes(frame[:4], "little")
                    self.sound[reply] = self.sound.get(reply, b"") + frame[4:]
                    continue
                message: dict[str, Any] = json.loads(frame)
                self.messages.append(message)
                if message["type"] == kind and fields.items() <= message.items():
                    return message
