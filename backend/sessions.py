"""The sessions in progress, one for each open conversation. A session outlives its page for a while, so that a reload or a
lost connection finds it again; then it is closed, and its reply is kept as interrupted."""

from __future__ import annotations

import asyncio
from uuid import UUID

from backend.session import Partners, Preferences, Session
from conversations.dialogue import Dialogue
from conversations.turn import new_id


class Sessions:
    def __init__(self, partners: Partners, defaults: Preferences, linger_s: float) -> None:
        self.partners = partners
        self.defaults = defaults
        self._linger_s = linger_s
        self._open: dict[str, Session] = {}
        self._closing: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._open)

    async def open(self, conversation: str | None) -> Session:
        """The session of this conversation: the one in progress, one that goes on from what is kept, or, for an id that
        nothing is kept of (or none), a new one. Raises `ValueError` for what is no id, `StoreFailure`."""
        key = new_id() if conversation is None else str(UUID(conversation))
        if key not in self._open:
            dialogue = await self._load(key)
            self._open.setdefault(key, Session(dialogue, self.partners, self.defaults))
        return self._open[key]

    async def _load(self, conversation: str) -> Dialogue:
        archive = self.partners.archive
        loaded = await archive.call(archive.store.load, conversation)
        return Dialogue(conversation) if loaded is None else Dialogue.of(loaded)

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
        task = asyncio.get_running_loop().create_task(self._drop(session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drop(self, session: Session) -> None:
        if (timer := self._closing.pop(session.conversation, None)) is not None:
            timer.cancel()
        if self._open.get(session.conversation) is session:
            del self._open[session.conversation]
        await session.close()

    async def delete(self, session: Session) -> tuple[str, ...]:
        """Delete the session's conversation with everything of it; names the exports that contain it. Raises
        `StoreFailure`."""
        await self._drop(session)
        archive = self.partners.archive
        return await archive.call(archive.store.delete, session.conversation)

    async def close(self) -> None:
        """Close all sessions."""
        for session in list(self._open.values()):
            await self._drop(session)
