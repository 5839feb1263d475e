"""A chat server that speaks OpenAI's protocol on a real port and answers what it is told to.

It runs in a thread of its own, so that tests with and without an event loop, and an app in another process, can talk to it:

    with ChatServer() as server:
        server.then(Reply("Hello.", reasoning="A greeting."), TOO_LONG)

Requests beyond the script are answered by `server.answer`, a function from the messages to a text. Every request is kept.
A reply can be held open in its middle: put a `server.hold()` among its pieces, wait until it is `reached`, and `release` it.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal

import pytest

Messages = Sequence[Mapping[str, Any]]


class Hold:
    """A place in a reply where the server waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.reached = threading.Event()
        self._loop = loop
        self._released = asyncio.Event()

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self._released.set)

    async def wait(self) -> None:
        self.reached.set()
        await self._released.wait()


Pieces = str | Sequence[str | Hold]


@dataclass(frozen=True)
class Reply:
    """A text is streamed word by word; pieces are streamed as they are.

    `through`: where the reasoning goes: into a field of that name, or into the content between tags ("tags"), or there without
    the opening one ("open"). `ending`: with everything; without the last messages ("silent end"); with an error object in the
    stream; or with the connection dropped.
    """

    said: Pieces = ()
    reasoning: Pieces = ()
    through: Literal["reasoning", "reasoning_content", "tags", "open"] = "reasoning"
    finish_reason: str = "stop"
    usage: Mapping[str, Any] = field(default_factory=lambda: {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13})
    ending: Literal["whole", "silent end", "error", "drop"] = "whole"
    seconds_per_piece: float = 0.0


@dataclass(frozen=True)
class Refusal:
    """An answer that is no stream. A mapping is sent as JSON."""

    status: int
    body: Mapping[str, Any] | str
    content_type: str = "application/json"


@dataclass(frozen=True)
class Silence:
    """The request is never answered."""


def _error(status: int, message: str, param: str | None = None) -> Refusal:
    return Refusal(status, {"error": {"message": message, "type": "Error", "param": param, "code": status}})


UNAUTHORIZED = Refusal(401, {"error": "Unauthorized"})
UNKNOWN_MODEL = _error(404, "The model `x` does not exist.", "model")
TOO_LONG = _error(400, "This model's maximum context length is 2048 tokens. However, you requested more.", "input_tokens")
TOO_BUSY = _error(429, "Too many requests.")
BAD_AUDIO = _error(400, "Invalid audio: [0.1, 0.2, 0.3]")
BROKEN = _error(500, "EngineCore encountered an issue.")
PROXY = Refusal(502, "<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html")
LOGIN_PAGE = Refusal(200, "<html><body>Please sign in</body></html>", "text/html")

Scripted = Reply | Refusal | Silence


