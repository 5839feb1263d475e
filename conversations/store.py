"""What is kept, and how: one SQLite database and a folder of sounds. Knows the values of a conversation, and nothing of how
they come about or what they are for.

    DATA/colloquy.db              everything but sound
    DATA/audio/ab/abcdef….flac    sound, by the SHA-256 of its samples

The database writes ahead (WAL) with `synchronous=FULL`: what `keep` has returned for survives the kill of the process and the
loss of power alike. FULL costs a commit 0.4 ms more than NORMAL on an SSD, which would survive only the kill.

Calls may come from any thread, but one at a time; `flac` and `samples` alone may be called from anywhere at any time, since
they do not touch the database. Another thread or process that reads at length opens a `Store` of its own.

A sound is written before the turn that holds it, so a crash may leave a file that no row speaks of. Such a file is swept at
the first opening that finds it older than an hour.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlite_utils import Database

from conversations import sound_files
from conversations.failures import DAMAGED, NEWER, Damaged, Gone, StoreFailure, failure, in_words
from conversations.loaded import Loaded, resolve
from conversations.migrations import MIGRATIONS, unknown
from conversations.rows import TABLES, Row, as_prompt, as_row, as_turn, as_value, conversation_of
from conversations.sound_files import SoundFiles, SoundsInMemory
from conversations.turn import (
    Audio,
    Comparison,
    Configuration,
    Conversation,
    Delivery,
    Interrupted,
    Judgement,
    Path,
    Record,
    Status,
    Step,
    Superseded,
    Transcript,
    Turn,
    new_id,
    now,
)

__all__ = ["Damaged", "Export", "Gone", "Loaded", "Store", "StoreFailure"]

BUSY_SECONDS = 2.0
"""How long a call waits for another program that writes to the same database."""


@dataclass(frozen=True, slots=True)
class Export:
    """A preference set that was written: where, from what, which bytes, and the conversations that it holds something of."""

    name: str
    filter: Mapping[str, Any]
    files: Mapping[str, str]
    conversations: Sequence[str]
    id: str = field(default_factory=new_id)
    created_at: str = field(default_factory=now)


class Store:
    """Conversations, on the disk (`open`) or in memory (`in_memory`).

    Every method raises `StoreFailure` where the disk or the database fails; then nothing of that call was kept.
    """

    def __init__(self, db: Database, sounds: SoundFiles | SoundsInMemory, place: str) -> None:
        self._db = db
        self._sounds = sounds
        self._place = place
        self._claimed: set[str] = set()  # sounds that were kept, and whose turn was not yet

    @classmethod
    def open(cls, folder: FilePath) -> Store:
        """The store in `folder`, which is made where it is missing, readable for its owner alone.

        Raises `StoreFailure` when the folder cannot be made or written, or the database is damaged, locked, or was written
        by a newer version.
        """
        place = folder / "colloquy.db"
        with in_words(f"the folder {folder}"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / "audio").mkdir(mode=0o700, exist_ok=True)
            os.close(os.open(place, os.O_CREAT | os.O_RDWR, 0o600))
        sounds = SoundFiles(folder / "audio")
        store = cls(_connect(str(place)), sounds, f"the database {place}")
        try:
            store._prepare()
            sounds.sweep({row["sha256"] for row in store._rows("SELECT sha256 FROM audio")})
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def in_memory(cls) -> Store:
        """A store that leaves nothing on the disk and forgets everything when it is closed."""
        store = cls(_connect(":memory:"), SoundsInMemory(), "the memory")
        store._prepare()
        return store

    @property
    def in_memory_only(self) -> bool:
        return isinstance(self._sounds, SoundsInMemory)

    def close(self) -> None:
        self._db.close()

    def keep(self, *records: Record) -> None:
        """Keep all of `records` in their order, or none of them.

        What they point at must be there already or come earlier among them; a turn's sound was given to `keep_audio`, and a
        turn's configuration comes along with the turn (one in no turn's use may go when a conversation is deleted). Raises
        `Gone` for what belongs to a deleted conversation, so that a late write does not bring it back, and
        `sqlite3.IntegrityError` for an id that is there already.
        """
        sounds = {record.audio.sha256 for record in records if isinstance(record, Turn) and record.audio}
        try:
            with self._writing():
                self._refuse_deleted(records)
                for record in records:
                    self._insert(record)
        except Gone:
            with self._writing():
                self._claimed -= sounds
                self._drop_sounds(sounds)
            raise
        self._claimed -= sounds

    def keep_audio(self, samples: NDArray[np.int16], sample_rate_hz: int) -> Audio:
        """Keep a sound (int16, shape (n,), n > 0), and say how to refer to it. The same samples are kept once."""
        if samples.dtype != np.int16 or samples.ndim != 1 or not samples.size:
            raise ValueError(f"A sound is a row of int16 samples, not {samples.dtype} of shape {samples.shape}.")
        audio = Audio(sound_files.digest(samples), sample_rate_hz, samples.size)
        with in_words(self._place):
            self._sounds.put(audio.sha256, sound_files.encode(samples, sample_rate_hz))
        self._claimed.add(audio.sha256)
        return audio

    def samples(self, audio: Audio | str) -> NDArray[np.int16]:
        """The samples of a sound, int16, shape (n,). Raises `KeyError` where there is none, `Damaged` where it is spoilt."""
        sha256 = audio.sha256 if isinstance(audio, Audio) else audio
        return sound_files.decode(self.flac(sha256), sha256)

    def flac(self, sha256: str) -> bytes:
        """A sound as a FLAC file. Raises `KeyError` where there is none."""
        with in_words(f"the sound {sha256}"):
            return self._sounds.get(sha256)

    def load(self, conversation: str) -> Loaded | None:
        """All of a conversation, or None where there is none of that id."""
        with self._reading():
            rows = self._rows("SELECT * FROM conversations WHERE id = ?", conversation)
            return self._loaded(as_value(Conversation, rows[0])) if rows else None

    def was_deleted(self, conversation: str) -> bool:
        """Whether there was a conversation of this id, so that nothing may be kept under it any more."""
        with self._reading():
            return bool(self._rows("SELECT 1 FROM tombstones WHERE conversation = ?", conversation))

    def conversations(self, limit: int = 50, before: str | None = None) -> list[Conversation]:
        """The newest conversations, the newest first; `before` is the id of the last one that was already seen."""
        sql = "SELECT * FROM conversations WHERE ? IS NULL OR id < ? ORDER BY id DESC LIMIT ?"
        with self._reading():
            return [as_value(Conversation, row) for row in self._rows(sql, before, before, limit)]

    @contextmanager
    def snapshot(self) -> Iterator[Iterator[Loaded]]:
        """All conversations in the order of their ids, loaded one by one, as they were when the block was entered."""
        with self._reading():
            ids = [row["id"] for row in self._rows("SELECT id FROM conversations ORDER BY id")]
            yield (loaded for loaded in map(self.load, ids) if loaded)

    def delete(self, conversation: str) -> tuple[str, ...]:
        """Delete a conversation with all that belongs to it, and name the exports that hold something of it.

        Sounds and configurations that no other conversation uses go with it. What stays is a tombstone: the id, and when.
        Nothing of the content is left in the folder: rows are overwritten, and the write-ahead log is emptied. Where another
        program keeps the log open, that is said by a `StoreFailure`; deleting again, or opening the store, finishes it.
        """
        with self._writing():
            used = self._rows("SELECT audio, configuration FROM turns WHERE conversation = ?", conversation)
            if self._db.execute("DELETE FROM conversations WHERE id = ?", [conversation]).rowcount:
                self._db.table("tombstones").insert({"conversation": conversation, "deleted_at": now()})
            self._drop_configurations({row["configuration"] for row in used if row["configuration"]})
            self._drop_sounds({row["audio"] for row in used if row["audio"]})
        if not self._emptied_log():
            raise StoreFailure(
                "The conversation is deleted, but traces of it stay in the database's log, since another program is reading "
                "it. Stop that program, then delete the conversation again."
            )
        return self._exports_of(conversation)

    def keep_export(self, export: Export) -> None:
        """Remember an export. Raises `Gone` when a conversation in it was deleted in the meantime."""
        row = {
            "id": export.id,
            "name": export.name,
            "filter": json.dumps(dict(export.filter)),
            "files": json.dumps(dict(export.files)),
            "created_at": export.created_at,
        }
        with self._writing():
            for conversation in export.conversations:
                if not self._rows("SELECT 1 FROM conversations WHERE id = ?", conversation):
                    raise Gone("A conversation was deleted while the export ran. Start the export again.")
            self._db.table("exports").insert(row)
            holds = [{"conversation": conversation, "export": export.id} for conversation in export.conversations]
            self._db.table("exported_conversations").insert_all(holds)

    def exports(self) -> list[Export]:
        """The exports that were written, the oldest first."""
        with self._reading():
            return [self._export(row) for row in self._rows("SELECT * FROM exports ORDER BY id")]

    def _prepare(self) -> None:
        with in_words(self._place):
            # The order matters: nothing is written before the database is known to be sound and not of a newer version.
            if self._db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise failure(DAMAGED, self._place)
            if unknown(self._db):
                raise failure(NEWER, self._place)
            for setting in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON", "temp_store=MEMORY"):
                self._db.execute(f"PRAGMA {setting}").fetchall()
        with self._writing():
            MIGRATIONS.apply(self._db)
        self._emptied_log()

    def _insert(self, record: Record) -> None:
        match record:
            case Superseded():
                self._restate(record.turn, Status.SUPERSEDED, record.by)
            case Interrupted():
                self._restate(record.turn, Status.INTERRUPTED)
            case _:
                if isinstance(record, Turn) and record.audio:
                    self._insert_audio(record.audio)
                self._db.table(TABLES[type(record)]).insert(as_row(record), ignore=isinstance(record, Configuration))

    def _insert_audio(self, audio: Audio) -> None:
        if not self._sounds.has(audio.sha256):
            raise Gone("The sound of this turn is not in the store, or was deleted.")
        row = {"sha256": audio.sha256, "sample_rate_hz": audio.sample_rate_hz, "samples": audio.samples}
        self._db.table("audio").insert(row, ignore=True)

    def _restate(self, turn: str, status: Status, superseded_by: str | None = None) -> None:
        sql = "UPDATE turns SET status = ?, superseded_by = ? WHERE id = ?"
        if not self._db.execute(sql, [status, superseded_by, turn]).rowcount:
            raise Gone("A turn whose status changed is not in the store, or was deleted.")

    def _refuse_deleted(self, records: Iterable[Record]) -> None:
        for conversation in {conversation_of(record) for record in records} - {None}:
            if self._rows("SELECT 1 FROM tombstones WHERE conversation = ?", conversation):
                raise Gone("This conversation was deleted, so nothing more of it is kept.")

    def _drop_configurations(self, ids: Iterable[str]) -> None:
        unused = "DELETE FROM configurations WHERE id = ? AND NOT EXISTS (SELECT 1 FROM turns WHERE configuration = ?)"
        for configuration in ids:
            self._db.execute(unused, [configuration, configuration])

    def _drop_sounds(self, sha256s: Iterable[str]) -> None:
        """Drop those that no turn has and none is about to have. The files go before the transaction ends: if one cannot be
        removed, the rows come back, and the deletion has visibly failed."""
        for sha256 in sha256s:
            if not self._rows("SELECT 1 FROM turns WHERE audio = ? LIMIT 1", sha256):
                self._db.execute("DELETE FROM audio WHERE sha256 = ?", [sha256])
                if sha256 not in self._claimed:
                    self._sounds.drop(sha256)

    def _emptied_log(self) -> bool:
        """Move everything from the write-ahead log into the database and cut the log to nothing, unless it is in use."""
        with in_words(self._place):
            busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def _exports_of(self, conversation: str) -> tuple[str, ...]:
        sql = "SELECT name FROM exports JOIN exported_conversations ON export = id WHERE conversation = ? ORDER BY id"
        with self._reading():
            return tuple(row["name"] for row in self._rows(sql, conversation))

    def _export(self, row: Row) -> Export:
        sql = "SELECT conversation FROM exported_conversations WHERE export = ? ORDER BY conversation"
        conversations = tuple(held["conversation"] for held in self._rows(sql, row["id"]))
        files = {"filter": json.loads(row["filter"]), "files": json.loads(row["files"])}
        return Export(**row | files | {"conversations": conversations})

    def _loaded(self, conversation: Conversation) -> Loaded:
        key = conversation.id
        turns = self._turns(key)
        configurations = self._rows(
            "SELECT * FROM configurations WHERE id IN (SELECT configuration FROM turns WHERE conversation = ?)", key
        )
        paths, steps = self._paths(key)
        prompts = map(as_prompt, self._of_turns("prompts", "reply", key))
        return Loaded(
            conversation=conversation,
            turns=turns,
            path=resolve(paths, steps),
            paths=paths,
            steps=steps,
            deliveries={row["turn"]: as_value(Delivery, row) for row in self._of_turns("deliveries", "turn", key)},
            transcripts={row["turn"]: as_value(Transcript, row) for row in self._of_turns("transcripts", "turn", key)},
            configurations={row["id"]: as_value(Configuration, row) for row in configurations},
            prompts={prompt.reply: prompt for prompt in prompts},
            comparisons=tuple(as_value(Comparison, row) for row in self._of_conversation("comparisons", key)),
            judgements=self._judgements(key),
        )

    def _turns(self, conversation: str) -> dict[str, Turn]:
        sounds = self._rows(
            "SELECT * FROM audio WHERE sha256 IN (SELECT audio FROM turns WHERE conversation = ?)", conversation
        )
        audio = {row["sha256"]: as_value(Audio, row) for row in sounds}
        return {row["id"]: as_turn(row, audio) for row in self._of_conversation("turns", conversation)}

    def _paths(self, conversation: str) -> tuple[tuple[Path, ...], tuple[Step, ...]]:
        paths = tuple(as_value(Path, row) for row in self._of_conversation("paths", conversation))
        sql = "SELECT * FROM steps WHERE path IN (SELECT id FROM paths WHERE conversation = ?) ORDER BY path, position"
        return paths, tuple(as_value(Step, row) for row in self._rows(sql, conversation))

    def _judgements(self, conversation: str) -> tuple[Judgement, ...]:
        sql = """
            SELECT * FROM judgements WHERE turn IN (SELECT id FROM turns WHERE conversation = :c)
            OR comparison IN (SELECT id FROM comparisons WHERE conversation = :c) ORDER BY written
        """
        return tuple(as_value(Judgement, row) for row in self._db.query(sql, {"c": conversation}))

    def _of_conversation(self, table: str, conversation: str) -> list[Row]:
        return self._rows(f"SELECT * FROM {table} WHERE conversation = ? ORDER BY rowid", conversation)

    def _of_turns(self, table: str, column: str, conversation: str) -> list[Row]:
        sql = f"SELECT * FROM {table} WHERE {column} IN (SELECT id FROM turns WHERE conversation = ?) ORDER BY rowid"
        return self._rows(sql, conversation)

    def _rows(self, sql: str, *parameters: Any) -> list[Row]:
        return list(self._db.query(sql, parameters))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """All that is read in the block is of one moment."""
        with in_words(self._place), self._db.atomic():
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """All that is written in the block is kept, or nothing is."""
        with in_words(self._place):
            # IMMEDIATE takes the write lock first, so that the wait for another writer happens here and cannot fail later.
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.commit()
            except sqlite3.IntegrityError as error:
                self._db.rollback()
                if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
                    raise
                raise Gone("What this belongs to is not in the store, or was deleted; it was not kept.") from error
            except BaseException:
                self._db.rollback()
                raise


def _connect(place: str) -> Database:
    with in_words(f"the database {place}"):
        return Database(sqlite3.connect(place, timeout=BUSY_SECONDS, check_same_thread=False))
