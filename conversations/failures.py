"""What can go wrong with the store, in sentences for the person who has to do something about it.

    StoreFailure        nothing was kept (or read); `str(failure)` says what happened and what to do
    ├── Gone            what this belongs to was deleted, or was never kept
    └── Damaged         a sound is not what its name says

Mistakes of the program itself (a key kept twice, a statement that does not parse) are not among them: they are raised as
they come.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


class StoreFailure(Exception):
    """The store could not do what it was asked for; the text is a sentence for a person."""


class Gone(StoreFailure):
    """What this belongs to is not in the store, or not any more."""


class Damaged(StoreFailure):
    """A sound's samples are not those that its name promises."""


FULL = "The disk that holds {place} is full, so nothing more was kept. Free some space, then go on."
LOCKED = "{place} is locked by another program. Close the program that writes to it, then try again."
READ_ONLY = "{place} cannot be written. Check its permissions, or choose another folder for the data."
DAMAGED = "{place} is damaged. Restore a copy of it, or move it away to start with an empty one."
UNREACHABLE = "{place} cannot be opened. Check that it is a file, in a folder that can be written."
DISK_ERROR = "The disk refused to read or write {place}. Check that the disk is sound and has space left."
NEWER = "{place} was written by a newer version of Colloquy. Use that version, or choose another folder for the data."
NOT_A_FOLDER = "{place} cannot be made, since a file stands in the way. Choose another folder for the data."

_SQLITE = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_PERM: READ_ONLY,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
    sqlite3.SQLITE_CANTOPEN: UNREACHABLE,
    sqlite3.SQLITE_IOERR: DISK_ERROR,
}
_SYSTEM = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: FULL,
    errno.EACCES: READ_ONLY,
    errno.EPERM: READ_ONLY,
    errno.EROFS: READ_ONLY,
    errno.EEXIST: NOT_A_FOLDER,
    errno.ENOTDIR: NOT_A_FOLDER,
}


def failure(sentence: str, place: str) -> StoreFailure:
    """The failure that one of the sentences above tells of `place`."""
    text = sentence.format(place=place)
    return StoreFailure(text[0].upper() + text[1:])


@contextmanager
def in_words(place: str) -> Iterator[None]:
    """Turn an error of SQLite or of the file system at `place` ("the folder …") into a `StoreFailure`."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        # An extended result code holds the primary one in its low byte.
        sentence = _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        if sentence is None:
            raise
        raise failure(sentence, place) from error
    except OSError as error:
        sentence = _SYSTEM.get(error.errno or 0, "{place} could not be read or written: " + f"{error.strerror}.")
        raise failure(sentence, place) from error
