"""What happens when the store can't keep: the conversation goes on, says so, and nothing is lost once it can again."""

from __future__ import annotations

import numpy as np

from backend.record import Archive, Log
from conversations.store import Gone, Store, StoreFailure
from conversations.turn import Conversation, Role, Turn, new_id


class Faulty:
    """A store that fails as it is told."""

    def __init__(self) -> None:
        self.store = Store.in_memory()
        self.failure: StoreFailure | None = None

    def keep(self, *records: object) -> None:
        self._fail()
        self.store.keep(*records)  # type: ignore[arg-type]  # passed through

    def keep_audio(self, samples: np.ndarray, rate: int) -> object:
        self._fail()
        return self.store.keep_audio(samples, rate)

    def samples(self, sha256: str) -> np.ndarray:
        self._fail()
        return self.store.samples(sha256)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


def log_on(faulty: Faulty) -> tuple[Log, list[tuple[str, bool]]]:
    told: list[tuple[str, bool]] = []
    return Log(Archive(faulty), lambda text, failing: told.append((text, failing))), told  # type: ignore[arg-type]


async def test_what_could_not_be_kept_is_kept_later() -> None:
    faulty = Faulty()
    log, told = log_on(faulty)
    conversation = new_id()
    faulty.failure = StoreFailure("The disk is full.")
    sound = np.arange(1000, dtype=np.int16)
    audio = await log.keep_sound(sound, 16_000)
    assert not await log.keep(Conversation(conversation), Turn("t1", conversation, Role.USER, audio=audio))
    assert not await log.keep(Turn("t2", conversation, Role.ASSISTANT, "Yes.", reply_to="t1"))
    assert told == [("The disk is full. The conversation goes on, but is not being kept.", True)], "told once"
    np.testing.assert_array_equal(await log.samples(audio.sha256), sound)
    faulty.failure = None
    assert await log.keep(Turn("t3", conversation, Role.USER, "More."))
    assert [failing for _, failing in told] == [True, False]
    loaded = faulty.store.load(conversation)
    assert loaded is not None
    assert list(loaded.turns) == ["t1", "t2", "t3"]
    np.testing.assert_array_equal(faulty.store.samples(audio), sound)


async def test_what_belongs_to_a_deleted_conversation_goes_with_it() -> None:
    faulty = Faulty()
    log, told = log_on(faulty)
    faulty.failure = Gone("It was deleted.")
    assert not await log.keep(Turn("t1", "c", Role.USER, "Late."))
    faulty.failure = None
    conversation = new_id()
    assert await log.keep(Conversation(conversation), Turn("t2", conversation, Role.USER, "Hello."))
    assert told == [("It was deleted.", True)], "and nobody is left to think that it was kept"


async def test_what_waits_is_tried_once_more_at_the_end() -> None:
    faulty = Faulty()
    log, _ = log_on(faulty)
    conversation = new_id()
    faulty.failure = StoreFailure("Locked.")
    await log.keep(Conversation(conversation))
    assert log.problem == "Locked. The conversation goes on, but is not being kept."
    assert not await log.settle()
    faulty.failure = None
    assert await log.settle()
    assert log.problem == ""
    assert faulty.store.load(conversation) is not None


async def test_while_all_is_well_nothing_is_said() -> None:
    log, told = log_on(Faulty())
    assert await log.keep(Conversation(new_id()))
    assert told == []
