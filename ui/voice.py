"""The page's private socket: translates between its messages and a session. Holds no dialogue logic.

Text frames are JSON objects with a "type". From the page they are read by `ui.messages`; binary frames from the page are mono
PCM16 at the announced rate, binary frames to the page are a little-endian uint32, the number of the reply, and mono PCM16 at
24 kHz. To the page go:

    welcome   which conversation this is, who answers, and the panels under its replies
    state     ready, hearing, thinking, speaking or interrupted, and for how long
    reply     the sound of a reply follows          spoken    all of it was sent
    stop      drop what was not played yet          duck, restore    the volume
    panel     what stands under one reply           notice, error    a sentence to show

The socket closes with 4400 (malformed), 4401 (token refused), 4403 (foreign origin) or 4409 (opened in another page).
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import numpy as np
import soxr
from fastapi import WebSocket, WebSocketDisconnect
from numpy.typing import NDArray

from backend import events
from backend.reply import Reply
from backend.session import Session
from backend.sessions import Sessions
from backend.vad import SAMPLE_RATE_HZ
from conversations.store import StoreFailure
from ui import feedback, messages
from ui.access import Access
from ui.messages import Hello

log = logging.getLogger(__name__)

RATES_HZ = (16_000, 24_000, 44_100, 48_000)
LARGEST_FRAME_BYTES = 2 * 48_000
"""A second of sound at the highest rate; the page sends 16 ms at a time."""

HELLO_TIMEOUT_S = 10.0


class Refused(Exception):
    """The socket is to be closed with this code; the text says why."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(slots=True)
class Page:
    """One open page: its session, and whether something else took its place."""

    id: str
    socket: WebSocket
    annotator: str
    session: Session | None = None
    replaced: asyncio.Event = field(default_factory=asyncio.Event)


class Pages:
    """The open pages, by the id that their token carries. At most one of them holds a conversation."""

    def __init__(self, sessions: Sessions, access: Access) -> None:
        self.sessions = sessions
        self.access = access
        self._pages: dict[str, Page] = {}

    def session(self, page_id: str | None) -> Session | None:
        """The session of a page, if it has one by now."""
        page = self._pages.get(page_id or "")
        return page.session if page else None

    async def serve(self, socket: WebSocket) -> None:
        """One page's socket, from its opening to its end."""
        await socket.accept()
        try:
            page, hello = await self._welcome(socket)
            try:
                self._enter(page)
                await Line(page, self).run(hello)
            finally:
                if self._pages.get(page.id) is page:
                    del self._pages[page.id]
        except Refused as refusal:
            await _close(socket, refusal.code, str(refusal))
        except WebSocketDisconnect:
            pass

    async def _welcome(self, socket: WebSocket) -> tuple[Page, Hello]:
        if not _same_origin(socket):
            raise Refused(4403, "This page is not one of this server's.")
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                hello = messages.read_hello(await socket.receive_text())
        except (ValueError, KeyError, TimeoutError):
            raise Refused(4400, "The first message has to be a hello.") from None
        page_id = self.access.page_of(hello.token)
        if page_id is None:
            raise Refused(4401, "The page's token is not valid any more; reload the page.")
        return Page(page_id, socket, hello.annotator), hello

    def _enter(self, page: Page) -> None:
        """A page that calls again before its lost line was noticed here takes the place of what it was."""
        earlier = self._pages.get(page.id)
        self._pages[page.id] = page
        if earlier is not None:
            self.release(earlier)
            earlier.replaced.set()

    def claim(self, page: Page, session: Session) -> None:
        """The page holds this conversation from now on; another page that held it loses it."""
        for other in self._pages.values():
            if other is not page and other.session is session:
                other.session = None
                other.replaced.set()
        if page.session is not None and page.session is not session:
            self.sessions.detach(page.session)
        page.session = session
        self.sessions.attach(session)

    def release(self, page: Page) -> None:
        session, page.session = page.session, None
        if session is not None:
            self.sessions.detach(session)


