"""Where sound is kept: FLAC, addressed by the SHA-256 of its PCM16 samples. Knows nothing of turns or of the database.

A file lies under its hash, `ab/abcdef….flac`, and is whole or not there at all: it is written beside its place, forced to the
disk, and renamed. Errors of the disk are raised as they come (`OSError`).
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
import time
from collections.abc import Container
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from conversations.failures import Damaged

UNCLAIMED_SECONDS = 3600.0
"""How old a file that nothing refers to must be before it is swept: its turn may still be on the way."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


def digest(samples: NDArray[np.int16]) -> str:
    """The hex SHA-256 of `samples` (int16, shape (n,)) as little-endian PCM16, without a header."""
    return hashlib.sha256(samples.astype("<i2", copy=False).tobytes()).hexdigest()


def encode(samples: NDArray[np.int16], sample_rate_hz: int) -> bytes:
    """`samples` (int16, shape (n,)) as a FLAC file; the same samples give the same bytes."""
    flac = io.BytesIO()
    soundfile.write(flac, samples, sample_rate_hz, format="FLAC", subtype="PCM_16")
    return flac.getvalue()


def decode(flac: bytes, sha256: str) -> NDArray[np.int16]:
    """The samples of a FLAC file, int16, shape (n,). Raises `Damaged` when they are not those of `sha256`."""
    try:
        samples: NDArray[np.int16] = soundfile.read(io.BytesIO(flac), dtype="int16")[0]
    except soundfile.SoundFileError as error:
        raise Damaged(f"The sound {sha256} is damaged and cannot be played.") from error
    if digest(samples) != sha256:
        raise Damaged(f"The sound {sha256} is damaged: its samples are not those that were kept.")
    return samples


class SoundFiles:
    """Sounds in a folder that is there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, sha256: str, flac: bytes) -> None:
        """Write the file, whole or not at all. One that is there already is only marked as wanted again (see `sweep`)."""
        place = self._place(sha256)
        if place.exists():
            os.utime(place)
            return
        place.parent.mkdir(mode=0o700, exist_ok=True)
        _write_whole(place, flac)
        # The new name is on the disk only when its folder is, and a new folder when the folder above it is.
        _sync_folder(place.parent)
        _sync_folder(self._folder)

    def get(self, sha256: str) -> bytes:
        """The FLAC file. Raises `KeyError` when there is none. May be called from any thread at any time."""
        try:
            return self._place(sha256).read_bytes()
        except FileNotFoundError:
            raise KeyError(sha256) from None

    def has(self, sha256: str) -> bool:
        return self._place(sha256).exists()

    def drop(self, sha256: str) -> None:
        self._place(sha256).unlink(missing_ok=True)

    def sweep(self, wanted: Container[str]) -> None:
        """Remove what a crash left behind: files that nothing refers to, and half-written ones, once they are old."""
        newest = time.time() - UNCLAIMED_SECONDS
        for file in self._folder.glob("??/*"):
            if file.stem not in wanted and file.stat().st_mtime < newest:
                file.unlink(missing_ok=True)

    def _place(self, sha256: str) -> Path:
        # The hash may come from outside, as part of an address: nothing but a hash may become a path.
        if not _SHA256.fullmatch(sha256):
            raise KeyError(sha256)
        return self._folder / sha256[:2] / f"{sha256}.flac"


class SoundsInMemory:
    """The same, with nothing on the disk."""

    def __init__(self) -> None:
        self._flacs: dict[str, bytes] = {}

    def put(self, sha256: str, flac: bytes) -> None:
        self._flacs[sha256] = flac

    def get(self, sha256: str) -> bytes:
        return self._flacs[sha256]

    def has(self, sha256: str) -> bool:
        return sha256 in self._flacs

    def drop(self, sha256: str) -> None:
        self._flacs.pop(sha256, None)


def _write_whole(place: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=place.parent, suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(place)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows has no way to open a folder, and needs none
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
