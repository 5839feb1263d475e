"""Fixtures that every test may use. No test touches the user's own data: the environment is emptied of our settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REQUIRE_ALL = os.environ.get("COLLOQUY_REQUIRE_ALL") == "1"
SPEECH_DIR = os.environ.get("COLLOQUY_SPEECH_DIR")


def missing(what: str, how_to_get_it: str) -> None:
    """Skip the test where something optional is missing; fail it where everything is required (in CI)."""
    sentence = f"{what} is missing: {how_to_get_it}"
    if REQUIRE_ALL:
        pytest.fail(sentence)
    pytest.skip(sentence)


@pytest.fixture
def speech_dir() -> Path:
    """The folder of recordings of people."""
    if not SPEECH_DIR or not Path(SPEECH_DIR).is_dir():
        missing("The folder of recordings", "set COLLOQUY_SPEECH_DIR to a folder that holds them")
    assert SPEECH_DIR is not None
    return Path(SPEECH_DIR)


@pytest.fixture(autouse=True)
def _own_settings_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("COLLOQUY_") and name not in {"COLLOQUY_REQUIRE_ALL", "COLLOQUY_SPEECH_DIR"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLLOQUY_DATA_DIR", str(tmp_path / "data"))
