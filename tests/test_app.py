"""The command line: what it takes, and that it refuses to start, in words, where it could not keep what is said."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

import app
from backend.settings import Settings
from backend.turns import Rules

ROOT = Path(__file__).parent.parent


def refusal(*arguments: str) -> str:
    """What the app says instead of starting."""
    with pytest.raises(SystemExit) as exit_:
        app.main(list(arguments))
    return str(exit_.value)


def test_an_unknown_command_is_named() -> None:
    assert "no command 'dance'" in refusal("dance")


def test_a_wrong_number_is_named() -> None:
    assert "silence_ms" in refusal("--silence-ms", "9")


def test_thresholds_that_do_not_fit_are_refused() -> None:
    assert "end_probability" in refusal("--start-probability", "0.3")


def test_a_certificate_wants_its_key(tmp_path: Path) -> None:
    assert "--tls-key" in refusal("--tls-cert", str(tmp_path / "cert.pem"))


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert f"port {port}" in refusal("--port", str(port))


def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    assert str(tmp_path / "data") in refusal("--port", "0", "--data-dir", str(tmp_path / "data"))


def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "colloquy.db").write_bytes(b"this is no database at all" * 1000)
    assert "colloquy.db" in refusal("--port", "0", "--data-dir", str(tmp_path))


def test_there_is_nothing_to_export(tmp_path: Path) -> None:
    assert "no database" in refusal("export", "--out", str(tmp_path / "out"), "--data-dir", str(tmp_path / "nowhere"))


def test_an_export_needs_a_folder() -> None:
    assert "out" in refusal("export")


def test_help_explains_every_setting() -> None:
    shown = subprocess.run([sys.executable, "app.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name, about in Settings.model_fields.items():
        assert about.description, name
        assert f"--{name.replace('_', '-')}" in shown


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "colloquy.toml").write_text(
        'port = 1\nsilence_ms = 900\nspeed = 1.5\n[models.big]\nurl = "http://gpu:8000"\ntemperature = 0.1\n'
    )
    monkeypatch.setenv("COLLOQUY_PORT", "2")
    monkeypatch.setenv("COLLOQUY_SPEED", "1.2")
    settings = app._read(Settings, ["--port", "3"])
    assert (settings.port, settings.speed, settings.silence_ms) == (3, 1.2, 900)
    assert settings.models["big"].temperature == 0.1


def test_a_model_url_makes_a_default_model() -> None:
    settings = app._read(Settings, ["--model-url", "http://gpu:8000"])
    assert list(settings.models) == ["default"]
    assert app.make_model(settings).name == "default"
    assert not app.make_model(settings).offline


def test_without_a_model_the_rehearsal_partner_answers() -> None:
    assert app.make_model(app._read(Settings, [])).offline


def test_the_rules_of_turn_taking_are_the_settings() -> None:
    assert app._read(Settings, []).rules() == Rules()
    assert app._read(Settings, ["--silence-ms", "900"]).rules() == Rules(silence_ms=900)


def test_keys_are_not_shown() -> None:
    assert "sesame" not in repr(app._read(Settings, ["--api-key", "sesame"]))