class Line:
    """The two directions of one page's socket."""

    def __init__(self, page: Page, pages: Pages) -> None:
        self.page = page
        self.pages = pages
        self._send_in_order = asyncio.Lock()
        self._resampler: soxr.ResampleStream | None = None
        self._subscription: events.Subscription | None = None
        self._teller: asyncio.Task[None] | None = None
        self._state = ""

    @property
    def session(self) -> Session:
        if self.page.session is None:
            raise Refused(4409, "This conversation was opened in another page.")
        return self.page.session

    async def run(self, hello: Hello) -> None:
        try:
            await self._open(hello.conversation, hello)
            reader = asyncio.create_task(self._read())
            replaced = asyncio.create_task(self.page.replaced.wait())
            try:
                await asyncio.wait([reader, replaced], return_when=asyncio.FIRST_COMPLETED)
                if replaced.done():
                    raise Refused(4409, "This conversation was opened in another page.")
                await reader
            finally:
                reader.cancel()
                replaced.cancel()
        finally:
            self._fall_silent()
            self.pages.release(self.page)

    # To the page

    async def _open(self, conversation: str | None, hello: Hello | None = None) -> None:
        session, problem = await self._find(conversation)
        self._fall_silent()
        self.pages.claim(self.page, session)
        self._subscription = session.subscribe()
        # The reply as it is now: what comes of it from now on is told as events.
        reply = session.reply and replace(session.reply, pcm=bytearray(session.reply.pcm))
        await self._greet(session, problem, resumed=bool(session.dialogue.turns))
        if hello is not None:
            await self._resume(session, reply, hello)
        self._teller = asyncio.create_task(self._tell(session, self._subscription))

    async def _find(self, conversation: str | None) -> tuple[Session, str]:
        """The session, and the sentence that says why it is not the one that was asked for."""
        try:
            return await self.pages.sessions.open(conversation), ""
        except ValueError:
            return await self.pages.sessions.open(None), ""
        except StoreFailure as failure:
            return await self.pages.sessions.open(None), f"The conversation can't be opened. {failure}"

    def _fall_silent(self) -> None:
        """Tell no more of the session so far."""
        self._state = ""
        if self._teller is not None:
            self._teller.cancel()
        if self._subscription is not None:
            self._subscription.close()

    async def _greet(self, session: Session, problem: str = "", *, resumed: bool) -> None:
        model = session.partners.model
        await self._send(
            type="welcome",
            conversation=session.conversation,
            session=session.id,
            resumed=resumed,
            partner=model.name,
            offline=model.offline,
            notice=problem or session.problem,
            reasons=feedback.REASONS,
            panels=feedback.panels(session, self.page.annotator),
        )
        await self._send_state(session)

    async def _resume(self, session: Session, reply: Reply | None, hello: Hello) -> None:
        """A page whose connection was lost goes on where its sound ended; a page that was loaded anew has lost it."""
        came_back = hello.session == session.id
        if came_back and hello.reply and (reply is None or reply.number != hello.reply):
            await self._send(type="stop", reply=hello.reply)
        if reply is None:
            return
        if not came_back and reply.made:
            if reply.audible:
                session.interrupt()
            return
        await self._send(type="reply", reply=reply.number, turn=reply.turn)
        received = hello.received if hello.reply == reply.number else 0
        await self._send_sound(reply.number, bytes(reply.pcm[2 * received :]))
        if reply.complete:
            await self._send(type="spoken", reply=reply.number, samples=reply.made)

    async def _tell(self, session: Session, subscription: events.Subscription) -> None:
        try:
            async for event in subscription:
                await self._translate(session, event)
                if session.state != self._state:
                    await self._send_state(session)
        except (WebSocketDisconnect, RuntimeError):
            return  # the page is gone; the reader notices it too, and ends the line

    async def _translate(self, session: Session, event: events.Event) -> None:
        match event:
            case events.Spoke():
                await self._send_sound(event.reply, event.pcm)
            case events.ReplyStarted():
                await self._send(type="reply", reply=event.reply, turn=event.turn)
                await self._send_panels(session, event.reply_to)
            case events.SpeechMade():
                await self._send(type="spoken", reply=event.reply, samples=event.samples)
            case events.Interrupted():
                await self._send(type="stop", reply=event.reply)
            case events.Ducked():
                await self._send(type="duck")
            case events.Restored():
                await self._send(type="restore")
            case events.Notice():
                await self._send(type="notice", text=event.text, kind="warning" if event.warning else "info")
            case events.Failed():
                await self._send(type="notice", text=event.text, kind="warning")
            case events.Finished():
                await self._send_panels(session, event.turn.reply_to or "")
            case events.Played():
                await self._send_panels(session, session.user_turn_of(event.turn))
            case events.Changed():
                await self._send_panels(session, event.user_turn)
            case events.Behind():
                await self._greet(session, resumed=True)

    async def _send_panels(self, session: Session, user_turn: str) -> None:
        if user_turn in session.dialogue.turns:
            for turn, panel in feedback.panels_of(session, user_turn, self.page.annotator).items():
                await self._send(type="panel", turn=turn, panel=panel)

    async def _send_state(self, session: Session) -> None:
        self._state = session.state
        reply = session.reply
        since = time.monotonic() - reply.over_at if reply is not None and self._state == "thinking" else 0.0
        await self._send(type="state", state=self._state, since_ms=round(since * 1000))

    async def _send(self, **message: object) -> None:
        async with self._send_in_order:
            await self.page.socket.send_json(message)

    async def _send_sound(self, reply: int, pcm: bytes) -> None:
        if pcm:
            async with self._send_in_order:
                await self.page.socket.send_bytes(struct.pack("<I", reply) + pcm)

    # From the page

    async def _read(self) -> None:
        while True:
            frame = await self.page.socket.receive()
            if frame["type"] == "websocket.disconnect":
                return
            try:
                if (pcm := frame.get("bytes")) is not None:
                    await self._hear(pcm)
                else:
                    await self._obey(messages.read(frame["text"]))
            except ValueError as error:
                await self._send(type="error", text=str(error))
            except StoreFailure as failure:
                await self._send(type="error", text=str(failure))

    async def _hear(self, pcm: bytes) -> None:
        if len(pcm) > LARGEST_FRAME_BYTES:
            raise Refused(4400, "A frame of sound was too large.")
        if len(pcm) % 2:
            raise ValueError("A frame of sound has half a sample.")
        await self.session.hear(self._resampled(np.frombuffer(pcm, "<i2")))

    def _resampled(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        if self._resampler is None:
            return samples
        return np.asarray(self._resampler.resample_chunk(samples), np.int16)

    async def _obey(self, message: messages.Message) -> None:
        session = self.session
        match message:
            case messages.Microphone():
                self._open_microphone(message)
            case messages.Pause():
                session.pause()
            case messages.Say():
                session.say(message.text)
            case messages.Interrupt():
                session.interrupt()
            case messages.Played():
                session.played(message.reply, message.samples, ended=message.ended)
            case messages.Unplayable():
                session.cannot_play(message.reply)
            case messages.TryAgain():
                session.try_again(message.turn)
            case messages.Show():
                session.choose(message.turn)
            case messages.Judge():
                session.judge(feedback.thumb(session, message, self.page.annotator))
            case messages.Prefer():
                session.judge(feedback.verdict(session, message, self.page.annotator))
            case messages.New():
                await self._open(None)
            case messages.Delete():
                await self._delete(session)

    def _open_microphone(self, message: messages.Microphone) -> None:
        rate = message.sample_rate_hz
        if rate not in RATES_HZ:
            known = ", ".join(map(str, RATES_HZ))
            raise ValueError(f"Sound at {rate} Hz can't be heard here; it has to be one of {known} Hz.")
        self._resampler = None if rate == SAMPLE_RATE_HZ else soxr.ResampleStream(rate, SAMPLE_RATE_HZ, 1, dtype="int16")
        self.session.open_ears(hold=message.push_to_talk)

    async def _delete(self, session: Session) -> None:
        try:
            exports = await self.pages.sessions.delete(session)
        except StoreFailure as failure:
            await self._open(session.conversation)
            await self._send(type="error", text=str(failure))
            return
        await self._open(None)
        if exports:
            names = ", ".join(exports)
            text = f"The conversation is deleted. These preference sets were written before and still hold it: {names}."
        else:
            text = "The conversation is deleted, with everything that was kept of it."
        await self._send(type="notice", text=text, kind="info")


def _same_origin(socket: WebSocket) -> bool:
    """Browsers always name the origin; what is no browser has to know the token anyway."""
    origin = socket.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == socket.headers.get("host")


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    try:
        await socket.close(code, reason)
    except (RuntimeError, WebSocketDisconnect):
        return  # it is closed already
