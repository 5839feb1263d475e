"""The sessions in progress, one for each open conversation. A session outlives its page for a while, so that a reload or a
lost connection finds it again; then it is closed, and its reply is kept as interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

from backend.session import Partners, Preferences, Session
from conversations.dialogue import Dialogue
from conversations.turn import new_id

Answer = TypeVar("Answer")


class Sessions:
    def __init__(self, partners: Partners, defaults: Preferences, linger_s: float) -> None:
        self.partners = partners
        self.defaults = defaults
        self._linger_s = linger_s
        self._open: dict[str, Session] = {}
        self._closing: dict[str, asyncio.TimerHandle] = {}
        self._leaving: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._open)

    async def open(self, conversation: str | None) -> Session:
        """The session of this conversation: the one in progress, one that goes on from what is kept, or, for an id that
        nothing is kept of (or none), a new one. Raises `ValueError` for what is no id, `StoreFailure`."""
        if conversation is None:
            return self._begin(Dialogue(new_id()))
        key = str(UUID(conversation))
        while (leaving := self._leaving.get(key)) is not None:
            await leaving.wait()  # what its last session reached is still to be kept
        return self._open.get(key) or self._begin(await self._load(key))

    def _begin(self, dialogue: Dialogue) -> Session:
        return self._open.setdefault(dialogue.conversation, Session(dialogue, self.partners, self.defaults))

    async def _load(self, conversation: str) -> Dialogue:
        """What is kept; under the id of a conversation that was deleted nothing can be kept, so that gives a new one."""
        archive = self.partners.archive
        loaded = await archive.call(archive.store.load, conversation)
        if loaded is not None:
            return Dialogue.of(loaded)
        deleted = await archive.call(archive.store.was_deleted, conversation)
        return Dialogue(new_id() if deleted else conversation)

    def attach(self, session: Session) -> None:
        """Somebody listens to the session."""
        session.attended = True
        if (timer := self._closing.pop(session.conversation, None)) is not None:
            timer.cancel()

    def detach(self, session: Session) -> None:
        """Nobody listens any more; the session waits for a while."""
        session.attended = False
        session.pause()
        if self._open.get(session.conversation) is session:
            later = asyncio.get_running_loop().call_later(self._linger_s, self._expire, session)
            self._closing[session.conversation] = later

    def _expire(self, session: Session) -> None:
        self._spawn(self._drop(session))

    def _spawn(self, work: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @asynccontextmanager
    async def _left(self, session: Session) -> AsyncIterator[None]:
        """Close the session. Until the block is over, nobody can open its conversation."""
        key = session.conversation
        if (timer := self._closing.pop(key, None)) is not None:
            timer.cancel()
        self._open.pop(key, None)
        over = self._leaving[key] = asyncio.Event()
        try:
            await session.close()
            yield
        finally:
            self._leaving.pop(key, None)
            over.set()

    async def _drop(self, session: Session) -> None:
        if self._open.get(session.conversation) is session and not session.attended:
            async with self._left(session):
                pass

    async def delete(self, session: Session) -> tuple[str, ...]:
        """Delete the session's conversation with everything of it; names the exports that contain it. Raises
        `StoreFailure`. Goes on when its caller is cancelled."""
        return await asyncio.shield(self._spawn(self._delete(session)))

    async def _delete(self, session: Session) -> tuple[str, ...]:
        archive = self.partners.archive
        async with self._left(session):
            return await archive.call(archive.store.delete, session.conversation)

    async def close(self) -> None:
        """Close all sessions."""
        while self._open:
            async with self._left(next(iter(self._open.values()))):
                pass
        while self._tasks:
            await asyncio.wait(self._tasks)
