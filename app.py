"""The command line: puts the parts together. The only file that names concrete models, speakers and detectors.

uv run app.py [--port 7860] [--model-url http://gpu:8000] …     serve the page (the default)
uv run app.py export --out DIR [--include-offline]              write the preference set
uv run app.py --help                                            every setting, with its sentence
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from importlib.metadata import version
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import CliApp, SettingsError

from backend.models import DialogueModel
from backend.settings import ExportSettings, Settings
from backend.speakers import Speaker, Voice
from conversations.export import Summary, write
from conversations.store import Store, StoreFailure

AnySettings = TypeVar("AnySettings", bound=Settings)

OFFLINE_ABOUT = (
    "You are talking to the **offline rehearsal partner**, a small program of rules and not Step-Audio: no model server is "
    "configured. What it says is not exported unless asked for. See the README for `--model-url`."
)


class CannotStart(Exception):
    """What was asked for on the command line can't be done; the text says why."""


def main(arguments: list[str]) -> None:
    command, rest = (arguments[0], arguments[1:]) if arguments and not arguments[0].startswith("-") else ("serve", arguments)
    commands = {"serve": serve, "export": export}
    try:
        if command not in commands:
            raise CannotStart(f"There is no command {command!r}; there are: {', '.join(commands)}.")
        commands[command](rest)
    except (CannotStart, StoreFailure) as problem:
        raise SystemExit(f"colloquy: {problem}") from None


def serve(arguments: list[str]) -> None:
    """Serve the page until the process is told to stop."""
    settings = _read(Settings, arguments)
    listener = _listen(settings.host, settings.port)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before Gradio is imported: it would ask other hosts for news
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    store = Store.open(settings.data_dir)
    try:
        asyncio.run(_serve(settings, store, listener))
    except KeyboardInterrupt:
        return


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before anything else is done: raises `CannotStart` where it can't be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotStart(f"It can't serve on {host}, port {port}: {reason}. Choose another with --port.") from None


async def _serve(settings: Settings, store: Store, listener: socket.socket) -> None:
    import uvicorn

    from backend.record import Archive
    from backend.session import Partners, Preferences
    from backend.sessions import Sessions
    from backend.vad import Silero
    from ui.access import Access
    from ui.page import Defaults
    from ui.server import make

    model, speaker, vad, archive = make_model(settings), make_speaker(settings), Silero(), Archive(store)
    voice = Voice(settings.voice or (speaker.voices[0] if speaker else ""), settings.speed)
    partners = Partners(model, speaker, vad, archive, version("colloquy"))
    preferences = Preferences(settings.system_prompt, voice, speaker is not None, settings.rules(), settings.stall_ms)
    sessions = Sessions(partners, preferences, settings.reconnect_s)
    voices = list(speaker.voices) if speaker else []
    defaults = Defaults(settings.system_prompt, voice, speaker is not None, voices, settings)
    try:
        access = Access(settings.data_dir, settings.api_key.get_secret_value(), settings.host, settings.public_host)
    except OSError as error:
        raise CannotStart(f"The file {settings.data_dir / 'secret'} can't be read or written: {error.strerror}.") from None
    about = OFFLINE_ABOUT if model.offline else f"You are talking to **{model.name}**."
    server = uvicorn.Server(
        uvicorn.Config(
            make(sessions, access, defaults, about),
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
            log_level="warning",
            ws_max_size=1 << 20,
            timeout_graceful_shutdown=3,
        )
    )
    scheme = "https" if settings.tls_cert else "http"
    if not (access.needs_login or settings.host in ("localhost", "::1") or settings.host.startswith("127.")):
        print("Whoever reaches this address may use it and hear what is kept: set --api-key to change that.", flush=True)
    print(f"Colloquy is at {scheme}://{settings.host}:{listener.getsockname()[1]} (stop it with Ctrl-C)", flush=True)
    try:
        await server.serve(sockets=[listener])
    finally:
        await model.aclose()
        if speaker is not None:
            await speaker.aclose()
        archive.close()
        vad.close()


def make_model(settings: Settings) -> DialogueModel:
    """The dialogue model that answers: the first one configured, else the rehearsal partner."""
    for name, configured in settings.models.items():
        from backend.models.chat import ChatModel  # its libraries take half a second, which the partner below does without

        return ChatModel(
            name,
            configured.url,
            configured.model or None,
            configured.key.get_secret_value() or None,
            temperature=configured.temperature,
            top_p=configured.top_p,
            max_tokens=configured.max_tokens,
            extra=configured.extra,
            starts_thinking=configured.starts_thinking,
        )
    from backend.models.offline import RehearsalPartner

    return RehearsalPartner()


def make_speaker(settings: Settings) -> Speaker | None:
    """The speech engine, or none."""
    if settings.speaker == "none":
        return None
    from backend.speakers.espeak import Espeak

    return Espeak()


def export(arguments: list[str]) -> None:
    """Write the preference set."""
    settings = _read(ExportSettings, arguments)
    if not (settings.data_dir / "colloquy.db").is_file():
        raise CannotStart(f"There is no database in {settings.data_dir}; name the folder with --data-dir.")
    store = Store.open(settings.data_dir)
    try:
        print(_in_words(write(store, settings.out, include_offline=settings.include_offline)))
    finally:
        store.close()


def _in_words(summary: Summary) -> str:
    lines = [
        f"{summary.folder}: {summary.pairs} pairs and {summary.unpaired} single verdicts "
        f"from {summary.conversations} conversations, with {summary.sounds} sounds.",
        *(f"  left out, {count} × {reason.replace('_', ' ')}" for reason, count in summary.refusals.items()),
        *summary.warnings,
    ]
    return "\n".join(lines)


def _read(kind: type[AnySettings], arguments: list[str]) -> AnySettings:
    """Settings from the command line, the environment and the file. Raises `CannotStart` that names what is wrong."""
    try:
        return CliApp.run(kind, cli_args=arguments)
    except ValidationError as error:
        problems = (
            f"{'.'.join(map(str, one['loc'])) or 'settings'}: {one['msg']}" for one in error.errors(include_input=False)
        )
        raise CannotStart("; ".join(problems)) from None
    except SettingsError as error:
        raise CannotStart(str(error)) from None


if __name__ == "__main__":
    main(sys.argv[1:])