@dataclass(frozen=True)
class Request:
    """What came in. `left` is set when the client closed the connection before its answer was whole."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    left: threading.Event = field(default_factory=threading.Event)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.body["messages"])


class ChatServer:
    """`models`: what it says it serves; the first is the one it answers as. `key`: what it wants to see, if anything."""

    def __init__(self, models: Sequence[str] = ("scripted",), key: str = "") -> None:
        self.models = list(models)
        self.key = key
        self.requests: list[Request] = []
        self.answer: Callable[[Messages], str] = lambda messages: f"I have seen {len(messages)} messages."
        self.models_refusal: Refusal | Silence | None = None
        self._script: deque[Scripted] = deque()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chat-server", daemon=True)
        self._port = 0
        self._busy: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def chats(self) -> list[Request]:
        """The requests for a reply."""
        return [request for request in self.requests if request.method == "POST"]

    def then(self, *script: Scripted) -> None:
        """What the next requests for a reply are answered with, one each."""
        self._script.extend(script)

    def hold(self) -> Hold:
        return Hold(self._loop)

    def __enter__(self) -> ChatServer:
        self._thread.start()
        self._listening = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result()
        self._port = self._listening.sockets[0].getsockname()[1]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """The server is gone, and every open connection with it. May be called again."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._listening.close()
        for task in self._busy:
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)
        request = await _read(reader)
        if request is None:
            writer.close()
            return
        self.requests.append(request)
        answering = asyncio.ensure_future(self._respond(request, writer))
        leaving = asyncio.ensure_future(reader.read())  # ends when the client closes
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                request.left.set()
        finally:
            answering.cancel()
            leaving.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
            writer.close()

    async def _respond(self, request: Request, writer: asyncio.StreamWriter) -> None:
        match self._choose(request):
            case Refusal() as refusal:
                await _refuse(writer, refusal)
            case Silence():
                await asyncio.Event().wait()
            case Reply() as reply:
                await self._stream(writer, reply, bool(request.body.get("stream_options", {}).get("include_usage")))

    def _choose(self, request: Request) -> Scripted:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return UNAUTHORIZED
        match request.method, request.path:
            case "GET", "/v1/models":
                listed = [{"id": model, "object": "model", "created": 1, "owned_by": "tests"} for model in self.models]
                return self.models_refusal or Refusal(200, {"object": "list", "data": listed})
            case "POST", "/v1/chat/completions":
                if self._script:
                    return self._script.popleft()
                return Reply(self.answer(request.messages)) if request.body["model"] in self.models else UNKNOWN_MODEL
        return Refusal(404, {"detail": "Not Found"})

    async def _stream(self, writer: asyncio.StreamWriter, reply: Reply, include_usage: bool) -> None:
        _head(writer, 200, "text/event-stream", "Transfer-Encoding: chunked")
        await self._send(writer, self._chunk({"role": "assistant", "content": ""}))
        for where, piece in _deltas(reply):
            if isinstance(piece, Hold):
                await piece.wait()
                continue
            await asyncio.sleep(reply.seconds_per_piece)
            await self._send(writer, self._chunk({where: piece}))
        match reply.ending:
            case "drop":
                writer.transport.abort()
                return
            case "error":
                await self._send(writer, {"error": {"message": "EngineCore died: [0.1, 0.2]", "type": "Error", "code": 500}})
                await self._send(writer, "[DONE]")
            case "whole":
                await self._send(writer, self._chunk({}, reply.finish_reason))
                if include_usage:
                    await self._send(writer, {**self._chunk({}), "choices": [], "usage": reply.usage})
                await self._send(writer, "[DONE]")
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    def _chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        kind = "chat.completion.chunk"
        return {"id": "chat-1", "object": kind, "created": 1, "model": f"{self.models[0]}-served", "choices": [choice]}

    async def _send(self, writer: asyncio.StreamWriter, data: Mapping[str, Any] | str) -> None:
        event = f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()
        writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
        await writer.drain()


def _deltas(reply: Reply) -> Iterator[tuple[str, str | Hold]]:
    """Field and piece, in order."""
    tagged = reply.through in {"tags", "open"}
    if reply.through == "tags":
        yield "content", "<think>"
    for piece in _pieces(reply.reasoning):
        yield ("content" if tagged else reply.through), piece
    if tagged:
        yield "content", "</think>"
    for piece in _pieces(reply.said):
        yield "content", piece


def _pieces(pieces: Pieces) -> Iterator[str | Hold]:
    if not isinstance(pieces, str):
        yield from pieces
        return
    for index, word in enumerate(pieces.split(" ")):
        yield f" {word}" if index else word


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:  # connected and gone again
        return None
    first, *lines = head.rstrip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, json.loads(body) if body else {})


async def _refuse(writer: asyncio.StreamWriter, refusal: Refusal) -> None:
    body = (refusal.body if isinstance(refusal.body, str) else json.dumps(refusal.body)).encode()
    _head(writer, refusal.status, refusal.content_type, f"Content-Length: {len(body)}")
    writer.write(body)
    await writer.drain()


def _head(writer: asyncio.StreamWriter, status: int, content_type: str, length: str) -> None:
    writer.write(f"HTTP/1.1 {status} .\r\nContent-Type: {content_type}\r\n{length}\r\nConnection: close\r\n\r\n".encode())


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    """A scripted chat server on a free port."""
    with ChatServer() as server:
        yield server
